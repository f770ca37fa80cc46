"""What a block is, and the helpers that blocks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from errbound.testing.choices import Choices, Shape

Make = Callable[[Choices, Shape], nn.Module]


@dataclass(frozen=True)
class Block:
    """One piece of random programs.

    Attributes:
        make: makes the module from choices and the shape of a sample.
        ranks: of the samples that it takes.
        weight: how often it is drawn.
        sums: contractions that it contains.
    """

    make: Make
    ranks: tuple[int, ...]
    weight: int
    sums: int


BLOCKS: dict[str, Block] = {}
"""All blocks by name."""


def block(*ranks: int, weight: int = 1, sums: int = 0) -> Callable[[Make], Make]:
    """Register a block for samples of these ranks; ``sums``: contractions that it contains."""

    def register(make: Make) -> Make:
        BLOCKS[make.__name__] = Block(make, ranks, weight, sums)
        return make

    return register


class Do(nn.Module):
    """``forward(x) = f(self, x)``, with modules in ``s.m`` and buffers or parameters ``s.t0``..."""

    def __init__(
        self,
        text: str,
        f: Callable[[Any, Any], Any],
        modules: Iterable[nn.Module] = (),
        tensors: Iterable[Tensor] = (),
    ) -> None:
        super().__init__()
        self.text, self.f = text, f
        self.m = nn.ModuleList(modules)
        for k, t in enumerate(tensors):
            if k % 2:
                self.register_parameter(f"t{k}", nn.Parameter(t, requires_grad=False))
            else:
                self.register_buffer(f"t{k}", t)

    def forward(self, x: Tensor) -> Any:
        """The function of the block."""
        return self.f(self, x)

    def extra_repr(self) -> str:
        """The function in words."""
        return self.text


def do(text: str, f: Callable[[Any, Any], Any], *tensors: Tensor) -> Do:
    """A module from a function alone."""
    return Do(text, f, (), tensors)


def tensor(d: Choices, shape: Shape) -> Tensor:
    """A constant that broadcasts against a sample: of its last dimension, channels or one."""
    options: list[Shape] = [(shape[-1],), (1,), (*shape[:1], *[1] * (len(shape) - 1)), ()]
    return torch.tensor(d.values(d.pick(options)), dtype=torch.float32)


def scalar(d: Choices) -> float:
    """A Python number, of 16 bits or not."""
    return d.pick([0.1307, -3.0, 1 / 3, 0.5, 1.0, 2, 0.3081, 1.0 + 2.0**-10, -1e-3])
