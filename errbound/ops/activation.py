"""Activations: relu, leaky relu, sigmoid and tanh (tabulated), dropout in evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import Interval
from errbound.ops._op import Array, Case, Op, Step, real
from errbound.ops._relation import Centred, Relation, moved, piecewise
from errbound.ops._shapes import both_ends, hull, tabulated
from errbound.ops._smooth import smooth


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    yield Case(((torch.randn(3, size, generator=g) * 4).to(dtype),))
    yield Case(((torch.randn(3, 2 * size, generator=g) * 4).to(dtype)[:, ::2],))
    tiny = torch.finfo(dtype).smallest_normal
    yield Case(((torch.randn(1, size, generator=g) * tiny).to(dtype),))


def _dropout_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    for case in _cases(g, dtype, size):
        yield Case((*case.args, 0.5, False))


def _relu(x: Array) -> Array:
    found: Array = np.where(x > 0, x, x * 0)
    return found


def _leaky(step: Step, x: Interval, slope: float = 0.01) -> Interval:
    # Nondecreasing, and x slope is exact in binary64: 48 bits.
    def steep(as_stored: bool) -> Interval:
        by = step.scalar(slope, as_stored=as_stored)
        return step.compute_(*(torch.where(end > 0, end, end * by) for end in (x.lo, x.hi)))

    found = steep(False)
    return found if step.arithmetic.probed else hull(found, steep(True))


def _relate_leaky(step: Step, out: Interval, x: Centred, slope: float = 0.01) -> Relation | None:
    if not step.arithmetic.probed:
        return None  # the slope is one of two numbers
    by = step.scalar(slope, as_stored=False)

    def f(v: Tensor) -> Tensor:
        return torch.where(v > 0, v, v * by)  # exact: 48 bits

    size = torch.maximum(f(x.lo).abs(), f(x.hi).abs())
    return replace(piecewise(x, f, (0.0,)), gap=step.gap(size, twice=True))


def _curved(step: Step, x: Interval) -> Tensor:
    """Wider than the rounding of the result: |quotient| <= 1 for both functions."""
    gap = step.gap(torch.ones_like(x.lo))
    return x.hi - x.lo > (0.0 if gap is None else gap)


def _emulate_leaky(fl: Callable[[Tensor], Tensor], x: Tensor, slope: float = 0.01) -> Tensor:
    steep = fl(torch.tensor(float(slope), dtype=torch.float64))
    return torch.where(x > 0, x, fl(x * steep))


def _leaky_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    dense, strided, tiny = _cases(g, dtype, size)
    yield from (Case((*dense.args, slope)) for slope in (0.01, 0))
    yield Case((*strided.args, 0.3))
    yield Case((*tiny.args, 1.0 + 2.0**-10))


def _no_negative_slope(x: Any, slope: float = 0.01) -> None:
    if not 0 <= slope < math.inf:
        raise ValueError(f"its slope is {slope}; only slopes of 0 or more have a record")


def _elementwise(f: Any) -> Any:
    """Apply a function of one exact number (``mpf`` or ``arb``) to each entry."""

    def apply(x: Array) -> Array:
        found: Array = np.vectorize(f, otypes=[object])(x)
        return found

    return apply


def _no_training(x: Any, p: float, train: bool) -> None:
    if train and p > 0:
        raise ValueError("dropout is active: the model was traced in training mode")


RELU = Op(
    name="relu",
    targets=("aten.relu.default", "aten.relu_.default"),
    meaning="y = max(x, 0)",
    rounds="never",
    lemma="proved: selection_accepted",
    call=torch.relu,
    enclose=both_ends(torch.relu),
    relate=lambda step, out, x: piecewise(x, torch.relu, (0.0,)),
    bends=lambda step, x: (x.lo < 0) & (x.hi > 0),
    exact=_relu,
    cases=_cases,
    moves=True,
)

LEAKY_RELU = Op(
    name="leaky_relu",
    targets=("aten.leaky_relu.default", "aten.leaky_relu_.default"),
    meaning="y = x where x > 0, slope x elsewhere",
    rounds="the product with the slope, used in binary32: in binary32, then on store",
    lemma="proved: leaky_accepted, either_accepted, one_operation",
    call=torch.nn.functional.leaky_relu,
    enclose=_leaky,
    relate=_relate_leaky,
    bends=lambda step, x, slope=0.01: (x.lo < 0) & (x.hi > 0),
    exact=lambda x, slope=0.01: np.asarray(np.where(x > 0, x, x * slope)),
    cases=_leaky_cases,
    domain="all finite inputs; a slope of 0 or more",
    check=_no_negative_slope,
    compares=True,
    emulate=_emulate_leaky,
)

SIGMOID = Op(
    name="sigmoid",
    targets=("aten.sigmoid.default", "aten.sigmoid_.default"),
    meaning="y = 1 / (1 + exp(-x))",
    rounds="in the kernel; 16-bit results by the kernel's exhaustive table",
    lemma="measured: exhaustive table of this machine's kernel (16 bits), profile (binary32); from "
    "there proved by tabulated_accepted, bounded_error_accepted",
    call=torch.sigmoid,
    enclose=tabulated("sigmoid", torch.sigmoid, torch.sigmoid),
    relate=smooth("sigmoid", torch.sigmoid, torch.sigmoid, lambda y: y * (1.0 - y)),
    bends=_curved,
    exact=_elementwise(lambda v: 1 / (1 + real("exp", -v))),
    cases=_cases,
)

TANH = Op(
    name="tanh",
    targets=("aten.tanh.default", "aten.tanh_.default"),
    meaning="y = tanh x",
    rounds="in the kernel; 16-bit results by the kernel's exhaustive table",
    lemma="measured: exhaustive table of this machine's kernel (16 bits), profile (binary32); from "
    "there proved by tabulated_accepted, bounded_error_accepted",
    call=torch.tanh,
    enclose=tabulated("tanh", torch.tanh, torch.tanh),
    relate=smooth("tanh", torch.tanh, torch.tanh, lambda y: (1.0 - y) * (1.0 + y)),
    bends=_curved,
    exact=_elementwise(lambda v: real("tanh", v)),
    cases=_cases,
)


def _identity(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


DROPOUT = Op(
    name="dropout",
    targets=(
        "aten.dropout.default",
        "aten.dropout_.default",
        "aten.feature_dropout.default",
        "aten.feature_dropout_.default",
        "aten.alpha_dropout.default",
        "aten.alpha_dropout_.default",
    ),
    meaning="y = x (evaluation mode)",
    rounds="never",
    lemma="proved: moving",
    call=_identity,
    enclose=both_ends(_identity),
    relate=lambda step, out, x, *_: moved(_identity, out, x),
    exact=lambda x, *_: x,
    cases=_dropout_cases,
    domain="evaluation mode only",
    check=_no_training,
    moves=True,
    shares=True,
)

OPS = (RELU, LEAKY_RELU, SIGMOID, TANH, DROPOUT)
