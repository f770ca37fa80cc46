"""Intervals and balls of binary64 tensors: two types, so that they are never mixed up.

* ``Interval`` - [lo, hi], ends that are numbers of a node's storage format; ``Narrow`` holds ends
  that binary32 can, and converts them only where binary64 is asked for;
* ``Ball`` - every point within ``rad`` of ``mid``: what a contraction consumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

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
        """The exact value(s) ``x``, any dtype no wider than binary64; binary32 is not copied."""
        if x.dtype is torch.float64 or not x.is_floating_point():
            exact = x.double()
            return Interval(exact, exact)
        held = x.float()
        return Narrow(held, held)

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


class Narrow(Interval):
    """An interval with ends that are numbers of binary32, ``low`` and ``high`` (one tensor: a
    point). Neither they nor ``lo`` and ``hi``, made from them when first asked for, may be changed.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.__dict__.update(low=low, high=high)

    if not TYPE_CHECKING:

        @cached_property
        def lo(self) -> Tensor:
            """Lower ends, binary64."""
            return self.low.double()

        @cached_property
        def hi(self) -> Tensor:
            """Upper ends, binary64."""
            return self.lo if self.high is self.low else self.high.double()

    @property
    def shape(self) -> torch.Size:
        """Shape of either end."""
        return self.low.shape

    @property
    def is_point(self) -> bool:
        """Whether the ends are one tensor."""
        return self.low is self.high

    def at(self, rows: Tensor) -> Narrow:
        """Some of the samples, by index; a point stays one."""
        low = self.low[rows]
        return Narrow(low, low if self.is_point else self.high[rows])

    def rows(self, start: int, stop: int) -> Narrow:
        """The samples ``start:stop`` (first dimension); a point stays one."""
        low = self.low[start:stop]
        return Narrow(low, low if self.is_point else self.high[start:stop])


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
        if isinstance(box, Narrow):
            return NarrowBall(box)
        if box.lo is box.hi:
            return Ball(box.lo, torch.zeros_like(box.lo), is_point=True)
        mid = torch.lerp(box.lo, box.hi, 0.5)
        rad = box.hi - mid
        torch.maximum(rad, mid - box.lo, out=rad).mul_(inflate(1))
        return Ball(mid, rad)

    def sizes(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """|value| and |value - mid| at most, and 1 where a value may be other than 0, else 0.

        Tensors of ``dtype``, binary32 or binary64; the first is new. The two bounds carry at most
        two of its roundings, and what underflows in them, below 2^-148.
        """
        reach = self.mid.abs()
        if not self.is_point:
            reach.add_(self.rad)
        return reach.to(dtype), self.rad.to(dtype), reach.sign().to(dtype)


class NarrowBall(Ball):
    """The ball around an interval held in binary32; ``rad`` is computed when first asked for."""

    box: Narrow

    def __init__(self, box: Narrow) -> None:
        mid = box.lo if box.is_point else torch.lerp(box.lo, box.hi, 0.5)
        self.__dict__.update(box=box, mid=mid, is_point=box.is_point)

    if not TYPE_CHECKING:

        @cached_property
        def rad(self) -> Tensor:
            """Radii, binary64."""
            return Ball.enclosing(Interval(self.box.lo, self.box.hi)).rad

    def sizes(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """As for any ball; in binary32 from the ends, |value| <= max(|lo|, hi).

        The midpoint errs by 2^-52 of the larger end at most, and not at all where the ends differ
        by less than half of that end: (hi - lo)/2 is the radius within 2^-50 of itself.
        """
        if dtype is not torch.float32:
            return super().sizes(dtype)
        low, high = self.box.low, self.box.high
        if self.is_point:
            reach = low.abs()
            return reach, reach, reach.sign()
        reach = torch.maximum(low.abs(), high)
        # Halves first: the difference of two ends may overflow.
        return reach, (high * 0.5).sub_(low, alpha=0.5), reach.sign()
