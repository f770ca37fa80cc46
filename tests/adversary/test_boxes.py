"""Records by themselves: operands anywhere in wide, hostile boxes, executed adversarially.

In a program the boxes are those that come about; here they are drawn: ends subnormal, zero of
either sign, neighbours, far apart, near overflow. Each execution takes a point of the box (an end,
a number between, a zero or a subnormal if the box has one) for every entry.
"""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import pytest
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import BY_DTYPE, NATIVE, Interval, nearest
from errbound.ops import OPS, Constant
from errbound.testing.emulator import execute_sum
from errbound.testing.sums import Plan
from errbound.testing.values import KINDS, draw, mixed

from .harness import Spy

POINTS = 36
ROUNDING = [op for op in OPS if not op.moves and op.name != "cast"]
COUNTS: Counter = Counter()


def box(rng, shape, fmt, scale):
    """An interval of binary64 ends that are numbers of ``fmt``."""
    a = (
        mixed(rng, shape, fmt, scale)
        if rng.random() < 0.5
        else draw(rng, shape, fmt, str(rng.choice(KINDS)), scale)
    )
    width = rng.choice([0.0, 2.0**-fmt.precision * 2, 0.1, 3.0], shape, p=[0.3, 0.3, 0.3, 0.1])
    b = a * (1 + width * rng.choice([-1, 1], shape))
    b = np.where(rng.random(shape) < 0.1, -a, b)  # midpoint 0
    tiny = rng.random(shape) < 0.1
    b = np.where(tiny, rng.choice([0.0, -2 * fmt.eta, fmt.min_normal], shape), b)
    a, b = (nearest(torch.from_numpy(np.ascontiguousarray(v)), fmt) for v in (a, b))
    return Interval(torch.minimum(a, b), torch.maximum(a, b))


def away_from_zero(ends, fmt, scale):
    """The box of |x| + scale, or of its negative: divisors."""
    a, b = (nearest(end.abs() + scale, fmt) for end in (ends.lo, ends.hi))
    lo, hi = torch.minimum(a, b), torch.maximum(a, b)
    return Interval(lo, hi) if float(ends.lo.sum()) > 0 else Interval(-hi, -lo)


def points(rng, ends, fmt, n):
    """``n`` stored tensors inside the box."""
    lo, hi = (np.repeat(e.numpy()[None], n, axis=0) for e in (ends.lo, ends.hi))
    kind = rng.integers(0, 5, lo.shape)
    between = lo + rng.random(lo.shape) * (hi - lo)
    small = rng.choice([0.0, -0.0, 2 * fmt.eta, -2 * fmt.eta], lo.shape)
    x = np.select(
        [kind < 2, kind == 2, kind == 3], [np.where(kind == 0, lo, hi), between, small], lo
    )
    x = np.clip(x, lo, hi)
    x = np.clip(nearest(torch.from_numpy(x), fmt).numpy(), lo, hi)
    return torch.from_numpy(np.where(x == 0, np.copysign(0.0, small), x)).to(fmt.dtype)


def at_corners(x, ends, weight):
    """Put half of the rows of ``x`` at the corners where an output's exact sum is extreme."""
    for k, row in enumerate(x[: min(POINTS // 2, 2 * len(weight))]):
        sign = weight[k // 2].double() * (-1) ** k
        if sign.dim() > 1:  # the window at the upper left
            repeats = [-(-n // m) for n, m in zip(row.shape, sign.shape, strict=True)]
            sign = sign.repeat(repeats)[:, : row.shape[1], : row.shape[2]]
        row.copy_(torch.where(sign >= 0, ends.hi[0], ends.lo[0]))


def operands(op, rng, fmt):
    """Shapes and other arguments from the record's own contract cases; numbers from here."""
    g = torch.Generator().manual_seed(int(rng.integers(0, 2**31)))
    found = list(op.cases(g, fmt.dtype, int(rng.choice([1, 7, 20]))))
    case = found[rng.integers(0, len(found))]
    scale = float(2.0 ** rng.choice([0, 0, 0, fmt.emin // 2, fmt.emin + 2, fmt.emax - 9]))
    positive = {4} if op.name == "batch_norm" else set()
    args = []
    for k, arg in enumerate(case.args):
        if k < case.inputs:
            ends = box(rng, (1, *arg.shape[1:]), fmt, scale)
            divides = k == {"div": 1, "reciprocal": 0}.get(op.name)
            away = divides and rng.random() < 0.7
            args.append(away_from_zero(ends, fmt, scale) if away else ends)
        elif isinstance(arg, torch.Tensor):
            size = float(2.0 ** rng.choice([0, 0, fmt.emin // 2, fmt.emin]))
            # One that belongs to the samples of the case is cut down to one sample, like them.
            like = op.terms is None and arg.shape == case.args[0].shape
            shape = (1, *arg.shape[1:]) if like else tuple(arg.shape)
            values = mixed(rng, shape, fmt, 1.0 if k in positive else size)
            values = np.abs(values) + 0.01 if k in positive else values
            args.append(Constant(torch.from_numpy(values).to(fmt.dtype)))
        else:
            args.append(arg)
    return args, case


def executed(op, args, kwargs, fmt, rng):
    """One execution per row of the batch of ``args``."""
    if op.terms is None:
        return op.call(*args, **kwargs), None
    return execute_sum(op, args, kwargs, fmt, Plan.random(rng), rng)


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
@pytest.mark.parametrize("op", ROUNDING, ids=lambda o: o.name)
def test_no_point_of_a_box_leaves_the_image(op, fmt):
    rng = np.random.default_rng(zlib.crc32(f"{op.name} {fmt.name}".encode()))
    checked = 0
    for _ in range(12 if op.terms else 60):
        args, case = operands(op, rng, fmt)
        step = Spy(TORCH_CPU, fmt, 1)
        image = op.enclose(step, *args, **case.kwargs)
        if bool(step.overflow.any()):
            COUNTS["may overflow"] += 1
            continue
        assert torch.equal(image.lo, nearest(image.lo, fmt))
        assert torch.equal(image.hi, nearest(image.hi, fmt))
        stored = [
            points(rng, a, fmt, POINTS).flatten(0, 1)
            if isinstance(a, Interval)
            else a.value
            if isinstance(a, Constant)
            else a
            for a in args
        ]
        if op.name in ("linear", "conv2d"):
            at_corners(stored[0], args[0], stored[1])
        for part in np.array_split(np.arange(POINTS), 6 if op.terms else 1):
            mine = [
                s[part] if isinstance(a, Interval) else s for a, s in zip(args, stored, strict=True)
            ]
            value, before = executed(op, mine, case.kwargs, fmt, rng)
            assert BY_DTYPE[value.dtype] is fmt
            inside = (image.lo <= value.double()) & (value.double() <= image.hi)
            assert bool(inside.all()), (args, case, mine, value[~inside])
            if before is not None:
                lo, hi = (end.numpy() for end in step.offered)
                assert ((lo <= before) & (before <= hi)).all(), (args, case, mine)
            checked += value.numel()
    COUNTS["values"] += checked
    assert checked > 1000
