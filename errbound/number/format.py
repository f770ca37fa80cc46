"""Floating-point formats as rows of data.

IEEE 754-2019, section 3; bfloat16: Intel 2018; TF32: NVIDIA A100 whitepaper 2020; E4M3 and E5M2:
OCP 8-bit Floating Point Specification 1.0 (2023), conversion without saturation.

A format is the finite set {k * 2^(e - p + 1)} of its numbers together with the rounding map
*to nearest, ties to even*, gradual underflow and an overflow rule. Everything that the analysis
needs follows from a few integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Format:
    """One binary floating-point format.

    Attributes:
        name: the name that torch and the command line use.
        alias: the name that IEEE 754 uses, accepted wherever ``name`` is.
        precision: ``p``, bits of the significand, hidden bit included.
        emin: exponent of the smallest normal number, ``2**emin``.
        emax: exponent of the largest binade.
        dtype: the torch dtype that holds its numbers; where no kernels compute in the format it
            is a wider one, and every stored value is rounded to the format (``emulated``).
        overflow: what a value beyond the range becomes, ``inf`` or ``nan``.
        reserved: how many codes at the top of the largest binade are not numbers.
    """

    name: str
    alias: str
    precision: int
    emin: int
    emax: int
    dtype: torch.dtype
    overflow: float = math.inf
    reserved: int = 0

    @property
    def emulated(self) -> bool:
        """Whether ``dtype`` has more numbers than the format: storage is emulated by rounding."""
        return torch.finfo(self.dtype).eps != 2.0 ** (1 - self.precision)

    @property
    def unit_roundoff(self) -> float:
        """``u = 2**-p``: |fl(x) - x| <= u|x| where fl(x) is normal and finite."""
        return 2.0**-self.precision

    @property
    def eta(self) -> float:
        """Half the smallest subnormal: |fl(x) - x| <= eta where fl(x) is subnormal."""
        return 2.0 ** (self.emin - self.precision)

    @property
    def min_normal(self) -> float:
        """Smallest positive normal number."""
        return 2.0**self.emin

    @property
    def max_finite(self) -> float:
        """Largest finite number, Omega."""
        return (2.0 - 2.0 ** (1 - self.precision) * (1 + self.reserved)) * 2.0**self.emax

    @property
    def overflow_threshold(self) -> float:
        """The smallest binary64 number that overflows: Omega + ulp(Omega)/2, or the next one.

        The midpoint itself ties to the even neighbour: away from Omega if Omega is odd, as with
        IEEE formats, and back to Omega if it is even (E4M3).
        """
        middle = self.max_finite + 2.0 ** (self.emax - self.precision)
        return math.nextafter(middle, math.inf) if self.reserved % 2 else middle


BINARY16 = Format("float16", "binary16", 11, -14, 15, torch.float16)
BFLOAT16 = Format("bfloat16", "bfloat16", 8, -126, 127, torch.bfloat16)
BINARY32 = Format("float32", "binary32", 24, -126, 127, torch.float32)
TF32 = Format("tf32", "TF32", 11, -126, 127, torch.float32)
E4M3 = Format("float8_e4m3fn", "E4M3", 4, -6, 8, torch.float32, overflow=math.nan, reserved=1)
E5M2 = Format("float8_e5m2", "E5M2", 3, -14, 15, torch.float32)

FORMATS = (BINARY16, BFLOAT16, BINARY32, TF32, E4M3, E5M2)
"""What a model can be stored in."""

NATIVE = tuple(fmt for fmt in FORMATS if not fmt.emulated)
"""Those that torch computes in; the others are emulated."""

BY_DTYPE = {fmt.dtype: fmt for fmt in NATIVE}

BINARY64 = Format("float64", "binary64", 53, -1022, 1023, torch.float64)
"""The format of the analysis; no model is stored in it."""


def format_named(name: str) -> Format:
    """Return the format with this name or alias; ``KeyError`` lists the known ones."""
    for fmt in FORMATS:
        if name.lower() in (fmt.name, fmt.alias.lower()):
            return fmt
    raise KeyError(f"unknown format {name!r}; known: {', '.join(f.name for f in FORMATS)}")
