"""Rounding on numpy binary64 arrays that hold numbers of at most 24 bits, exactly as IEEE 754.

Independent of ``errbound.number``: only numpy's own binary64 operations and its conversion to
binary32 are used. Products of two binary32 numbers are exact in binary64 (48 bits, exponents
between -298 and 256), so a pending product is kept as it is until it is rounded or fused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from errbound.number import BINARY32, Format

Array = np.ndarray[Any, Any]
Rounding = Callable[[Array], Array]
"""The rounding map of a format, to nearest even, on binary64 arrays."""

MIN_NORMAL = 2.0**-126


def round32(x: Array) -> Array:
    """One rounding of binary64 ``x`` to binary32, to nearest even; overflow to infinity."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(np.float64)


def rounding(fmt: Format) -> Rounding:
    """One rounding of binary64 arrays to ``fmt``, to nearest even, with its overflow rule."""
    if fmt is BINARY32:
        return round32

    def fl(x: Array) -> Array:
        exponent = np.frexp(x)[1] - 1
        quantum = np.ldexp(1.0, np.maximum(exponent, fmt.emin) - fmt.precision + 1)
        y = np.rint(x / quantum) * quantum
        return np.where(np.abs(y) > fmt.max_finite, np.copysign(fmt.overflow, x), y)

    return fl


def sum_to_odd(a: Array, b: Array) -> Array:
    """``a + b`` rounded to odd in binary64: exact, or the neighbour with an odd last bit.

    TwoSum gives s + e = a + b. If e != 0 the sum lies strictly between s and its neighbour on the
    side of e, and exactly one of the two is odd. Rounding it to p bits (53 >= p + 2) then gives
    the correctly rounded sum, subnormal results included.
    """
    s = a + b
    z = s - a
    e = (a - (s - z)) + (b - z)
    bits = np.ascontiguousarray(s).view(np.int64)
    move = (e != 0) & np.isfinite(s) & (bits & 1 == 0)
    # Away from zero where e has the sign of s: one more in the integer order of magnitudes.
    away = np.where((e > 0) == (s > 0), 1, -1)
    return np.where(move, bits + away, bits).view(np.float64)


def add(a: Array, b: Array, *, wide: bool, fl: Rounding = round32) -> tuple[Array, Array]:
    """fl(a + b) before a flush: ``b`` a number of the format, ``a`` too unless ``wide``.

    ``wide``: ``a`` may be a pending product, and this addition an FMA. Otherwise the binary64 sum
    rounded to p <= 24 bits is the sum rounded once (53 >= 2p + 2).

    Returns (sum before rounding, for the flush; rounded sum).
    """
    s = sum_to_odd(a, b) if wide else a + b
    return s, fl(s)


def flush(before: Array, after: Array, probability: float, rng: np.random.Generator) -> Array:
    """``after``, with entries whose value ``before`` rounding is subnormal set to 0 by coin."""
    if not probability:
        return after
    tiny = (np.abs(before) < MIN_NORMAL) & (after != 0)
    if not tiny.any():
        return after
    if probability < 1:
        tiny &= rng.random(tiny.shape) < probability
    return np.where(tiny, np.copysign(0.0, before), after)
