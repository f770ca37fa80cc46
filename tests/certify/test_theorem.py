"""The theorem: ties, sets of executions, and agreement with a search over corners."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errbound.number import Interval
from errbound.verdict import Ties, bounds
from errbound.verdict.theorem import without_classes

SIXTEENTHS = st.integers(-32, 32).map(lambda k: k / 16)


def box(*ends: tuple[float, float]) -> Interval:
    lo, hi = zip(*ends, strict=True)
    return Interval(torch.tensor([lo], dtype=torch.float64), torch.tensor([hi]).double())


def point(*values: float) -> Interval:
    return box(*((v, v) for v in values))


def test_a_tie_is_no_proof() -> None:
    """Theory 2: margin = 2 delta exactly, and the first-index rule changes the answer."""
    p, q = point(0.375, 0.625), point(0.5, 0.5)
    found = bounds(p, q, p.lo)
    assert p.lo.argmax(dim=1).item() == 1
    assert q.lo.argmax(dim=1).item() == 0
    assert found.margin.item() == pytest.approx(2 * 0.125, abs=1e-15)
    assert found.delta.item() == pytest.approx(0.125, abs=1e-15)
    assert found.margin.item() <= 2 * found.delta.item()
    assert found.pairwise.item() <= 0
    assert not found.proved.item()
    assert not bounds(p, q, p.lo, Ties.FIRST).proved.item()


def test_margin_is_over_all_executions_of_m32() -> None:
    """{(1, 0), (0.125, 0.875)} against (0.5625, 0.4375); one run alone would pass."""
    m32, m16 = box((0.125, 1.0), (0.0, 0.875)), point(0.5625, 0.4375)
    run = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = bounds(m32, m16, run)
    assert 1.0 > 2 * 0.4375, "the margin of the one run exceeds twice its distance"
    assert found.margin.item() <= 0
    assert found.winner.item() == -1
    assert not found.proved.item()


@pytest.mark.parametrize("gap", [2.0**-11, 2.0**-24, 5e-324])
def test_the_smallest_gap_is_a_proof(gap: float) -> None:
    z = point(0.0, gap)
    found = bounds(z, z, z.lo)
    assert found.proved.item()
    assert found.winner.item() == 1
    assert found.pairwise.item() <= gap
    assert found.delta.item() >= 0.0


def test_intervals_that_touch_are_no_proof() -> None:
    apart, touching = box((1.0, 2.0), (-1.0, 0.0)), box((1.0, 2.0), (0.0, 1.0))
    assert bounds(apart, apart, apart.lo).proved.item()
    assert not bounds(touching, apart, touching.lo).proved.item()
    assert not bounds(apart, touching, apart.lo).proved.item()


def test_a_winner_of_m16_alone_is_no_proof() -> None:
    m32, m16 = point(1.0, 0.0), point(0.0, 1.0)
    assert not bounds(m32, m16, m32.lo).proved.item()


@st.composite
def boxes(draw: st.DrawFn) -> Interval:
    ends = [sorted(draw(st.tuples(SIXTEENTHS, SIXTEENTHS))) for _ in range(3)]
    return box(*((a, b) for a, b in ends))


def corners(z: Interval) -> list[tuple[float, ...]]:
    ends = zip(z.lo[0].tolist(), z.hi[0].tolist(), strict=True)
    return list(itertools.product(*ends))


@settings(deadline=None)
@given(boxes(), boxes())
def test_against_all_corners(m32: Interval, m16: Interval) -> None:
    """Corners are executions: every bound holds at each, and proofs are exactly right."""
    found = bounds(m32, m16, m32.lo)
    a_all, b_all = corners(m32), corners(m16)
    delta = max(abs(x - y) for a in a_all for b in b_all for x, y in zip(a, b, strict=True))
    assert delta <= found.delta.item() <= delta * (1 + 2**-51) + 1e-300
    run = max(abs(x - y) for b in b_all for x, y in zip(m32.lo[0].tolist(), b, strict=True))
    assert run <= found.delta_run.item() <= run * (1 + 2**-51) + 1e-300
    for a in a_all:
        assert found.margin.item() <= sorted(a)[-1] - sorted(a)[-2]

    def winners(z: tuple[float, ...]) -> set[int]:
        return {i for i, v in enumerate(z) if v == max(z)}

    answers = [winners(z) for z in a_all + b_all]
    unique = all(w == answers[0] and len(w) == 1 for w in answers)
    assert found.proved.item() == unique
    if found.winner.item() >= 0:
        i = int(found.winner.item())
        lead = min(b[i] - max(v for j, v in enumerate(b) if j != i) for b in b_all)
        assert found.pairwise.item() <= lead


def all_boxes(values: tuple[float, ...], classes: int) -> Interval:
    """Every box with ends among the values."""
    ends = [(a, b) for a in values for b in values if a <= b]
    rows = list(itertools.product(ends, repeat=classes))
    lo, hi = torch.tensor(rows, dtype=torch.float64).unbind(dim=2)
    return Interval(lo, hi)


def test_first_index_proofs_are_exactly_right() -> None:
    """All pairs of boxes of three outputs in {0, 1, 2}: proved if and only if argmax agrees."""
    grid = (0.0, 1.0, 2.0)
    z = all_boxes(grid, 3)
    points = torch.tensor(list(itertools.product(grid, repeat=3)), dtype=torch.float64)
    inside = ((z.lo[:, None] <= points) & (points <= z.hi[:, None])).all(dim=2)
    answers = torch.stack([(inside & (points.argmax(dim=1) == i)).any(dim=1) for i in range(3)], 1)
    count = len(answers)
    m32, m16 = (torch.arange(count).repeat_interleave(count), torch.arange(count).repeat(count))
    for ties in Ties:
        found = bounds(z.at(m32), z.at(m16), z.lo[m32], ties)
        agree = (answers[m32] | answers[m16]).sum(dim=1) == 1
        if ties is Ties.FIRST:
            assert torch.equal(found.proved, agree)
        else:
            assert not bool((found.proved & ~agree).any())
        right = answers[m32].sum(dim=1) == 1
        known = found.winner >= 0
        assert bool((right | ~known).all())
        assert torch.equal(found.winner[known], answers[m32].int().argmax(dim=1)[known])


@settings(deadline=None)
@given(boxes(), boxes())
def test_the_classic_form_never_proves_more(m32: Interval, m16: Interval) -> None:
    found = bounds(m32, m16, m32.lo)
    if found.margin.item() > 2 * found.delta.item():
        assert found.proved.item()


def test_distances_without_classes() -> None:
    m32, m16 = box((0.0, 1.0)), box((0.5, 3.0))
    found = without_classes(m32, m16, m32.lo)
    assert found.delta.item() >= 3.0
    assert not found.proved.item()
    assert found.winner.item() == -1
