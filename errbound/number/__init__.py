"""Numbers: formats, rounding, intervals and the error of sums. Imports nothing above it."""

from errbound.number.format import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    BY_DTYPE,
    FORMATS,
    Format,
    format_named,
)
from errbound.number.interval import Ball, Interval
from errbound.number.rounding import (
    TINY64,
    U64,
    down,
    gamma,
    inflate,
    nearest,
    nearest_,
    next_down,
    next_up,
    require_subnormals,
    ulp,
    up,
    widen,
)
from errbound.number.summation import Accumulation, Coefficients, accumulation, any_order

__all__ = [
    "BFLOAT16",
    "BINARY16",
    "BINARY32",
    "BY_DTYPE",
    "FORMATS",
    "TINY64",
    "U64",
    "Accumulation",
    "Ball",
    "Coefficients",
    "Format",
    "Interval",
    "accumulation",
    "any_order",
    "down",
    "format_named",
    "gamma",
    "inflate",
    "nearest",
    "nearest_",
    "next_down",
    "next_up",
    "require_subnormals",
    "ulp",
    "up",
    "widen",
]
