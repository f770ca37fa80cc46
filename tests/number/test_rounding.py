"""Rounding into a format is correct; the analysis' own arithmetic is rounded outward."""

import platform
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Format, rounding

from . import rounding_checks as checks
from .exact import round_fraction, tiny

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
short = pytest.mark.parametrize("fmt", checks.SHORT, ids=lambda f: f.name)
fixed = settings(derandomize=True, deadline=None, max_examples=300)


# --- into a format ---------------------------------------------------------------------------


@short
def test_every_cell(fmt: Format) -> None:
    """All numbers, ties and their binary64 neighbours, both signs, to the overflow edge."""
    checks.check_cells(fmt, checks.apply_nearest)
    checks.check_nearest_in_place(fmt)


@short
def test_every_cell_by_gfloat(fmt: Format) -> None:
    checks.check_against_gfloat(checks.cells(fmt)[0], fmt)


@short
def test_cells_by_fractions(fmt: Format) -> None:
    x, expected = checks.cells(fmt)
    checks.check_against_fractions(x[::23], fmt)
    assert expected.size > 8 * 60_000


@pytest.mark.slow
@short
def test_every_cell_by_fractions(fmt: Format) -> None:
    checks.check_against_fractions(checks.cells(fmt)[0], fmt)


def test_binary32() -> None:
    x = checks.points32()
    checks.check_against_gfloat(x[::3], BINARY32)
    checks.check_against_fractions(x[::5], BINARY32)


@pytest.mark.slow
def test_binary32_more() -> None:
    for seed in range(1, 6):
        x = checks.points32(seed, 100_000)
        checks.check_against_gfloat(x, BINARY32)
        checks.check_against_fractions(x[::4], BINARY32)


@pytest.mark.parametrize("precision", [2, 3, 5, 8, 11, 16])
def test_any_row(precision: int) -> None:
    """The rounding reads three integers of the row: formats without a dtype round right too."""
    fmt = tiny(precision, emin=-5, emax=6)
    g = np.random.default_rng(precision)
    k = g.integers(-(2 ** (precision + 2)), 2 ** (precision + 2), 3000)
    x = k * 2.0 ** g.integers(-8 - precision, 6, 3000)
    x = np.concatenate([x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf)])
    checks.check_against_fractions(x[np.abs(x) < 2 * fmt.max_finite], fmt)


@formats
@fixed
@given(x=st.floats(allow_nan=False))
def test_any_binary64(fmt: Format, x: float) -> None:
    found = float(rounding.nearest(torch.tensor([x], dtype=torch.float64), fmt))
    if abs(x) == float("inf"):
        assert found == x
    else:
        assert found == float(round_fraction(Fraction(x), fmt))


@formats
@fixed
@given(x=st.floats(width=32, allow_nan=False, allow_infinity=False), y=st.floats(0, 1))
def test_monotone(fmt: Format, x: float, y: float) -> None:
    pair = torch.tensor([x, x + y * abs(x)], dtype=torch.float64)
    low, high = rounding.nearest(pair, fmt).tolist()
    assert low <= high


@formats
def test_special_values(fmt: Format) -> None:
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, -0.0], dtype=torch.float64)
    found = rounding.nearest(x, fmt)
    assert found[0].isnan()
    assert found[1:].tolist() == [float("inf"), float("-inf"), 0.0, 0.0]
    assert rounding.nearest(torch.zeros(0, 3, dtype=torch.float64), fmt).shape == (0, 3)


# --- the tests are not vacuous; other ways to round --------------------------------------------


@short
def test_torch_conversion_rounds_twice(fmt: Format) -> None:
    with pytest.raises(AssertionError, match="wrong"):
        checks.check_cells(fmt, checks.nearest_twice)


@short
def test_round_to_odd_agrees(fmt: Format) -> None:
    checks.check_cells(fmt, checks.nearest_by_odd)


@short
def test_directed_is_sound_but_not_tight(fmt: Format) -> None:
    """Down first gives a lower end that may be one number too low, never too high."""
    x, expected = checks.cells(fmt)
    low = checks.nearest_directed(x, fmt, -np.inf)
    high = checks.nearest_directed(x, fmt, np.inf)
    assert (low <= expected).all()
    assert (expected <= high).all()
    assert (low < expected).sum() > 30_000
    assert (expected < high).sum() > 30_000
    witness = np.array([1 + 2.0**-fmt.precision + 2.0**-52])
    assert checks.nearest_directed(witness, fmt, -np.inf) == 1.0
    assert checks.apply_nearest(witness, fmt) == 1 + 2.0 ** (1 - fmt.precision)


# --- neighbours --------------------------------------------------------------------------------


@formats
def test_neighbours(fmt: Format) -> None:
    checks.check_neighbours(fmt)


@formats
def test_format_constants(fmt: Format) -> None:
    """The derived constants are the numbers that their names say."""
    info = torch.finfo(fmt.dtype)
    assert fmt.max_finite == info.max
    assert fmt.min_normal == info.tiny
    assert fmt.unit_roundoff == info.eps / 2
    zero = torch.zeros(1, dtype=torch.float64)
    assert rounding.next_up(zero, fmt) == 2 * fmt.eta
    below, at = Fraction(np.nextafter(fmt.overflow_threshold, 0)), Fraction(fmt.overflow_threshold)
    assert round_fraction(below, fmt) == fmt.max_finite
    assert round_fraction(at, fmt) == float("inf")
    assert round_fraction(Fraction(fmt.eta), fmt) == 0  # the tie goes to zero
    assert round_fraction(Fraction(fmt.eta) * Fraction(2**53 + 1, 2**53), fmt) == 2 * fmt.eta


# --- outward -----------------------------------------------------------------------------------


def test_up_and_down() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, generator=g, dtype=torch.float64)
    edges = [0.0, 2.0**-1074, -(2.0**-1074), 2.0**-1022, 1.0, -1.0, 2.0**1023, 1.7e308, -1.7e308]
    checks.check_outward(torch.cat([x, x * 2.0**-1040, torch.tensor(edges, dtype=torch.float64)]))


def test_inflate() -> None:
    for k in (0, 1, 2, 3, 5, 10, 100, 12345, 2**20, 2**31, 2**40, 2**51 - 1):
        checks.check_inflate(k)


def test_gamma() -> None:
    for n in (0, 1, 2, 3, 10, 785, 12345, 2**20, 2**31, 2**40, 2**51):
        checks.check_gamma(n)


@pytest.mark.parametrize("seed", range(40))
def test_binary64_contractions(seed: int) -> None:
    checks.check_binary64_sums(seed)


# --- subnormals --------------------------------------------------------------------------------

FLUSHED = """
import sys, torch
if not torch.set_flush_denormal(True):
    sys.exit(77)
try:
    import errbound.number
except RuntimeError as error:
    assert "flushes subnormal" in str(error)
else:
    sys.exit("imported although subnormals are flushed")
torch.set_flush_denormal(False)
from errbound.number import BFLOAT16, nearest, require_subnormals
require_subnormals()
x = torch.tensor([1.3 * 2.0**-130], dtype=torch.float64)
assert x <= x.bfloat16().double() * 2
torch.set_flush_denormal(True)
assert x.bfloat16() == 0, "an upper end would come out too small"
try:
    require_subnormals()
except RuntimeError as error:
    assert "set_flush_denormal" in str(error)
else:
    sys.exit("require_subnormals() accepts a process that flushes")
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flush mode of x86")
def test_flushing_process_is_refused() -> None:
    """FTZ and DAZ make upper ends too small: no errbound in such a process."""
    done = subprocess.run([sys.executable, "-c", FLUSHED], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this torch build cannot flush")
    assert done.returncode == 0, done.stderr


def test_this_process_keeps_subnormals() -> None:
    rounding.require_subnormals()
    x = torch.tensor([2.0**-149, 2.0**-133, 2.0**-24], dtype=torch.float64)
    for fmt, k in ((BINARY32, 0), (BFLOAT16, 1), (BINARY16, 2)):
        assert rounding.nearest(x[k : k + 1], fmt) == x[k]
