"""Random whole programs: one description, two sources of choices (a seed, or hypothesis).

``build(d)`` makes a network of at least three contractions from the blocks, with weights that
hurt, and a batch of inputs. ``Seeded`` and ``Drawn`` make its choices.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from errbound.number import FORMATS

from .blocks import BLOCKS
from .values import REGIMES, draw, fill, inputs, mixed, sharpen, unit_of

LARGEST = 80  # entries of an activation
SHAPES = ((6,), (16,), (64,), (3, 5), (4, 8), (1, 6, 6), (2, 5, 4), (3, 4, 4), (4, 4, 4))


class Seeded:
    """Choices from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def integer(self, low, high):
        return self.random.randint(low, high)

    def pick(self, options):
        return options[self.integer(0, len(options) - 1)]

    def chance(self, p):
        return self.integer(0, 99) < 100 * p


class Drawn(Seeded):
    """Choices from hypothesis, which shrinks them."""

    def __init__(self, source):
        self.source = source

    def integer(self, low, high):
        return self.source(st.integers(low, high))


@dataclass(frozen=True)
class Case:
    """A network and inputs for one format.

    Attributes:
        net: in evaluation mode, binary32 tensors.
        x: a batch of inputs in the format's dtype.
        fmt: the format.
        regime: the size of its activations.
        blocks: names of its blocks, in order.
        contractions: how many of them there are.
    """

    net: nn.Module
    x: torch.Tensor
    fmt: object
    regime: str
    blocks: tuple[str, ...]
    contractions: int


def _fits(shape):
    return 0 < np.prod(shape) <= LARGEST and 1 <= len(shape) <= 3


def _grow(d, shape, must, first):
    """Blocks one after the other; each of ``must`` comes as soon as the shape allows it."""
    modules, names, sums = [], [], 0
    target = d.integer(6, 12)
    weighted = {
        rank: [
            n for n, (_, ranks, weight, _) in BLOCKS.items() if rank in ranks for _ in range(weight)
        ]
        for rank in (1, 2, 3)
    }
    for attempt in range(200):
        if len(modules) >= target and sums >= 3:
            break
        rank = len(shape)
        name = d.pick(weighted[rank])
        due = [m for m in must if m not in names and rank in BLOCKS[m][1]]
        if due and attempt % 3:
            name = due[0]
        elif sums < 3 and len(modules) >= target - 4:
            name = d.pick([n for n in weighted[rank] if BLOCKS[n][3]])
        if not modules and d.sharp:
            name = first
        make, _, _, more = BLOCKS[name]
        module = make(d, shape).eval()
        with torch.no_grad():
            after = tuple(module(torch.zeros(2, *shape)).shape)
        if after[0] != 2 or not _fits(after[1:]):
            continue
        modules.append(module)
        names.append(name)
        sums += more
        shape = after[1:]
    return modules, names, sums


def build(d, fmt=None, must=(), samples=4):
    """One case. ``must``: blocks that it is to contain, if they fit."""
    fmt = fmt or d.pick(FORMATS)
    regime = d.pick(REGIMES)
    d.unit, d.sharp = unit_of(regime, fmt), regime == "edge"
    rng = np.random.default_rng(d.integer(0, 2**32 - 1))
    d.values = lambda shape: (
        mixed(rng, shape, fmt) if rng.random() < 0.5 else draw(rng, shape, fmt, "normal")
    ).tolist()
    ranks = BLOCKS[must[0]][1] if must else (1, 2, 3)
    shape = d.pick([s for s in SHAPES if len(s) in ranks])
    modules, names, sums = _grow(d, shape, must, "conv" if len(shape) == 3 else "linear")
    net = nn.Sequential(*modules).eval()
    fill(net, rng, fmt, regime)
    x = inputs(rng, samples, shape, fmt, regime)
    if regime == "edge":
        sharpen(net, x, rng, fmt)
    return Case(net, x, fmt, regime, tuple(names), sums)


def seeded(seed, samples=4):
    """The case of a seed: formats and blocks in turn."""
    names = list(BLOCKS)
    turn = seed // 3
    must = tuple(names[k % len(names)] for k in (turn, 5 * turn + 3, 7 * turn + 1))
    return build(Seeded(seed), FORMATS[seed % 3], must, samples)


@st.composite
def cases(draw_, fmt=None):
    """The same programs by hypothesis."""
    return build(Drawn(draw_), fmt, samples=2)
