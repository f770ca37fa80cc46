"""Blocks that move numbers."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from errbound.testing.blocks._block import block, do
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(2, 3)
def flatten(d: Choices, shape: Shape) -> nn.Module:
    if len(shape) == 3 and d.chance(0.4):
        return nn.Flatten(2)
    return nn.Flatten()


@block(1, 2, 3)
def copies(d: Choices, shape: Shape) -> nn.Module:
    f, text = d.pick(
        [
            (lambda s, x: x.clone().detach(), "clone"),
            (lambda s, x: x.detach() + 0.0, "detach"),
            (lambda s, x: x.to(x.dtype), "to"),
            (lambda s, x: (x.float() * 0.7).to(x.dtype), "float32 product"),
        ]
    )
    return do(text, f)


@block(2, 3)
def transpose(d: Choices, shape: Shape) -> nn.Module:
    a, b = (1, 2) if len(shape) == 2 else d.pick([(1, 2), (2, 3), (-1, 1)])
    if d.chance(0.5):
        return do("transpose", lambda s, x: x.transpose(a, b))
    return do("transpose, contiguous", lambda s, x: x.transpose(a, b).contiguous())


@block(2, 3)
def permute(d: Choices, shape: Shape) -> nn.Module:
    order = d.pick([(0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1)] if len(shape) == 3 else [(0, 2, 1)])
    if d.chance(0.5):
        return do(f"permute {order}", lambda s, x: x.permute(order))
    return do(f"permute {order}, contiguous", lambda s, x: x.permute(*order).contiguous())


@block(1, 2, 3)
def reshape(d: Choices, shape: Shape) -> nn.Module:
    half = 2 if math.prod(shape) % 2 == 0 else 1
    return d.pick(
        [
            do("view(b, -1)", lambda s, x: x.contiguous().view(x.size(0), -1)),
            do(f"reshape(-1, {half})", lambda s, x: x.reshape(x.size(0), -1, half)),
            do("image", lambda s, x: x.reshape(x.size(0), 1, half, -1)),
        ]
    )


@block(1, 2, 3, weight=2)
def unflatten(d: Choices, shape: Shape) -> nn.Module:
    first = d.pick([k for k in (2, 3, 4) if math.prod(shape) % k == 0] or [1])
    return do(f"unflatten {first}", lambda s, x: x.flatten(1).unflatten(1, (first, -1)))


@block(1, 2, 3)
def slices(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            do("x[:, ::2]", lambda s, x: x[:, ::2]),
            do("x[..., 1:]", lambda s, x: x[..., 1:]),
        ]
    )


@block(1, 2, 3)
def sizes(d: Choices, shape: Shape) -> nn.Module:
    """Slices whose bounds are computed from the batch size."""
    if d.chance(0.7):
        return do("all", lambda s, x: x[..., : ((x.shape[0] + 65) * 9 - 2) // 2])
    return do("product", lambda s, x: x[:, : x.size(0) * 99])


@block(2, 3)
def select(d: Choices, shape: Shape) -> nn.Module:
    if d.chance(0.5):
        return do("x[:, 0]", lambda s, x: x[:, 0])
    return do("x[..., -1]", lambda s, x: x[..., -1])


@block(1, 2, 3)
def narrow(d: Choices, shape: Shape) -> nn.Module:
    return do("narrow", lambda s, x: x.narrow(1, 0, (shape[0] + 1) // 2))


@block(1, 2, 3, weight=2)
def parts(d: Choices, shape: Shape) -> nn.Module:
    """Chunks and splits, put together again."""
    n = shape[0]
    if n < 2:
        return do("cat(x, -x)", lambda s, x: torch.cat([x, -x], 1))
    return d.pick(
        [
            do("cat(chunk)", lambda s, x: torch.cat(x.chunk(2, 1)[::-1], 1)),
            do("cat(split)", lambda s, x: torch.cat(torch.split(x, [1, n - 1], 1)[::-1], 1)),
            do("split sum", lambda s, x: sum(p.mul(0.5) for p in x.split(1, 1))),
            do(
                "chunk product",
                lambda s, x: x.chunk(2, 1)[0][:, : n // 2] * 0.5 + x[:, -(n // 2) :],
            ),
        ]
    )


@block(1, 2, 3)
def ones(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            do("unsqueeze squeeze", lambda s, x: x.unsqueeze(1).mul(0.9).squeeze(1)),
            do("unsqueeze_", lambda s, x: x.clone().unsqueeze_(-1).squeeze_(-1)),
        ]
    )


@block(2, 3, weight=2)
def pad(d: Choices, shape: Shape) -> nn.Module:
    if len(shape) == 2:
        return d.pick(
            [
                do("pad", lambda s, x: F.pad(x, (1, 1))),
                do("replicate", lambda s, x: F.pad(x, (1, 0), "replicate")),
            ]
        )
    options = [
        nn.ZeroPad2d((1, 0, 0, 1)),
        nn.ReplicationPad2d(1),
        nn.ConstantPad2d((0, 1, 1, 0), 1.5 * d.unit if d.unit == 1 else 0.0),
    ]
    if min(shape[1:]) > 1:
        options.append(nn.ReflectionPad2d(1))
    return d.pick(options)


@block(1, 2, 3)
def constant_pad(d: Choices, shape: Shape) -> nn.Module:
    value = 1.5 if d.unit == 1 else 0.0
    return do("constant_pad_nd", lambda s, x: torch.constant_pad_nd(x, [0, 1], value))
