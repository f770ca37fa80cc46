"""Small modules that together use every operator record, and everything else that is traced."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.program import Program, program_of


class Does(nn.Module):
    """``forward`` is a function of the module and the input; tensors become buffers."""

    def __init__(
        self,
        function: Callable[[Any, Tensor], Any],
        *layers: nn.Module,
        **buffers: Tensor,
    ) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def _norm(layer: nn.Module) -> nn.Module:
    """Batch norm with statistics as after training."""
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean"):
            value = getattr(layer, name)
            value.copy_(torch.randn(value.shape, generator=g))
        layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=g) + 0.1)
    return layer


def _no_grad(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = m.layers[0](x)
    return y * 2


def _unbound(x: Tensor) -> Tensor:
    """A write in place without using its value."""
    y = x * 3
    y.add_(1)
    return y


def _augmented(x: Tensor) -> Tensor:
    y = x * 3
    y += 1
    y -= 0.1307
    y *= 0.3081
    y /= 0.3081
    return y


def _residual(m: Any, x: Tensor) -> Tensor:
    y = m.layers[0](x)
    y += x
    return F.relu(y, inplace=True)


IMAGE, ROW = (3, 8, 6), (12,)

ZOO: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "perceptron": (
        lambda: nn.Sequential(
            nn.Linear(12, 7), nn.ReLU(inplace=True), nn.Linear(7, 5), nn.Sigmoid(), nn.Tanh()
        ),
        ROW,
    ),
    "rank 3": (lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), IMAGE),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            _norm(nn.BatchNorm2d(4)),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=2, bias=False),
            nn.AdaptiveAvgPool2d((2, 1)),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(12, 3),
        ),
        IMAGE,
    ),
    "channels last": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), _norm(nn.BatchNorm2d(4)), nn.AvgPool2d(2)).to(
            memory_format=torch.channels_last
        ),
        IMAGE,
    ),
    "same padding": (lambda: nn.Conv2d(3, 4, 3, padding="same", dilation=2), IMAGE),
    "norms": (lambda: nn.Sequential(_norm(nn.BatchNorm1d(12)), nn.Linear(12, 3)), ROW),
    "residual": (lambda: Does(_residual, nn.Conv2d(3, 3, 3, padding=1)), IMAGE),
    "average pools": (
        lambda: Does(
            lambda m, x: torch.cat(
                [
                    F.avg_pool2d(x, 2).flatten(1),
                    F.avg_pool2d(x, 3, 2, 1, True, False).flatten(1),
                    F.adaptive_avg_pool2d(x, (3, 4)).flatten(1),
                ],
                dim=1,
            )
        ),
        IMAGE,
    ),
    "layout": (
        lambda: Does(
            lambda m, x: torch.cat(
                (
                    x.permute(0, 2, 3, 1).contiguous().view(x.size(0), -1, 3).transpose(1, 2)[:, 1],
                    F.pad(x, (1, 2, 0, 1)).reshape(x.size(0), -1),
                    F.pad(x, (1, 0), value=0.5).flatten(1),
                    F.pad(x, (1, 1, 1, 1), mode="replicate").flatten(1)[:, 3::2],
                    torch.constant_pad_nd(x, (1, 0), 1.5).flatten(1),
                    x.unflatten(1, (3, 1)).squeeze(2).select(2, 0).flatten(1),
                    x.unsqueeze(1).clone().narrow(2, 1, 2).flatten(1),
                    *(p.flatten(1) for p in x.chunk(2, dim=2)),
                    *(p.flatten(1) for p in x.split([1, 2], dim=1)),
                    *(p.detach().flatten(1) for p in torch.split(x, 3, dim=-1)),
                ),
                dim=-1,
            )
        ),
        IMAGE,
    ),
    "arithmetic": (
        lambda: Does(
            lambda m, x: (
                -((x - 0.1307) / 0.3081 + x * m.c)
                + m.row / (x * x + 2)
                - (1 - x)
                + 3 * x
                - m.k
                + m.k * x
                + 1 / (x * x + 0.7)
                + torch.reciprocal(x * x + 0.3)
                + m.row.reshape(1, 12)
            ),
            c=torch.tensor(0.3081),
            row=torch.linspace(0.3, 2, 12),
            k=torch.arange(12),
        ),
        ROW,
    ),
    "input normalised in place": (lambda: Does(lambda m, x: x.sub_(0.1307).div_(0.3081)), ROW),
    "rebound": (lambda: Does(lambda m, x: _augmented(x)), ROW),
    "not rebound": (lambda: Does(lambda m, x: _unbound(x)), ROW),
    "no grad": (lambda: Does(_no_grad, nn.Linear(12, 3)), ROW),
    "cast": (lambda: Does(lambda m, x: (x.half() * 3).float() + 0.1), ROW),
    "lifted": (lambda: Does(lambda m, x: x * torch.tensor(0.3081) - torch.tensor([0.1307])), ROW),
    "weights computed from weights": (
        lambda: Does(
            lambda m, x: F.linear(x, m.w.transpose(0, 1)) + F.linear(x, (m.v * 2 / 3).view(5, 12)),
            w=torch.randn(12, 5, generator=torch.Generator().manual_seed(1)),
            v=torch.randn(60, generator=torch.Generator().manual_seed(2)),
        ),
        ROW,
    ),
    "batch arithmetic": (
        lambda: Does(lambda m, x: x.reshape(x.shape[0] * x.shape[1] // 3, 4, -1)[:, 0] * 2),
        IMAGE,
    ),
}  # fmt: skip


def build(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A module of the zoo in evaluation mode, the same each time, and the shape of its input."""
    torch.manual_seed(0)
    make, shape = ZOO[name]
    return make().eval(), shape


@cache
def frozen(name: str, dtype: torch.dtype) -> Program:
    """The program of a module of the zoo, traced once."""
    module, shape = build(name)
    return program_of(module, inputs(shape, 2), dtype)


def inputs(shape: tuple[int, ...], batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed + batch))
