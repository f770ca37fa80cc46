"""Cutting off: clamp, hardtanh, relu6. Bounds are rounded to storage first; nothing else rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import Interval, nearest
from errbound.ops._op import Array, Case, Op, Step
from errbound.ops._relation import Centred, Relation, piecewise


def _operand(step: Step, value: Any) -> Interval:
    """An operand as the kernel compares it: in the storage format."""
    if isinstance(value, Interval):
        return value
    return Interval.point(step.scalar(getattr(value, "value", value), as_stored=True))


def _enclose(step: Step, x: Any, lowest: Any = None, highest: Any = None) -> Interval:
    """Nondecreasing in all three operands: min(max(x, lowest), highest)."""
    box = _operand(step, x)
    lo, hi = box.lo, box.hi
    if lowest is not None:
        floor = _operand(step, lowest)
        lo, hi = torch.maximum(lo, floor.lo), torch.maximum(hi, floor.hi)
    if highest is not None:
        ceiling = _operand(step, highest)
        lo, hi = torch.minimum(lo, ceiling.lo), torch.minimum(hi, ceiling.hi)
    return step.store_(lo, hi)


def _relate(
    step: Step, out: Interval, x: Any, lowest: Any = None, highest: Any = None
) -> Relation | None:
    if not isinstance(x, Centred) or any(isinstance(b, Interval) for b in (lowest, highest)):
        return None
    ends = [
        None if b is None else nearest(_operand(step, b).lo, step.storage)
        for b in (lowest, highest)
    ]

    def f(v: Tensor) -> Tensor:
        if ends[0] is not None:
            v = torch.maximum(v, ends[0])
        return v if ends[1] is None else torch.minimum(v, ends[1])

    return piecewise(x, f, [b for b in ends if b is not None])


def _bends(step: Step, x: Interval, lowest: Any = None, highest: Any = None) -> Tensor:
    found = torch.zeros_like(x.lo, dtype=torch.bool)
    for bound in (lowest, highest):
        if bound is not None:
            at = _operand(step, bound)
            found |= (x.lo < at.hi) & (x.hi > at.lo)
    return found


def _exact(x: Array, lowest: Any = None, highest: Any = None) -> Array:
    found = x
    if lowest is not None:
        found = np.where(found < lowest, found * 0 + lowest, found)
    if highest is not None:
        found = np.where(found > highest, found * 0 + highest, found)
    return np.asarray(found)


def _check(x: Any, lowest: Any = None, highest: Any = None) -> None:
    if lowest is None and highest is None:
        raise ValueError("it has no bound")
    for value, useless in ((lowest, math.inf), (highest, -math.inf)):
        if isinstance(value, Tensor):
            continue
        if value is not None and (math.isnan(value) or value == useless):
            raise ValueError(f"its bound is {value}; a bound must be a number that leaves a result")


def _cases(*bounds: tuple[float | None, ...], tensors: int = 0) -> Callable[..., Iterator[Case]]:
    """Numbers as bounds, and ``tensors`` of them as tensors."""

    def cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
        x = (torch.randn(3, 2 * size, generator=g) * 4).to(dtype)
        for k, given in enumerate(bounds):
            yield Case((x[:, ::2] if k % 2 else x[:, :size].contiguous(), *given))
        if tensors:
            limits = [torch.randn(3, size, generator=g).to(dtype) for _ in range(tensors)]
            yield Case((x[:, ::2], *limits))

    return cases


_ROUNDS = "a bound that is no number of the storage format is rounded to it; nothing else"
_LEMMA = "proved: selection_accepted"

CLAMP = Op(
    name="clamp",
    targets=(
        "aten.clamp.default",
        "aten.clamp_.default",
        "aten.clamp.Tensor",
        "aten.clamp_.Tensor",
        "aten.clip.default",
        "aten.clip_.default",
        "aten.clip.Tensor",
        "aten.clip_.Tensor",
    ),
    meaning="y = min(max(x, lowest), highest); either bound may be missing",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.clamp,
    enclose=_enclose,
    relate=_relate,
    bends=_bends,
    exact=_exact,
    cases=_cases((-1.25, 2), (0.1307, None), (None, 0.3081), (2.0, -1.0), tensors=2),
    domain="all finite inputs; bounds that are numbers",
    check=_check,
    compares=True,
)

CLAMP_MIN = Op(
    name="clamp_min",
    targets=(
        "aten.clamp_min.default",
        "aten.clamp_min_.default",
        "aten.clamp_min.Tensor",
        "aten.clamp_min_.Tensor",
    ),
    meaning="y = max(x, lowest)",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.clamp_min,
    enclose=_enclose,
    relate=_relate,
    bends=_bends,
    exact=_exact,
    cases=_cases((0.1307,), (-2,), tensors=1),
    domain="all finite inputs; a bound that is a number",
    check=_check,
    compares=True,
)

CLAMP_MAX = Op(
    name="clamp_max",
    targets=(
        "aten.clamp_max.default",
        "aten.clamp_max_.default",
        "aten.clamp_max.Tensor",
        "aten.clamp_max_.Tensor",
    ),
    meaning="y = min(x, highest)",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.clamp_max,
    enclose=lambda step, x, highest: _enclose(step, x, None, highest),
    relate=lambda step, out, x, highest: _relate(step, out, x, None, highest),
    bends=lambda step, x, highest: _bends(step, x, None, highest),
    exact=lambda x, highest: _exact(x, None, highest),
    cases=_cases((0.1307,), (-2,), tensors=1),
    domain="all finite inputs; a bound that is a number",
    check=lambda x, highest: _check(x, None, highest),
    compares=True,
)

HARDTANH = Op(
    name="hardtanh",
    targets=("aten.hardtanh.default", "aten.hardtanh_.default"),
    meaning="y = min(max(x, lowest), highest), by default -1 and 1; nn.ReLU6 is 0 and 6",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.ops.aten.hardtanh.default,
    enclose=lambda step, x, lowest=-1, highest=1: _enclose(step, x, lowest, highest),
    relate=lambda step, out, x, lowest=-1, highest=1: _relate(step, out, x, lowest, highest),
    bends=lambda step, x, lowest=-1, highest=1: _bends(step, x, lowest, highest),
    exact=lambda x, lowest=-1, highest=1: _exact(x, lowest, highest),
    cases=_cases((), (-2, 3.0), (0.0, 6.0), (-0.1307, 0.3081)),
    domain="all finite inputs; bounds that are numbers",
    check=lambda x, lowest=-1, highest=1: _check(x, lowest, highest),
    compares=True,
)

RELU6 = Op(
    name="relu6",
    targets=("aten.relu6.default", "aten.relu6_.default"),
    meaning="y = min(max(x, 0), 6)",
    rounds="never",
    lemma=_LEMMA,
    call=torch.ops.aten.relu6.default,
    enclose=lambda step, x: _enclose(step, x, 0, 6),
    relate=lambda step, out, x: _relate(step, out, x, 0, 6),
    bends=lambda step, x: _bends(step, x, 0, 6),
    exact=lambda x: _exact(x, 0, 6),
    cases=_cases(()),
    compares=True,
)

OPS = (CLAMP, CLAMP_MIN, CLAMP_MAX, HARDTANH, RELU6)
