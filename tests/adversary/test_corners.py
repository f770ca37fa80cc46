"""Corners by hand: each a sum for which a careless enclosure is left, with the value to be met.

Every case is executed under every combination of order, tree, FMA, flush and the operator's other
freedom. ``met`` lists stored values that some of these executions must have, so that no case is
vacuous; ``None`` says that the enclosure must report a possible overflow.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from errbound.analysis import execute
from errbound.arithmetic import TORCH_CPU
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32, Interval
from errbound.ops import BY_TARGET, Constant
from errbound.program.export import program_of
from errbound.testing.emulator import execute_sum
from errbound.testing.sums import BIASES, ORDERS, SHAPES, Plan

from .harness import Enclosures, Spy

LINEAR, CONV, NORM, AVERAGE, ADAPTIVE = (
    BY_TARGET[f"aten.{name}.default"]
    for name in ("linear", "conv2d", "batch_norm", "avg_pool2d", "adaptive_avg_pool2d")
)
H, B, S = BINARY16, BFLOAT16, BINARY32
INF = float("inf")
M = 2.0**127


def linear(x, w, b=None, rank=2):
    return LINEAR, [[x]] if rank == 3 else [x], [w], None if b is None else [b]


def conv(x, w, b, *rest):
    return CONV, [[x]], [[w]], None if b is None else [b], *rest


def norm(x, w, b, mean, var, eps):
    return NORM, [[x]], [w], [b], [mean], [var], False, 0.1, eps, False


CORNERS = {
    # one term: the product alone
    "an inexact product": (S, linear([1 + 2.0**-12], [1 + 2.0**-12]), [1 + 2.0**-11]),
    "a product that underflows": (S, linear([3 * 2.0**-75], [2.0**-76]), [2.0**-149]),
    "a product that vanishes": (S, linear([2.0**-75], [2.0**-76]), [0.0]),
    "a binary16 product of subnormals": (H, linear([2.0**-24], [2.0**-24]), [0.0]),
    "a bfloat16 product of normals, flushed": (
        B,
        linear([2.0**-64], [1.5 * 2.0**-64]),
        [0.0, 1.5 * 2.0**-128],
    ),
    "a bfloat16 product below binary32": (B, linear([2.0**-80], [2.0**-80]), [0.0]),
    # flushed operands, partial sums, biases
    "a flushed operand": (B, linear([2.0**-127], [2.0**100]), [0.0, 2.0**-27]),
    "a flushed weight": (B, linear([2.0**100], [2.0**-127]), [0.0, 2.0**-27]),
    "a flushed difference": (
        B,
        linear([1.5 * 2.0**-126, 2.0**-126], [1.0, -1.0]),
        [0.0, 2.0**-127],
    ),
    "a flushed partial sum, then a large one": (
        B,
        linear([1.5 * 2.0**-126, 2.0**-126, 2.0**-126], [1.0, -1.0, 1.0]),
        [2.0**-126, 1.5 * 2.0**-126],
    ),
    "a flushed bias": (B, linear([0.0], [1.0], 2.0**-130), [0.0, 2.0**-130]),
    "a flushed bias among padding": (
        B,
        conv([[1.0]], [[1.0]], 2.0**-130, [1, 1], [3, 3]),
        [0.0, 2.0**-130, 1.0],
    ),
    "subnormals that binary16 keeps": (H, linear([2.0**-24] * 3, [1.0] * 3), [3 * 2.0**-24]),
    # no terms
    "zeros of both signs": (H, linear([-0.0, 0.0], [1.0, -2.0]), [0.0]),
    "padding only": (H, conv([[1.0]], [[1.0]], None, [1, 1], [2, 2]), [0.0, 1.0]),
    # two roundings
    "the bias after the store": (
        H,
        linear([1.5], [683 / 1024], 2.0**-11, rank=3),
        [1.0, 1 + 2.0**-10],
    ),
    "the bias after the store, bfloat16": (
        B,
        linear([9 / 8], [29 / 32], 2.0**-8, rank=3),
        [260 / 256, 262 / 256],
    ),
    "two divisions": (S, (ADAPTIVE, [[[[5.0, 0, 0, 5.0] + [0.0] * 10] * 6]], [2, 2]), None),
    # ties of the store, reached from both sides
    "a tie that errors decide": (
        H,
        linear([1.5] + [2.0**-12] * 3, [683 / 1024] + [2.0**-12] * 3),
        [1.0, 1 + 2.0**-10],
    ),
    "a witness of m - 1": (
        H,
        linear([1.5] + [2.0**-24] * 7, [683 / 1024] + [1.0] * 7),
        [1.0, 1 + 2.0**-10],
    ),
    # cancellation
    "everything cancels but what was lost": (
        H,
        linear([1.0] + [2.0**-12] * 8 + [1.0], [1.0] + [2.0**-12] * 8 + [-1.0]),
        [0.0, 2.0**-21],
    ),
    "huge terms cancel": (S, linear([2.0**100, 1.0, 2.0**100], [1.0, 1.0, -1.0]), [0.0, 1.0]),
    "inexact products cancel": (
        S,
        linear([673 * 2.0**-10, 1801 * 2.0**-11], [24929 * 2.0**-14, -18631 * 2.0**-14]),
        [0.0, 2.0**-24, 2.0**-25],
    ),
    # overflow in some order, of a partial sum or of a product
    "a partial sum overflows": (S, linear([M, M, M, M], [1.0, 1.0, -1.0, -1.0]), "overflow"),
    "a partial sum overflows, bfloat16": (
        B,
        linear([M, M, M, M], [1.0, 1.0, -1.0, -1.0]),
        "overflow",
    ),
    "a product overflows": (S, linear([M, M], [4.0, -4.0]), "overflow"),
    "a window overflows": (B, (AVERAGE, [[[[M, M], [-M, -M]]]], [2, 2]), "overflow"),
    "the scaled input of batch norm overflows": (
        S,
        norm(2.0**28, 2.0**100, -M, 0.0, 1.0, 0.0),
        "overflow",
    ),
    "the scaled input of batch norm overflows, bfloat16": (
        B,
        norm(2.0**28, 2.0**100, -M, 0.0, 1.0, 0.0),
        "overflow",
    ),
    "the shift of batch norm overflows": (S, norm(1.0, 2.0**100, M, 2.0**28, 1.0, 0.0), "overflow"),
    "the store overflows": (H, linear([256.0, 1.0], [256.0, -16.0]), "overflow"),
    "the store does not overflow": (H, linear([256.0, 1.0], [256.0, -17.0]), [65504.0]),
    # batch norm: fused or not, at a cancellation
    "batch norm cancels": (
        S,
        norm(673 * 2.0**-10, 24929 * 2.0**-14, -1.0, 0.0, 1.0, 0.0),
        [0.0, 2.0**-24],
    ),
}


def plans(flushing):
    for order, bias, shape in product(ORDERS, BIASES, SHAPES):
        for fused, other in product((0.0, 0.5, 1.0), (False, True)):
            yield Plan(order, bias, shape, 2, fused, 0.0, other)
            if flushing and not other:
                yield Plan(order, bias, shape, 2, fused, 0.5)


def _tensors(args, fmt):
    return [
        torch.tensor(a, dtype=torch.float64).to(fmt.dtype)
        if isinstance(a, list) and _is_numbers(a)
        else a
        for a in args
    ]


def _is_numbers(value):
    return (
        any(_is_numbers(v) for v in value) if isinstance(value, list) else isinstance(value, float)
    )


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name):
    fmt, (op, *args), met = CORNERS[name]
    args = _tensors(args, fmt)
    step = Spy(TORCH_CPU, fmt, args[0].shape[0])
    operands = [Constant(a) if isinstance(a, torch.Tensor) else a for a in args[1:]]
    image = op.enclose(step, Interval.point(args[0]), *operands)
    rng = np.random.default_rng(1)
    seen, many = set(), [args[0].repeat(4, *[1] * (args[0].dim() - 1)), *args[1:]]
    for plan in list(plans(fmt is BFLOAT16 and op in (LINEAR, CONV)))[::5]:
        value, _ = execute_sum(op, many, {}, fmt, plan, rng)
        seen |= set(value.double().reshape(-1).tolist())
        if met != "overflow":
            assert bool(image.contains(value).all()), (plan, value, image)
    real = op.call(*args)
    if met == "overflow":
        assert bool(step.overflow.all())
        assert any(not np.isfinite(v) for v in seen)
        if bool(step.certain.all()):
            assert not any(np.isfinite(v) for v in seen)
        return
    assert not bool(step.overflow.any())
    assert bool(image.contains(real).all())
    if met is None:
        assert len(seen) > 1
    else:
        assert set(met) <= seen, (met, seen)


@pytest.mark.parametrize("lo", [0.0, 2.0**-133, 2.0**-126 - 2.0**-133])
def test_an_interval_with_a_subnormal_end_may_be_zero(lo):
    """bfloat16 flushes what is subnormal: the hull with 0 enters the sum."""
    hi = 1.5 * 2.0**-126
    box = Interval(*(torch.tensor([[v]], dtype=torch.float64) for v in (lo, hi)))
    weight = torch.tensor([[2.0**100]], dtype=torch.bfloat16)
    image = LINEAR.enclose(Spy(TORCH_CPU, B, 1), box, Constant(weight))
    for x in (lo, 2.0**-127, hi):
        if lo <= x:
            for flush in (0.0, 1.0):
                point = torch.tensor([[x]], dtype=torch.bfloat16)
                value, _ = execute_sum(
                    LINEAR, (point, weight), {}, B, Plan(flush=flush), np.random.default_rng(1)
                )
                assert bool(image.contains(value).all())
    assert float(image.lo) <= 0.0


@pytest.mark.parametrize("fmt", [H, B, S], ids=lambda f: f.name)
def test_a_term_counts_by_what_it_may_be(fmt):
    """All midpoints are 0, and at a corner every addition errs outward by 3/8 ulp of 1.

    The corner: 1, then seven times 1.25 * 2^-24, each of which lifts the partial sum by 2^-23.
    """
    m = 8
    x, w = torch.full((1, m), 5 * 2.0**-10), torch.full((1, m), 2.0**-16)
    x[0, 0] = w[0, 0] = 1.0
    box = Interval(-x.double(), x.double())
    x, w = x.to(fmt.dtype), w.to(fmt.dtype)
    step = Spy(TORCH_CPU, fmt, 1)
    image = LINEAR.enclose(step, box, Constant(w))
    for sign in (1, -1):
        value, before = execute_sum(
            LINEAR, (sign * x, w), {}, fmt, Plan(), np.random.default_rng(1)
        )
        assert abs(before.item()) == 1 + 7 * 2.0**-23
        assert float(step.offered[0]) <= before.item() <= float(step.offered[1])
        assert bool(image.contains(value).all())
    # The same with every input of a convolution's window.
    shaped = Interval(box.lo.reshape(1, 2, 2, 2), box.hi.reshape(1, 2, 2, 2))
    step = Spy(TORCH_CPU, fmt, 1)
    CONV.enclose(step, shaped, Constant(w.reshape(1, 2, 2, 2)))
    assert (
        float(step.offered[0]) <= -(1 + 7 * 2.0**-23) < 1 + 7 * 2.0**-23 <= float(step.offered[1])
    )


def test_sums_without_flush_are_one_value_where_nothing_is_lost():
    """Exact sums have points for intervals: the enclosure is not sound by being wide."""
    x, w = torch.tensor([[3.0, -4.0, 0.5]]), torch.tensor([[2.0, 1.0, 8.0]])
    for fmt in (H, S):
        step = Spy(TORCH_CPU, fmt, 1)
        stored = x.to(fmt.dtype)
        image = LINEAR.enclose(step, Interval.point(stored), Constant(w.to(fmt.dtype)))
        assert float(step.offered[1] - step.offered[0]) < 1e-5
        if fmt is H:
            assert float(image.lo) == float(image.hi) == 6.0


class Scalars(nn.Module):
    """Constants of one number, of another dtype than the activations, on either side."""

    def __init__(self, large):
        super().__init__()
        self.register_buffer("n", torch.tensor(4099))
        self.register_buffer("m", torch.tensor([4099, large, -3, 10003, 7]))

    def forward(self, x):
        third = torch.tensor(0.3)
        parts = [third * x, x * third, third / x, x / third, third - x, x - third, x + third]
        parts += [self.n * x, x * self.n, self.n / x, x / self.n, self.n - x, x + self.n]
        parts += [self.m * x * 2.0**-12, self.m / x * 2.0**-12, x / self.m]
        return torch.cat(parts, 1)


@pytest.mark.parametrize("fmt", [H, B, S], ids=lambda f: f.name)
def test_constants_of_another_dtype_are_rounded_as_the_kernel_rounds_them(fmt):
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    x = (x + x.sign() * 0.1).to(fmt.dtype)
    program = program_of(Scalars(2051 if fmt is H else 2**24 + 1).eval(), x, fmt.dtype)
    boxes, tally = Enclosures(program, x), []
    everyone = torch.arange(len(x))
    execute(
        program,
        x,
        lambda n, v: boxes.check(n, v, everyone, lambda k, *_: tally.append(k), lambda *_: n.where),
    )
    assert sum(tally) > 3000


def test_negative_divisors_are_refused():
    net = nn.Sequential(nn.AvgPool2d(2, divisor_override=-3)).eval()
    with pytest.raises(InputError, match="divisor"):
        program_of(net, torch.ones(2, 1, 4, 4), torch.float32)


def test_plans_without_a_flush_flush_nothing():
    plan = replace(Plan(flush=1.0), order="random")
    x = torch.full((1, 3), 2.0**-24, dtype=torch.float16)
    value, before = execute_sum(
        LINEAR, (x, torch.ones_like(x)), {}, H, plan, np.random.default_rng(1)
    )
    assert before.item() == value.item() == 3 * 2.0**-24
