"""``assert_encloses``: what holds passes, a broken bound is shown, vacuous calls are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from errbound.errors import InputError
from errbound.number import BINARY16, BINARY32, Interval
from errbound.testing import assert_encloses
from errbound.testing.choices import Seeded
from errbound.testing.executions import program_in
from errbound.testing.programs import build

NET = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval()
X = torch.tensor([[1.0, -2.0, 0.3], [0.1, 0.2, -0.4]])


def shrunk(program, name, change):
    """The program with another enclosure of one of its nodes."""

    def broken(node):
        def enclose(step, *args, **kwargs):
            box = node.op.enclose(step, *args, **kwargs)
            return Interval(*change(box.lo, box.hi))

        return replace(node, op=replace(node.op, enclose=enclose))

    nodes = tuple(broken(n) if n.op.name == name else n for n in program.nodes)
    return replace(program, nodes=nodes)


def test_every_value_is_counted():
    # Two programs, two nodes of two values, a real and five adversarial executions, two samples.
    assert assert_encloses(NET, X, executions=5) == 2 * 2 * 2 * 6 * 2
    program = program_in(NET, (3,), BINARY16)
    assert assert_encloses(program, X, executions=0) == 2 * 2 * 2
    assert assert_encloses(program, X.half(), executions=100) == 2 * 2 * 101 * 2


@pytest.mark.parametrize("arithmetic", ["torch-cpu", "strict16"])
@pytest.mark.parametrize("seed", range(3))
def test_random_networks_are_enclosed(arithmetic, seed):
    network = build(Seeded(seed), BINARY16, size=(3, 5), least=1)
    x = network.inputs.float()
    assert assert_encloses(network.module, x, arithmetic=arithmetic, executions=10, seed=seed) > 0


def test_a_program_of_one_batch_size_keeps_it():
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(2, 3) * 0.3

    assert assert_encloses(Fixed().eval(), X, executions=3) == 2 * 4 * 2 * 2 * 3


def test_a_broken_bound_is_shown():
    program = program_in(NET, (3,), BINARY32)
    up = torch.nextafter

    def above(lo, hi):
        return up(hi, hi + 1), up(hi, hi + 1)

    with pytest.raises(AssertionError) as caught:
        assert_encloses(shrunk(program, "linear", above), X, executions=0)
    lines = str(caught.value).splitlines()
    assert lines[0] == "linear (0), linear in float32, sample 0, entry [0]:"
    value = float(NET[0](X).detach()[0, 0])
    assert lines[1] == f"  the value    {value!r} ({value.hex()})"
    assert lines[2].startswith("  lies outside [")
    assert lines[2].count("0x") == 2
    assert lines[3] == "  and 3 other values of this node do"
    assert lines[4] == "  in an execution by torch's kernels"
    assert "torch-cpu" in lines[5]


def test_only_an_adversary_sees_that_an_order_was_forgotten():
    """2^24 + 1 - 2^24 is 0 in the order of the weights, and 1 in another."""
    layer = nn.Linear(3, 1, bias=False).eval()
    layer.weight.data = torch.tensor([[2.0**24, 1.0, -(2.0**24)]])
    ones = torch.ones(1, 3)
    program = program_in(layer, (3,), BINARY32)
    real = layer(ones).detach().double()
    fooled = shrunk(program, "linear", lambda lo, hi: (real, real.clone()))
    assert_encloses(fooled, ones, executions=0)
    with pytest.raises(AssertionError, match=r"adversarial execution, seed 3: Plan\("):
        assert_encloses(fooled, ones, executions=50, seed=3)
    assert assert_encloses(program, ones, executions=50, seed=3)


def test_a_broken_m16_is_seen_through_the_module(monkeypatch):
    """The bound of sums set to nothing: binary32 executions of a long sum leave the interval."""
    import errbound.ops._shapes as shapes

    real = shapes.sum_error
    monkeypatch.setattr(shapes, "sum_error", lambda *a, **k: 0.0 * real(*a, **k))
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="lies outside"):
        assert_encloses(nn.Linear(64, 8).eval(), torch.randn(2, 64), executions=20)


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="x holds NaN or infinity"):
        assert_encloses(NET, torch.tensor([[1.0, float("nan"), 0.0]]))
    program = program_in(NET, (3,), BINARY16)
    with pytest.raises(InputError, match="nothing was compared"):
        assert_encloses(program, torch.full((1, 3), 1e6))


def test_a_sample_that_overflows_hides_no_other():
    program = program_in(NET, (3,), BINARY16)
    both = torch.stack([X[0], torch.full((3,), 1e6)])
    assert assert_encloses(program, both, executions=4) == 5 * 2 * 2
