"""Linear relations of sums of products: linear layers, convolutions, means, pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from errbound.number import U64, Interval, inflate
from errbound.ops._op import Constant, Step
from errbound.ops._relation import Centred, Pull, Relation
from errbound.ops._shapes import Sums, contract, hull


def related_sums(
    step: Step,
    x: Centred,
    weight: Constant,
    bias: Constant | None,
    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    fan_in: int,
    count: Callable[[Tensor], Tensor],
    *,
    channel: int,
    late: bool = False,
    pull: Pull,
    length: int,
) -> Relation:
    """The relation that goes with ``stored_sums``; ``pull`` sums ``length`` products."""
    sums = contract(step, x.ball, weight, bias, apply, fan_in, count, step.sums)
    lo, hi = sums.ends()
    gap = step.gap(torch.maximum(lo.abs(), hi.abs()))
    if bias is None or not (late or step.arithmetic.late_bias):
        return _related(x, sums, pull, length, gap, step.store_)
    # Or the sum is stored, and the bias added with two more roundings: sums of fewer terms err by
    # less, and |fl(fl32(fl(t) + b)) - (t + b)| is at most the sum of the three.
    shape = [1] * lo.dim()
    shape[channel] = -1
    shift = bias.exact.reshape(shape)

    def ends(lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        own = (lo.abs() + hi.abs() + shift.abs()) * (4.0 * U64)
        return lo - shift - own, hi - shift + own

    if gap is not None:
        low, high = ends(lo, hi)
        first = step.gap(torch.maximum(low.abs(), high.abs()))
        assert first is not None
        size = torch.maximum(lo.abs(), hi.abs()) + first
        second = step.gap(size * inflate(2), twice=True)
        assert second is not None
        gap = first + second

    def finish(lo: Tensor, hi: Tensor) -> Interval:
        low, high = ends(lo, hi)
        part = step.store_(low, high)
        return hull(step.store_(lo, hi), step.compute_(part.lo + shift, part.hi + shift))

    return _related(x, sums, pull, length, gap, finish)


def _related(
    x: Centred,
    sums: Sums,
    pull: Pull,
    length: int,
    gap: Tensor | None,
    finish: Callable[[Tensor, Tensor], Interval],
) -> Relation:
    error = sums.error * inflate(2)
    offset = Interval(sums.centre - error, sums.centre + error)
    # Rounding of these two sums: within 2^-53 of their size, which the centre has as own error.
    slack = (sums.centre.abs() + error) * (2.0 * U64)
    offset = Interval(offset.lo - slack, offset.hi + slack)
    return Relation(((x, pull),), offset, sums.spread, length, gap, finish)


def related_windows(
    step: Step,
    x: Centred,
    add: Callable[[Tensor], Tensor],
    fan_in: int,
    divisors: Sequence[Sequence[float | Tensor]],
    pull: Pull,
    length: int,
) -> Relation:
    """The relation that goes with ``window_sums``; ``pull`` transposes the sums, undivided,
    with at most ``length`` additions to one coefficient: so many windows hold one entry.

    y is the sum over the product n of the divisors of the first way; every way divides by the same
    product, with as many roundings as it has divisors, each of relative error u/(1 + u) at most, or
    eta: k of them change y by at most k u |y| + k eta.
    """
    ones = Constant(torch.ones(1, fan_in, dtype=torch.float64))
    middle = step.intermediate
    sums = contract(
        step,
        x.ball,
        ones,
        None,
        lambda x, w, b: add(x),
        fan_in,
        lambda mask: add(mask.double()),
        step.additions,
    )
    by = torch.ones((), dtype=torch.float64)
    for n in divisors[0]:
        by = by / n
    if not divisors[0]:
        found = _related(x, sums, pull, length, None, step.store_)
        lo, hi = sums.ends()
        return replace(found, gap=step.gap(torch.maximum(lo.abs(), hi.abs())))
    u = 0.0 if step.arithmetic.exact else middle.unit_roundoff
    lo, hi = sums.ends()
    size = torch.maximum(lo.abs(), hi.abs()) * by * inflate(4)
    roundings = max(len(way) for way in divisors)
    error = sums.error * by + size * (roundings * u * (1.0 + 2.0**-10) + 16.0 * U64)
    error = error + roundings * middle.eta
    # The map multiplies by a binary32 number: what that changes is part of the error.
    factor = by.float().double()
    spread = None
    if sums.spread is not None:
        error = error + sums.spread * ((by - factor).abs() * inflate(2))
        spread = sums.spread * factor * inflate(4)
    error, centre = error * inflate(8), sums.centre * by
    return Relation(
        ((x, lambda g: pull(g.times(factor.expand(1, *centre.shape[1:])))),),
        Interval(centre - error, centre + error),
        spread,
        length + 2,
        step.gap(size + error),
        step.store_,
    )
