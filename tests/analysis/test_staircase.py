"""The noise of a node that rounds: for any slope an interval that holds all of the staircase.

v = fl(y), y in [yl, yh]: v - c_v - s (y - c_y), over all y, lies in middle -+ radius. Compared
exactly, over all pairs of numbers and edges of small formats, and at random elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from errbound.analysis import Trace
from errbound.analysis.relaxation import Entry, Noise
from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, E4M3, E5M2, Ball, Format, Interval, nearest
from errbound.ops import BY_TARGET, Centred, Constant, Relation, Step
from errbound.ops._relation import identity
from tests.number.exact import round_fraction
from tests.ops.relations import integers

SLOPES = (0.0, 1.0, 0.5, 77 / 256)
DTYPES = (torch.float64, torch.float32)


def rounding(
    lo: Tensor, hi: Tensor, fmt: Format, centres: tuple[Tensor, Tensor] | None = None
) -> Entry:
    """A node v = fl(y), y in [lo, hi], as a trace has it; ``centres`` of y and v or the middles."""
    ends = Interval(nearest(lo, fmt), nearest(hi, fmt))
    made = []
    for k, box in enumerate((Interval(lo, hi), ends)):
        centred = Centred.around(Interval(box.lo, box.hi.clone()))
        if centres is not None:
            rad = torch.maximum(box.hi - centres[k], centres[k] - box.lo) * (1 + 2.0**-50)
            centred = Centred(box.lo, box.hi, Ball(centres[k], rad))
        made.append(centred)
    y, v = made
    gap = Step(TORCH_CPU, fmt, 1).gap(torch.maximum(lo.abs(), hi.abs()))
    relation = Relation(((y, identity),), Interval.point(y.ball.mid), y.ball.rad, 0, gap)
    return Entry("rounding", v, relation, {})


def noise(entry: Entry, slope: float | None, dtype: torch.dtype) -> Noise:
    """As a trace computes it, with a slope or with the one that it chooses."""
    program: Any = SimpleNamespace(nodes=())
    entry.slope = None if slope is None else torch.full(entry.value.shape, slope)
    entry.made.clear()
    return Trace(program, refine=False, dtype=dtype).noise(entry, dtype)


def holds(found: Noise, low: Any, high: Any) -> None:
    """[low, high], integers that stand for numbers, is inside middle -+ radius; no tolerance."""
    middle, radius = integers(found.middle[0]), integers(found.radius[0])
    assert bool((middle - radius <= low).all()), "n may be less"
    assert bool((high <= middle + radius).all()), "n may be more"


# --- small formats, exhaustively -----------------------------------------------------------------


def numbers(fmt: Format) -> np.ndarray:
    """All finite numbers of a format of 8 bits, in order."""
    top = torch.arange(0, 2**8, dtype=torch.float64)
    powers = 2.0 ** torch.arange(fmt.emin - fmt.precision + 1, fmt.emax + 1, dtype=torch.float64)
    all_ = torch.unique(nearest((top[:, None] * powers).flatten(), fmt))
    all_ = all_[torch.isfinite(all_) & (all_ <= fmt.max_finite)]
    found: np.ndarray = torch.unique(torch.cat([-all_, all_])).numpy()
    return found


@pytest.mark.parametrize("fmt", [E4M3, E5M2], ids=lambda f: f.name)
@pytest.mark.parametrize("slope", SLOPES)
def test_all_intervals_between_numbers_and_edges(fmt: Format, slope: float) -> None:
    """Ends at every number and at every edge of a cell, 16 places apart or any, centres or not."""
    values = numbers(fmt)
    below, above = np.repeat(values, 2)[:-1], np.repeat(values, 2)[1:]
    at = (below + above) / 2  # number, edge, number, ...; below and above: what y rounds to there
    stored = nearest(torch.from_numpy(at), fmt).numpy()
    # All of this is exact: few bits, few binades.
    most, least = above - slope * at, below - slope * at
    rng = np.random.default_rng(3)
    rows: list[np.ndarray] = []
    for i in range(len(at)):
        last = np.arange(i, min(i + 17, len(at)))
        last = np.unique(np.concatenate([last, rng.integers(i, len(at), 8)]))
        first = stored[i] - slope * at[i]
        end = stored[last] - slope * at[last]
        # Strictly between; at yl what y rounds to above it, at yh below it.
        high = np.maximum.accumulate(np.concatenate([[above[i] - slope * at[i]], most[i + 1 :]]))
        low = np.minimum.accumulate(np.concatenate([[first], least[i + 1 :]]))
        before = np.maximum(last - i - 1, 0)
        wide = last > i
        upper = np.where(wide, np.maximum(high[before], below[last] - slope * at[last]), first)
        lower = np.where(wide, np.minimum(low[before], below[last] - slope * at[last]), first)
        upper, lower = np.maximum(upper, np.maximum(first, end)), np.minimum(lower, end)
        rows.append(np.stack([np.full(len(last), at[i]), at[last], lower, upper], 1))
    lo, hi, least_, most_ = torch.from_numpy(np.concatenate(rows)).unbind(1)
    assert len(lo) > 8000
    shift = torch.from_numpy(rng.choice([0.0, 0.25, -3.0], (2, len(lo))))
    middles = (lo + hi) / 2, (nearest(lo, fmt) + nearest(hi, fmt)) / 2
    for centres in (None, ((middles[0] + shift[0])[None], (middles[1] + shift[1])[None])):
        entry = rounding(lo[None], hi[None], fmt, centres)
        y, v = middles if centres is None else (centres[0][0], centres[1][0])
        needed = [integers(end - v + slope * y) for end in (least_, most_)]
        for dtype in DTYPES:
            holds(noise(entry, slope, dtype), *needed)


# --- wide formats, at random ---------------------------------------------------------------------


def staircase(
    lo: Fraction, hi: Fraction, slope: Fraction, fmt: Format
) -> tuple[Fraction, Fraction]:
    """Least and largest value of fl(y) - s y on [lo, hi], limits at edges included."""
    first, last = round_fraction(lo, fmt), round_fraction(hi, fmt)
    assert isinstance(first, Fraction)
    assert isinstance(last, Fraction)
    found = [first - slope * lo, last - slope * hi]
    number = first
    while number < last:
        quantum = max(abs(number), Fraction(fmt.min_normal))
        e = 0
        while Fraction(2) ** (e + 1) <= quantum:
            e += 1
        while Fraction(2) ** e > quantum:
            e -= 1
        step = Fraction(2) ** (e - fmt.precision + 1)
        if number < 0 and -number == Fraction(2) ** e and e > fmt.emin:
            step /= 2
        edge = number + step / 2
        found += [number - slope * edge, number + step - slope * edge]
        number += step
    return min(found), max(found)


def intervals(fmt: Format, rng: np.random.Generator, count: int) -> Iterator[tuple[float, float]]:
    """Around powers of two, the subnormal border, zero; both signs; within a cell or over many."""
    anchors = [1.0, 2.0, 0.5, 1.75, 2.0**fmt.emin, 2.0**fmt.emin * 1.5, 0.0, 4 * fmt.eta, 2.0**9]
    for _ in range(count):
        x = float(rng.choice(anchors)) * float(rng.choice([-1.0, 1.0]))
        unit = max(abs(x), fmt.min_normal) * 2.0 ** (1 - fmt.precision)
        width = float(rng.choice([0.0, 0.1, 0.4, 1.0, 1.4, 3.0, 12.0])) * float(rng.random())
        lo = x + unit * float(rng.uniform(-1.0, 1.0)) * float(rng.choice([0.3, 1.0, 6.0]))
        yield lo, lo + unit * width


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_random_intervals(fmt: Format) -> None:
    rng = np.random.default_rng(4)
    ends = list(intervals(fmt, rng, 700))
    lo, hi = torch.tensor(ends, dtype=torch.float64).t()
    for slope in (0.0, 1.0, 0.5, float(np.float32(rng.random()))):
        entry = rounding(lo[None], hi[None], fmt)
        relation = entry.relation
        assert relation is not None
        v, y = (integers(b.ball.mid[0]) for b in (entry.value, relation.terms[0][0]))
        unit = 2**1126
        needed: list[list[int]] = [[], []]
        for (a, b), c_v, c_y in zip(ends, v.tolist(), y.tolist(), strict=True):
            least, most = staircase(Fraction(a), Fraction(b), Fraction(slope), fmt)
            shift = Fraction(slope) * Fraction(c_y, unit) - Fraction(c_v, unit)
            needed[0].append((least + shift) * unit // 1)
            needed[1].append(-((-(most + shift) * unit) // 1))
        for dtype in DTYPES:
            holds(noise(entry, slope, dtype), *(np.array(n, dtype=object) for n in needed))


def test_the_slope_that_is_chosen_has_the_narrower_noise() -> None:
    """One cell: slope 0 and nothing is left; many: slope 1."""
    lo = torch.tensor([[1.0 + 2.0**-13, 1.0]], dtype=torch.float64)
    hi = torch.tensor([[1.0 + 2.0**-12, 2.0]], dtype=torch.float64)
    found = noise(rounding(lo, hi, BINARY16), None, torch.float64)
    assert found.slope.tolist() == [[0.0, 1.0]]
    assert float(found.radius[0, 0]) < 2.0**-40
    assert float(found.radius[0, 1]) <= 2.0**-10 * 1.001


# --- counterexamples to simpler statements -------------------------------------------------------

ULP = 2.0**-10
SIMPLER = {
    # name: (yl, yh, slope, what is needed at least, around the centres)
    "both ends round to one number": (1 + 0.3 * ULP, 1 + 0.4 * ULP, 1.0, 0.05 * ULP),
    "a power of two inside": (1 - 0.3 * ULP, 1 + 0.45 * ULP, 1.0, 0.4 * ULP),
    "centres of y and v differ": (1.0, 1 + 1.4 * ULP, 1.0, 0.69 * ULP),
    "noise of slope 1 for slope 1/2": (1.0, 1 + 10 * ULP, 0.5, 2.74 * ULP),
}


@pytest.mark.parametrize("name", SIMPLER)
def test_counterexamples(name: str) -> None:
    """What is needed, found by stepping through y, is as much as stated, and inside the noise."""
    lo, hi, slope, least = SIMPLER[name]
    entry = rounding(torch.tensor([[lo]]).double(), torch.tensor([[hi]]).double(), BINARY16)
    assert entry.relation is not None
    y = torch.linspace(lo, hi, 5001, dtype=torch.float64)
    centre = entry.relation.terms[0][0].ball.mid[0, 0]
    needed = nearest(y, BINARY16) - entry.value.ball.mid[0, 0] - slope * (y - centre)
    assert float(needed.abs().max()) >= least
    found = noise(entry, slope, torch.float64)
    low, high = found.middle - found.radius, found.middle + found.radius
    assert float(low) <= float(needed.min()), f"{name}: n may be {float(needed.min())!r}"
    assert float(needed.max()) <= float(high), f"{name}: n may be {float(needed.max())!r}"


def test_a_flushed_product_is_in_the_offset() -> None:
    """1.98 * 2^-127 becomes 0 in bfloat16: nearly twice the half of any gap there."""
    x = torch.tensor([[1.98 * 2.0**-64]]).bfloat16()
    box = Centred.around(Interval(x.double() * 0.5, x.double()))
    step = Step(TORCH_CPU, BFLOAT16, 1)
    op, weight = BY_TARGET["aten.linear.default"], Constant(torch.tensor([[2.0**-63]]).bfloat16())
    out = Centred.around(op.enclose(step, box, weight))
    assert op.relate is not None
    relation = op.relate(step, out, box, weight)
    moved = float((x.double() - box.ball.mid) * 2.0**-63)  # v = 0
    assert float(relation.offset.lo - relation.gap) <= -moved
    assert moved <= float(relation.offset.hi + relation.gap) + 2.0**-120
    assert float(box.hi * 2.0**-63) < 2.0**-126


def test_a_saturating_format_is_out_of_range_instead() -> None:
    """600 in E4M3, whose largest number is 448: the sample is marked, its noise means nothing."""
    step = Step(TORCH_CPU, E4M3, 1)
    op = BY_TARGET["aten.mul.Tensor"]
    box = Centred.around(Interval(*(torch.full((1, 1), v, dtype=torch.float64) for v in (1, 300))))
    op.enclose(step, box, 2.0)
    assert step.overflow.tolist() == [True]


# --- the noise is computed in floating point itself ----------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 2.0**-120, 2.0**-130, 2.0**-140])
def test_own_roundings_of_the_noise(scale: float) -> None:
    """[lo, hi] and the offset anywhere, far from the centre, cancelling, subnormal in binary32."""
    g = torch.Generator().manual_seed(1)

    def draw(spread: float = 30.0) -> Tensor:
        x = torch.randn(1, 400, generator=g, dtype=torch.float64)
        return x * 2.0 ** (torch.rand(1, 400, generator=g).double() * spread - spread / 2) * scale

    lo, offset, c = draw(), draw(), draw()
    here = torch.rand(1, 400, generator=g) < 0.5
    offset = torch.where(here, 2.0 * c - lo, offset)  # slope 1/2 makes n small
    hi, above = lo + draw(60.0).abs() * 2.0**-40, offset + draw(60.0).abs() * 2.0**-40
    gap = draw(60.0).abs() * 2.0**-40
    value = Centred(lo, hi, Ball(c, torch.maximum((lo - c).abs(), (hi - c).abs())))
    relation = Relation((), Interval(offset, above), None, 0, gap)
    whole = [integers(t[0]) for t in (lo, hi, offset, above, gap, c)]
    for slope in (0.0, 0.5, 1.0, 77 / 256):
        s, r = int(slope * 256), 256 - int(slope * 256)
        low = r * whole[0] + s * (whole[2] - whole[4]) - 256 * whole[5]
        high = r * whole[1] + s * (whole[3] + whole[4]) - 256 * whole[5]
        for dtype in DTYPES:
            found = noise(Entry("any", value, relation, {}), slope, dtype)
            middle, radius = integers(found.middle[0]) * 256, integers(found.radius[0]) * 256
            assert bool((middle - radius <= low).all()), "n may be less"
            assert bool((high <= middle + radius).all()), "n may be more"
