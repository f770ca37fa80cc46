"""Checks of ``errbound.number.interval``: a ball contains the interval that it encloses."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from errbound.number import Format, Interval, interval


def random_intervals(fmt: Format, count: int, seed: int) -> Interval:
    """Intervals with ends in ``fmt``: all magnitudes, narrow and wide, of one sign and across 0."""
    g = torch.Generator().manual_seed(seed)
    # Any bit pattern of the format, then a neighbourhood of a few units in the last place.
    bits = {2: torch.int16, 4: torch.int32}[fmt.dtype.itemsize]
    span = 2 ** (8 * fmt.dtype.itemsize - 1)
    a = torch.randint(-span, span, (count,), generator=g).to(bits).view(fmt.dtype)
    b = torch.randint(-span, span, (count,), generator=g).to(bits).view(fmt.dtype)
    near = (torch.randint(0, 64, (count,), generator=g) + a.view(bits).long()).to(bits)
    b = torch.where(torch.rand(count, generator=g) < 0.3, near.view(fmt.dtype), b)
    b = torch.where(torch.rand(count, generator=g) < 0.1, -a, b)
    same_size = torch.randn(count, generator=g).to(fmt.dtype)
    ordinary = torch.rand(count, generator=g) < 0.3
    a = torch.where(ordinary, torch.randn(count, generator=g).to(fmt.dtype), a).double()
    b = torch.where(ordinary, same_size, b).double()
    keep = torch.isfinite(a) & torch.isfinite(b)
    a, b = a[keep], b[keep]
    return Interval(torch.minimum(a, b), torch.maximum(a, b))


def outside(box: Interval, mid: Tensor, rad: Tensor) -> Iterator[tuple[float, float, float, float]]:
    """The intervals with an end that is, exactly, outside [mid - rad, mid + rad]."""
    ends = (box.lo.tolist(), box.hi.tolist(), mid.tolist(), rad.tolist())
    for lo, hi, m, r in zip(*ends, strict=True):
        centre, radius = Fraction(m), Fraction(r)
        if not (centre - radius <= Fraction(lo) and Fraction(hi) <= centre + radius):
            yield lo, hi, m, r


def check_narrow(fmt: Format, count: int = 20_000, seed: int = 0) -> None:
    """An interval held in binary32: the same ends and ball; ``sizes`` bound both, tightly."""
    box = random_intervals(fmt, count, seed)
    held = interval.Narrow(box.lo.float(), box.hi.float())
    assert torch.equal(held.lo, box.lo)
    assert torch.equal(held.hi, box.hi)
    plain, ball = interval.Ball.enclosing(box), interval.Ball.enclosing(held)
    assert torch.equal(plain.mid, ball.mid)
    assert torch.equal(plain.rad, ball.rad)
    reach, rad, some = (t.double() for t in ball.sizes(torch.float32))
    assert torch.equal(reach, torch.maximum(box.lo.abs(), box.hi.abs()))
    assert torch.equal(some, (reach > 0).double())
    grown = rad * (1 + 4 * 2.0**-24) + 2.0**-148
    for case in outside(box, ball.mid, grown):
        raise AssertionError("outside its ball: lo, hi, mid, rad = " + ", ".join(map(repr, case)))
    assert bool((rad <= plain.rad * (1 + 4 * 2.0**-24) + 2.0**-149).all())
    point = interval.Interval.point(held.low)
    reach, _, some = interval.Ball.enclosing(point).sizes(torch.float32)
    assert point.lo is point.hi
    assert torch.equal(point.lo, box.lo)
    assert torch.equal(reach.double(), box.lo.abs())
    assert torch.equal(some > 0, box.lo != 0)


def check_ball(fmt: Format, count: int = 20_000, seed: int = 0) -> None:
    """``Ball.enclosing`` contains both ends exactly, with finite numbers and no needless width."""
    box = random_intervals(fmt, count, seed)
    ball = interval.Ball.enclosing(box)
    for case in outside(box, ball.mid, ball.rad):
        raise AssertionError("outside its ball: lo, hi, mid, rad = " + ", ".join(map(repr, case)))
    assert bool(torch.isfinite(ball.mid).all())
    assert bool((ball.rad >= 0).all())
    assert bool(
        (ball.rad <= (box.hi - box.lo) * 0.5 + box.hi.abs().maximum(box.lo.abs()) * 2.0**-48).all()
    )
    assert bool((ball.rad[box.lo == box.hi] == 0).all())
