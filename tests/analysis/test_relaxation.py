"""Bounds of functionals that are followed backwards hold in every execution; nothing is rounded
when they are compared.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from errbound.arithmetic import STRICT16, TORCH_CPU, Arithmetic
from errbound.number import BFLOAT16, BINARY16, BINARY32, E4M3, Format, Interval
from errbound.ops import Functionals
from errbound.program import program_of
from tests.program.zoo import Does

from . import walks

CASES = [
    (TORCH_CPU, BINARY16),
    (TORCH_CPU, BFLOAT16),
    (TORCH_CPU, BINARY32),
    (TORCH_CPU, E4M3),
    (STRICT16, BINARY16),
]
cases = pytest.mark.parametrize(
    ("arithmetic", "fmt"), CASES, ids=[f"{a.name}-{f.name}" for a, f in CASES]
)
names = pytest.mark.parametrize("name", walks.PROGRAMS)
DTYPES = (torch.float64, torch.float32)


def walk(
    name: str, arithmetic: Arithmetic, fmt: Format, steps: int, *, refine: bool = False
) -> walks.Walk:
    g = torch.Generator().manual_seed(steps)
    program = walks.program(name, fmt)
    x = torch.randn(3, *program.input_shape, generator=g)
    return walks.Walk(program, arithmetic, walks.around(x, fmt, steps, g), refine)


@names
@cases
def test_bounds_of_functionals_hold(name: str, arithmetic: Arithmetic, fmt: Format) -> None:
    """Points and boxes; every node; both dtypes; slopes as chosen, 0, 1/2, 1 and anything."""
    g, rng = torch.Generator().manual_seed(5), np.random.default_rng(5)
    checked = 0
    for steps in (0, 3, 60):
        made = walk(name, arithmetic, fmt, steps, refine=steps == 60)
        made.run(rng, g, 4)
        checked += made.contained()
        for k, entry in enumerate(made.trace.entries):
            for dtype in DTYPES:
                checked += made.bounded(k, walks.functionals(entry.value.shape, dtype, g))
        slopes = made.trace.free_slopes()
        for choice in (0.0, 0.5, 1.0, None):
            with torch.no_grad():
                for slope in slopes:
                    slope.copy_(torch.rand(slope.shape, generator=g) if choice is None else choice)
            made.trace.changed(slopes)
            for k, entry in list(enumerate(made.trace.entries))[-3:]:
                for dtype in DTYPES:
                    checked += made.bounded(k, walks.functionals(entry.value.shape, dtype, g))
    assert checked > 2000


@names
@cases
def test_narrowed_intervals_hold_every_value(
    name: str, arithmetic: Arithmetic, fmt: Format
) -> None:
    """Every node is narrowed, in order and once more, though its centre stays; then bounds."""
    g, rng = torch.Generator().manual_seed(6), np.random.default_rng(6)
    for dtype in DTYPES:
        made = walk(name, arithmetic, fmt, 40, refine=True)
        made.run(rng, g, 6)
        made.trace.dtype = dtype
        for entry in made.trace.entries * 2:
            made.trace.narrow(entry.value, torch.ones_like(entry.value.lo, dtype=torch.bool))
        assert made.trace.narrowed > 0
        assert made.contained() > 500
        for k, entry in enumerate(made.trace.entries):
            assert made.bounded(k, walks.functionals(entry.value.shape, dtype, g))


@pytest.mark.parametrize("name", ["residual block", "strides apart", "pools"])
def test_windows_and_whole_functionals_agree(name: str) -> None:
    """The bounds differ by no more than their own rounding allows; both hold."""
    g, rng = torch.Generator().manual_seed(7), np.random.default_rng(7)
    made = walk(name, TORCH_CPU, BINARY16, 3)
    made.run(rng, g, 4)
    compared = 0
    for k, entry in enumerate(made.trace.entries):
        shape = entry.value.shape
        if len(shape) != 4:
            continue
        channels, height, width = shape[1:]
        places = torch.cartesian_prod(*map(torch.arange, (shape[0], channels, height, width)))
        count = torch.arange(len(places))
        value = torch.zeros(len(places), channels, 1, 1, dtype=torch.float64)
        value[count, places[:, 1]] = 1.0
        small = Functionals(value, places[:, 0], places[:, 2:])
        large = small.whole(shape[1:])
        for dtype, within in ((torch.float64, 2.0**-30), (torch.float32, 2.0**-8)):
            both = []
            for f in (small, large):
                f = Functionals(f.value.to(dtype), f.rows, f.corner)
                both.append(made.trace.bounds(entry.value, f))
                compared += made.bounded(k, f)
            width_ = both[0][1] - both[0][0]
            for a, b in zip(*both, strict=True):
                assert bool(((a - b).abs() <= within * (width_ + 1e-30)).all())
    assert compared > 1000


@pytest.mark.parametrize("powers", [(100, -100), (-100, 100), (-70, -60), (60, 60), (-140, 120)])
def test_huge_and_tiny_weights(powers: tuple[int, int]) -> None:
    """Coefficients, centres and radii that are subnormal in binary32, or leave its range."""
    first, second = powers
    torch.manual_seed(1)
    layers = [nn.Linear(5, 5) for _ in range(3)]
    with torch.no_grad():
        for layer, power in zip(layers, (0, first, second), strict=True):
            layer.weight.mul_(2.0**power)
            layer.bias.mul_(0.0 if power else 1.0)
    module = Does(
        lambda m, x: m.layers[2](F.relu(m.layers[1](m.layers[0](x)))) * 1.0, *layers
    ).eval()
    program = program_of(module, torch.randn(2, 5), torch.float32)
    g, rng = torch.Generator().manual_seed(8), np.random.default_rng(8)
    for scale in (1.0, 2.0**-40):
        x = torch.randn(4, 5, generator=g) * scale
        made = walks.Walk(program, TORCH_CPU, walks.around(x, BINARY32, 2**20, g), True)
        made.run(rng, g, 8)
        made.contained()
        for dtype in DTYPES:
            for k, entry in enumerate(made.trace.entries):
                made.bounded(k, walks.functionals(entry.value.shape, dtype, g))
                for size in (2.0**-149, 2.0**-130, 2.0**120):
                    f = walks.functionals(entry.value.shape, dtype, g)
                    value = (f.value.double() * size).float().to(dtype)
                    made.bounded(k, Functionals(value, f.rows))


def test_a_node_without_a_relation_is_a_source() -> None:
    """Its interval is all that is used; what lies before it makes no difference."""
    made = walk("ended", TORCH_CPU, BINARY16, 3)
    entry = next(e for e in made.trace.entries if "reciprocal" in e.name)
    assert entry.relation is None
    noise = made.trace.noise(entry, torch.float64)
    assert not bool(noise.slope.any())
    assert bool((noise.middle + noise.radius >= entry.value.hi - entry.value.ball.mid).all())


def test_cancelling_coefficients() -> None:
    """2^54 + 1 - 2^54 is 0 in binary64, 2^26 + 1 - 2^26 in binary32; x moves by 2 all the same."""
    for dtype, big in ((torch.float64, 2.0**54), (torch.float32, 2.0**26)):
        for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2]):
            layer = nn.Linear(1, 3, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor([[big], [1.0], [-big]])[order])
            program = program_of(nn.Sequential(layer).eval(), torch.randn(2, 1), torch.float32)
            box = Interval(*(torch.full((1, 1), v, dtype=torch.float64) for v in (-1.0, 1.0)))
            made = walks.Walk(program, TORCH_CPU, box)
            made.run(np.random.default_rng(0), torch.Generator(), 4)
            g = Functionals(torch.ones(1, 3, dtype=dtype), torch.zeros(1, dtype=torch.int64))
            assert made.bounded(1, g) == 8
