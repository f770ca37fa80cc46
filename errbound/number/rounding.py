"""Rounding: into a format, correctly; and outward, for the analysis' own binary64 arithmetic.

This is the only file that rounds outward. Two needs, kept apart:

* ``nearest`` is the format's own rounding map ``fl`` applied to binary64 numbers, *correct*
  (torch's ``.half()`` and ``.bfloat16()`` round a binary64 tensor twice).
* ``inflate``, ``up`` and ``down`` absorb the errors of binary64 arithmetic into a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.number.format import Format

U64 = 2.0**-53
"""Unit roundoff of binary64, the format of the analysis."""

TINY64 = 2.0**-1000
"""Covers every underflow error of a binary64 sum of fewer than 2**70 terms (each <= 2**-1075)."""

_EXPONENT_BITS = 0x7FF0000000000000


def subnormals_are_on() -> bool:
    """Whether this thread keeps subnormals in binary32 and binary64 (no FTZ, no DAZ)."""
    x = torch.tensor([1.5 * 2.0**-1030, 1.5 * 2.0**-140], dtype=torch.float64)
    kept64 = bool((x[:1] * 0.5 * 2.0 == x[:1]).all())
    single = x[1:].float()
    return kept64 and bool((single * 0.5 * 2.0 == single).all()) and bool((single != 0).all())


def require_subnormals() -> None:
    """Raise ``RuntimeError`` if subnormals are flushed: bounds would be rounded inward."""
    if not subnormals_are_on():
        raise RuntimeError(
            "this process flushes subnormal numbers to zero (torch.set_flush_denormal(True) or a "
            "library built with -ffast-math), so no bound can be rounded outward; call "
            "torch.set_flush_denormal(False) before using errbound"
        )


require_subnormals()


def nearest_(x: Tensor, fmt: Format) -> Tensor:
    """Round binary64 ``x`` in place to the nearest number of ``fmt``, ties to even.

    Precondition: ``|x| < fmt.overflow_threshold`` (callers check overflow before they round).
    Zero comes out as +0 for 16-bit formats: equality of cells is equality of values.

    Why it is correct. Let 2^e be the binade of x, e >= emin, q = 2^(e-p+1) its quantum in the
    format and s = 1.5 * 2^52 * q. As |x| < 2^(e+1) <= 2^51 q (p <= 50), x + s stays in the
    binade of s, whose binary64 quantum is q: the hardware rounds x + s to the nearest multiple
    of q, ties to the even multiple (s/q = 1.5 * 2^52 is even). Subtracting s is exact. Below
    emin the quantum is constant, hence the clamp. Proved: ``Rounding.nearest_correct``.
    """
    if fmt.precision == 24:
        return x.copy_(x.float())  # one hardware rounding, gradual underflow
    s = (x.view(torch.int64) & _EXPONENT_BITS).view(torch.float64)
    s.clamp_(min=fmt.min_normal).mul_(1.5 * 2.0 ** (53 - fmt.precision))
    return x.add_(s).sub_(s)


def nearest(x: Tensor, fmt: Format) -> Tensor:
    """``fl(x)``: binary64 ``x`` correctly rounded to ``fmt``, its overflow rule included.

    Returns a new binary64 tensor of numbers of ``fmt``; NaN stays NaN.
    """
    big = fmt.overflow_threshold
    over = x.abs() >= big
    rounded = nearest_(torch.where(over | x.isnan(), 0.0, x), fmt)
    rounded = torch.where(over, torch.copysign(torch.full_like(x, fmt.overflow), x), rounded)
    return torch.where(x.isnan(), x, rounded)


def stored(x: Tensor, fmt: Format) -> Tensor:
    """``x``, of any floating-point dtype, rounded to ``fmt`` and held in ``fmt.dtype``.

    torch rounds correctly from binary32 or less; from binary64 it would round twice.
    """
    if x.dtype is torch.float64 or fmt.emulated:
        return nearest(x.double(), fmt).to(fmt.dtype)
    return x.to(fmt.dtype)


def ulp(x: Tensor, fmt: Format) -> Tensor:
    """Distance of consecutive numbers of ``fmt`` in the binade of finite binary64 ``x``.

    ``2^(max(e(x), emin) - p + 1)``; at zero and among subnormals the smallest subnormal.
    """
    power = (x.contiguous().view(torch.int64) & _EXPONENT_BITS).view(torch.float64)
    return power.clamp(min=fmt.min_normal) * 2.0 ** (1 - fmt.precision)


def next_up(x: Tensor, fmt: Format) -> Tensor:
    """The smallest number of ``fmt`` above each ``x`` (numbers of ``fmt`` in binary64)."""
    if fmt.precision == 24:
        single = x.float()
        return torch.nextafter(single, torch.full_like(single, torch.inf)).double()
    # x = -2^e exactly is the one place where the gap above is half the ulp of x's binade.
    step = ulp(x, fmt)
    at_power = (x < 0) & ((-x) == ulp(x, fmt) * 2.0 ** (fmt.precision - 1))
    step = torch.where(at_power & (-x > fmt.min_normal), step * 0.5, step)
    above = x + step
    return torch.where(above > fmt.max_finite, torch.inf, above)


def next_down(x: Tensor, fmt: Format) -> Tensor:
    """The largest number of ``fmt`` below each ``x``."""
    return -next_up(-x, fmt)


def up(x: Tensor) -> Tensor:
    """Next binary64 number above: an upper bound of any real that rounds to ``x``."""
    return torch.nextafter(x, torch.full_like(x, torch.inf))


def down(x: Tensor) -> Tensor:
    """Next binary64 number below: a lower bound of any real that rounds to ``x``."""
    return torch.nextafter(x, torch.full_like(x, -torch.inf))


def inflate(roundings: int) -> float:
    """A factor that makes a computed quantity >= 0 an upper bound of the exact one.

    For at most ``roundings`` binary64 roundings, each of relative error <= 2^-53 (for a sum of
    n non-negative products count 2n): exact <= computed * (1 - 2^-53)^-k <= computed * (1 +
    k 2^-52) for k < 2^51. Eight spare roundings pay for this factor and its multiplication, unless
    that underflows, for which callers add something absolute (``TINY64``). Proved:
    ``Inflation.inflate_upward``.
    """
    return 1.0 + (roundings + 8) * 2.0 * U64


@dataclass(frozen=True)
class Working:
    """A format in which the analysis computes bounds >= 0, upward.

    Attributes:
        dtype: of the tensors; ``bits``: the integer dtype of the same width.
        unit: unit roundoff; ``min_normal``: smallest normal number.
        tiny: covers a dozen underflow errors of one formula.
        exponent: mask of the exponent bits.
    """

    dtype: torch.dtype
    bits: torch.dtype
    unit: float
    min_normal: float
    tiny: float
    exponent: int

    def inflate(self, roundings: int) -> float:
        """As ``inflate``, for roundings of this format: exact <= computed (1 + 2k unit)."""
        return 1.0 + (roundings + 8) * 2.0 * self.unit


DOUBLE = Working(torch.float64, torch.int64, U64, 2.0**-1022, TINY64, _EXPONENT_BITS)
"""Binary64."""

SINGLE = Working(torch.float32, torch.int32, 2.0**-24, 2.0**-126, 2.0**-140, 0x7F800000)
"""Binary32: half the time, for sums whose relative error may be 2^-10."""


def ufp_(x: Tensor) -> Tensor:
    """In place, 2^floor(log2 x) for each x >= 0, binary32 or binary64; 0 where x is subnormal."""
    work = SINGLE if x.dtype is torch.float32 else DOUBLE
    x.view(work.bits).bitwise_and_(work.exponent)
    return x


def widen(
    lo: Tensor, hi: Tensor, absolute: Tensor | float, relative: float = 0.0, roundings: int = 0
) -> tuple[Tensor, Tensor]:
    """Move each end outward by absolute + relative * |end|, errors of binary64 included.

    ``relative`` is at most 1.

    ``lo`` and ``hi`` may each carry ``roundings`` binary64 roundings relative to themselves, and
    ``absolute`` as many: the ends move by absolute (1 + (r + 8) 2^-52) + |end| (relative +
    (r + 4) 2^-52), more than what they inherited plus the roundings of this formula.
    """
    own = relative * inflate(2) + (roundings + 4) * 2.0 * U64
    grown = absolute * inflate(roundings)
    return lo - (lo.abs() * own + grown), hi + (hi.abs() * own + grown)


def gamma(terms: int) -> float:
    """Upper bound of n 2^-53 / (1 - n 2^-53): error of a binary64 sum of n inexact products.

    Relative to the sum of magnitudes, any order, FMA or not (Higham 2002, section 3.1).
    """
    return terms * U64 * (1.0 + 4.0 * terms * U64) * inflate(2)
