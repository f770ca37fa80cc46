"""Small models and data for tests of certificates, runs and the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errbound.arithmetic import TORCH_CPU
from errbound.data import Dataset
from errbound.number import BINARY16, Format
from errbound.verdict import Batch, Certifier, pair_of

FEATURES, CLASSES = 12, 4


def net(seed: int = 0, width: int = 16) -> nn.Sequential:
    """12-16-4, relu; weights that are not 16-bit numbers."""
    torch.manual_seed(seed)
    layers = nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, CLASSES)
    return nn.Sequential(*layers).eval()


def points(count: int, seed: int = 1) -> Tensor:
    """Inputs (count, 12), standard normal."""
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))


def dataset(count: int, seed: int = 1) -> Dataset:
    """The points with labels 0..3."""
    labels = np.arange(count) % CLASSES
    return Dataset.from_arrays(points(count, seed).numpy(), labels, name="points")


def batch(model: nn.Module, x: Tensor, fmt: Format = BINARY16) -> Batch:
    """Certify one batch directly."""
    pair = pair_of(model, tuple(x.shape[1:]), fmt)
    return Certifier(pair.m32, pair.m16, fmt, TORCH_CPU).batch_of(x)


class Function(nn.Module):
    """A module without parameters of its own: ``forward`` is any function."""

    def __init__(self, function: Callable[..., Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.function = function
        self.inner = inner or nn.Identity()
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.function(self.inner(x))


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    """A linear layer with these weights."""
    layer = nn.Linear(len(weight[0]), len(weight)).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def without_times(folder: Path) -> dict[str, bytes]:
    """The three files of a run, the times in summary.json masked."""
    found = {n: (folder / n).read_bytes() for n in ("nodes.csv", "samples.csv", "summary.json")}
    head, _, _ = found["summary.json"].partition(b'"times"')
    return found | {"summary.json": head}
