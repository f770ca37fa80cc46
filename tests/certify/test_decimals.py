"""Decimals of proved bounds are on the right side, exactly, and as tight as six digits allow."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errbound.report.decimals import DIGITS, lower, observed, percent, upper

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE)
def test_outward_and_tight(x: float) -> None:
    below, exact, above = Fraction(lower(x)), Fraction(x), Fraction(upper(x))
    assert below <= exact <= above
    assert above - below <= abs(exact) * Fraction(10) ** (1 - DIGITS)
    assert float(lower(x)) <= x <= float(upper(x))


@given(FINITE, st.integers(1, 17))
def test_any_number_of_digits(x: float, digits: int) -> None:
    assert Fraction(lower(x, digits)) <= Fraction(x) <= Fraction(upper(x, digits))


@given(FINITE)
def test_the_two_are_mirror_images(x: float) -> None:
    assert Fraction(lower(-x)) == -Fraction(upper(x))


@given(st.floats(allow_nan=False))
def test_observed_numbers_read_back(x: float) -> None:
    assert float(observed(x)) == x


@pytest.mark.parametrize(
    ("x", "low", "high"),
    [
        (0.0, "0", "0"),
        (-0.0, "0", "0"),
        (0.5, "0.5", "0.5"),
        (0.1, "0.1", "0.100001"),
        (-0.1, "-0.100001", "-0.1"),
        (30.0, "30", "30"),
        (1e15, "1000000000000000", "1000000000000000"),
        (1e22, "1e22", "1e22"),
        (1.5e-6, "0.0000015", "0.00000150001"),
        (1.23456789e-7, "1.23456e-7", "1.23457e-7"),
        (math.inf, "inf", "inf"),
        (-math.inf, "-inf", "-inf"),
        (math.nan, "", ""),
    ],
)
def test_how_they_look(x: float, low: str, high: str) -> None:
    assert (lower(x), upper(x)) == (low, high)


def test_all_is_all() -> None:
    assert percent(10_000, 10_000) == "100.00 %"
    assert percent(99_999, 100_000) == "99.99 %"
    assert percent(1, 3) == "33.33 %"
    assert percent(0, 3) == "0.00 %"
