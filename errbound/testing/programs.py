"""Random whole programs: one description, two sources of choices (a seed, or hypothesis).

``build(d)`` makes a network from the blocks, with weights that hurt, and a batch of inputs.
``Seeded`` and ``Drawn`` make its choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from errbound.number import NATIVE, Format
from errbound.testing import values
from errbound.testing.blocks import BLOCKS
from errbound.testing.choices import Choices, Drawn, Seeded, Shape
from errbound.testing.numbers import format_of

LARGEST = 80  # entries of an activation
SHAPES = ((6,), (16,), (64,), (3, 5), (4, 8), (1, 6, 6), (2, 5, 4), (3, 4, 4), (4, 4, 4))


@dataclass(frozen=True)
class Network:
    """A random network, and inputs for it in one format.

    Attributes:
        module: in evaluation mode, binary32 tensors.
        inputs: (samples, ...), numbers of the format in the dtype that holds it.
        format: the format.
        regime: the size of its activations, one of ``errbound.testing.values.REGIMES``.
        blocks: names of its blocks, in order.
        contractions: how many linear layers and convolutions there are.
    """

    module: nn.Module
    inputs: Tensor
    format: Format
    regime: str
    blocks: tuple[str, ...]
    contractions: int


def _fits(shape: Shape) -> bool:
    return 0 < math.prod(shape) <= LARGEST and 1 <= len(shape) <= 3


def _grow(
    d: Choices, shape: Shape, must: Sequence[str], first: str, size: tuple[int, int], least: int
) -> tuple[list[nn.Module], list[str], int]:
    """Blocks one after the other; each of ``must`` comes as soon as the shape allows it."""
    modules: list[nn.Module] = []
    names: list[str] = []
    sums = 0
    target = d.integer(*size)
    order = sorted(BLOCKS, key=lambda n: not BLOCKS[n].sums)  # contractions are the simplest
    weighted = {
        rank: [n for n in order if rank in BLOCKS[n].ranks for _ in range(BLOCKS[n].weight)]
        for rank in (1, 2, 3)
    }
    for attempt in range(200):
        if len(modules) >= target and sums >= least:
            break
        rank = len(shape)
        name = d.pick(weighted[rank])
        due = [m for m in must if m not in names and rank in BLOCKS[m].ranks]
        if due and attempt % 3:
            name = due[0]
        elif sums < least and len(modules) > target - 2 * (least - sums):
            name = d.pick([n for n in weighted[rank] if BLOCKS[n].sums])
        if not modules and d.sharp:
            name = first
        module = BLOCKS[name].make(d, shape).eval()
        with torch.no_grad():
            after = tuple(module(torch.zeros(2, *shape)).shape)
        if after[0] != 2 or not _fits(after[1:]):
            continue
        modules.append(module)
        names.append(name)
        sums += BLOCKS[name].sums
        shape = after[1:]
    return modules, names, sums


def build(
    d: Choices,
    fmt: Format | None = None,
    must: Sequence[str] = (),
    samples: int = 4,
    size: tuple[int, int] = (6, 12),
    least: int = 3,
) -> Network:
    """One network.

    Args:
        d: makes the choices.
        fmt: of the inputs and of whatever hurts; any that torch computes in if None.
        must: blocks that it is to contain, if they fit.
        samples: number of inputs.
        size: about how many blocks, least and most.
        least: how many contractions it has at least.
    """
    fmt = fmt or d.pick(NATIVE)
    regime = d.pick(values.REGIMES)
    d.unit, d.sharp = values.unit_of(regime, fmt), regime == "edge"
    rng = np.random.default_rng(d.integer(0, 2**32 - 1))

    def constants(shape: Shape) -> Any:
        hurts = rng.random() < 0.5
        drawn = values.mixed(rng, shape, fmt) if hurts else values.draw(rng, shape, fmt, "normal")
        return drawn.tolist()

    d.values = constants
    ranks = BLOCKS[must[0]].ranks if must else (1, 2, 3)
    shape = d.pick([s for s in SHAPES if len(s) in ranks])
    first = "conv" if len(shape) == 3 else "linear"
    modules, names, sums = _grow(d, shape, must, first, size, least)
    net = nn.Sequential(*modules).eval()
    values.fill(net, rng, fmt, regime)
    x = values.inputs(rng, samples, shape, fmt, regime)
    if regime == "edge":
        values.sharpen(net, x, rng, fmt)
    return Network(net, x, fmt, regime, tuple(names), sums)


def seeded(seed: int, samples: int = 4) -> Network:
    """The network of a seed, with three contractions or more: formats and blocks in turn."""
    names = list(BLOCKS)
    turn = seed // 3
    must = tuple(names[k % len(names)] for k in (turn, 5 * turn + 3, 7 * turn + 1))
    return build(Seeded(seed), NATIVE[seed % len(NATIVE)], must, samples)


@st.composite
def programs(
    draw: Callable[[st.SearchStrategy[int]], int],
    format: str | Format | None = None,
    blocks: tuple[int, int] = (1, 8),
    contractions: int = 1,
    samples: int = 2,
) -> Network:
    """Random small networks with inputs, both made to provoke rounding errors.

    Blocks are layers, elementwise operations and reshapes that errbound covers; weights and inputs
    hold ties, subnormals, cancelling pairs. Shrinks to few blocks, of which linear is the first;
    weights come from a seed, which shrinks to 0.

    Args:
        draw: hypothesis'; not given by callers.
        format: of the inputs, a format or its name; None for any that torch computes in.
        blocks: about how many, least and most.
        contractions: how many linear layers and convolutions at least.
        samples: number of inputs.

    Raises:
        InputError: no format has this name.
    """
    fmt = None if format is None else format_of(format)
    return build(Drawn(draw), fmt, (), samples, blocks, contractions)
