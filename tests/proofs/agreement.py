"""What is compared of Python and Coq: families of cases, as text for the extracted program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    Accumulation,
    Format,
    accumulation,
)

Exact = Fraction | None
"""None: out of the format's range."""

JUMP = Fraction(2) + Fraction(1, 2**8)
"""A bound that is computed upward may reach the next binade, where ufp doubles."""


@dataclass
class Family:
    """Cases of one function.

    Attributes:
        lines: for the extracted program.
        found: evaluates Python.
        expected: makes Coq's results of the program's answers.
        factor: None: equal; else Python is at or above Coq, and at most ``factor`` times as large,
            ``slack`` (of each case) aside.
    """

    name: str
    lines: list[str]
    found: Callable[[], list[Exact]]
    expected: Callable[[list[list[Exact]]], list[Exact]] = lambda answers: [a[0] for a in answers]
    factor: Fraction | None = None
    slack: Sequence[Fraction] | None = None

    def check(self, answers: list[list[Exact]]) -> int:
        """Compare all cases; returns their number."""
        found, expected = self.found(), self.expected(answers)
        assert len(found) == len(expected)
        for k, (python, coq) in enumerate(zip(found, expected, strict=True)):
            where = f"{self.name}, case {k}: {python} in Python, {coq} in Coq"
            if self.factor is None:
                assert python == coq, where
                continue
            assert python is not None, where
            assert coq is not None, where
            assert python >= coq, where + ": not outward"
            most = self.factor * coq + (0 if self.slack is None else self.slack[k])
            assert python <= most, where + ": far too large"
        return len(found)


def fractions(values: Tensor) -> list[Exact]:
    return [Fraction(v) if math.isfinite(v) else None for v in values.tolist()]


# --- cases as text -------------------------------------------------------------------------------


def number(x: float) -> str:
    """m and e, x = m 2^e."""
    significand, exponent = math.frexp(x)
    return f"{int(significand * 2**53)} {exponent - 53}"


def described(fmt: Format) -> str:
    """Precision, exponent of the smallest number, and the largest number."""
    p = fmt.precision
    return f"{p} {fmt.emin - p + 1} {2**p - 1 - fmt.reserved} {fmt.emax - p + 1}"


@dataclass(frozen=True)
class Row:
    """An accumulation and what it was made of."""

    storage: Format
    accumulator: Format
    flush: bool

    @property
    def acc(self) -> Accumulation:
        return accumulation(self.storage, self.accumulator, flush=self.flush)

    @property
    def name(self) -> str:
        """For messages."""
        names = f"{self.storage.name} in {self.accumulator.name}"
        return names + " flushed" if self.flush else names

    def __str__(self) -> str:
        return f"{described(self.storage)} {described(self.accumulator)} {int(self.flush)}"


ROWS = [
    Row(BINARY16, BINARY32, False),
    Row(BFLOAT16, BINARY32, False),
    Row(BFLOAT16, BINARY32, True),
    Row(BINARY32, BINARY32, False),
    Row(BINARY16, BINARY16, False),
]
