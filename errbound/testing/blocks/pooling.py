"""Blocks that pool or normalise."""

from __future__ import annotations

from torch import nn

from errbound.testing.blocks._block import Do, block
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(3, weight=2)
def max_pool(d: Choices, shape: Shape) -> nn.Module:
    if min(shape[1:]) < 3 or d.chance(0.5):
        return nn.MaxPool2d(2, d.pick([1, 2]), 1 if min(shape[1:]) < 2 else 0)
    return nn.MaxPool2d((3, 2), (1, 2), padding=1, ceil_mode=d.chance(0.5))


@block(3, weight=4)
def avg_pool(d: Choices, shape: Shape) -> nn.Module:
    kernel = min(d.pick([2, 3]), *shape[1:])
    return nn.AvgPool2d(
        kernel,
        d.pick([1, 2, kernel]),
        padding=d.integer(0, kernel // 2),
        ceil_mode=d.chance(0.3),
        count_include_pad=d.chance(0.6),
        divisor_override=d.pick([None, None, 3, 7]),
    )


@block(3, weight=4)
def adaptive_pool(d: Choices, shape: Shape) -> nn.Module:
    return nn.AdaptiveAvgPool2d((d.integer(1, 4), d.integer(1, 3)))


@block(1, 2, 3, weight=4)
def batch_norm(d: Choices, shape: Shape) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    norm = kind(shape[0], affine=d.chance(0.8), eps=d.pick([1e-5, 1e-3]))
    return Do("batch norm", lambda s, x: s.m[0](x.contiguous()), [norm])
