"""Convolutions in one dimension, and transposed ones."""

from __future__ import annotations

from torch import nn

from errbound.testing.blocks._block import block
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(2, weight=4, sums=1)
def conv1d(d: Choices, shape: Shape) -> nn.Module:
    channels, length = shape
    groups = channels if d.chance(0.3) else 1
    kernel = min(d.pick([1, 2, 3]), length)
    same = kernel in (1, 3) and d.chance(0.3)
    return nn.Conv1d(
        channels,
        groups * d.integer(1, 3 if groups == 1 else 1),
        kernel,
        stride=1 if same else d.pick([1, 2]),
        padding="same" if same else d.pick([0, 1, 2]),
        groups=groups,
        bias=d.chance(0.7),
    )


@block(2, weight=3, sums=1)
def conv_transpose1d(d: Choices, shape: Shape) -> nn.Module:
    stride = d.pick([1, 2, 3])
    return nn.ConvTranspose1d(
        shape[0],
        d.integer(1, 3),
        d.pick([1, 2, 3]),
        stride,
        padding=d.pick([0, 0, 1]) if shape[1] > 2 else 0,
        output_padding=d.integer(0, stride - 1),
        bias=d.chance(0.7),
    )


@block(3, weight=3, sums=1)
def conv_transpose2d(d: Choices, shape: Shape) -> nn.Module:
    channels = shape[0]
    groups = channels if d.chance(0.3) else 1
    stride = d.pick([1, 1, 2])
    return nn.ConvTranspose2d(
        channels,
        groups * d.integer(1, 2 if groups == 1 else 1),
        d.pick([(2, 2), (3, 3), (3, 2), (1, 1)]),
        stride,
        padding=d.pick([(0, 0), (1, 1), (1, 0)]) if min(shape[1:]) > 2 else 0,
        output_padding=d.integer(0, stride - 1),
        groups=groups,
        bias=d.chance(0.7),
        dilation=d.pick([(1, 1), (1, 1), (1, 2)]),
    )
