"""Bounds of sums of products, and when they may be computed in binary32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU
from errbound.ops._op import Constant, Step


@dataclass(frozen=True)
class Sums:
    """Sums of products before they are rounded to storage, in every order of summation.

    For every execution on stored operands x: |computed - (W (x - mid) + centre)| <= error, and
    |W (x - mid)| <= spread (None where x is a point). Tensors of the output's shape; the two bounds
    may be held in binary32 and are handed out in binary64; so is their sum, rounded once upward.
    """

    centre: Tensor
    held_spread: Tensor | None
    held_error: Tensor

    @property
    def spread(self) -> Tensor | None:
        """Bound of |W (x - mid)|, binary64."""
        return None if self.held_spread is None else self.held_spread.double()

    @property
    def error(self) -> Tensor:
        """Bound of |computed - (W (x - mid) + centre)|, binary64."""
        return self.held_error.double()

    def where(self, here: Tensor, other: Sums) -> Sums:
        """These bounds where the mask ``here``, which broadcasts, is set; elsewhere the others."""
        spread = None
        if self.spread is not None and other.spread is not None:
            spread = torch.where(here, self.spread, other.spread)
        return Sums(self.centre, spread, torch.where(here, self.error, other.error))

    def ends(self) -> tuple[Tensor, Tensor]:
        """Ends of the interval that holds every computed sum."""
        radius = self.held_error
        if self.held_spread is not None:
            radius = radius + self.held_spread
        wide = radius.double()
        lo = self.centre - wide
        return lo, self.centre + wide if wide is self.held_error else wide.add_(self.centre)


FLOOR, WEIGHT_FLOOR = 2.0**-79, 2.0**-46
"""In binary32 an operand that is not zero is enlarged by ``FLOOR``, a weight by ``WEIGHT_FLOOR``:
no product of theirs underflows, so that a computed sum is 0 only where all of its terms are."""

_singles: WeakKeyDictionary[Constant, tuple[Tensor, bool]] = WeakKeyDictionary()


def single(constant: Constant) -> tuple[Tensor, bool]:
    """|c|, enlarged unless 0, in binary32 (one rounding); whether a row of it is zero."""
    if constant not in _singles:
        size = constant.magnitude
        rows = size.flatten(1) if size.dim() > 1 else size
        empty = bool((rows == 0).all(dim=-1).any())
        _singles[constant] = (size + WEIGHT_FLOOR * (size > 0)).float(), empty
    return _singles[constant]


def _by_sample(values: Tensor) -> Tensor:
    return values.reshape(values.shape[0], math.prod(values.shape[1:]))


def most(sums: Tensor) -> Tensor:
    """(samples,) the largest of each sample's ``sums`` >= 0; 0 if there is none."""
    rows = _by_sample(sums)
    return rows.amax(dim=1) if rows.shape[1] else rows.new_zeros(rows.shape[0])


def least(sums: Tensor) -> Tensor:
    """(samples,) the smallest of each sample's ``sums`` >= 0 that is not 0; or else infinity."""
    rows = _by_sample(sums)
    if rows.numel() and not bool((rows.amin(dim=1) > 0).all()):
        rows = torch.where(rows > 0, rows, torch.inf)
    return rows.amin(dim=1) if rows.shape[1] else rows.new_full((rows.shape[0],), torch.inf)


LEAST = 2.0**-40
"""Sums >= 0 in binary32 that are smaller, and not 0, are computed in binary64 instead."""


def fitting(sums: Tensor, limit: float) -> Tensor:
    """(samples,) or (), where all agree: whether no sum reaches ``limit`` or is too small."""
    if sums.numel():
        low, high = (float(end) for end in torch.aminmax(sums))
        if low >= LEAST and high < limit:
            return torch.ones((), dtype=torch.bool)
    return (most(sums) < limit) & (least(sums) >= LEAST)


def in_binary32(step: Step, weight: Constant, fan_in: int) -> bool:
    """Whether bounds may be computed in binary32: a little larger, twice as fast.

    Its kernels must be plain sums of products. ``WEIGHT_FLOOR`` must not matter: to rows of
    weights of a usual size it is nothing.
    """
    top = weight.largest_row
    usable = 2.0**-22 <= top <= 2.0**22 and fan_in <= 2**15
    return usable and not step.arithmetic.exact and not TORCH_CPU.broken()
