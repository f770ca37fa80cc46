"""Every record's linear relation holds in every execution: all rows, formats, boxes, centres."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from errbound.arithmetic import STRICT16, TORCH_CPU, Arithmetic
from errbound.number import BINARY16, BINARY32, BY_DTYPE, E5M2, NATIVE, Format, Interval, nearest
from errbound.ops import OPS, Case, Centred, Op

from . import contract, relations
from . import test_arithmetics as arithmetics

WITH = [op for op in OPS if op.relate is not None and op in contract.WITH_CASES]
ROWS = [*((TORCH_CPU, fmt) for fmt in NATIVE), *arithmetics.ROWS]
FAST = {"torch-cpu-float16", "torch-cpu-float32", "strict16-float16"}
rows = pytest.mark.parametrize(
    ("arithmetic", "fmt"),
    [
        pytest.param(a, f, id=name, marks=[pytest.mark.slow] * (name not in FAST))
        for a, f in ROWS
        for name in [f"{a.name}-{f.name}"]
    ],
)

WITHOUT = {
    "conv_transpose1d": "taps may be stored one by one",
    "conv_transpose2d": "taps may be stored one by one",
    "reciprocal": "not linear",
    **dict.fromkeys(
        ("size", "getitem", "integer_add", "integer_sub", "integer_mul", "integer_div"),
        "no number is involved",
    ),
}
"""Records whose outputs end a backward pass."""


def test_the_records_without_a_relation_are_known() -> None:
    assert {op.name for op in OPS if op.relate is None} == WITHOUT.keys()


def more_cases(op: Op, dtype: torch.dtype, g: torch.Generator) -> Iterator[Case]:
    """Maps that the records' cases do not have: more windows than pixels, odd borders."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    if op.name == "adaptive_avg_pool2d":
        yield Case((draw(2, 1, 3, 2), [19, 13]))
    if op.name == "max_pool2d":
        yield Case((draw(2, 1, 6, 5), [2, 3], [1, 2], [1, 1], [2, 1]))
    if op.name == "conv2d":
        yield Case((draw(2, 2, 6, 7), draw(2, 2, 3, 2), draw(2), [3, 2], [2, 1], [2, 3]))
        yield Case((draw(2, 4, 5, 4), draw(4, 1, 2, 3), None, [2, 3], [1, 0], [1, 1], 4))
    if op.name == "add":
        yield Case((draw(2, 3, 1), draw(2, 1, 4)), inputs=2)
    if op.name == "mul":
        yield Case((draw(2, 3, 1), draw(2, 1, 4)), inputs=2)


def calls(
    op: Op, arithmetic: Arithmetic, fmt: Format, size: int, g: torch.Generator
) -> Iterator[contract.Call]:
    """All calls of a record in this row; native kernels also on subnormals and zeros."""
    if arithmetic is TORCH_CPU and fmt in NATIVE:
        for plain in contract.all_calls(op, fmt, size):
            for variant in ("plain", "mixed"):
                yield contract.varied(plain, variant, g)
        cases = more_cases(op, fmt.dtype, g)
    else:
        yield from arithmetics.calls(op, fmt, size)
        return
    for case in cases:
        yield from contract.calls(op, case)


@pytest.mark.parametrize("op", WITH, ids=lambda op: op.name)
@rows
def test_relations_hold_in_every_execution(op: Op, arithmetic: Arithmetic, fmt: Format) -> None:
    g = torch.Generator().manual_seed(11)
    rng = np.random.default_rng(11)
    native = arithmetic is TORCH_CPU and fmt in NATIVE
    counted, ended = 0, 0
    for size in (1, 3):
        for call in calls(op, arithmetic, fmt, size, g):
            away = contract.divides(op)  # from zero
            held = BY_DTYPE[call.leaves[0].dtype] if native else fmt
            storage = call.storage if native else fmt
            if native:
                widest = 2 ** (fmt.precision - 2)
                around = contract.boxes_around(call, g, widest, 0.0 if away else 0.03)
            else:
                around = tuple(arithmetics.boxes(call, fmt, g, 1 if away else 40))
            xs = relations.operands(around, held, g, across=not away)
            made = relations.related(call, xs, arithmetic, storage)
            for k, relation in enumerate(made.relations):
                if relation is None:
                    ended += 1
                    continue
                maps = relations.maps_of(made, k)
                assert relations.check_coefficients(made, k, maps, g) or not made.alive
                for at in relations.points(made, maps, g, held):
                    for values in relations.executions(made, rng, at):
                        counted += relations.check_executions(made, k, maps, at, values[k])
    ends = ENDS.get(op.name, lambda a, f: False)(arithmetic, fmt)
    assert bool(ended) == bool(ends)
    assert counted >= 50 or ends
    COUNTS[op.name, arithmetic.name, fmt.name] = counted


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hardtanh", "sigmoid", "tanh"])
def test_a_centre_far_from_a_narrowed_interval(name: str) -> None:
    """Numbers of the size of the centre are rounded, however small the function's values are."""
    op = next(op for op in OPS if op.name == name)
    for fmt in (BINARY16, BINARY32):
        for centre in (0.3, -0.7, 1000.0 / 3.0):
            x = torch.zeros(1, 9, dtype=fmt.dtype)
            wide = nearest(torch.full((1, 9), 2.0 * abs(centre), dtype=torch.float64), fmt)
            lo, hi = (-2.0 * fmt.eta, wide) if centre > 0 else (-wide, 2.0 * fmt.eta)
            box = Centred.around(Interval(*(torch.as_tensor(e) + 0.0 * wide for e in (lo, hi))))
            k = torch.arange(1, 10, dtype=torch.float64)[None]
            step = 2.0 * fmt.eta * 7.0 ** (2 * k if fmt is BINARY32 else k * 0.5)
            box.lo.copy_(nearest(torch.maximum(-step, box.lo), fmt))
            box.hi.copy_(nearest(torch.minimum(3.0 * step, box.hi), fmt))
            call = next(contract.calls(op, Case((x,))))
            made = relations.related(call, (box,), TORCH_CPU, fmt)
            maps = relations.maps_of(made, 0)
            for at in (box.lo, box.hi, torch.zeros_like(box.lo)):
                for values in relations.executions(made, np.random.default_rng(0), (at,)):
                    assert relations.check_executions(made, 0, maps, (at,), values[0]) == 9


def _coarse(arithmetic: Arithmetic, fmt: Format) -> bool:
    return arithmetic is STRICT16 and fmt is E5M2


COUNTS: dict[tuple[str, str, str], int] = {}

ENDS = {
    "div": lambda a, f: True,  # by an activation, or by a constant in an unprobed arithmetic
    "leaky_relu": lambda a, f: not a.probed,
    # Over an inner dimension; where every exponential may err by more than a quarter.
    "softmax": lambda a, f: (a.partials16 and f.dtype.itemsize == 2) or _coarse(a, f),
    "log_softmax": lambda a, f: _coarse(a, f),
    "batch_norm": lambda a, f: not a.probed,
    "clamp_min": lambda a, f: True,  # where a bound is an activation
    "clamp_max": lambda a, f: True,
}
"""Rows in which some relation of a record is None."""
