"""``contract`` end to end: no execution of any order leaves its ends, on random and worst boxes.

Each test prints the largest share of the radius that an execution reached (``pytest -s``): over
boxes with width it is near 1 by nature; ``test_worst_point`` has the accumulation alone.
"""

import itertools
import random
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    NATIVE,
    Accumulation,
    Format,
    Interval,
    accumulation,
)
from errbound.ops import Step, _shapes

from . import contract_checks as checks
from .contract_checks import ERRORLESS, KINDS, Boxes, point, random_boxes
from .exact import Machine, Overflow, tiny
from .summation_checks import Share

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
kinds = pytest.mark.parametrize("kind", KINDS)


def machine_of(boxes: Boxes, acc: Accumulation, mode: str = "even") -> Machine:
    """Executions of a row: flushed or not, both."""
    return Machine(acc.accumulator, boxes.scale, mode, flush=acc.input_absolute > 0.0)


def sweep(
    storage: Format,
    acc: Accumulation,
    kind: str,
    fan_ins: tuple[int, ...],
    seeds: range,
    *,
    mode: str = "even",
    trees: int = 0,
) -> None:
    """Random boxes of one kind; prints the share."""
    share = Share()
    for seed, fan_in in itertools.product(seeds, fan_ins):
        boxes = random_boxes(storage, kind, 5, fan_in, 2, 101 * seed + fan_in)
        machine = machine_of(boxes, acc, mode)
        found = checks.check_boxes(boxes, acc, machine, points=2, trees=trees, seed=seed)
        share.cases += found.cases
        share.value = max(share.value, found.value)
    print(f"\n{storage.name}, {kind}: {share.value:.4f} of the radius, {share.cases} cases")
    assert share.cases > 0


@pytest.fixture(params=["binary32", "binary64"])
def work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format in which S and r are computed; in binary32 where that is possible."""
    if request.param == "binary64":
        monkeypatch.setattr(_shapes, "in_binary32", lambda *args: False)


both = pytest.mark.usefixtures("work")


# --- the formats of networks -----------------------------------------------------------------


@both
@kinds
@formats
def test_all_orders(fmt: Format, kind: str) -> None:
    """torch-cpu's rows; bfloat16 with flushed operands, products and partial sums, or not."""
    sweep(fmt, TORCH_CPU.sums[fmt.name], kind, (1, 2, 3, 4), range(4))


@both
@kinds
@formats
def test_random_orders(fmt: Format, kind: str) -> None:
    sweep(fmt, TORCH_CPU.sums[fmt.name], kind, (6, 30), range(2), trees=4)


@pytest.mark.slow
@kinds
@formats
def test_all_orders_more(fmt: Format, kind: str) -> None:
    acc = TORCH_CPU.sums[fmt.name]
    sweep(fmt, acc, kind, (1, 2, 3, 4), range(4, 14))
    sweep(fmt, acc, kind, (5, 6), range(6, 8))
    sweep(fmt, acc, kind, (6, 40, 200), range(6, 9), trees=6)


@kinds
def test_bfloat16_without_flush(kind: str) -> None:
    sweep(BFLOAT16, accumulation(BFLOAT16, BINARY32), kind, (1, 2, 3, 4), range(3))


@kinds
@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_sixteen_bit_accumulators(fmt: Format, kind: str) -> None:
    """Every operation rounds to 16 bits (strict16): products round and underflow."""
    sweep(fmt, accumulation(fmt, fmt), kind, (1, 2, 3, 4), range(3))


@both
@kinds
@formats
def test_own_error(fmt: Format, kind: str) -> None:
    """A machine without errors: the exact sum stays inside although binary64 rounds."""
    for seed, fan_in in itertools.product(range(4), (1, 3, 9, 30)):
        boxes = random_boxes(fmt, kind, 5, fan_in, 2, 37 * seed + fan_in)
        checks.check_boxes(boxes, ERRORLESS, None, points=2, seed=seed)


def test_own_error_of_cancelling_sums() -> None:
    """2^60 + 1 - 2^60 in every order of binary64, and its radius."""
    for terms in itertools.permutations((2.0**60, 1.0, -(2.0**60), 2.0**-20)):
        boxes = point(BINARY32, terms, [1.0] * 4, None)
        share = checks.check_boxes(boxes, ERRORLESS, None)
        assert share.cases > 0


# --- small formats: first form, underflow, overflow, flush -------------------------------------

SMALL = {
    "p2": (tiny(2, emin=-3), tiny(2, emin=-3)),
    "p3": (tiny(3, emin=-4), tiny(3, emin=-4)),
    "p2 in p4": (tiny(2, emin=-3), tiny(4, emin=-12)),
    "p2 in p4, narrow": (tiny(2, emin=-3), tiny(4, emin=-3)),
}


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("kind", ["ordinary", "ties", "cancelling", "subnormal"])
@pytest.mark.parametrize("row", SMALL)
def test_small_formats(row: str, kind: str, flush: bool) -> None:
    """So few bits that every loss shows; p2 uses the first form from four terms on."""
    storage, accumulator = SMALL[row]
    acc = accumulation(storage, accumulator, flush=flush)
    fan_ins = (1, 2) if flush else (1, 2, 3, 5)  # p2: no bound for four flushed terms
    sweep(storage, acc, kind, fan_ins, range(3), mode="any-tie")


@pytest.mark.slow
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("kind", ["ordinary", "ties", "cancelling", "subnormal"])
@pytest.mark.parametrize("row", SMALL)
def test_small_formats_more(row: str, kind: str, flush: bool) -> None:
    storage, accumulator = SMALL[row]
    acc = accumulation(storage, accumulator, flush=flush)
    fan_ins = (1, 2) if flush and row == "p2" else (1, 2, 3, 4)
    sweep(storage, acc, kind, fan_ins, range(3, 40), mode="any-tie")


def test_where_no_bound_is_known_the_verdict_is_overflow() -> None:
    """Flushed additions and too many terms: ends are not finite and the store says so."""
    storage, accumulator = SMALL["p2"]
    acc = accumulation(storage, accumulator, flush=True)
    boxes = random_boxes(storage, "ordinary", 5, 6, 2, 1)
    lo, hi, overflow = checks.ends(boxes, acc)
    assert not overflow.any()
    step = Step(TORCH_CPU, BINARY32, 5)
    step.store_(lo, hi)
    assert step.overflow.all()


def overflowing(fan_in: int) -> Iterator[tuple[Boxes, Accumulation]]:
    """All multisets of numbers of a format with the largest number 28, weights 1, bias or not."""
    fmt = tiny(3, emin=2, emax=4)
    numbers = [float(s * k) for k in (0, 1, 4, 7, 12, 20, 28) for s in (1, -1)]
    rows = torch.tensor(list(itertools.combinations_with_replacement(numbers, fan_in))).double()
    for bias in (None, torch.tensor([-28.0]).double(), torch.tensor([5.0]).double()):
        weight = torch.ones(1, fan_in, dtype=torch.float64)
        yield Boxes(fmt, Interval(rows, rows.clone()), weight, bias), accumulation(fmt, fmt)


def check_overflow(fan_in: int) -> tuple[int, int]:
    """No partial sum of any order overflows unannounced; (overflowing, announced) samples."""
    real = announced = 0
    for boxes, acc in overflowing(fan_in):
        machine = machine_of(boxes, acc)
        checks.check_boxes(boxes, acc, machine, points=0)
        announced += int(checks.ends(boxes, acc)[2].sum())
        for x in boxes.x.lo.tolist():
            terms = [(int(v),) for v in x]
            if boxes.bias is not None:
                terms.append((int(boxes.bias),))
            try:
                Machine(acc.accumulator, 0).all_sums(terms, 0)
            except Overflow:
                real += 1
    return real, announced


@pytest.mark.parametrize("fan_in", [1, 2, 3])
def test_overflow_of_a_partial_sum_is_announced(fan_in: int) -> None:
    """the total may be in range and a partial sum not; the check is before rounding."""
    real, announced = check_overflow(fan_in)
    print(f"\nfan-in {fan_in}: {real} samples overflow in some order, {announced} are announced")
    assert real <= announced


def test_overflow_in_binary32() -> None:
    top = BINARY32.max_finite
    acc = TORCH_CPU.sums["float32"]
    safe = point(BINARY32, [top / 8, top / 8, -top / 8], [1.0] * 3, None)
    assert not checks.ends(safe, acc)[2].any()
    checks.check_boxes(safe, acc, machine_of(safe, acc))
    for terms in ([top, top, -top], [top, -top, 2.0**104], [top / 2, top / 2, top / 2]):
        boxes = point(BINARY32, terms, [1.0] * 3, None)
        assert checks.ends(boxes, acc)[2].all()
    product = point(BINARY32, [2.0**100, 2.0**100], [2.0**30, -(2.0**30)], None)
    assert checks.ends(product, acc)[2].all()


def test_other_samples_are_not_marked() -> None:
    top = BINARY32.max_finite
    x = torch.tensor([[1.0, 2.0], [top, top], [0.5, -0.5]], dtype=torch.float64)
    boxes = Boxes(BINARY32, Interval(x, x.clone()), torch.ones(1, 2).double(), None)
    lo, hi, overflow = checks.ends(boxes, TORCH_CPU.sums["float32"])
    assert overflow.tolist() == [False, True, False]
    assert lo[0] <= 3.0 <= hi[0]


# --- how tight ---------------------------------------------------------------------------------


def worst_points() -> dict[str, tuple[Boxes, Accumulation, int]]:
    """Points without width whose error comes near the bound, and random trees to try (0: all)."""
    half, brain, single = (TORCH_CPU.sums[f.name] for f in (BINARY16, BFLOAT16, BINARY32))
    gentle = accumulation(BFLOAT16, BINARY32)
    ties16 = [1.0] + [2.0**-24] * 5
    below = 2.0**-63 * (1 - 2.0**-8)
    subnormal = 2.0**-126 - 2.0**-133  # the largest
    inexact = 1 + 2.0**-12  # its square is a tie
    return {
        "binary16, ties, m = 6": (point(BINARY16, ties16, [1.0] * 6, None), half, 0),
        "binary16, ties and bias": (point(BINARY16, ties16[1:], [1.0] * 5, 1.0), half, 0),
        "binary16, ties, m = 200": (
            point(BINARY16, [1.0] + [2.0**-24] * 199, [1.0] * 200, None), half, 3),
        "bfloat16, ties, m = 6": (point(BFLOAT16, ties16, [1.0] * 6, None), gentle, 0),
        "bfloat16, product underflows": (point(BFLOAT16, [2.0**-75], [2.0**-75], None), gentle, 0),
        "bfloat16, product flushed": (point(BFLOAT16, [below], [below], None), brain, 0),
        "bfloat16, input flushed": (point(BFLOAT16, [subnormal], [2.0**60], None), brain, 0),
        "bfloat16, weight flushed": (point(BFLOAT16, [2.0**60], [subnormal], None), brain, 0),
        "bfloat16, sum flushed": (
            point(BFLOAT16, [2.0**-126 * 1.9921875, 2.0**-126], [1.0, -1.0], None), brain, 0),
        "binary32, one product": (point(BINARY32, [inexact], [inexact], None), single, 0),
        "binary32, product underflows": (point(BINARY32, [2.0**-75], [2.0**-75], None), single, 0),
        "binary32, two products": (
            point(BINARY32, [inexact, 1.0], [inexact, 2.0**-24], None), single, 0),
        "binary32, ties, m = 6": (point(BINARY32, ties16, [1.0] * 6, None), single, 0),
    }  # fmt: skip


@pytest.mark.parametrize("name", worst_points())
def test_worst_point(name: str) -> None:
    """The share of the radius that a constructed execution reaches: the bounds are not idle."""
    boxes, acc, trees = worst_points()[name]
    machine = machine_of(boxes, acc)
    share = checks.check_boxes(boxes, acc, machine, trees=trees).value
    if "m = 200" in name:  # one chain from the large term: random trees do not find it
        lo, hi, _ = checks.ends(boxes, acc)
        terms = [int(v * 2**boxes.scale) for v in boxes.x.lo[0].tolist()]
        found = Share()
        box = checks.exact_ends(lo[0, 0], hi[0, 0])
        checks.see(found, box, {machine.chain(terms)}, boxes.scale, name)
        share = found.value
    print(f"\n{name}: {share:.6f} of the radius")
    assert share > (0.15 if "flushed" in name else 0.49)


@formats
def test_worst_search(fmt: Format) -> None:
    """Random points of few terms: the largest share that a search finds."""
    acc, rng, share = TORCH_CPU.sums[fmt.name], random.Random(0), Share()
    small = 2.0 ** -(24 if fmt is not BINARY16 else 14)
    for _ in range(400):
        m = rng.choice((2, 3))
        x = [1.0 + rng.randrange(4) * 2.0 ** (1 - fmt.precision)]
        x += [rng.choice((1.0, 1.5, -1.0, 1 + 2.0 ** (1 - fmt.precision))) for _ in range(m - 1)]
        w = [1.0 + rng.randrange(4) * 2.0 ** (1 - fmt.precision)]
        w += [rng.choice((small, small / 2, 1.0)) for _ in range(m - 1)]
        boxes = point(fmt, x, w, rng.choice((None, 1.0, -2.0)))
        found = checks.check_boxes(boxes, acc, machine_of(boxes, acc), points=0)
        share.see(Fraction(found.value), Fraction(1), (x, w))
    print(f"\n{fmt.name}, searched: {share.value:.4f} of the radius at {share.where}")
    assert share.value > 0.3
