"""Each shortcut in the error of a sum is left by a counterexample.

The midpoint's is in ``test_interval.py``, double rounding in ``test_rounding.py``, overflow of
partial sums in ``test_contract.py``.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, Accumulation, Interval, accumulation
from errbound.ops import Constant, Step
from errbound.ops.linear import LINEAR

from . import contract_checks
from .contract_checks import Boxes, point
from .exact import Machine, tiny
from .summation_checks import WIDE, check_sums, coefficients, row_exact, row_rounded


def left(acc: Accumulation, machine: Machine, terms: Sequence[int], products: int) -> bool:
    """Whether some order of these terms leaves the bound."""
    try:
        check_sums(machine, acc, [tuple(terms)], products)
    except AssertionError:
        return True
    return False


# --- an FMA does not remove the rounding of the product ----------------------------------


@pytest.mark.parametrize(
    ("mode", "terms"),
    [("even", (9,)), ("even", (36, 42)), ("any-tie", (30, 36)), ("any-tie", (30, 36, 36))],
)
def test_f1_fma_is_not_credited(mode: str, terms: tuple[int, ...]) -> None:
    """(m-1) u S is for exact terms; products, fused into additions or not, need m u S."""
    machine = Machine(WIDE[3], 0, mode)
    results = machine.all_sums([(t,) for t in terms], len(terms))
    worst = max(abs(r - sum(terms)) for r in results)
    assert worst > Fraction(len(terms) - 1, 8) * sum(terms)
    assert not left(row_rounded(3), machine, terms, len(terms))


def test_f1_a_single_chain_rounds_its_first_product() -> None:
    """9 + 1 + 1 in one chain of FMAs from 0, p = 3: 8. Error 3, (m-1) u S = 2.75."""
    machine = Machine(WIDE[3], 0)
    assert machine.chain((9, 1, 1)) == 8
    assert Fraction(2, 8) * 11 < 3
    assert not left(row_rounded(3), machine, (9, 1, 1), 3)


def test_f1_products_that_round_are_one_more_rounding_per_term() -> None:
    """The row of exact products does not hold for products that are rounded."""
    machine = Machine(WIDE[4], 0)
    without = replace(row_rounded(4), product=0.0)
    assert left(without, machine, (135, 150), 2)
    assert not left(row_rounded(4), machine, (135, 150), 2)


# --- products underflow ----------------------------------------------------------------------


def test_f2_underflow_of_products_in_strict16() -> None:
    """2^-13 * 2^-13 is 0 in binary16: error 2^-26, u S = 2^-37."""
    acc = accumulation(BINARY16, BINARY16)
    boxes = point(BINARY16, [2.0**-13], [2.0**-13], None)
    machine = Machine(BINARY16, boxes.scale)
    assert machine.all_sums([(1 << boxes.scale - 26,)], 1) == {0}
    contract_checks.check_boxes(boxes, acc, machine)
    with pytest.raises(AssertionError):
        contract_checks.check_boxes(boxes, replace(acc, product_absolute=0.0), machine)


def test_f2_underflow_of_products_of_bfloat16_and_binary32() -> None:
    for storage in (BFLOAT16, BINARY32):
        acc = accumulation(storage, BINARY32)
        boxes = point(storage, [2.0**-75], [2.0**-75], None)
        machine = Machine(BINARY32, boxes.scale)
        contract_checks.check_boxes(boxes, acc, machine)
        with pytest.raises(AssertionError):
            contract_checks.check_boxes(boxes, replace(acc, product_absolute=0.0), machine)


def test_f2_binary16_products_do_not_underflow() -> None:
    acc = accumulation(BINARY16, BINARY32)
    assert (acc.product, acc.product_absolute) == (0.0, 0.0)
    boxes = point(BINARY16, [2.0**-24], [2.0**-24], None)
    contract_checks.check_boxes(boxes, acc, Machine(BINARY32, boxes.scale))


# --- flush to zero, denormals are zero -------------------------------------------------------

FLUSHED = {
    "product of two normal numbers": ([2.0**-64], [1.5 * 2.0**-64], None),
    "sum of two normal numbers": ([1.5 * 2.0**-126, 2.0**-126], [1.0, -1.0], None),
    "operand": ([2.0**-127], [2.0**100], None),
    "weight": ([2.0**100], [2.0**-127], None),
    "bias": ([0.0], [1.0], 2.0**-127),
}


@pytest.mark.parametrize("name", FLUSHED)
def test_f3_flush(name: str) -> None:
    """Measured on oneDNN with AMX: each of these gives 0. Other kernels do not flush."""
    x, w, bias = FLUSHED[name]
    boxes = point(BFLOAT16, x, w, bias)
    both = Machine(BINARY32, boxes.scale, flush=True)
    contract_checks.check_boxes(boxes, TORCH_CPU.sums["bfloat16"], both)
    contract_checks.check_boxes(boxes, TORCH_CPU.sums["bfloat16"], Machine(BINARY32, boxes.scale))
    with pytest.raises(AssertionError):
        contract_checks.check_boxes(boxes, accumulation(BFLOAT16, BINARY32), both)


@pytest.mark.parametrize("batch", [1, 2, 8, 9, 16, 64])
@pytest.mark.parametrize("name", FLUSHED)
def test_f3_this_machine(name: str, batch: int) -> None:
    """Whatever this machine's kernel does, it is inside."""
    x, w, bias = FLUSHED[name]
    stored = torch.tensor([x] * batch, dtype=torch.bfloat16)
    weight = torch.tensor([w], dtype=torch.bfloat16)
    b = None if bias is None else torch.tensor([bias], dtype=torch.bfloat16)
    step = Step(TORCH_CPU, BFLOAT16, batch)
    box = LINEAR.enclose(
        step, Interval.point(stored), Constant(weight), None if b is None else Constant(b)
    )
    assert bool(box.contains(functional.linear(stored, weight, b)).all())
    assert not step.overflow.any()


# --- m off by one --------------------------------------------------------------------------------

WITNESS_X = [1.5] + [2.0**-24] * 7
WITNESS_W = [683 / 1024] + [1.0] * 7


def check_off_by_one_witness() -> None:
    """The exact sum is 1 + 2^-11 + 7 * 2^-24; each of 7 additions in binary32 loses 2^-24.

    1 + 2^-11 is a tie of binary16 and goes to 1.0, the exact sum to 1 + 2^-10: the lower end must
    come down by all 7 * 2^-24, m - 1 additions, or the cell {1 + 2^-10} is wrongly determined.
    """
    x = torch.tensor([WITNESS_X], dtype=torch.float16)
    w = torch.tensor([WITNESS_W], dtype=torch.float16)
    boxes = point(BINARY16, WITNESS_X, WITNESS_W, None)
    machine = Machine(BINARY32, boxes.scale)
    terms = [int(a * b * 2**boxes.scale) for a, b in zip(WITNESS_X, WITNESS_W, strict=True)]
    in_order = machine.chain(terms)
    assert Fraction(in_order, 2**boxes.scale) == 1 + Fraction(1, 2**11)
    lo, hi, _ = contract_checks.ends(boxes, TORCH_CPU.sums["float16"])
    assert Fraction(float(lo)) <= Fraction(in_order, 2**boxes.scale) <= Fraction(float(hi))
    stored = LINEAR.enclose(Step(TORCH_CPU, BINARY16, 1), Interval.point(x), Constant(w))
    assert float(stored.lo) <= 1.0 <= float(stored.hi)
    for batch in (1, 2, 9):
        real = functional.linear(x.expand(batch, -1).contiguous(), w)
        assert float(stored.lo) <= float(real.min()) <= float(real.max()) <= float(stored.hi)


def test_m_minus_one_is_needed() -> None:
    check_off_by_one_witness()


def test_a_real_kernel_reaches_the_witness() -> None:
    """torch adds them in an order that loses all seven: with m - 2 the result would be outside."""
    x = torch.tensor([WITNESS_X], dtype=torch.float16)
    w = torch.tensor([WITNESS_W], dtype=torch.float16)
    if float(functional.linear(x, w)) != 1.0:
        pytest.skip("this machine's kernel adds in another order")
    magnitude, signed, _ = coefficients(7, TORCH_CPU.sums["float16"]) or (0, 0, 0)
    total = 1 + Fraction(1, 2**11) + Fraction(7, 2**24)
    assert total - (magnitude + signed) * total > 1 + Fraction(1, 2**11)  # rounds to 1 + 2^-10


# --- rounding that is not to nearest ---------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "terms"),
    [("faithful", (1024, 2, 2, 1, 1, 1)), ("up", (512, 2, 1, 6, 7, 4, 4))],
)
def test_f4_no_first_form_for_faithful_rounding(mode: str, terms: tuple[int, ...]) -> None:
    """(m-1) 2u S is left by rounding up: the row with 2u gives no bound for so many terms."""
    additions = len(terms) - 1
    results = Machine(WIDE[3], 0, mode).all_sums([(t,) for t in terms], 0)
    assert max(results) - sum(terms) > Fraction(additions * 2, 8) * sum(terms)
    acc = Accumulation(WIDE[3], addition=0.25, product=0.0, product_absolute=0.0)
    assert coefficients(len(terms), acc) is None


# --- over intervals --------------------------------------------------------------------------


def box(lo: Sequence[float], hi: Sequence[float], w: Sequence[float]) -> Boxes:
    ends = (torch.tensor([list(e)], dtype=torch.float64) for e in (lo, hi))
    return Boxes(WIDE[3], Interval(*ends), torch.tensor([list(w)], dtype=torch.float64), None)


def test_f5_q_is_not_that_of_the_midpoint() -> None:
    """10 + 1 = 11 is stored as 12 with p = 3; Q at the midpoint (0) would allow 0.79 only."""
    boxes, u = box([-10, -1], [10, 1], [1, 1]), Fraction(1, 8)
    machine = Machine(WIDE[3], boxes.scale)
    assert machine.results(11 << boxes.scale) == (12 << boxes.scale,)
    radius, size, at_midpoint = 11, 11, 0
    shortcut = u * Fraction(size + at_midpoint, 2) / (1 - u)
    assert radius + shortcut < 12
    contract_checks.check_boxes(boxes, row_exact(3), machine)


def test_f5_a_term_counts_although_its_midpoint_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """x_2 in [-1, 1]: 10 + 1 is stored as 12, and m = 1 would allow 11 only."""
    boxes = box([10, -1], [10, 1], [1, 1])
    machine = Machine(WIDE[3], boxes.scale)
    contract_checks.check_boxes(boxes, row_exact(3), machine)
    shapes = contract_checks._shapes
    bound = shapes.sum_error
    monkeypatch.setattr(shapes, "sum_error", lambda m, *args, **more: bound(m - 1, *args, **more))
    with pytest.raises(AssertionError):
        contract_checks.check_boxes(boxes, row_exact(3), machine)


# --- what the theorem presupposes ------------------------------------------------------------


def worst_of_two_roundings(wider: int) -> Fraction:
    """Largest error over u S of two-term sums in ``wider`` bits, then in 4."""
    first, second = Machine(tiny(wider), 0), Machine(WIDE[4], 0)
    numbers = [k << e for k in range(8, 16) for e in range(6)]
    worst = Fraction(0)
    for a in numbers:
        for b in numbers:
            (partial,) = first.results(a + b)
            (stored,) = second.results(partial)
            worst = max(worst, Fraction(abs(stored - a - b), a + b) * 16)
    return worst


def test_f6_a_wider_intermediate_is_double_rounding() -> None:
    """Sums in p' bits and then in p = 4 leave (m-1) u S unless p' >= 2p: such sums are no row."""
    assert all(worst_of_two_roundings(p) > 1 for p in (5, 6, 7))
    assert all(worst_of_two_roundings(p) < 1 for p in (4, 8, 9))


def test_f6_partials_of_fewer_bits_are_not_covered() -> None:
    """Split-K with 16-bit partials: 1 + 2^-11 is stored as 1.0 before the next addition."""
    terms = (2**24, 2**13 + 1)
    (narrow,) = Machine(BINARY16, 24).results(sum(terms))
    found = coefficients(2, accumulation(BINARY16, BINARY32))
    assert found is not None
    assert abs(narrow - sum(terms)) > (found[0] + found[1]) * sum(terms)
