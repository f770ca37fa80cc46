"""Blocks that sum, average or normalise over dimensions of a sample."""

from __future__ import annotations

from torch import nn

from errbound.testing.blocks._block import block, do
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(2, 3, weight=3)
def sums(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            do("sum(1)", lambda s, x: x.sum(1)),
            do("sum(-1, keepdim)", lambda s, x: x + x.sum(-1, keepdim=True)),
            do("sum((1, -1))", lambda s, x: x - x.sum((1, -1), keepdim=True)),
            do("float32 sum", lambda s, x: x.sum(-1).to(x.dtype)),
        ]
    )


@block(2, 3, weight=3)
def means(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            do("mean(1)", lambda s, x: x.mean(1)),
            do("x - mean(-1)", lambda s, x: x - x.mean(-1, keepdim=True)),
            do("x mean", lambda s, x: x + x.flatten(1).mean(1).reshape(-1, *[1] * len(shape))),
            do("mean((1, -1))", lambda s, x: x + x.mean((1, -1), keepdim=True)),
        ]
    )


@block(1, 2, 3, weight=2)
def softmaxes(d: Choices, shape: Shape) -> nn.Module:
    unit = d.unit
    return d.pick(
        [
            do("softmax(1)", lambda s, x: x.softmax(1) * unit),
            do("softmax(-1)", lambda s, x: x.softmax(dim=-1) * unit),
            do("softmin(1)", lambda s, x: nn.functional.softmin(x, 1) * unit),
            do("float32 softmax", lambda s, x: x.float().softmax(-1).to(x.dtype) * unit),
        ]
    )


@block(1, 2, 3, weight=2)
def log_softmaxes(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            do("log_softmax(1)", lambda s, x: x.log_softmax(1)),
            do("log_softmax(-1)", lambda s, x: nn.functional.log_softmax(x, -1)),
        ]
    )
