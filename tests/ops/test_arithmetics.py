"""Every record under every other row: strict16, assumed CUDA, emulated formats, the reals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from flint import arb, ctx
from torch import Tensor

from errbound.arithmetic import (
    EXACT,
    STRICT16,
    TORCH_CPU,
    TORCH_CUDA_ASSUMED,
    Arithmetic,
)
from errbound.number import (
    BINARY32,
    BINARY64,
    E4M3,
    E5M2,
    FORMATS,
    NATIVE,
    TF32,
    Format,
    Interval,
    nearest,
    stored,
    ulp,
)
from errbound.ops import Case, Op, Step, perform

from . import contract

# Carried out by kernels of the CPU, which round some partial results to 16 bits.
CUDA = replace(TORCH_CUDA_ASSUMED, broken=lambda: "", device="cpu", partials16=True)
ROWS = [
    *((TORCH_CPU, fmt) for fmt in (TF32, E4M3, E5M2)),
    *((CUDA, fmt) for fmt in NATIVE),
    *((STRICT16, fmt) for fmt in FORMATS),
]
OPS = [op for op in contract.ROUNDING if op in contract.WITH_CASES and op.name != "cast"]
records = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
rows = pytest.mark.parametrize(
    ("arithmetic", "fmt"), ROWS, ids=[f"{a.name}-{f.name}" for a, f in ROWS]
)


def calls(op: Op, fmt: Format, size: int) -> Iterator[contract.Call]:
    """The record's cases, every tensor of numbers of ``fmt``."""

    def rounded(value: Any) -> Any:
        if isinstance(value, list):
            return [rounded(v) for v in value]
        if isinstance(value, Tensor) and value.is_floating_point():
            return contract.laid_out(stored(value, fmt), value)
        return value

    for case in op.cases(torch.Generator().manual_seed(size), fmt.dtype, size):
        args = tuple(rounded(a) for a in case.args)
        yield from contract.calls(op, Case(args, case.kwargs, case.inputs))


def boxes(call: contract.Call, fmt: Format, g: torch.Generator, widest: int) -> list[Interval]:
    """Intervals of numbers of ``fmt`` around the activations."""
    found = []
    for x in call.leaves:
        exact, ends = x.double(), []
        for sign in (-1.0, 1.0):
            steps = torch.randint(0, widest + 1, x.shape, generator=g).double()
            end = nearest(exact + sign * steps * ulp(exact, fmt), fmt)
            ends.append(torch.where(torch.isfinite(end), end, exact))
        lo, hi = ends
        found.append(Interval(torch.minimum(lo, exact), torch.maximum(hi, exact)))
    return found


def inside(
    call: contract.Call,
    around: list[Interval],
    at: list[Tensor],
    row: tuple[Arithmetic, Format],
) -> int:
    """The execution at ``at`` is inside the enclosure of the boxes; how many samples counted."""
    arithmetic, fmt = row
    step = Step(arithmetic, fmt, call.leaves[0].shape[0])
    found = call.enclose(tuple(around), step)
    leaves = tuple(
        contract.laid_out(v.to(x.dtype), x) for v, x in zip(at, call.leaves, strict=True)
    )
    with torch.inference_mode():
        value = perform(call.op, arithmetic, fmt, call.build(leaves), call.kwargs)
    alive = ~step.overflow
    for box, v in zip(found, value if isinstance(value, list | tuple) else [value], strict=True):
        assert contract.is_number(box.lo[alive], fmt)
        bad = ~box.contains(v)[alive]
        if bool(bad.any()):
            k = tuple(bad.nonzero()[0].tolist())
            ends = (float(e[alive][k]).hex() for e in (v.double(), box.lo, box.hi))
            raise AssertionError("{} is outside [{}, {}]".format(*ends))
    return int(alive.sum())


@records
@rows
def test_executions_lie_inside(op: Op, arithmetic: Arithmetic, fmt: Format) -> None:
    g = torch.Generator().manual_seed(7)
    counted = 0
    for size in (1, 7):
        for call in calls(op, fmt, size):
            points = [Interval.point(x) for x in call.leaves]
            counted += inside(call, points, [p.lo for p in points], (arithmetic, fmt))
            for widest in (1, 40):
                around = boxes(call, fmt, g, 0 if contract.divides(op) else widest)
                for pick in range(3):
                    share = [torch.rand(b.shape, generator=g).double() for b in around]
                    at = [
                        (b.lo, b.hi, nearest(b.lo + s * (b.hi - b.lo), fmt))[pick]
                        for b, s in zip(around, share, strict=True)
                    ]
                    counted += inside(call, around, at, (arithmetic, fmt))
    assert counted >= 10


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Arb's, restored afterwards."""
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def fraction(end: arb) -> Fraction:
    mantissa, exponent = end.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def balls(value: Any) -> Any:
    """Tensors as arrays of exact balls."""
    if not isinstance(value, Tensor):
        return value
    found = np.empty(value.numel(), dtype=object)
    found[:] = [arb(v) for v in value.double().reshape(-1).tolist()]
    return found.reshape(tuple(value.shape))


@records
def test_the_reals_hold_the_exact_result_and_are_narrow(op: Op) -> None:
    """Arb's ball of the exact result is inside; the enclosure is a few roundings wide."""
    counted = 0
    for size in (1, 7):
        for call in calls(op, BINARY32, size):
            step = Step(EXACT, BINARY64, call.leaves[0].shape[0])
            found = call.enclose(tuple(Interval.point(x) for x in call.leaves), step)
            assert not bool(step.overflow.any())
            with precision(300):
                value = op.exact(*map(balls, call.build(call.leaves)), **call.kwargs)
            flat = (end.expand(value.shape).reshape(-1) for end in (found[0].lo, found[0].hi))
            ends = zip(*(end.tolist() for end in flat), strict=True)
            for v, (lo, hi) in zip(value.reshape(-1), ends, strict=True):
                assert fraction(v.lower()) >= Fraction(lo)
                assert fraction(v.upper()) <= Fraction(hi)
                assert hi - lo <= 1e-11 * (1.0 + abs(lo))
                counted += 1
    assert counted >= 10
