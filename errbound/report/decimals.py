"""Decimals of proved bounds, rounded outward from the exact binary64 value.

A decimal that is printed for an upper bound is never smaller than the bound, one for a lower bound
never larger; read back as binary64 they still bound, because rounding to nearest is monotone.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

DIGITS = 6
"""Significant digits of every printed bound."""


def upper(x: float, digits: int = DIGITS) -> str:
    """The smallest decimal of that many digits that is >= ``x``; "inf"; "" for NaN."""
    return _written(x, Context(prec=digits, rounding=ROUND_CEILING))


def lower(x: float, digits: int = DIGITS) -> str:
    """The largest decimal of that many digits that is <= ``x``; "-inf"; "" for NaN."""
    return _written(x, Context(prec=digits, rounding=ROUND_FLOOR))


def observed(x: float) -> str:
    """The shortest decimal that reads back as ``x``: a fact, not a bound; "" for NaN."""
    return "" if math.isnan(x) else f"{x!r}".removesuffix(".0")


def percent(part: int, whole: int) -> str:
    """A share as a percentage of two decimals, rounded down: "100.00 %" means all."""
    hundredths = 10_000 * part // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def _written(x: float, context: Context) -> str:
    if math.isnan(x):
        return ""
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    number = context.create_decimal(Decimal(x))
    if not number:
        return "0"
    number = number.normalize(context)
    if -6 <= number.adjusted() < 16:
        return f"{number:f}"
    return f"{number:e}".replace("e+", "e")
