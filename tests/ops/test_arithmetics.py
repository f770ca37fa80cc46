"""Every record under every other row: strict16, assumed CUDA, emulated formats, the reals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from errbound.arithmetic import (
    EXACT,
    STRICT16,
    TORCH_CPU,
    TORCH_CUDA_ASSUMED,
    Arithmetic,
)
from errbound.number import (
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


@records
def test_the_reals_are_narrow_and_hold_binary64(op: Op) -> None:
    """At a point the enclosure over the reals holds what binary64 computes, but for its errors."""
    for call in calls(op, NATIVE[-1], 7):
        if any(isinstance(a, Tensor) and not a.is_floating_point() for a in call.build(())):
            continue
        step = Step(EXACT, BINARY64, call.leaves[0].shape[0])
        found = call.enclose(tuple(Interval.point(x) for x in call.leaves), step)
        assert not bool(step.overflow.any())
        wide = [a.double() if isinstance(a, Tensor) else a for a in call.build(call.leaves)]
        try:
            with torch.inference_mode():
                value = op.call(*wide, **call.kwargs)
        except RuntimeError:
            continue  # no binary64 kernel
        for box, v in zip(found, [value], strict=True):
            near = 1e-12 * (1.0 + v.abs())
            assert bool((box.lo - near <= v).all())
            assert bool((v <= box.hi + near).all())
            assert bool((box.hi - box.lo <= 4 * near).all())
