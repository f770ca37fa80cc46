"""How near to their bounds executions come: sums, means, lines and transposed convolutions.

The constructions are those of ``test_reach``: a partial sum of 1 loses every u that is added to it.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Interval, next_up
from errbound.ops import BY_TARGET, Constant, Step
from errbound.testing.rounding import rounding
from errbound.testing.sums import Plan, accumulate

from .test_reach import SIZES, note, reached, worst

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
TRANSPOSED = {
    1: BY_TARGET["aten.conv_transpose1d.default"],
    2: BY_TARGET["aten.conv_transpose2d.input"],
}


@formats
@pytest.mark.parametrize("m", SIZES)
def test_sums_and_means_reach_their_bound(m, fmt):
    x = torch.full((1, m), 2.0**-24, dtype=fmt.dtype)
    x[0, 0] = 1.0
    for name, target in (("sum", "aten.sum.dim_IntList"), ("mean", "aten.mean.dim")):
        assert note(name, fmt, m, reached(BY_TARGET[target], (x, [1]), fmt, Plan())) >= 0.9


@formats
@pytest.mark.parametrize("m", SIZES)
def test_lines_reach_their_bound(m, fmt):
    x, w = worst(m, fmt)
    conv1d = BY_TARGET["aten.conv1d.default"]
    for kernel in ((m, 1), (1, m)):
        args = x.reshape(1, *kernel), w.reshape(1, *kernel)
        assert note("conv1d", fmt, m, reached(conv1d, args, fmt, Plan())) >= 0.9


@formats
@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("rank", [1, 2])
def test_transposed_convolutions_reach_their_bound(rank, m, fmt):
    """One rounding at the end: m channels that meet in one pixel."""
    x, w = worst(m, fmt)
    ones = [1] * rank
    args = x.reshape(1, m, *ones), w.reshape(m, 1, *ones)
    op = TRANSPOSED[rank]
    assert note(op.name, fmt, m, reached(op, args, fmt, Plan())) >= 0.9


class Recorder(Step):
    """Keeps every real interval that is rounded to storage."""

    def store_(self, lo, hi):
        self.__dict__.setdefault("offered", []).append((lo.clone(), hi.clone()))
        return super().store_(lo, hi)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
@pytest.mark.parametrize("taps", [2, 3, 9])
def test_taps_added_in_16_bits_reach_their_bound(taps, fmt):
    """1 + u + ... + u is 1, for u = 2^-p of the storage format."""
    op, u = TRANSPOSED[1], fmt.unit_roundoff
    x = torch.ones(1, 1, taps, dtype=fmt.dtype)
    w = torch.full((1, 1, taps), u, dtype=fmt.dtype)
    w[..., 0] = 1.0
    step = Recorder(TORCH_CPU, fmt, 1)
    op.enclose(step, Interval.point(x), Constant(w))
    _, _, (lo, hi) = step.offered
    columns = w.double().numpy()[0]
    found = accumulate(columns, np.ones(1), None, Plan(), np.random.default_rng(1), rounding(fmt))
    assert found == 1.0
    exact, middle = 1 + (taps - 1) * Fraction(u), taps - 1
    error, bound = exact - 1, exact - Fraction(float(lo[0, 0, middle]))
    assert error <= bound <= Fraction(float(hi[0, 0, middle])) - exact + Fraction(1, 2**40)
    assert note(f"{op.name}, taps", fmt, taps, float(error / bound)) >= 0.9


def test_outputs_that_no_tap_reaches_are_the_bias():
    """binary32: but for the rounding that every leaf of a sum is granted."""
    op = TRANSPOSED[1]
    for fmt in (BINARY16, BFLOAT16, BINARY32):
        x, w = (torch.full((1, 1, 2), v, dtype=fmt.dtype) for v in (0.3, 0.7))
        bias = torch.tensor([0.1], dtype=fmt.dtype)
        step = Step(TORCH_CPU, fmt, 1)
        box = op.enclose(step, Interval.point(x), Constant(w), Constant(bias), [4], [0], [2])
        assert box.shape == (1, 1, 8)
        for end in (box.lo, box.hi):
            found = end[..., [2, 3, 6, 7]].to(fmt.dtype)
            near = next_up(bias.double(), fmt) - bias.double() if fmt is BINARY32 else 0
            assert ((found.double() - bias.double()).abs() <= near).all()
