"""Strategies of numbers and tensors: numbers of the format, the classes that hurt, shrinking."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from errbound.errors import InputError
from errbound.number import E4M3, E5M2, FORMATS, NATIVE, TF32, Format, nearest
from errbound.testing import numbers, tensors
from errbound.testing.numbers import number_at, place_of
from errbound.testing.rounding import rounding

formats = pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
quick = settings(max_examples=200, database=None, deadline=None)
DTYPES = {E4M3: torch.float8_e4m3fn, E5M2: torch.float8_e5m2} | {f: f.dtype for f in NATIVE}


def drawn(strategy, count):
    """So many examples, always the same ones."""
    found = []

    @settings(quick, max_examples=count, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(value):
        found.append(value)

    collect()
    return found


def is_number(x: float, fmt: Format) -> bool:
    """Independent of ``place_of``: by torch's own dtype, or the bits of binary32."""
    if fmt is TF32:
        return np.float32(x) == x and np.float32(x).view(np.uint32) & 0x1FFF == 0
    stored = float(torch.tensor(x, dtype=torch.float64).to(DTYPES[fmt]).double())
    return stored == x and math.copysign(1, stored) == math.copysign(1, x)


@pytest.mark.parametrize("fmt", [f for f in DTYPES if f.precision < 24], ids=lambda f: f.name)
def test_places_are_all_numbers_in_order(fmt):
    dtype = DTYPES[fmt]
    kind = {1: torch.int8, 2: torch.int16}[dtype.itemsize]
    codes = torch.arange(0, 2 ** (8 * dtype.itemsize - 1), dtype=torch.int64).to(kind)
    values = [v for v in codes.view(dtype).double().tolist() if math.isfinite(v)]
    assert values == [number_at(k, fmt) for k in range(len(values))]
    assert [place_of(v, fmt) for v in values] == list(range(len(values)))
    assert [place_of(-v, fmt) for v in values[1:]] == list(range(-1, -len(values), -1))
    assert values[-1] == fmt.max_finite


@formats
def test_numbers_are_of_the_format_and_meet_what_hurts(fmt):
    found = drawn(numbers(fmt), 900)
    assert all(is_number(x, fmt) for x in found)
    sizes = {abs(x) for x in found}
    assert {math.copysign(1, x) for x in found if x == 0} == {1, -1}
    assert {0.0, fmt.max_finite, 2 * fmt.eta} <= sizes
    assert any(0 < x < fmt.min_normal for x in sizes)
    assert len({x for x in sizes if 0.1 <= x < 2}) >= 8
    powers = {x for x in sizes if math.frexp(x)[0] == 0.5}
    assert len(powers) >= 8
    for step in (-1, 1):
        beside = (number_at(place_of(x, fmt) - step, fmt) for x in sizes if place_of(x, fmt) > 1)
        assert sum(math.frexp(x)[0] == 0.5 for x in beside) >= 3
    for coarser in {f.precision for f in FORMATS if f.precision < fmt.precision}:
        ties = [x for x in sizes if _odd_bits(x) == coarser + 1]
        assert len(ties) >= 3, coarser


def _odd_bits(x: float) -> int:
    """Bits from the first to the last one of a number's significand."""
    n, _ = x.as_integer_ratio()
    return (n // (n & -n)).bit_length() if n else 0


@formats
def test_numbers_shrink_to_simple_ones(fmt):
    def least(condition):
        return find(numbers(fmt), condition, settings=quick, random=Random(0))

    assert least(lambda x: True) == 0
    assert least(lambda x: x > 0.8) == 1
    assert least(lambda x: x > 2.5) == 3


@pytest.mark.parametrize("name", ["float16", "binary16"])
def test_formats_are_known_by_name(name):
    assert find(numbers(name), lambda x: x > 2000, settings=quick, random=Random(0)) == 2001


def test_an_unknown_format_is_refused():
    with pytest.raises(InputError, match="unknown format 'float17'; known: float16"):
        numbers("float17")


@formats
def test_tensors_hold_numbers_of_the_format(fmt):
    shapes = st.sampled_from([(), (0, 3), (2, 3), (40,)])
    seen = set()
    for x in drawn(tensors(fmt, shapes), 60):
        assert x.dtype == fmt.dtype
        assert torch.equal(nearest(x.double(), fmt), x.double())
        seen.add(tuple(x.shape))
    assert len(seen) == 4


def test_tensors_keep_negative_zero():
    x = drawn(tensors("tf32", 3, st.just(-0.0)), 1)[0]
    assert torch.signbit(x).all()


def test_tensors_shrink_to_zeros_and_one_simple_number():
    x = find(
        tensors("float16", (2, 3)),
        lambda x: bool((x > 2.5).any()),
        settings=quick,
        random=Random(0),
    )
    assert sorted(x.flatten().tolist()) == [0, 0, 0, 0, 0, 3]


def test_elements_outside_the_format_are_refused():
    with pytest.raises(InputError, match=r"elements gave 0\.1, not a number of bfloat16"):
        drawn(tensors("bfloat16", (2,), st.just(0.1)), 1)


@formats
def test_rounding_agrees_with_the_package(fmt):
    """Two implementations that share nothing."""
    rng = np.random.default_rng(0)
    top = place_of(fmt.max_finite, fmt)
    places = [0, 1, top - 1, top, *rng.integers(0, top, 3000).tolist()]
    at = np.array([number_at(k, fmt) for k in places])
    after = np.array([number_at(k + 1, fmt) for k in places])
    middle = (at + after) / 2
    over = np.array([fmt.overflow_threshold, 2 * fmt.max_finite, 1e200, np.inf])
    x = np.concatenate(
        [at, middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf), over, [1e-300]]
    )
    x = np.concatenate([x, -x])
    expected = nearest(torch.from_numpy(x), fmt).numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(rounding(fmt)(x), expected)
