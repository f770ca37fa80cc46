"""Blocks that cut off or bend single numbers."""

from __future__ import annotations

import torch
from torch import nn

from errbound.testing.blocks._block import block, do, scalar, tensor
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(1, 2, 3, weight=2)
def leaky_relu(d: Choices, shape: Shape) -> nn.Module:
    return nn.LeakyReLU(d.pick([0.01, 0.3, 0.0, 1 + 2.0**-10]), inplace=False)


@block(1, 2, 3)
def hardtanh(d: Choices, shape: Shape) -> nn.Module:
    bound = abs(scalar(d)) * d.unit
    return d.pick([nn.Hardtanh(-bound, bound), nn.ReLU6(), nn.Hardtanh(-0.1307, 3.0)])


@block(1, 2, 3)
def relu6(d: Choices, shape: Shape) -> nn.Module:
    return do("F.relu6", lambda s, x: torch.ops.aten.relu6(x))


@block(1, 2, 3, weight=3)
def clamp(d: Choices, shape: Shape) -> nn.Module:
    a = scalar(d) * d.unit
    return d.pick(
        [
            do(f"clamp({a}, None)", lambda s, x: x.clamp(a)),
            do(f"clip(-1, {a})", lambda s, x: x.clip(-1.0, a)),
            do(
                "clamp(t0, t1)",
                lambda s, x: x.clamp(s.t0, s.t1),
                tensor(d, shape),
                tensor(d, shape),
            ),
            do("clamp_", lambda s, x: x.clone().clamp_(-1, 2)),
        ]
    )


@block(1, 2, 3)
def clamp_min(d: Choices, shape: Shape) -> nn.Module:
    a = scalar(d) * d.unit
    return do(f"clamp_min({a})", lambda s, x: x.clamp_min(a))


@block(1, 2, 3)
def clamp_max(d: Choices, shape: Shape) -> nn.Module:
    a = scalar(d) * d.unit
    return do(f"clamp_max({a})", lambda s, x: x.clone().clamp_max_(a))
