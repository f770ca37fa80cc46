"""Binary32 arithmetic on numpy binary64 arrays that hold binary32 numbers, exactly rounded.

Independent of ``errbound.number``: only numpy's own binary64 operations and its conversion to
binary32 are used. Products of two binary32 numbers are exact in binary64 (48 bits, exponents
between -298 and 256), so a pending product is kept as it is until it is rounded or fused.
"""

from __future__ import annotations

import numpy as np

MIN_NORMAL = 2.0**-126


def round32(x):
    """One rounding of binary64 ``x`` to binary32, to nearest even; overflow to infinity."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(np.float64)


def sum_to_odd(a, b):
    """``a + b`` rounded to odd in binary64: exact, or the neighbour with an odd last bit.

    TwoSum gives s + e = a + b. If e != 0 the sum lies strictly between s and its neighbour on the
    side of e, and exactly one of the two is odd. Rounding it to 24 bits (53 >= 24 + 2) then gives
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


def add(a, b, *, wide):
    """fl(a + b) before a flush: ``b`` a binary32 number, ``a`` too unless ``wide``.

    ``wide``: ``a`` may be a pending product, and this addition an FMA. Otherwise the binary64 sum
    rounded to binary32 is the binary32 sum (53 >= 2*24 + 2).

    Returns (sum before rounding, for the flush; rounded sum).
    """
    s = sum_to_odd(a, b) if wide else a + b
    return s, round32(s)


def is_binary32(x):
    """Whether every entry is a binary32 number."""
    return bool((round32(x) == x).all())


def flush(before, after, probability, rng):
    """``after``, with entries whose value ``before`` rounding is subnormal set to 0 by coin."""
    if not probability:
        return after
    tiny = (np.abs(before) < MIN_NORMAL) & (after != 0)
    if not tiny.any():
        return after
    if probability < 1:
        tiny &= rng.random(tiny.shape) < probability
    return np.where(tiny, np.copysign(0.0, before), after)
