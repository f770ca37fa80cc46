"""Softmax and log-softmax under attack: every line of the formula errs as far as it may.

An execution takes x from a box, perturbs each exponential within the profile of exp, adds in any
order, and rounds where the kernels round. The share of its interval that such executions fill says
how much the enclosure gives away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from errbound.arithmetic import EXACT, STRICT16, TORCH_CPU, Arithmetic, FunctionError
from errbound.number import BINARY32, BINARY64, NATIVE, TF32, Format, Interval, nearest
from errbound.ops import BY_TARGET, Step
from errbound.testing.rounding import Array, rounding
from errbound.testing.sums import Plan, accumulate

from . import contract

SOFTMAX, LOG_SOFTMAX = (BY_TARGET[f"aten.{name}.int"] for name in ("softmax", "log_softmax"))
RECORDS = pytest.mark.parametrize("op", [SOFTMAX, LOG_SOFTMAX], ids=lambda op: op.name)
PROFILE = dict(TORCH_CPU.functions)
ROWS = [
    *((TORCH_CPU, f) for f in (*NATIVE, TF32)),
    *((STRICT16, f) for f in NATIVE),
]
ARITHMETICS = pytest.mark.parametrize(
    ("arithmetic", "fmt"), ROWS, ids=[f"{a.name}-{f.name}" for a, f in ROWS]
)


def execute(
    op: Any, x: Array, arithmetic: Arithmetic, fmt: Format, stored: bool, rng: np.random.Generator
) -> Array:
    """One execution on the last axis of ``x``; ``stored``: with partial results of 16 bits."""
    fl, store = rounding(arithmetic.intermediate or fmt), rounding(fmt)

    def function(name: str, y: Array) -> Array:
        error = PROFILE[name] if arithmetic is TORCH_CPU else FunctionError(0.0, 0.0)
        sign = rng.choice([-1.0, 1.0], y.shape) if rng.random() < 0.7 else rng.choice([-1.0, 1.0])
        if rng.random() < 0.5:  # one against all others
            sign = np.where(np.arange(y.shape[-1]) == rng.integers(y.shape[-1]), sign, -sign)
        return fl(y + sign * 0.98 * (error.relative * np.abs(y) + error.absolute))

    d = fl(x - x.max(axis=-1, keepdims=True))
    e = np.maximum(function("exp", np.exp(d)), 0)
    s = accumulate(e, np.ones(1), None, Plan.random(rng), rng, fl)[..., None]
    if op is SOFTMAX:
        return store(fl((store(e) if stored else e) / s))
    log = function("log", np.log(store(s) if stored else s))
    return store(fl(d - (store(log) if stored else log)))


def box_of(g: torch.Generator, fmt: Format, shape: tuple[int, ...], widest: float) -> Interval:
    """Boxes of numbers of ``fmt``, of logits some of which are far below the largest."""
    x = torch.randn(shape, generator=g, dtype=torch.float64) * 5
    x[::3] *= 8
    width = torch.rand(shape, generator=g, dtype=torch.float64) * widest
    return Interval(nearest(x - width, fmt), nearest(x + width, fmt))


def attack(
    op: Any, arithmetic: Arithmetic, fmt: Format, n: int, widest: float, inner: bool, times: int
) -> float:
    """Executions stay inside; the median share of an interval's width that they fill."""
    g, rng = torch.Generator().manual_seed(n), np.random.default_rng(n)
    box = box_of(g, fmt, (40, n), widest)
    step = Step(arithmetic, fmt, 40)
    if inner:
        tall = Interval(box.lo[..., None], box.hi[..., None])
        found = op.enclose(step, tall, 1)
        found = Interval(found.lo[..., 0], found.hi[..., 0])
    else:
        found = op.enclose(step, box, 1)
    assert not step.overflow.any()
    narrow = arithmetic.partials16 and fmt.dtype.itemsize == 2
    ways = [False]
    if narrow:
        ways = [False, True] if op is SOFTMAX and inner else [op is LOG_SOFTMAX and not inner]
    low, high = np.full((40, n), np.inf), np.full((40, n), -np.inf)
    for k in range(times):
        x = contract.between(box, g, fmt).numpy()
        if k % 2:  # one entry high, the others low, or the other way round
            ends = (box.lo, box.hi) if k % 4 == 1 else (box.hi, box.lo)
            x = np.where(np.arange(n) == rng.integers(0, n, (40, 1)), *(e.numpy() for e in ends))
        for stored in ways:
            y = execute(op, x, arithmetic, fmt, stored, rng)
            inside = (found.lo.numpy() <= y) & (y <= found.hi.numpy())
            assert inside.all(), (
                f"{op.name} {fmt.name}: {y[~inside][0]!r} is outside "
                f"[{float(found.lo[~inside][0])!r}, {float(found.hi[~inside][0])!r}]"
            )
            low, high = np.minimum(low, y), np.maximum(high, y)
    width = (found.hi - found.lo).numpy()
    share = ((high - low) / np.where(width > 0, width, 1))[width > 0]
    return float(np.median(share)) if share.size else 1.0


@RECORDS
@ARITHMETICS
@pytest.mark.parametrize("n", [1, 2, 10, pytest.param(65, marks=pytest.mark.slow)])
def test_no_execution_leaves_its_interval(
    op: Any, arithmetic: Arithmetic, fmt: Format, n: int
) -> None:
    for inner in (False, True):
        for widest in (0.0, 2.0**-6, 1.0):
            attack(op, arithmetic, fmt, n, widest, inner, 12 if n < 65 else 60)


@RECORDS
@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_wide_intervals_are_filled(op: Any, fmt: Format) -> None:
    """Correlated ends: two random corners of few come near what ten logits can do."""
    share = attack(op, TORCH_CPU, fmt, 2, 0.5, False, 40)
    print(f"{op.name} {fmt.name}: {share:.3f} of the median interval is reached")
    assert share > 0.6


@RECORDS
@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_points_are_enclosed_tightly(op: Any, fmt: Format) -> None:
    """16 bits: nearly every result is determined; binary32: a few times the profile of exp."""
    g = torch.Generator().manual_seed(3)
    x = (torch.randn(50, 10, generator=g) * 5).to(fmt.dtype)
    found = op.enclose(Step(TORCH_CPU, fmt, 50), Interval.point(x), 1)
    size = found.lo.abs() + (0 if op is SOFTMAX else 1)
    width = (found.hi - found.lo) / size.clamp(min=2.0**-20)
    if fmt is BINARY32:
        assert float(width.max()) < 2.0**-13
        assert float(width.median()) < 2.0**-15
    else:
        assert float((width == 0).double().mean()) > (0.8 if fmt.precision < 11 else 0.7)


@RECORDS
def test_over_the_reals_only_the_analysis_itself_errs(op: Any) -> None:
    """The exact arithmetic: the reals to about 2^-33."""
    g = torch.Generator().manual_seed(4)
    box = box_of(g, BINARY64, (30, 10), 0.25)
    found = op.enclose(Step(EXACT, BINARY64, 30), box, 1)
    call = torch.softmax if op is SOFTMAX else torch.log_softmax
    for k in range(10):
        high = torch.arange(10) == k
        x = torch.where(high, box.hi, box.lo)
        y = call(x, 1)
        assert ((found.lo <= y) & (y <= found.hi)).all()
        gap = (found.hi - y)[:, k] / (y[:, k].abs() + (0 if op is SOFTMAX else 1))
        assert float(gap.max()) < 2.0**-32


def test_many_equal_classes() -> None:
    """Sums of so many terms that the order matters; and of one."""
    for n in (1, 300):
        x = torch.zeros(2, n, dtype=torch.float64)
        for arithmetic, fmt in ROWS:
            for op in (SOFTMAX, LOG_SOFTMAX):
                step = Step(arithmetic, fmt, 2)
                found = op.enclose(step, Interval.point(x), 1)
                if bool(step.overflow.any()):
                    continue
                rng = np.random.default_rng(1)
                stored = arithmetic.partials16 and fmt.dtype.itemsize == 2 and op is LOG_SOFTMAX
                y = execute(op, x.numpy(), arithmetic, fmt, stored, rng)
                assert ((found.lo.numpy() <= y) & (y <= found.hi.numpy())).all()


def test_differences_that_leave_the_range_are_marked() -> None:
    x: Tensor = torch.tensor([[3e38, -3e38], [1.0, 2.0]], dtype=torch.float64)
    step = Step(TORCH_CPU, BINARY32, 2)
    SOFTMAX.enclose(step, Interval.point(x), 1)
    assert step.overflow.tolist() == [True, False]
