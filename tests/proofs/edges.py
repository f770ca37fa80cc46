"""Sums at the edges of what ``sum_error`` promises.

* Crossing: Q is below a power of two that Q + T0 reaches, through (m-1)u, ``product``,
  ``relative``, what is absolute, or any mixture; ufp doubles there.
* Shrunk: S and |s| as a caller has computed them, ``roundings`` of the working format too small,
  and |s| besides by relative * S + absolute. Coq gets the exact ones.
* Tiny: about the smallest normal number of the working format and below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from errbound.number import BINARY32, DOUBLE, SINGLE, Working, summation
from tests.proofs.agreement import JUMP, ROWS, Exact, Family, Row, fractions
from tests.proofs.cases import Sums, bound_line, longest, sum_error_cases

EXTRAS = ((0.0, 0.0), (2.0**-43, 2.0**-126), (2.0**-12, 2.0**-80))
"""``relative`` and ``absolute``."""

ROUNDINGS = 1000
"""Many more than the spare ones in ``Working.inflate``."""


def crossing(
    row: Row, rng: np.random.Generator, m: np.ndarray, binades: tuple[int, int],
    relative: float, absolute: float,
) -> Sums:  # fmt: skip
    """Q below a power of two and (Q + E + (m-1) f)/(1 - (m-1)u) at it or above, by a part of what
    separates them; parts of 1 make it the power itself, up to the rounding of S. s is 0, S/2 or S:
    Q is S/2, 3S/4 or S."""
    acc, count = row.acc, len(m)
    additions = np.maximum(m - 1, 0)
    fixed = m * acc.product_absolute + additions * acc.addition_absolute + absolute

    def parts() -> np.ndarray:
        some = rng.choice([0.0, 1.0, -1.0], count)
        return np.where(some < 0.0, rng.random(count), some)

    power = rng.integers(*binades, count)
    if fixed.min() > 0.0:
        near = np.ceil(np.log2(fixed)).astype(int) + rng.integers(1, 25, count)
        power = np.where(rng.random(count) < 0.4, np.clip(near, *binades), power)
    least = np.ldexp(1.0, power)
    together = rng.random(count) < 0.3
    first = parts()
    part = [np.where(together, first, parts()) for _ in range(3)]
    size = least * (1.0 - part[0] * additions * acc.addition) - part[1] * fixed
    share = rng.choice([0.0, 0.5, 1.0, 1.0], count)
    size /= 0.5 + 0.5 * share + part[2] * (acc.product + relative)
    size = np.where(size > 0.0, size, least)
    size = np.where(rng.random(count) < 0.5, np.nextafter(size, np.inf), size)
    held = torch.from_numpy(size)
    return Sums(row, torch.from_numpy(m), held, held * torch.from_numpy(share))


def upward(value: Fraction, work: Working) -> float:
    """The least number of a working format that is not below ``value`` >= 0."""
    kind = np.float64 if work is DOUBLE else np.float32
    near = kind(float(value))
    return float(near if Fraction(float(near)) >= value else np.nextafter(near, kind(np.inf)))


def in_format(sums: Sums, work: Working) -> Sums:
    """S and |s| rounded to the working format: these are the exact ones then."""
    return replace(
        sums,
        magnitude=sums.magnitude.to(work.dtype).double(),
        total=sums.total.to(work.dtype).double(),
    )


def shrunk(
    sums: Sums, work: Working, roundings: int, relative: float, absolute: float
) -> tuple[Tensor, Tensor]:
    """The least S and |s| that ``sum_error`` admits, in the working format."""
    keep = (1 - Fraction(work.unit)) ** roundings
    sizes, totals = [], []
    for _, size, total in sums.cases:
        missing = Fraction(relative) * Fraction(size) + Fraction(absolute)
        sizes.append(upward(keep * Fraction(size), work))
        totals.append(upward(keep * max(Fraction(total) - missing, Fraction(0)), work))
    return torch.tensor(sizes, dtype=work.dtype), torch.tensor(totals, dtype=work.dtype)


def edge_family(
    name: str, sums: Sums, work: Working, relative: float, absolute: float, roundings: int,
    slack: Fraction, *, terms: int | None = None, least: float = 0.0,
) -> Family:  # fmt: skip
    """With ``roundings`` S and |s| are shrunk, and what is added to the bound is no error of the
    machine's; without, they are exact, and it is."""
    if roundings:
        given = shrunk(sums, work, roundings, relative, absolute)
        inside, beside = (0.0, 0.0), (Fraction(relative), Fraction(absolute))
    else:
        sums = in_format(sums, work)
        given = (sums.magnitude.to(work.dtype), sums.total.to(work.dtype))
        inside, beside = (relative, absolute), (Fraction(0), Fraction(0))

    def found() -> list[Exact]:
        if terms is not None:
            assert None is not summation._relative_error(
                sums.m, *given, sums.row.acc, relative, absolute, roundings, work, terms, least
            ), "not the path that is to be tested"
        return fractions(
            summation.sum_error(
                sums.m, *given, sums.row.acc, relative=relative, absolute=absolute,
                roundings=roundings, work=work, terms=terms, least=least,
            )
        )  # fmt: skip

    def expected(answers: list[list[Exact]]) -> list[Exact]:
        return [
            None if value is None else value + beside[0] * Fraction(size) + beside[1]
            for (value, *_), (_, size, _) in zip(answers, sums.cases, strict=True)
        ]

    return Family(
        f"{name}, {work.dtype}, {sums.row.name}, relative {relative}, roundings {roundings}",
        [bound_line("sum_error", sums.row, case, *inside) for case in sums.cases],
        found,
        expected,
        factor=JUMP,
        slack=[slack] * len(sums.m),
    )


def spread_counts(rng: np.random.Generator, count: int, least: int, most: int) -> np.ndarray:
    """Numbers of terms: few, many, the most."""
    m = np.exp2(rng.uniform(math.log2(least), math.log2(most), count)).astype(np.int64)
    m[::4] = most
    m[1::4] = least + np.arange(len(m[1::4])) % 3
    return np.clip(m, least, most)


def edges(rng: np.random.Generator) -> Iterator[Family]:
    for row in ROWS:
        for work in (DOUBLE, SINGLE):
            low = -1090 if work is DOUBLE else -155
            tiny = (low, low + 75 if work is DOUBLE else low + 40)
            yield sum_error_cases(row, rng, work, 2.0**-43, 0.0, tiny)
            slack = 4 * (Fraction(work.tiny) + Fraction(work.min_normal))
            for relative, absolute in EXTRAS:
                for roundings in (0, ROUNDINGS):
                    m = spread_counts(rng, 300, 1, int(longest(row)))
                    sums = crossing(row, rng, m, (-100, 100), relative, absolute)
                    yield edge_family(
                        "sum_error crossing", sums, work, relative, absolute, roundings, slack
                    )
                    if row.accumulator is not BINARY32:
                        continue
                    for terms in (3, 4000):
                        m = spread_counts(rng, 150, 2, terms)
                        sums = crossing(row, rng, m, (-30, 30), relative, absolute)
                        yield edge_family(
                            f"_relative_error crossing, {terms} terms", sums, work, relative,
                            absolute, roundings, Fraction(0), terms=terms, least=2.0**-40,
                        )  # fmt: skip
