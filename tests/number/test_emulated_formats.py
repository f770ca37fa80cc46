"""TF32, E4M3, E5M2: their numbers, their rounding and their overflow rules, against torch, gfloat
and fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import gfloat
import pytest
import torch
from gfloat.formats import format_info_ocp_e4m3, format_info_ocp_e5m2

from errbound.number import (
    BINARY16,
    BY_DTYPE,
    E4M3,
    E5M2,
    FORMATS,
    NATIVE,
    TF32,
    Format,
    format_named,
    nearest,
    next_up,
    stored,
    ulp,
)
from tests.number.exact import round_fraction

OCP = [(E4M3, format_info_ocp_e4m3), (E5M2, format_info_ocp_e5m2)]
EMULATED = pytest.mark.parametrize("fmt", [TF32, E4M3, E5M2], ids=lambda f: f.name)


def numbers(info: gfloat.FormatInfo) -> list[float]:
    """All finite numbers of a format, in order, zero once."""
    values = (gfloat.decode_float(info, code) for code in range(256))
    return sorted({v.fval for v in values if math.isfinite(v.fval)})


@pytest.mark.parametrize(("fmt", "info"), OCP, ids=lambda v: getattr(v, "name", ""))
def test_numbers_midpoints_and_their_neighbours_round_as_gfloat_says(
    fmt: Format, info: gfloat.FormatInfo
) -> None:
    known = numbers(info)
    assert known[-1] == fmt.max_finite
    assert min(v for v in known if v > 0) == 2 * fmt.eta
    beyond = [fmt.max_finite + k * 2.0 ** (fmt.emax - fmt.precision) for k in range(5)]
    middles = [(a + b) / 2 for a, b in pairwise(known)]
    edges = [*known, *middles, *beyond, *(-b for b in beyond)]
    edges += [math.nextafter(e, way) for e in edges for way in (-math.inf, math.inf)]
    found = nearest(torch.tensor(edges, dtype=torch.float64), fmt).tolist()
    for x, y in zip(edges, found, strict=True):
        want = gfloat.round_float(info, x)
        assert y == want or (math.isnan(y) and math.isnan(want)), (x.hex(), y, want)
        assert (abs(x) >= fmt.overflow_threshold) == (not math.isfinite(want))


@EMULATED
def test_random_numbers_round_as_fractions_say(fmt: Format) -> None:
    g = torch.Generator().manual_seed(1)
    scale = 2.0 ** torch.randint(fmt.emin - 14, fmt.emax - 1, (3000,), generator=g).double()
    x = torch.randn(3000, generator=g, dtype=torch.float64) * scale
    x = x[x.abs() < fmt.overflow_threshold]
    for exact, rounded in zip(x.tolist(), nearest(x, fmt).tolist(), strict=True):
        assert Fraction(rounded) == round_fraction(Fraction(exact), fmt)


@EMULATED
def test_stored_numbers_are_held_exactly_and_stay(fmt: Format) -> None:
    x = torch.randn(500, generator=torch.Generator().manual_seed(2))
    once = stored(x, fmt)
    assert once.dtype is torch.float32
    assert torch.equal(once, stored(once, fmt))
    assert bool(((once.double() - x.double()).abs() <= ulp(x.double(), fmt) / 2).all())
    above = next_up(once.double(), fmt)
    assert torch.equal(nearest(above, fmt), above)
    assert bool((above > once.double()).all())


def test_overflow_is_infinite_or_no_number() -> None:
    big = torch.tensor([1e6, -1e6])
    assert stored(big, E5M2).tolist() == [math.inf, -math.inf]
    assert stored(big, E4M3).isnan().all()
    assert stored(torch.tensor([464.0, 465.0]), E4M3)[0] == 448.0


def test_e5m2_is_torchs() -> None:
    x = torch.randn(4000, generator=torch.Generator().manual_seed(3)) * 1000
    assert torch.equal(stored(x, E5M2), x.to(torch.float8_e5m2).float())


def test_names() -> None:
    assert [f.name for f in NATIVE] == ["float16", "bfloat16", "float32"]
    assert set(BY_DTYPE.values()) == set(NATIVE)
    assert [f for f in FORMATS if f.emulated] == [TF32, E4M3, E5M2]
    assert format_named("e4m3") is E4M3
    assert format_named("TF32") is TF32
    assert format_named("BINARY16") is BINARY16
    with pytest.raises(KeyError, match="float8_e5m2"):
        format_named("e3m4")
