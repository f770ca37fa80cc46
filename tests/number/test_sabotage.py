"""The tests are tested: each fault that was feared, put in on purpose, makes its check fail.

Every entry of ``FAULTS`` names a check that passes, a fault, and nothing else: the same check must
raise ``AssertionError`` once the fault is in.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    Accumulation,
    Ball,
    Format,
    Interval,
    interval,
    rounding,
    summation,
)
from errbound.ops import _shapes
from errbound.ops._op import Constant

from . import contract_checks, interval_checks, rounding_checks, summation_checks
from .contract_checks import ERRORLESS, point, random_boxes
from .exact import Machine
from .summation_checks import EXACT_BITS, NARROW, WIDE
from .test_contract import check_overflow
from .test_counterexamples import check_off_by_one_witness

Patch = pytest.MonkeyPatch
ORIGINAL_NEAREST = rounding.nearest_
ORIGINAL_SUM_ERROR = summation.sum_error
ORIGINAL_UFP = rounding.ufp_
ORIGINAL_ACCUMULATION = summation.accumulation


# --- faults of rounding --------------------------------------------------------------------------


def double_rounding(patch: Patch) -> None:
    patch.setattr(rounding, "nearest_", lambda x, fmt: x.copy_(x.to(fmt.dtype)))


def ties_away(patch: Patch) -> None:
    def nearest_(x: Tensor, fmt: Format) -> Tensor:
        tie = ORIGINAL_NEAREST(x * (1 + 2.0**-50), fmt)
        return x.copy_(tie)

    patch.setattr(rounding, "nearest_", nearest_)


def ties_toward_zero(patch: Patch) -> None:
    patch.setattr(
        rounding, "nearest_", lambda x, fmt: x.copy_(ORIGINAL_NEAREST(x * (1 - 2.0**-50), fmt))
    )


def no_gradual_underflow(patch: Patch) -> None:
    def nearest_(x: Tensor, fmt: Format) -> Tensor:
        return ORIGINAL_NEAREST(x, replace(fmt, emin=fmt.emin - 20))

    patch.setattr(rounding, "nearest_", nearest_)


def threshold_is_the_largest_number(patch: Patch) -> None:
    patch.setattr(Format, "overflow_threshold", property(lambda fmt: fmt.max_finite * (1 + 2**-40)))


def down_for_up(patch: Patch) -> None:
    patch.setattr(rounding, "up", rounding.down)


def up_for_down(patch: Patch) -> None:
    patch.setattr(rounding, "down", rounding.up)


def neighbour_by_ulp_alone(patch: Patch) -> None:
    patch.setattr(rounding, "next_up", lambda x, fmt: x + rounding.ulp(x, fmt))


def no_inflation(patch: Patch) -> None:
    for module in (rounding, interval):
        patch.setattr(module, "inflate", lambda roundings: 1.0)


def gamma_of_half(patch: Patch) -> None:
    patch.setattr(rounding, "gamma", lambda terms: terms * rounding.U64 / 2)


# --- faults of balls -----------------------------------------------------------------------------


def plain_midpoint(patch: Patch) -> None:
    def enclosing(box: Interval) -> Ball:
        return Ball((box.lo + box.hi) / 2, (box.hi - box.lo) / 2)

    patch.setattr(Ball, "enclosing", staticmethod(enclosing))


# --- faults of the error of a sum ----------------------------------------------------------------


def change_row(patch: Patch, **fields: float) -> None:
    def accumulation(*args: Any, **kwargs: Any) -> Accumulation:
        return replace(ORIGINAL_ACCUMULATION(*args, **kwargs), **fields)

    patch.setattr(summation, "accumulation", accumulation)


def change_bound(patch: Patch, bound: Callable[..., Tensor]) -> None:
    for module in (summation, _shapes):
        patch.setattr(module, "sum_error", bound)


def one_addition_less(patch: Patch) -> None:
    def bound(m: Tensor, *args: Any, **more: Any) -> Tensor:
        return ORIGINAL_SUM_ERROR((m - 1).clamp(min=0), *args, **more)

    change_bound(patch, bound)


def half_of_s_for_q(patch: Patch) -> None:
    def bound(m: Tensor, magnitude: Tensor, total: Tensor, *args: Any, **more: Any) -> Tensor:
        return ORIGINAL_SUM_ERROR(m, magnitude, torch.zeros_like(total), *args, **more)

    change_bound(patch, bound)


def ufp_of(patch: Patch, change: Callable[[Tensor], Tensor]) -> None:
    patch.setattr(summation, "ufp_", change)


def ufp_one_binade_down(patch: Patch) -> None:
    ufp_of(patch, lambda x: ORIGINAL_UFP(x).mul_(0.5))


def ufp_of_q_alone(patch: Patch) -> None:
    """ufp(Q) for ufp(Q + T0): without the errors made below a node."""

    def bound(m: Tensor, s: Tensor, total: Tensor, acc: Accumulation, **more: Any) -> Tensor:
        with pytest.MonkeyPatch.context() as inner:
            q = (s + total) * 0.5
            inner.setattr(summation, "ufp_", lambda x: ORIGINAL_UFP(q.expand_as(x).clone()))
            return ORIGINAL_SUM_ERROR(m, s, total, acc, **more)

    change_bound(patch, bound)


def exact_products(patch: Patch) -> None:
    change_row(patch, product=0.0)


def no_eta(patch: Patch) -> None:
    change_row(patch, product_absolute=0.0)


def no_flush(patch: Patch) -> None:
    patch.setattr(summation, "accumulation", lambda s, a, flush=False: ORIGINAL_ACCUMULATION(s, a))


def no_flush_of_additions(patch: Patch) -> None:
    change_row(patch, addition_absolute=0.0)


def no_flush_of_operands(patch: Patch) -> None:
    change_row(patch, input_absolute=0.0)


def no_flush_of_weights(patch: Patch) -> None:
    patch.setattr(Constant, "has_subnormal", False)


def sum_without_bias(patch: Patch) -> None:
    original = _shapes.contract

    def contract(step: Any, x: Any, weight: Any, bias: Constant | None, *rest: Any) -> Any:
        if bias is not None:
            bias.__dict__["magnitude"] = torch.zeros_like(bias.exact)
        return original(step, x, weight, bias, *rest)

    patch.setattr(_shapes, "contract", contract)


def bias_is_no_term(patch: Patch) -> None:
    original = _shapes.contract

    def contract(*args: Any) -> Any:
        *head, count, acc = args
        return original(*head, lambda mask: count(mask) - int(head[3] is not None), acc)

    patch.setattr(_shapes, "contract", contract)


def no_own_error(patch: Patch) -> None:
    patch.setattr(_shapes, "gamma", lambda terms: 0.0)


def no_check_of_partials(patch: Patch) -> None:
    patch.setattr(_shapes, "_check_partials", lambda *args: None)


# --- checks --------------------------------------------------------------------------------------


def cells16() -> None:
    rounding_checks.check_cells(BINARY16, rounding_checks.apply_nearest)


def cells_bfloat16() -> None:
    rounding_checks.check_cells(BFLOAT16, rounding_checks.apply_nearest)


def in_place() -> None:
    rounding_checks.check_nearest_in_place(BINARY16)


def neighbours() -> None:
    rounding_checks.check_neighbours(BINARY16)


def outward() -> None:
    rounding_checks.check_outward(torch.tensor([0.0, 1.0, -3.5, 2.0**-1074], dtype=torch.float64))


def inflation() -> None:
    rounding_checks.check_inflate(3)


def gamma() -> None:
    rounding_checks.check_gamma(9)


def balls() -> None:
    interval_checks.check_ball(BINARY32, 2000)


def exact_terms(m: int = 2) -> None:
    terms = summation_checks.multisets(summation_checks.numbers(4, 2), m)
    acc = summation_checks.row_exact(4)
    summation_checks.check_sums(Machine(WIDE[4], 0), acc, terms, products=0)


def partial_sums_above_q() -> None:
    """Q = 124 < 128, but 112 + 2 + 2 + 2 + 2 may be 128 and + 4 then 136: 12 > 5 u 64 = 10."""
    machine, acc = Machine(WIDE[5], 0, "any-tie"), summation_checks.row_exact(5)
    share = summation_checks.check_sums(machine, acc, [(112, 2, 2, 2, 2, 4)], products=0)
    assert share.value > 0.5


def rounded_products() -> None:
    terms = summation_checks.multisets(summation_checks.products_of(3, 1), 2)
    acc = summation_checks.row_rounded(3)
    summation_checks.check_sums(Machine(WIDE[3], 0, "any-tie"), acc, terms)


def underflow(flush: bool = False) -> None:
    for family in (NARROW, EXACT_BITS):
        acc = summation_checks.row_family(family, flush)
        machine = Machine(family.accumulator, family.scale, flush=flush)
        terms = summation_checks.multisets(family.products(0.5), 2)
        summation_checks.check_sums(machine, acc, terms)


def flushed() -> None:
    underflow(flush=True)


def flushed_partial_sum() -> None:
    """Terms that no product flush explains: numbers of the format (biases)."""
    acc = summation_checks.row_family(NARROW, True)
    machine = Machine(NARROW.accumulator, NARROW.scale, flush=True)
    unit = 1 << NARROW.scale - 2
    terms = [(7 * unit, -4 * unit), (5 * unit, -4 * unit), (7 * unit, 4 * unit, -8 * unit)]
    for ts in terms:
        # The absolute part alone, without what the flushed leaves may take.
        bare = replace(acc, product_absolute=0.0)
        summation_checks.check_sums(machine, bare, [ts], products=0)


def contract_of(storage: Format, accumulator: Format, flush: bool = False) -> Callable[[], None]:
    def check() -> None:
        acc = summation.accumulation(storage, accumulator, flush=flush)
        for kind in ("ordinary", "ties", "tiny products", "subnormal"):
            for seed, fan_in in ((0, 1), (0, 2), (6, 1), (5, 3)):
                boxes = random_boxes(storage, kind, 5, fan_in, 2, seed)
                machine = Machine(accumulator, boxes.scale, flush=flush)
                contract_checks.check_boxes(boxes, acc, machine)

    return check


def flushed_operands() -> None:
    acc = summation.accumulation(BFLOAT16, BINARY32, flush=True)
    for x, w in ((2.0**-127, 2.0**60), (2.0**60, 2.0**-127)):
        boxes = point(BFLOAT16, [x], [w], None)
        contract_checks.check_boxes(boxes, acc, Machine(BINARY32, boxes.scale, flush=True))


def ties_and_bias() -> None:
    """Bias 1, five terms of 2^-24, each lost: the share of the radius is 1 - 1e-6."""
    boxes = point(BINARY16, [2.0**-24] * 5, [1.0] * 5, 1.0)
    acc = summation.accumulation(BINARY16, BINARY32)
    contract_checks.check_boxes(boxes, acc, Machine(BINARY32, boxes.scale))


def own_error() -> None:
    boxes = point(BINARY32, [2.0**60, 1.0, -(2.0**60)], [1.0] * 3, None)
    contract_checks.check_boxes(boxes, ERRORLESS, None)


def wide_ball() -> None:
    """[-2^-120, 1]: the midpoint is inexact and the radius has to pay for it."""
    box = Interval(*(torch.tensor([v], dtype=torch.float64) for v in (-(2.0**-120), 1.0)))
    ball = interval.Ball.enclosing(box)
    for case in interval_checks.outside(box, ball.mid, ball.rad):
        raise AssertionError(case)


def overflow() -> None:
    check_overflow(2)


FAULTS: dict[str, tuple[Callable[[Patch], None], tuple[Callable[[], None], ...]]] = {
    "nearest rounds twice": (double_rounding, (cells16, cells_bfloat16, in_place)),
    "ties away from zero": (ties_away, (cells16, cells_bfloat16, in_place)),
    "ties toward zero": (ties_toward_zero, (cells16, cells_bfloat16, in_place)),
    "no gradual underflow": (no_gradual_underflow, (cells16, cells_bfloat16)),
    "overflow above the largest number": (threshold_is_the_largest_number, (cells16,)),
    "down for up": (down_for_up, (outward,)),
    "up for down": (up_for_down, (outward,)),
    "next_up by ulp alone": (neighbour_by_ulp_alone, (neighbours,)),
    "inflate removed": (no_inflation, (inflation, balls)),
    "gamma halved": (gamma_of_half, (gamma,)),
    "inexact midpoint ignored": (plain_midpoint, (balls, wide_ball)),
    "m - 2 for m - 1": (
        one_addition_less,
        (exact_terms, check_off_by_one_witness, contract_of(BINARY16, BINARY32)),
    ),
    "S/2 for Q": (half_of_s_for_q, (exact_terms,)),
    "ufp one binade down": (ufp_one_binade_down, (exact_terms, rounded_products)),
    "ufp of Q alone": (ufp_of_q_alone, (partial_sums_above_q,)),
    "binary32 products exact": (
        exact_products,
        (rounded_products, contract_of(BINARY32, BINARY32)),
    ),
    "eta missing": (
        no_eta,
        (underflow, contract_of(BINARY32, BINARY32), contract_of(BFLOAT16, BINARY32)),
    ),
    "flush missing": (no_flush, (flushed, contract_of(BFLOAT16, BINARY32, flush=True))),
    "flush of additions missing": (no_flush_of_additions, (flushed_partial_sum,)),
    "flush of operands missing": (no_flush_of_operands, (flushed_operands,)),
    "flush of weights missing": (no_flush_of_weights, (flushed_operands,)),
    "S without the bias": (sum_without_bias, (ties_and_bias,)),
    "the bias is no term": (bias_is_no_term, (ties_and_bias,)),
    "gamma missing in the contraction": (no_own_error, (own_error,)),
    "partial sums not checked": (no_check_of_partials, (overflow,)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in, checks = FAULTS[fault]
    for check in checks:
        check()
    put_in(monkeypatch)
    for check in checks:
        with pytest.raises(AssertionError):
            check()
