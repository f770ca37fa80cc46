"""Every record keeps its contract: all formats, sizes 1, 7, 64, 65, the layouts of its cases."""

from __future__ import annotations

import pytest
import torch

from errbound.number import NATIVE, Format, Interval
from errbound.ops import OPS, Op

from . import contract

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
records_and_sizes = pytest.mark.parametrize(
    ("op", "size"),
    [
        pytest.param(
            op, n, id=f"{op.name}-{n}", marks=[pytest.mark.slow] * (op.moves and n in (7, 64))
        )
        for op in contract.WITH_CASES
        for n in contract.SIZES
    ],
)


@records_and_sizes
@formats
def test_a_point_encloses_what_the_kernel_returns(op: Op, fmt: Format, size: int) -> None:
    g = torch.Generator().manual_seed(1)
    for plain in contract.all_calls(op, fmt, size):
        for variant in contract.VARIANTS:
            call = contract.varied(plain, variant, g)
            step = call.step()
            found = call.enclose(tuple(map(Interval.point, call.leaves)), step)
            contract.check_ends(call, found, step)
            alive = contract.check_inside(call, found, step, call.leaves)
            assert variant != "plain" or alive == step.samples


@records_and_sizes
@formats
def test_a_box_encloses_what_the_kernel_returns_inside(op: Op, fmt: Format, size: int) -> None:
    g = torch.Generator().manual_seed(2)
    checked = 0
    for plain in contract.all_calls(op, fmt, size):
        for variant, widest in (("plain", 1), ("plain", 2**fmt.precision), ("mixed", 60)):
            call = contract.varied(plain, variant, g)
            mirrored = 0.0 if contract.divides(op) else 0.03
            boxes = contract.boxes_around(call, g, widest, mirrored)
            step = call.step()
            found = call.enclose(boxes, step)
            contract.check_ends(call, found, step)
            points = [tuple(contract.between(b, g, fmt) for b in boxes) for _ in range(2)]
            for at in (*contract.corners(boxes), *points):
                checked += contract.check_inside(call, found, step, at)
    assert checked >= 12


@records_and_sizes
@formats
def test_a_smaller_box_gives_a_smaller_interval(op: Op, fmt: Format, size: int) -> None:
    g = torch.Generator().manual_seed(3)
    for plain in contract.all_calls(op, fmt, size):
        call = contract.varied(plain, "mixed", g)
        outer = contract.boxes_around(call, g, 100)
        inner = []
        for box in outer:
            a, b = (contract.between(box, g, fmt) for _ in range(2))
            inner.append(Interval(torch.minimum(a, b), torch.maximum(a, b)))
        big, small = call.step(), call.step()
        wide = call.enclose(outer, big)
        narrow = call.enclose(tuple(inner), small)
        contract.check_isotone(narrow, wide, ~big.overflow)
        assert not bool((small.overflow & ~big.overflow).any())


@pytest.mark.parametrize("op", [op for op in contract.WITH_CASES if op.moves], ids=lambda o: o.name)
@formats
def test_moving_records_move_the_ends_exactly(op: Op, fmt: Format) -> None:
    """The ends are what the same call makes of the ends: numbers are moved, none is made."""
    g = torch.Generator().manual_seed(4)
    for call in contract.all_calls(op, fmt, 7):
        boxes = contract.boxes_around(call, g, 5)
        found = call.enclose(boxes, call.step())
        swap = op.name == "neg"
        for end, other in (("lo", "hi"), ("hi", "lo")):
            moved = call.run(
                tuple(
                    contract.laid_out(getattr(b, other if swap else end).to(fmt.dtype), x)
                    for b, x in zip(boxes, call.leaves, strict=True)
                )
            )
            for box, value in zip(found, moved, strict=True):
                assert torch.equal(getattr(box, end), value.double())


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_records_are_complete(op: Op) -> None:
    for text in (op.name, op.meaning, op.rounds, op.lemma, op.domain):
        assert text.strip() == text != ""
        assert "\n" not in text
    kind, _, reason = op.lemma.partition(": ")
    assert kind in ("proved", "paper", "assumed", "measured")
    assert reason
    assert op.targets
    assert len(set(op.targets)) == len(op.targets)
    assert (op in contract.WITH_CASES) != op.lemma.endswith("no number is involved")


def test_names_and_targets_are_unique() -> None:
    names = [op.name for op in OPS]
    targets = [t for op in OPS for t in op.targets]
    assert len(set(names)) == len(names)
    assert len(set(targets)) == len(targets)
