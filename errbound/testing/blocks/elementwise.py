"""Blocks that act on single numbers."""

from __future__ import annotations

import torch
from torch import nn

from errbound.testing.blocks._block import block, do, scalar, tensor
from errbound.testing.choices import Choices, Shape

__all__: list[str] = []


@block(1, 2, 3, weight=6)
def relu(d: Choices, shape: Shape) -> nn.Module:
    if d.chance(0.5):
        return nn.ReLU()
    return do("relu_(x + 0)", lambda s, x: torch.relu_(x.add(0.0)))


@block(1, 2, 3)
def squash(d: Choices, shape: Shape) -> nn.Module:
    return d.pick(
        [
            nn.Sigmoid(),
            nn.Tanh(),
            do("sigmoid_", lambda s, x: x.clone().sigmoid_()),
            do("tanh_", lambda s, x: x.clone().tanh_()),
            do("float32 tanh", lambda s, x: torch.tanh(x.float()).to(x.dtype)),
        ]
    )


@block(1, 2, 3, weight=2)
def scalars(d: Choices, shape: Shape) -> nn.Module:
    c, a = scalar(d), scalar(d) * d.unit
    options = [
        (lambda s, x: x + a, "x + a"),
        (lambda s, x: x - a, "x - a"),
        (lambda s, x: a - x, "a - x"),
        (lambda s, x: x * c, "x c"),
        (lambda s, x: x / c, "x / c"),
        (lambda s, x: x.clone().mul_(c).add_(a), "mul_ add_"),
        (lambda s, x: x.clone().sub_(a).div_(c), "sub_ div_"),
    ]
    f, text = d.pick(options)
    return do(f"{text}, c = {c}, a = {a}", f)


@block(1, 2, 3)
def fromscalar(d: Choices, shape: Shape) -> nn.Module:
    a = scalar(d) * d.unit
    return do(f"{a} - x", lambda s, x: torch.rsub(x, a))


@block(1, 2, 3, weight=3)
def tensors(d: Choices, shape: Shape) -> nn.Module:
    """Arithmetic with buffers and parameters of the model."""
    f, text = d.pick(
        [
            (lambda s, x: x + s.t0, "x + t0"),
            (lambda s, x: x - s.t0 * s.t1, "x - t0 t1"),
            (lambda s, x: s.t0 - x, "t0 - x"),
            (lambda s, x: torch.tensor(0.3) * x, "constant x"),
            (lambda s, x: x / torch.tensor(1.3), "x / constant"),
            (lambda s, x: x * s.t1, "x t1"),
            (lambda s, x: x.clone().mul_(s.t1).add_(s.t0), "mul_ add_"),
            (lambda s, x: x / (s.t1 * s.t1 + 0.5), "x / (t1 t1 + 0.5)"),
        ]
    )
    return do(text, f, tensor(d, shape) * d.unit, tensor(d, shape))


@block(1, 2, 3, weight=2)
def self_made(d: Choices, shape: Shape) -> nn.Module:
    """Arithmetic of activations with activations, broadcast or not."""
    f, text = d.pick(
        [
            (lambda s, x: x * torch.sigmoid(x), "x sigmoid(x)"),
            (lambda s, x: x + torch.relu(x[..., :1]), "x + relu(x[..., :1])"),
            (lambda s, x: x - x * 0.5, "x - x/2"),
            (lambda s, x: x / (torch.sigmoid(x[..., :1]) + 1.5), "x / (sigmoid + 1.5)"),
            (lambda s, x: (x * 0.25).mul_(torch.tanh(x)), "mul_(tanh)"),
        ]
    )
    return do(text, f)


@block(1, 2, 3)
def reciprocal(d: Choices, shape: Shape) -> nn.Module:
    unit = d.unit
    if d.chance(0.5):
        return do("1/(tanh + 2.5)", lambda s, x: torch.reciprocal(torch.tanh(x) + 2.5) * unit)
    return do("reciprocal_", lambda s, x: (torch.tanh(x) - 1.75).reciprocal_().mul_(unit))


@block(1, 2, 3)
def negative(d: Choices, shape: Shape) -> nn.Module:
    if d.chance(0.5):
        return do("-x", lambda s, x: -x)
    return do("neg_", lambda s, x: x.clone().neg_())


@block(1, 2, 3)
def dropout(d: Choices, shape: Shape) -> nn.Module:
    if len(shape) == 3:
        return d.pick([nn.Dropout(0.4), nn.Dropout2d(0.4), nn.AlphaDropout(0.2)])
    return d.pick([nn.Dropout(0.4), nn.Dropout(0.4, inplace=True)])
