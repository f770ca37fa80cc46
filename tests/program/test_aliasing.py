"""Random programs of views and writes in place: refused, or executed bit for bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import execute
from errbound.errors import InputError
from errbound.program import program_of
from tests.helpers import identical

from .zoo import inputs

SHAPE = (2, 3, 4)

VIEWS = [
    lambda t: t.flatten(1).unflatten(1, SHAPE),
    lambda t: t.view(t.shape[0], 6, 4).reshape(t.shape[0], *SHAPE),
    lambda t: t.transpose(2, 3).transpose(2, 3),
    lambda t: t[:, 1:],
    lambda t: t[:, :, 1],
    lambda t: t.select(1, 0),
    lambda t: t.chunk(2, dim=1)[1],
    lambda t: t.split([1, 2], dim=2)[0],
    lambda t: t.unsqueeze(1),
    lambda t: t.contiguous(),
    lambda t: t.detach(),
    lambda t: F.dropout(t, 0.5, training=False),
    lambda t: t.to(torch.float32),
]
NEW = [
    lambda t: t * 3,
    lambda t: F.relu(t),
    lambda t: t.clone(),
    lambda t: F.pad(t, (0, 0)),
    lambda t: torch.cat([t, t], dim=1),
]
WRITES = [
    lambda t: t.add_(1),
    lambda t: t.mul_(0.5),
    lambda t: F.relu(t, inplace=True),
    lambda t: t.sub_(0.25),
    lambda t: t.div_(3),
    lambda t: t.detach_(),
    lambda t: t.unsqueeze_(2),
]


class Random(nn.Module):
    """A fixed random sequence of views, new tensors and writes; some results are dropped."""

    def __init__(self, seed: int, length: int) -> None:
        super().__init__()
        self.seed, self.length = seed, length

    def forward(self, x: Tensor) -> Any:
        rng = random.Random(self.seed)
        pool = [x]
        for _ in range(self.length):
            source = rng.choice(pool)
            group = rng.choices((VIEWS, NEW, WRITES), (4, 3, 4))[0]
            whole = [t for t in pool if t.shape[1:] == SHAPE]
            made = rng.choice(group)(rng.choice(whole) if group is VIEWS and whole else source)
            if rng.random() < 0.7:
                pool.append(made)
        kept = rng.sample(pool, min(len(pool), 2))
        return torch.cat([t.flatten(1) for t in kept], dim=1)


def compare(seed: int, length: int) -> str:
    """What becomes of one program: "refused", "impossible" or "identical"; asserts the last."""
    module = Random(seed, length).eval()
    x = inputs(SHAPE, 3, seed)
    try:
        with torch.inference_mode():
            want = [module(x.clone()) for _ in range(2)]
    except (RuntimeError, IndexError):
        return "impossible"
    try:
        program = program_of(module, x, torch.float32)
    except InputError:
        return "refused"
    before = x.clone()
    for value in want:
        assert identical(execute(program, x), value), f"seed {seed}, length {length}"
        assert identical(x, before)
    return "identical"


@pytest.mark.parametrize("length", [3, 5, 8])
def test_random_views_and_writes(length: int) -> None:
    count = {"identical": 0, "refused": 0, "impossible": 0}
    for seed in range(10):
        count[compare(seed, length)] += 1
    assert count["identical"] >= 4
    assert length == 3 or count["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("length", range(2, 10))
def test_random_views_and_writes_more(length: int) -> None:
    for seed in range(100, 160):
        compare(seed, length)
