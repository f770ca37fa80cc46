"""Executions that conform and come close to a bound, and exact checks: each raises if it is left.

Every function is a check of its own: it passes, and some sabotage makes it fail. Executions are
computed with rationals, rounded where the machine rounds, or are those of the real kernels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from errbound.analysis import Encloser
from errbound.arithmetic import TORCH_CPU
from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    NATIVE,
    Accumulation,
    Ball,
    Format,
    Interval,
    Narrow,
    nearest,
)
from errbound.ops import BY_TARGET, Constant, Step, _shapes
from errbound.program import Program, program_of
from errbound.verdict import Certifier, Ties, bounds, pair_of
from tests.number.exact import round_fraction

from .operators import OPERATORS

LINEAR, CONV = BY_TARGET["aten.linear.default"], BY_TARGET["aten.conv2d.default"]
NORM, MUL = BY_TARGET["aten.batch_norm.default"], BY_TARGET["aten.mul.Tensor"]


def single(x: Fraction) -> Fraction:
    """Rounded to binary32."""
    found = round_fraction(x, BINARY32)
    assert isinstance(found, Fraction)
    return found


def chain(terms: Iterable[Fraction]) -> Fraction:
    """Added one after the other in binary32."""
    total = Fraction(0)
    for t in terms:
        total = single(total + t)
    return total


def products(x: Sequence[float], w: Sequence[float]) -> list[Fraction]:
    """Exact products."""
    return [Fraction(a) * Fraction(b) for a, b in zip(x, w, strict=True)]


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def stays(value: Fraction, box: Interval, fmt: Format) -> None:
    """The value, stored, is inside."""
    stored, lo, hi = round_fraction(value, fmt), Fraction(float(box.lo)), Fraction(float(box.hi))
    assert lo <= stored <= hi, (
        f"{float(stored).hex()} is outside [{float(lo).hex()}, {float(hi).hex()}]"
    )


def linear(fmt: Format, x: Interval, w: Sequence[float], bias: float | None = None) -> Interval:
    """The enclosure of one output of a linear layer."""
    weight = Constant(row(*w).to(fmt.dtype))
    assert torch.equal(weight.exact, row(*w))
    offset = None if bias is None else Constant(torch.tensor([bias]).to(fmt.dtype))
    step = Step(TORCH_CPU, fmt, 1)
    found: Interval = LINEAR.enclose(step, x, weight, offset)
    assert not bool(step.overflow.any())
    return found


def point(*values: float) -> Interval:
    return Interval.point(row(*values))


# --- rounding to storage -------------------------------------------------------------------------


def stores_are_correctly_rounded() -> None:
    """Ties go to even, binary64 is rounded once, subnormals have their own quantum."""
    for fmt in NATIVE:
        u, least = fmt.unit_roundoff, 2 * fmt.eta
        for k in (2.0, 1 + u, 1 + 3 * u, 1 + u + 2.0**-52, 1 + u - 2.0**-52, 2.5 * least, 1.3):
            for x in (k, -k, 3 * least + k * least / 4):
                found = Fraction(float(nearest(torch.tensor([x], dtype=torch.float64), fmt)))
                right = round_fraction(Fraction(x), fmt)
                assert found == right, f"fl({x.hex()}) is {float(right).hex()}, not {found}"


def a_tie_is_stored_as_the_kernel_stores_it() -> None:
    """1.5 * 683/1024 = 1 + 2^-11, halfway between two binary16 numbers."""
    x = torch.tensor([[1.5]], dtype=torch.float16)
    c = torch.tensor([683 / 1024], dtype=torch.float16)
    box = MUL.enclose(Step(TORCH_CPU, BINARY16, 1), Interval.point(x), Constant(c))
    stays(Fraction(float(x * c)), box, BINARY16)


# --- sums ----------------------------------------------------------------------------------------

DOWN_X, DOWN_W = (1.5, *[2.0**-24] * 7), (683 / 1024, *[1.0] * 7)
"""1 + 2^-11 + 7 * 2^-24: each addition loses 2^-24, and the tie that is left goes to 1."""


def every_addition_rounds_down() -> None:
    """m - 1 additions are needed; emulated, and the real kernel at several batch sizes."""
    box = linear(BINARY16, point(*DOWN_X), DOWN_W)
    stays(chain(products(DOWN_X, DOWN_W)), box, BINARY16)
    layer, program = one_layer()
    found = Encloser(program, TORCH_CPU)(row(*DOWN_X).half()).output
    for batch in (1, 2, 9):
        with torch.inference_mode():
            for y in layer(row(*DOWN_X).half().expand(batch, -1)).double()[:, 0].tolist():
                stays(Fraction(y), found, BINARY16)


@cache
def one_layer() -> tuple[nn.Module, Program]:
    """A linear layer with these weights, in binary16, and its program."""
    layer = nn.Linear(8, 1, bias=False).eval()
    with torch.no_grad():
        layer.weight.copy_(row(*DOWN_W))
    return layer.half(), program_of(layer, torch.zeros(2, 8), torch.float16)


UP = (2.0**-11 - 2.0**-20, *[2.0**-24] * 10)
UP_W = (1.0, *[1 + 2.0**-10] * 10)
"""With 1: 6 * 2^-24 below the tie 1 + 2^-11; each addition gains nearly 2^-24: above it."""


def a_box_around_zero_whose_additions_round_up() -> None:
    """x in [-a, a]: the midpoint is 0, and so is its sum; the corner is the worst case."""
    x, w = (1.0, *UP), (1.0, *UP_W)
    with pytest.MonkeyPatch.context() as patch:  # binary32 enlarges the radius by more than m u Q
        patch.setattr(_shapes, "in_binary32", lambda *args: False)
        box = linear(BINARY16, Interval(-row(*x), row(*x)), w)
    for sign in (1, -1):
        stays(chain(sign * t for t in products(x, w)), box, BINARY16)


def a_bias_to_which_small_terms_are_added() -> None:
    """The bias is most of S and of |s|, and one of the terms."""
    box = linear(BINARY16, point(*UP), UP_W, 1.0)
    stays(chain([Fraction(1), *products(UP, UP_W)]), box, BINARY16)


def a_bias_and_one_product() -> None:
    """1 + 2^-11 (1 + 0.7 * 2^-13): the one addition loses the end and leaves a tie."""
    x, w = 1055 * 2.0**-16, 1988 * 2.0**-16
    assert 0 < Fraction(x) * Fraction(w) - Fraction(1, 2**11) < Fraction(1, 2**24)
    box = linear(BINARY16, point(x), (w,), 1.0)
    stays(chain([Fraction(1), Fraction(x) * Fraction(w)]), box, BINARY16)


def a_bias_and_two_products() -> None:
    """1 + 2^-11 and 1.7 * 2^-24 more: two additions lose that and leave a tie."""
    x, w = (1055 * 2.0**-16, 1014 * 2.0**-22), (1988 * 2.0**-16, 2.0**-12)
    box = linear(BINARY16, point(*x), w, 1.0)
    stays(chain([Fraction(1), *products(x, w)]), box, BINARY16)


def a_box_held_in_binary32_below_zero() -> None:
    """Small terms in [-a, 0] are terms; each, a little more than 2^-24, gains nearly as much."""
    x, w = (1.0, 1.0, *[65 * 2.0**-18] * 8), (1.0, 2045 * 2.0**-22, *[2.0**-12] * 8)
    ends = row(*x).float()
    box = linear(BINARY16, Narrow(-ends, torch.where(ends < 1.0, 0.0, -ends)), w)
    stays(chain(-t for t in products(x, w)), box, BINARY16)
    for sign in (1, -1):
        box = linear(BINARY16, Narrow(-ends, ends), w)
        stays(chain(sign * t for t in products(x, w)), box, BINARY16)


P = 2.0**-12
CROSS_X, CROSS_W = (1 + P, 1 + P), (1 + P, -(1 + 3 * P))
"""Both products are ties of binary32: one goes down, the other away from zero; they cancel."""


def two_products_round_apart() -> None:
    """Each product is rounded, fused or not: chains of one term exist."""
    box = linear(BINARY32, point(*CROSS_X), CROSS_W)
    exact = products(CROSS_X, CROSS_W)
    stays(chain(map(single, exact)), box, BINARY32)  # two products, one addition
    stays(single(single(exact[0]) + exact[1]), box, BINARY32)  # one of them fused
    stays(single(single(exact[1]) + exact[0]), box, BINARY32)


def products_underflow() -> None:
    """0.4 of the smallest subnormal, twice: each product is 0, their sum would not be."""
    x, w = (2.0**-75, 2.0**-75), (1.6 * 2.0**-76, 1.6 * 2.0**-76)
    w = tuple(float(torch.tensor(v, dtype=torch.float32)) for v in w)
    exact = products(x, w)
    assert [single(t) for t in exact] == [0, 0]
    assert single(sum(exact, Fraction(0))) != 0
    stays(Fraction(0), linear(BINARY32, point(*x), w), BINARY32)


def flushed_products() -> None:
    """A product below 2^-126, of normal numbers."""
    x, w = 2.0**-64, 1.5 * 2.0**-64
    stays(Fraction(0), linear(BFLOAT16, point(x), (w,)), BFLOAT16)


def flushed_sums() -> None:
    """1.5 * 2^-126 - 2^-126 = 2^-127: the terms are normal, the sum is not."""
    x, w = (1.5 * 2.0**-126, 2.0**-126), (1.0, -1.0)
    stays(Fraction(0), linear(BFLOAT16, point(*x), w), BFLOAT16)


def flushed_operands() -> None:
    """A subnormal input, or weight, times 2^100: what is lost depends on the other factor."""
    for x, w in ((2.0**-127, 2.0**100), (2.0**100, 2.0**-127)):
        stays(Fraction(0), linear(BFLOAT16, point(x), (w,)), BFLOAT16)


def padding_is_no_term() -> None:
    """Exact: one pixel under nine weights is one product, which binary32 holds: no error at all.

    The product lies 2^-20 below a tie, nearer than eight additions would err.
    """
    x = torch.full((1, 1, 1, 1), 2015 / 1024, dtype=torch.float16)
    weight = Constant(torch.full((1, 1, 3, 3), 2017 / 1024, dtype=torch.float16))
    step = Step(TORCH_CPU, BINARY16, 1)
    box = CONV.enclose(step, Interval.point(x), weight, None, [1, 1], [1, 1])
    right = round_fraction(Fraction(2015 * 2017, 2**20), BINARY16)
    lo, hi = Fraction(float(box.lo)), Fraction(float(box.hi))
    assert lo == hi == right, f"one product is {float(right)}, not [{float(lo)}, {float(hi)}]"


# --- the analysis' own arithmetic ----------------------------------------------------------------


def exact_sums_of_an_errorless_machine() -> None:
    """Exact: 2^60 + 1 - 2^60 + 2^-20; binary64 loses the 1, and the radius has to say so."""
    errorless = Accumulation(BINARY32, 0.0, 0.0, 0.0)
    for terms in itertools.permutations((2.0**60, 1.0, -(2.0**60), 2.0**-20)):
        for repeat in (1, 2, 5):
            x, w = point(*terms * repeat), Constant(torch.ones(1, 4 * repeat))
            lo, hi = _shapes.contract(
                Step(TORCH_CPU, BINARY32, 1),
                Ball.enclosing(x),
                w,
                None,
                torch.nn.functional.linear,
                4 * repeat,
                lambda mask: mask.sum(dim=-1, keepdim=True),
                errorless,
            ).ends()
            exact = repeat * (1 + Fraction(1, 2**20))
            assert Fraction(float(lo)) <= exact <= Fraction(float(hi)), (
                f"the exact sum {float(exact)} is outside [{float(lo)}, {float(hi)}]"
            )


def partial_sums_that_cross_a_power_of_two() -> None:
    """Q < 2^24 is not left by subset sums, but by partial sums that were rounded up.

    From 2^24 - 40 on, 33/64 counts as 1 until 2^24 is reached, though the exact sum is 2^24 - 19.4;
    then 65/64 counts as 2.
    """
    start = [2.0**24 - 32768, 32768.0 - 40]
    terms = [*start, *[33.0 / 64] * 40, *[65.0 / 64] * 19]
    # Large weights: bounds in binary64. Those in binary32 are inflated by more than 2^24 - Q.
    x = point(*(t * 2.0**-23 for t in terms))
    w = Constant(torch.full((1, len(terms)), 2.0**23))
    exact = sum(map(Fraction, terms), Fraction(0))
    assert exact < 2**24
    lo, hi = _shapes.contract(
        Step(TORCH_CPU, BINARY32, 1),
        Ball.enclosing(x),
        w,
        None,
        torch.nn.functional.linear,
        len(terms),
        lambda mask: mask.sum(dim=-1, keepdim=True),
        TORCH_CPU.sums["float16"],
    ).ends()
    found = chain(map(Fraction, terms))
    assert Fraction(float(lo)) <= found <= Fraction(float(hi)), (
        f"{float(found)} is outside [{float(lo)}, {float(hi)}]"
    )


def balls_contain_their_intervals() -> None:
    """Exact: ends far apart in magnitude have no midpoint in binary64."""
    pairs = [(-(2.0**-120), 1.0), (2.0**-100, 3.0), (-5.0, 2.0**-90), (1.0, 1 + 2.0**-23)]
    for lo, hi in pairs:
        ball = Ball.enclosing(Interval(row(lo), row(hi)))
        mid, rad = Fraction(float(ball.mid)), Fraction(float(ball.rad))
        assert mid - rad <= Fraction(lo), f"{lo!r} is outside its ball"
        assert Fraction(hi) <= mid + rad, f"{hi!r} is outside its ball"


def batch_norm_fused_or_not() -> None:
    """x alpha + beta with one rounding or with two, where they cancel; alpha = 1 + 2^-23."""
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(400, 1, generator=g) + 1).float()
    alpha, beta = torch.tensor([1 + 2.0**-23]), torch.tensor([-1.5])
    var = torch.ones(1)
    step = Step(TORCH_CPU, BINARY32, 400)
    operands = (Constant(alpha), Constant(beta), Constant(torch.zeros(1)), Constant(var))
    box = NORM.enclose(step, Interval.point(x), *operands, False, 0.1, 0.0)
    for n, v in enumerate(x[:, 0].tolist()):
        product = Fraction(v) * Fraction(float(alpha))
        here = Interval(box.lo[n], box.hi[n])
        stays(single(product + Fraction(-1.5)), here, BINARY32)
        stays(single(single(product) + Fraction(-1.5)), here, BINARY32)


# --- the two models ------------------------------------------------------------------------------


class Scale(nn.Module):
    """x w: w = 0.1 is no 16-bit number."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.1]]))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(torch.relu(x), self.w)


def sixteen_bit_runs_start_from_the_rounded_input() -> None:
    """The observed M16 run, which rounds 0.1, stays inside its enclosure, node by node."""
    for fmt in (BINARY16, BFLOAT16):
        pair = pair_of(Scale().eval(), (1,), fmt)
        certifier = Certifier(pair.m32, pair.m16, fmt, TORCH_CPU)
        batch = certifier.batch_of(torch.tensor([[0.1], [0.7]]))
        assert not batch.escapes, f"a run leaves its enclosure: {batch.escapes[0]}"


def the_original_runs_inside_m32() -> None:
    """The caller's own binary32 model stays inside the enclosure of M32."""
    module = Scale().eval()
    x = torch.tensor([[1.0]])
    with torch.inference_mode():
        value = Fraction(float(module(x)))
    pair = pair_of(module, (1,), BINARY16)
    stays(value, Encloser(pair.m32, TORCH_CPU)(x).output, BINARY32)


def a_tie_changes_the_answer() -> None:
    """(0.375, 0.625) and (0.5, 0.5): margin = 2 delta, and argmax changes."""
    p, q = (Interval.point(torch.tensor([z])) for z in ([0.375, 0.625], [0.5, 0.5]))
    for ties in Ties:
        assert not bounds(p, q, p.lo, ties).proved.item(), f"a tie is a proof, ties {ties}"


WITNESSES: tuple[Callable[[], None], ...] = (
    stores_are_correctly_rounded,
    balls_contain_their_intervals,
    exact_sums_of_an_errorless_machine,
    partial_sums_that_cross_a_power_of_two,
    a_tie_is_stored_as_the_kernel_stores_it,
    every_addition_rounds_down,
    a_box_around_zero_whose_additions_round_up,
    a_bias_to_which_small_terms_are_added,
    a_bias_and_one_product,
    a_bias_and_two_products,
    a_box_held_in_binary32_below_zero,
    two_products_round_apart,
    products_underflow,
    flushed_products,
    flushed_sums,
    flushed_operands,
    padding_is_no_term,
    batch_norm_fused_or_not,
    sixteen_bit_runs_start_from_the_rounded_input,
    the_original_runs_inside_m32,
    a_tie_changes_the_answer,
    *OPERATORS,
)
