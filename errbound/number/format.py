"""Floating-point formats as rows of data (IEEE 754-2019, section 3; bfloat16: Intel 2018).

A format is the finite set {k * 2^(e - p + 1)} of its numbers together with the rounding map
*to nearest, ties to even*, gradual underflow and overflow to infinity. Everything that the
analysis needs follows from three integers.
"""

from __future__ import annotations

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
        dtype: the torch dtype that stores it.
    """

    name: str
    alias: str
    precision: int
    emin: int
    emax: int
    dtype: torch.dtype

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
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.emax

    @property
    def overflow_threshold(self) -> float:
        """Omega + ulp(Omega)/2: a real of this magnitude or more rounds to infinity."""
        return (2.0 - 2.0**-self.precision) * 2.0**self.emax


BINARY16 = Format("float16", "binary16", 11, -14, 15, torch.float16)
BFLOAT16 = Format("bfloat16", "bfloat16", 8, -126, 127, torch.bfloat16)
BINARY32 = Format("float32", "binary32", 24, -126, 127, torch.float32)

FORMATS = (BINARY16, BFLOAT16, BINARY32)
BY_DTYPE = {fmt.dtype: fmt for fmt in FORMATS}


def format_named(name: str) -> Format:
    """Return the format with this name or alias; ``KeyError`` lists the known ones."""
    for fmt in FORMATS:
        if name in (fmt.name, fmt.alias):
            return fmt
    raise KeyError(f"unknown format {name!r}; known: {', '.join(f.name for f in FORMATS)}")
