"""Blocks with contractions."""

from __future__ import annotations

from torch import nn

from errbound.testing.blocks._block import Do, block
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(1, 2, 3, weight=6, sums=1)
def linear(d: Choices, shape: Shape) -> nn.Module:
    return nn.Linear(
        shape[-1],
        d.integer(1, 16 if len(shape) == 1 else 6),
        bias=d.chance(0.3 if d.sharp else 0.8),
    )


@block(3, weight=10, sums=1)
def conv(d: Choices, shape: Shape) -> nn.Module:
    c, h, w = shape
    groups = c if d.chance(0.2) else 1
    kernel = d.pick(
        [k for k in (1, 2, 3, (3, 2), (1, 3)) if max(nn.Conv2d(1, 1, k).kernel_size) <= min(h, w)]
    )
    same = kernel in (1, 3) and d.chance(0.2)
    return nn.Conv2d(
        c,
        groups * d.integer(1, 4 if groups == 1 else 1),
        kernel,
        stride=1 if same else d.pick([(1, 1), (1, 1), (2, 2), (2, 1)]),
        padding="same" if same else 0 if d.sharp else d.pick([(0, 0), (1, 1), (1, 0), (2, 1)]),
        dilation=2 if not (same or d.sharp) and min(h, w) >= 5 and d.chance(0.2) else 1,
        groups=groups,
        bias=d.chance(0.3 if d.sharp else 0.75),
    )


@block(1, 2, weight=3, sums=1)
def residual_linear(d: Choices, shape: Shape) -> nn.Module:
    inner = nn.Linear(shape[-1], shape[-1])
    if d.chance(0.5):
        return Do("x + linear(x)", lambda s, x: x + s.m[0](x), [inner])
    return Do("linear(x).add_(x)", lambda s, x: s.m[0](x).add_(x), [inner])


@block(3, weight=3, sums=2)
def residual_conv(d: Choices, shape: Shape) -> nn.Module:
    c = shape[0]
    inner = [nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 1, bias=d.chance(0.5))]
    return Do("x + conv(relu_(conv(x)))", lambda s, x: s.m[1](s.m[0](x).relu_()) + x, inner)
