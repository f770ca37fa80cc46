"""Intervals and balls of binary64 tensors: two types, so that they are never mixed up.

* ``Interval`` - [lo, hi], ends that are numbers of a node's storage format;
* ``Ball`` - every point within ``rad`` of ``mid``: what a contraction consumes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.number.rounding import inflate


@dataclass(frozen=True)
class Interval:
    """``lo <= value <= hi`` elementwise; binary64 tensors of one shape, all ends finite."""

    lo: Tensor
    hi: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of either end."""
        return self.lo.shape

    @staticmethod
    def point(x: Tensor) -> Interval:
        """The exact value(s) ``x``, any dtype no wider than binary64."""
        exact = x.double()
        return Interval(exact, exact)

    def contains(self, value: Tensor) -> Tensor:
        """Elementwise ``lo <= value <= hi``; NaN is outside."""
        exact = value.double()
        return (self.lo <= exact) & (exact <= self.hi)

    def at(self, rows: Tensor) -> Interval:
        """Some of the samples, by index; a point stays one."""
        lo = self.lo[rows]
        return Interval(lo, lo if self.lo is self.hi else self.hi[rows])

    def rows(self, start: int, stop: int) -> Interval:
        """The samples ``start:stop`` (first dimension); a point stays one."""
        lo = self.lo[start:stop]
        return Interval(lo, lo if self.lo is self.hi else self.hi[start:stop])


@dataclass(frozen=True)
class Ball:
    """``|value - mid| <= rad`` elementwise; binary64 tensors, ``rad >= 0`` and finite.

    ``is_point``: every radius is known to be zero.
    """

    mid: Tensor
    rad: Tensor
    is_point: bool = False

    @staticmethod
    def enclosing(box: Interval) -> Ball:
        """The smallest ball around the (possibly inexact) midpoint that contains ``box``.

        (lo + hi)/2 is exact for binary16 only, so the radius is measured from the midpoint that
        was computed, wherever in between it came to lie: max(hi - mid, mid - lo), each difference
        rounded once, then upward.
        """
        if box.lo is box.hi:
            return Ball(box.lo, torch.zeros_like(box.lo), is_point=True)
        mid = torch.lerp(box.lo, box.hi, 0.5)
        rad = box.hi - mid
        torch.maximum(rad, mid - box.lo, out=rad).mul_(inflate(1))
        return Ball(mid, rad)
