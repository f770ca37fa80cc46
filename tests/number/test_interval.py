"""Intervals and balls."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Ball, Format, Interval, Narrow

from . import interval_checks as checks

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)


@formats
def test_ball_contains_its_interval(fmt: Format) -> None:
    checks.check_ball(fmt)


@formats
def test_an_interval_held_in_binary32_is_the_same(fmt: Format) -> None:
    checks.check_narrow(fmt)


def test_halves_of_the_widest_interval_do_not_overflow() -> None:
    top = torch.tensor([BINARY32.max_finite])
    reach, rad, _ = Ball.enclosing(Narrow(-top, top)).sizes(torch.float32)
    assert reach == rad == top


@pytest.mark.slow
@formats
def test_ball_contains_its_interval_more(fmt: Format) -> None:
    for seed in range(1, 20):
        checks.check_ball(fmt, seed=seed)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    x=st.floats(width=32, allow_nan=False, allow_infinity=False),
    y=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_ball_of_any_binary32_interval(x: float, y: float) -> None:
    box = Interval(*(torch.tensor([v], dtype=torch.float64) for v in (min(x, y), max(x, y))))
    ball = Ball.enclosing(box)
    assert not list(checks.outside(box, ball.mid, ball.rad))


@pytest.mark.parametrize("fmt", [BFLOAT16, BINARY32], ids=lambda f: f.name)
def test_plain_midpoint_and_radius_leave_the_interval(fmt: Format) -> None:
    """mid = (lo + hi)/2 and rad = (hi - lo)/2 in binary64 lose an end, often."""
    box = checks.random_intervals(fmt, 20_000, 0)
    lost = len(list(checks.outside(box, (box.lo + box.hi) / 2, (box.hi - box.lo) / 2)))
    print(f"\nplain mid/rad, {fmt.name}: an end outside in {lost} of {box.lo.numel()}")
    assert lost > 200


def test_plain_midpoint_is_exact_for_binary16() -> None:
    box = checks.random_intervals(BINARY16, 20_000, 0)
    assert not list(checks.outside(box, (box.lo + box.hi) / 2, (box.hi - box.lo) / 2))


def test_ball_of_the_widest_interval() -> None:
    top = torch.tensor([BINARY32.max_finite], dtype=torch.float64)
    ball = Ball.enclosing(Interval(-top, top))
    assert ball.mid == 0
    assert BINARY32.max_finite <= float(ball.rad) < float("inf")


def test_interval_contains() -> None:
    box = Interval(torch.tensor([0.0, -1.0, 2.0]).double(), torch.tensor([1.0, -1.0, 3.0]).double())
    inside = torch.tensor([1.0, -1.0, 2.0])
    assert box.contains(inside).tolist() == [True, True, True]
    assert box.contains(inside + 1.5).tolist() == [False, False, False]
    assert box.contains(torch.tensor([float("nan")] * 3)).tolist() == [False, False, False]
    assert box.contains(torch.tensor([-0.0, -1.0, 3.0])).tolist() == [True, True, True]


@formats
def test_interval_of_a_point_is_exact(fmt: Format) -> None:
    x = torch.tensor([1.1, -(2.0**-140), 3e4, 0.0]).to(fmt.dtype)
    box = Interval.point(x)
    assert box.shape == x.shape
    for stored, lo, hi in zip(x.tolist(), box.lo.tolist(), box.hi.tolist(), strict=True):
        assert Fraction(stored) == Fraction(lo) == Fraction(hi)


def test_interval_rows() -> None:
    box = Interval(torch.arange(6.0).reshape(3, 2), torch.arange(6.0).reshape(3, 2) + 1)
    part = box.rows(1, 3)
    assert part.lo.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert part.hi.tolist() == [[3.0, 4.0], [5.0, 6.0]]
