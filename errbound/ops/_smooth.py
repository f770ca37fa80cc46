"""Linear relations of smooth elementary functions of one stored number."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from errbound.number import TINY64, Format, Interval, ulp
from errbound.ops._op import Step
from errbound.ops._relation import Centred, Relation, between
from errbound.ops._shapes import table

OWN = 2.0**-45
"""More than the relative error of a binary64 elementary function (TINY64 absolute besides)."""


SMALL = 2.0**-40
"""Values below it may err by more ulps than others: kernels lose what is near underflow."""


@lru_cache(maxsize=64)
def _worst(
    call: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor], fmt: Format
) -> tuple[float, float]:
    """Largest |kernel - function| over all finite 16-bit inputs: in ulps of the function where it
    is not below SMALL; and, absolute, where it is."""
    inputs, results = table(call, fmt)
    exact = reference(inputs)
    error = ((results - exact).abs().amax(dim=0) + exact.abs() * OWN + TINY64) * (1.0 + OWN)
    small = exact.abs() < SMALL
    ulps = torch.where(small, 0.0, error / ulp(exact, fmt))
    return float(ulps.max()), float(torch.where(small, error, 0.0).max())


def smooth(
    name: str,
    call: Callable[[Tensor], Tensor],
    reference: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor], Tensor],
) -> Callable[..., Relation]:
    """Relation of a nondecreasing function f with |f| <= 1, f' <= 1, f' largest at 0 and falling
    on both sides; ``derivative`` gives f'(x) from f(x).

    On [lo, hi] the difference quotients lie between the smaller derivative at the ends and the one
    at the point nearest to 0.
    """

    def relate(step: Step, out: Interval, x: Centred) -> Relation:
        # The centre may lie outside an interval that was narrowed.
        low, high = torch.minimum(x.lo, x.ball.mid), torch.maximum(x.hi, x.ball.mid)
        ends = derivative(reference(low)), derivative(reference(high))
        nearest0 = torch.minimum(high, low.clamp(min=0.0))
        least = torch.minimum(*ends)
        most = torch.maximum(torch.maximum(*ends), derivative(reference(nearest0)))
        # Near the ends of its range 1 - f cancels: absolute error of a few units of binary64.
        least, most = (least - 2.0**-48).clamp_(min=0.0), most + 2.0**-48
        value = reference(x.ball.mid)
        size = torch.maximum(reference(x.lo).abs(), reference(x.hi).abs()) * (1.0 + OWN) + TINY64
        own = size * OWN + TINY64
        if step.arithmetic.tables and step.storage.dtype.itemsize == 2:
            ulps, small = _worst(call, reference, step.storage)
            gap: Tensor | None = (ulp(size, step.storage) * ulps).clamp_(min=small)
        else:
            error = step.arithmetic.functions[name]
            own = own + size * error.relative + error.absolute
            gap = step.gap(size + own, twice=True)
        return between(x, value, own, least, most, gap)

    return relate
