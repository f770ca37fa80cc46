"""Checks of ``errbound.number.rounding``; plain functions, so that sabotage can call them.

They look their subject up in the module at call time (``rounding.nearest_``), never by an import
of the name, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import gfloat
import ml_dtypes
import numpy as np
import torch
from gfloat import formats as gfloat_formats
from torch import Tensor

from errbound.number import BFLOAT16, BINARY16, BINARY32, Format, rounding

from .exact import round_fraction

GFLOAT = {
    "float16": gfloat_formats.format_info_binary16,
    "bfloat16": gfloat_formats.format_info_bfloat16,
    "float32": gfloat_formats.format_info_binary32,
}
NUMPY = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}
SHORT = (BINARY16, BFLOAT16)


@lru_cache
def finite(fmt: Format) -> np.ndarray:
    """All finite numbers of a 16-bit format in increasing order, zero once, in binary64."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        values = np.arange(2**16, dtype=np.uint16).view(NUMPY[fmt.name]).astype(np.float64)
    return np.unique(values[np.isfinite(values)])


@lru_cache
def cells(fmt: Format) -> tuple[np.ndarray, np.ndarray]:
    """(points, what each rounds to), by construction: neither oracle nor subject is asked.

    For all neighbours a < b of a 16-bit format, both signs, subnormals and the overflow edge:
    a, the midpoint, their binary64 neighbours, and binary32 neighbours of the midpoint.
    """
    numbers = finite(fmt)
    edge = np.array([fmt.max_finite + 2 * (fmt.overflow_threshold - fmt.max_finite)])
    below = np.concatenate([-edge, numbers])
    above = np.concatenate([numbers, edge])
    middle = (below + above) / 2  # exact: at most 12 bits
    # Numbers alternate between even and odd significands, and zero is even.
    even_below = (np.arange(below.size) - np.searchsorted(below, 0.0)) % 2 == 0
    inf = np.where(np.abs(below) > fmt.max_finite, -np.inf, below)
    sup = np.where(np.abs(above) > fmt.max_finite, np.inf, above)
    tie = np.where(even_below, inf, sup)
    step = np.spacing(np.abs(middle).astype(np.float32)).astype(np.float64)
    points = [
        (below, inf),
        (np.nextafter(below, np.inf), inf),
        (middle - step, inf),
        (np.nextafter(middle, -np.inf), inf),
        (middle, tie),
        (np.nextafter(middle, np.inf), sup),
        (middle + step, sup),
        (np.nextafter(above, -np.inf), sup),
        (above, sup),
    ]
    inside = [((below <= x) & (x <= above), x, y) for x, y in points]
    x = np.concatenate([p[keep] for keep, p, _ in inside])
    y = np.concatenate([r[keep] for keep, _, r in inside])
    return x, y


@lru_cache
def points32(seed: int = 0, count: int = 40_000) -> np.ndarray:
    """Binary64 points at and around random binary32 numbers and ties; subnormals, both edges."""
    g = np.random.default_rng(seed)
    a = g.integers(0, 2**32, count, dtype=np.uint32)
    edges = [0, 1, 2, 3, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF, 0x7F7FFFFE, 0x3F800000]
    a = np.concatenate([a, np.array(edges, np.uint32), np.array(edges, np.uint32) | 2**31])
    a = a[np.isfinite(a.view(np.float32))]
    b = (a + np.uint32(1)).view(np.float32).astype(np.float64)  # next away from zero
    a = a.view(np.float32).astype(np.float64)
    edge = np.copysign(2.0**128, a)
    middle = (a + np.where(np.isfinite(b), b, edge)) / 2
    at = np.concatenate([a, middle])
    return np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)])


def same(found: np.ndarray, expected: np.ndarray, x: np.ndarray) -> None:
    """Raise ``AssertionError`` with the first of the points at which they differ."""
    wrong = np.flatnonzero(found != expected)
    if wrong.size:
        k = wrong[0]
        raise AssertionError(
            f"{wrong.size} of {x.size} wrong; x = {float(x[k]).hex()}: "
            f"{float(found[k]).hex()}, not {float(expected[k]).hex()}"
        )


def apply_nearest(x: np.ndarray, fmt: Format) -> np.ndarray:
    """``rounding.nearest`` on a copy."""
    return rounding.nearest(torch.from_numpy(x.copy()), fmt).numpy()


def check_cells(fmt: Format, subject: Callable[[np.ndarray, Format], np.ndarray]) -> None:
    """``subject`` is ``fl`` on all cells of a 16-bit format."""
    x, expected = cells(fmt)
    same(subject(x, fmt), expected, x)


def check_nearest_in_place(fmt: Format) -> None:
    """``nearest_`` below the threshold: right value, same storage, every layout."""
    x, expected = cells(fmt)
    keep = np.abs(x) < fmt.overflow_threshold
    x, expected = x[keep], expected[keep]
    t = torch.from_numpy(x.copy())
    result = rounding.nearest_(t, fmt)
    assert result.data_ptr() == t.data_ptr()
    same(t.numpy(), expected, x)
    strided = torch.stack([torch.from_numpy(x.copy())] * 2, dim=1)
    rounding.nearest_(strided[:, 1], fmt)
    same(strided[:, 1].numpy(), expected, x)
    same(strided[:, 0].numpy(), x, x)


def check_against_gfloat(x: np.ndarray, fmt: Format) -> None:
    """``nearest`` is gfloat's rounding."""
    even = gfloat.RoundMode.TiesToEven
    expected = gfloat.round_ndarray(GFLOAT[fmt.name], x, even, sat=False)
    same(apply_nearest(x, fmt), expected, x)


def check_against_fractions(x: np.ndarray, fmt: Format) -> None:
    """``nearest`` is the definition in exact rational arithmetic."""
    expected = np.array([float(round_fraction(Fraction(v), fmt)) for v in x.tolist()])
    same(apply_nearest(x, fmt), expected, x)


def check_neighbours(fmt: Format) -> None:
    """``ulp``, ``next_up``, ``next_down`` on all finite numbers (binary32: many)."""
    kind = NUMPY[fmt.name]
    with np.errstate(over="ignore"):
        x = finite(fmt) if fmt is not BINARY32 else np.unique(points32().astype(np.float32))
    x = x[np.isfinite(x)].astype(np.float64)
    t = torch.from_numpy(x)
    for subject, way in ((rounding.next_up, np.inf), (rounding.next_down, -np.inf)):
        with np.errstate(all="ignore"):
            expected = np.nextafter(x.astype(kind), np.array(way, dtype=kind)).astype(np.float64)
        same(subject(t, fmt).numpy(), expected, x)
    expected = np.array([exact_ulp(v, fmt) for v in x.tolist()])
    same(rounding.ulp(t, fmt).numpy(), expected, x)


def exact_ulp(x: float, fmt: Format) -> float:
    """``2^(max(e(x), emin) - p + 1)`` with e from ``frexp``, which is exact."""
    e = math.frexp(x)[1] - 1 if x else fmt.emin
    return math.ldexp(1.0, max(e, fmt.emin) - fmt.precision + 1)


def check_outward(values: Tensor) -> None:
    """``down(x) < x < up(x)`` and both are adjacent: what rounds to ``x`` lies between them."""
    lo, hi = rounding.down(values).tolist(), rounding.up(values).tolist()
    for a, x, b in zip(lo, values.tolist(), hi, strict=True):
        assert a < x < b, f"{a!r}, {x!r}, {b!r}"
        # A real that rounds to x is nearer to x than to either: no farther than the midpoints.
        if b != float("inf"):
            assert (Fraction(x) + Fraction(b)) / 2 <= Fraction(b)
            assert float((Fraction(x) + Fraction(b)) / 2) in (x, b)
        if a != float("-inf"):
            assert float((Fraction(a) + Fraction(x)) / 2) in (a, x)


def check_inflate(roundings: int) -> None:
    """exact <= fl(computed * inflate(k)) for all computed >= exact (1 - 2^-53)^k, exact >= 0.

    The product is rounded once more; below, (1 - u)^k >= 1 - k u (Bernoulli).
    """
    u = Fraction(1, 2**53)
    factor = Fraction(rounding.inflate(roundings))
    assert factor * (1 - u) * (1 - roundings * u) >= 1, roundings


def check_gamma(terms: int) -> None:
    """``gamma(n) >= n u / (1 - n u)``."""
    u = Fraction(1, 2**53)
    assert Fraction(rounding.gamma(terms)) >= terms * u / (1 - terms * u), terms


def check_binary64_sums(seed: int) -> None:
    """``gamma`` bounds, and ``inflate`` covers, real binary64 contractions (torch's matmul)."""
    g = torch.Generator().manual_seed(seed)
    n = int(torch.randint(1, 60, (), generator=g))
    # Cancelling pairs: the sum itself is far smaller than the error.
    x = torch.randn(n, generator=g, dtype=torch.float64)
    x *= 2.0 ** torch.randint(-30, 30, (n,), generator=g)
    w = torch.randn(n, generator=g, dtype=torch.float64)
    x, w = torch.cat([x, -x, x[:1] * 2.0**-52]), torch.cat([w, w, w[:1]])
    n = x.numel()
    terms = [Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), w.tolist(), strict=True)]
    size = sum(map(abs, terms))
    computed = Fraction(float(torch.nn.functional.linear(x[None], w[None])))
    assert abs(computed - sum(terms)) <= Fraction(rounding.gamma(n)) * size
    computed = torch.nn.functional.linear(x.abs()[None], w.abs()[None])
    assert Fraction(float(computed * rounding.inflate(2 * n))) >= size


def single_to_odd(x: np.ndarray) -> np.ndarray:
    """Binary64 to binary32 *to odd*: truncate; if that was inexact set the last bit."""
    single = x.astype(np.float32)
    away = np.abs(single.astype(np.float64)) > np.abs(x)
    toward_zero = np.where(away, np.nextafter(single, np.float32(0)), single)
    inexact = toward_zero.astype(np.float64) != x
    return (toward_zero.view(np.uint32) | inexact).view(np.float32)


def nearest_by_odd(x: np.ndarray, fmt: Format) -> np.ndarray:
    """To odd, then to nearest 16 bits: correct (theory 5)."""
    with np.errstate(over="ignore"):
        return single_to_odd(x).astype(NUMPY[fmt.name]).astype(np.float64)


def nearest_twice(x: np.ndarray, fmt: Format) -> np.ndarray:
    """What torch does to a binary64 tensor: to nearest binary32, then to nearest 16 bits."""
    return torch.from_numpy(x.copy()).to(fmt.dtype).double().numpy()


def nearest_directed(x: np.ndarray, fmt: Format, way: float) -> np.ndarray:
    """Down (or up) to binary32, then to nearest 16 bits: sound as an end, but not tight."""
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
        wrong = single > x if way < 0 else single < x
        single = np.where(wrong, np.nextafter(single, np.float32(way)), single)
        return single.astype(NUMPY[fmt.name]).astype(np.float64)
