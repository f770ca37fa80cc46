"""Shadow arithmetic: the same graph over the reals, to many digits, by mpmath or Arb.

mpmath is the witness: every operation is rounded to the digits asked for, its errors are not
bounded. Arb (python-flint) is rigorous: every number is a ball that contains the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from errbound.errors import InputError
from errbound.ops import Op
from errbound.program import Node, Program

Array = np.ndarray[Any, Any]
"""An object array of real numbers: ``mpf`` or ``arb``."""

TINY = 20_000
"""Exponents below -TINY are not written out as fractions."""

GUARD = 16
"""Bits beyond the decimal digits asked for."""


@dataclass(frozen=True)
class Reals:
    """Real numbers of one library.

    Attributes:
        number: from a Python float or integer, exactly.
        ends: exact rational bounds of a number, low and high.
        select: how an operator that moves, selects or compares numbers is applied.
        rigorous: whether ``ends`` enclose the exact number.
    """

    number: Callable[[Any], Any]
    ends: Callable[[Any], tuple[Fraction, Fraction]]
    select: Callable[[Op, tuple[Any, ...], Mapping[str, Any]], Any]
    rigorous: bool


class Shadow:
    """Evaluates a program over the reals, one sample at a time.

    Args:
        program: M32; its weights are taken as they are (M-infinity).
        reals: from :func:`reals`.
    """

    def __init__(self, program: Program, reals: Reals) -> None:
        self.program = program
        self.reals = reals
        self._constants = {k: self._numbers(t) for k, t in program.constants.items()}

    def __call__(self, x: Tensor, visit: Callable[[Node, Any], None]) -> None:
        """Evaluate on ``x`` (1, ...); ``visit(node, values)`` sees object arrays (or lists)."""

        def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if node.op.moves or node.op.compares:
                value = self.reals.select(node.op, args, kwargs)
            else:
                value = node.op.exact(*args, **kwargs)
            visit(node, value)
            return value

        self.program.evaluate(self._numbers(x), self._constants, step)

    def _numbers(self, x: Tensor) -> Array:
        values = x.double() if x.is_floating_point() else x
        flat = [self.reals.number(v) for v in values.reshape(-1).tolist()]
        found = np.empty(len(flat), dtype=object)
        found[:] = flat
        return found.reshape(tuple(x.shape))


@contextmanager
def reals(name: str, digits: int) -> Iterator[Reals]:
    """The real numbers of "mpmath" or "arb" with so many decimal digits, while the context lasts.

    Raises:
        InputError: "arb" without python-flint.
    """
    bits = int(digits * 3.3219280948873627) + GUARD
    with (_mpmath if name == "mpmath" else _arb)(bits) as found:
        yield found


@contextmanager
def _mpmath(bits: int) -> Iterator[Reals]:
    import mpmath

    context = mpmath.MPContext()
    context.prec = bits

    def ends(v: Any) -> tuple[Fraction, Fraction]:
        sign, mantissa, exponent, _ = v._mpf_
        return _ends(int(mantissa) * (-1 if sign else 1), int(exponent))

    yield Reals(context.mpf, ends, lambda op, args, kwargs: op.exact(*args, **kwargs), False)


@contextmanager
def _arb(bits: int) -> Iterator[Reals]:
    try:
        import flint
    except ImportError:
        raise InputError(
            "--shadow-with arb needs python-flint: pip install 'errbound[arb]', or use mpmath"
        ) from None

    def ends(v: Any) -> tuple[Fraction, Fraction]:
        low, high = v.lower().man_exp(), v.upper().man_exp()
        return _ends(int(low[0]), int(low[1]))[0], _ends(int(high[0]), int(high[1]))[1]

    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield Reals(flint.arb, ends, _select_balls, True)
    finally:
        flint.ctx.prec = before


def _ends(mantissa: int, exponent: int) -> tuple[Fraction, Fraction]:
    """Rational bounds of mantissa 2^exponent: itself, unless it is too small to be written out."""
    if exponent > -TINY:
        exact = Fraction(mantissa) * Fraction(2) ** exponent
        return exact, exact
    # Mantissas have far fewer than TINY/2 bits, so the number is below 2^(-TINY/2).
    tiny = Fraction(1, 2 ** (TINY // 2))
    return (-tiny if mantissa < 0 else Fraction(0)), (tiny if mantissa > 0 else Fraction(0))


def _select_balls(op: Op, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A selection applied to both ends of every ball.

    It is monotone in each number, so that the results at the ends enclose the exact ones even where
    the order of overlapping balls is unknown.
    """
    lower, upper = (
        op.exact(*(_map(end, a) for a in args), **kwargs)
        for end in (lambda v: v.lower(), lambda v: v.upper())
    )
    if isinstance(lower, list | tuple):
        return [_unions(a, b) for a, b in zip(lower, upper, strict=True)]
    return _unions(lower, upper)


def _unions(a: Array, b: Array) -> Array:
    found: Array = np.frompyfunc(lambda x, y: x.union(y), 2, 1)(a, b)
    return found


def _map(f: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_map(f, v) for v in value]
    if isinstance(value, np.ndarray):
        return np.vectorize(f, otypes=[object])(value) if value.size else value
    return value
