"""Random networks and their executions as strategies: what they hold, what they shrink to."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from torch import nn

from errbound.analysis import Encloser
from errbound.arithmetic import STRICT16, TORCH_CPU
from errbound.errors import InputError
from errbound.number import E5M2, format_named, nearest
from errbound.testing import Plan, executions, programs
from errbound.testing.blocks import BLOCKS
from errbound.testing.choices import Seeded
from errbound.testing.executions import program_in
from errbound.testing.programs import build

few = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.generate],
)
less = settings(max_examples=60, database=None, deadline=None, derandomize=True)
search = settings(max_examples=150, database=None, deadline=None)


def linear(weights, bias=None):
    """One linear layer of these numbers."""
    layer = nn.Linear(len(weights[0]), len(weights), bias=bias is not None)
    layer.weight.data = torch.tensor(weights)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer.eval()


# A sum that depends on its order: 1 is lost beside 2^24, unless they cancel first.
WEIGHTS = [[2.0**24, 1.0, -(2.0**24)], [0.5, 0.25, 2.0]]
ONES = torch.ones(1, 3)


@few
@given(programs())
def test_programs_are_ready_to_be_certified(network):
    assert not network.module.training
    assert network.inputs.shape[0] == 2
    assert network.inputs.dtype == network.format.dtype
    exact = network.inputs.double()
    assert torch.equal(nearest(exact, network.format), exact)
    assert network.contractions >= 1
    assert network.module(network.inputs.float()).shape[0] == 2


@few
@given(programs("float8_e5m2", blocks=(4, 6), contractions=2, samples=3))
def test_programs_are_as_asked(network):
    assert network.format is E5M2
    assert network.inputs.shape[0] == 3
    assert network.contractions >= 2
    assert len(network.blocks) >= 3


@pytest.mark.slow
def test_programs_shrink_to_few_blocks():
    assert find(programs("float16"), lambda n: True, settings=less).blocks == ("linear",)
    found = find(programs("float16"), lambda n: "relu" in n.blocks, settings=less)
    assert len(found.blocks) <= 4


def test_every_block_occurs():
    assert {name for seed in range(100) for name in build(Seeded(seed)).blocks} == set(BLOCKS)


def test_the_simplest_execution_goes_from_left_to_right():
    model = linear(WEIGHTS, [1.0, -1.0])
    found = find(executions(model, ONES, format="float32"), lambda e: True, settings=search)
    assert set(found.plans.values()) == {Plan()}
    assert "left to right" in repr(found)
    # The bias first: ((1 + 2^24) + 1) - 2^24 loses both ones.
    assert found.output.tolist() == [[0.0, 1.75]]
    assert found.values["linear"].equal(found.output)


def test_an_order_that_matters_is_found_and_shrunk():
    model = nn.Sequential(linear([[0.5, 0.5, 0.0]] * 3), linear(WEIGHTS)).eval()
    found = find(
        executions(model, ONES, format="float32"),
        lambda e: float(e.output[0, 0]) != 0,
        settings=search,
        random=Random(0),
    )
    first, second = found.plans.values()
    assert first == Plan()
    assert second != Plan()
    assert repr(second) in repr(found)


@pytest.mark.parametrize("arithmetic", [TORCH_CPU, STRICT16], ids=lambda a: a.name)
@pytest.mark.parametrize("format", ["float32", "bfloat16", "tf32"])
def test_executions_lie_in_the_enclosure(arithmetic, format):
    torch.manual_seed(1)
    x = torch.randn(2, 7)
    model = nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Linear(9, 3)).eval()
    program = program_in(model, (7,), format_named(format))
    strategy = executions(program, x, arithmetic.name)
    box = Encloser(program, arithmetic)(program.stored(x)).output
    seen = set()

    @few
    @given(strategy)
    def inside(execution):
        assert bool(box.contains(execution.output).all())
        seen.add(tuple(execution.output.flatten().tolist()))

    inside()
    # A 16-bit store leaves one value of sums of seven terms; every operation rounded does not.
    assert len(seen) > 1 or (arithmetic is TORCH_CPU and format != "float32")


def test_plans_reach_what_is_allowed():
    """All values that the three-term sum has in any order, FMA or not: 0, 1 and 2^24-sized none."""
    seen = set()

    @settings(search, max_examples=100, derandomize=True)
    @given(executions(linear(WEIGHTS), ONES, format="float32"))
    def collect(execution):
        seen.add(float(execution.output[0, 0]))

    collect()
    assert seen == {0.0, 1.0}


def test_what_cannot_be_executed_is_refused():
    with pytest.raises(InputError, match="unknown arithmetic 'abacus'"):
        executions(linear(WEIGHTS), ONES, "abacus")
    with pytest.raises(InputError, match="unknown format"):
        executions(linear(WEIGHTS), ONES, format="posit16")
    with pytest.raises(InputError, match="without a record"):
        executions(nn.Sequential(nn.Linear(3, 3), nn.Hardswish()).eval(), ONES)
