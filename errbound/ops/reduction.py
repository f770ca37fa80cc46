"""Sums and means over dimensions of a sample.

The kernels add in binary32, in 16 bits too, and round once on store; a mean divides the binary32
sum by the number of its terms first. One kernel of ``sum`` does otherwise: a sum of everything in
a tensor of 2^15 entries or more is split among the threads, whose partial sums are stored in 16
bits. A batch of one sample may meet it, so such sums are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import Interval
from errbound.ops._linear import related_windows
from errbound.ops._op import Array, BatchMoved, Case, Op, Refused, Step, Terms
from errbound.ops._relation import Centred, Functionals, Relation, dense
from errbound.ops._shapes import exact_sum, window_sums

Dims = int | Sequence[int] | None
SPLIT = 2**15
"""From so many entries on, torch shares the sum of a whole tensor among threads."""


def _axes(rank: int, dims: Dims) -> tuple[int, ...]:
    """The dimensions that are summed, counted from 0; none given means all."""
    if dims is None or dims == [] or dims == ():
        return tuple(range(rank))
    given = [dims] if isinstance(dims, int) else dims
    return tuple(sorted(d % rank for d in given))


def _count(shape: Sequence[int], dims: Dims) -> int:
    return math.prod(shape[d] for d in _axes(len(shape), dims))


def _divisor(shape: Sequence[int], dims: Dims) -> float:
    """The number of terms as the kernel divides by it: in binary32."""
    return float(np.float32(_count(shape, dims)))


def _enclose(step: Step, x: Interval, dims: Dims, keepdim: bool, divisors: list[Any]) -> Interval:
    axes = _axes(x.lo.dim(), dims)

    def add(values: Tensor) -> Tensor:
        return values.sum(dim=axes, keepdim=keepdim)

    return window_sums(step, x, add, _count(x.shape, dims), [divisors])


def _enclose_sum(
    step: Step, x: Interval, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Interval:
    if step.storage.dtype.itemsize == 2:
        _refuse_split(x.shape, dims)
    return _enclose(step, x, dims, keepdim, [])


def _enclose_mean(
    step: Step, x: Interval, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Interval:
    return _enclose(step, x, dims, keepdim, [_divisor(x.shape, dims)])


def _relate(
    step: Step, out: Interval, x: Centred, dims: Dims, keepdim: bool, divisors: list[list[Any]]
) -> Relation:
    axes = _axes(x.lo.dim(), dims)

    def add(values: Tensor) -> Tensor:
        return values.sum(dim=axes, keepdim=keepdim)

    def pull(g: Functionals) -> Functionals:
        kept = [1 if d in axes else n for d, n in enumerate(x.shape)]
        whole = g.value.reshape(-1, *kept[1:]).expand(-1, *x.shape[1:])
        return replace(g, value=whole)

    return related_windows(
        step, x, add, _count(x.shape, dims), divisors, dense(out.shape[1:], pull), 0
    )


def _relate_sum(
    step: Step,
    out: Interval,
    x: Centred,
    dims: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Relation:
    return _relate(step, out, x, dims, keepdim, [[]])


def _relate_mean(
    step: Step,
    out: Interval,
    x: Centred,
    dims: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Relation:
    return _relate(step, out, x, dims, keepdim, [[_divisor(x.shape, dims)]])


def _terms(x: Array, dims: Dims, keepdim: bool) -> Array:
    """The terms of each sum in a last dimension."""
    axes = _axes(x.ndim, dims)
    kept = [d for d in range(x.ndim) if d not in axes]
    shape = [1 if d in axes else n for d, n in enumerate(x.shape) if keepdim or d not in axes]
    return x.transpose(*kept, *axes).reshape(*shape, _count(x.shape, dims))


def _sum_terms(x: Array, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Terms:
    return Terms(_terms(x, dims, keepdim), np.ones(1, dtype=int))


def _mean_terms(x: Array, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Terms:
    divisor = np.asarray(_count(x.shape, dims), dtype=int)
    return Terms(_terms(x, dims, keepdim), np.ones(1, dtype=int), None, (divisor,))


def _check_mean(x: Any, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> None:
    if dtype not in (None, x.dtype, torch.float32):
        raise ValueError(f"its input is converted to {dtype}; convert it before, by .to()")
    if 0 in _axes(x.dim(), dims):
        raise BatchMoved("it sums over the batch; name the dimensions of a sample")


def _check_sum(x: Any, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> None:
    _check_mean(x, dims, keepdim, dtype=dtype)
    if x.dtype.itemsize == 2 and dtype is not torch.float32:
        _refuse_split(x.shape, dims)


def _refuse_split(shape: Sequence[int], dims: Dims) -> None:
    """An archive in binary32 shows only here, when it is enclosed, that it becomes 16 bits."""
    terms = _count(shape, dims)
    if terms >= SPLIT and terms == math.prod(shape[1:]):
        raise Refused("in 16 bits torch may split so long a sum; use .float().sum(...)")


def _call_sum(x: Tensor, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return torch.ops.aten.sum.dim_IntList(x, dims, keepdim, dtype=dtype)


def _call_mean(x: Tensor, dims: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return torch.ops.aten.mean.dim(x, dims, keepdim, dtype=dtype)


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    yield Case((draw(3, size), [1]))
    yield Case((draw(3, 2 * size)[:, ::2], [-1], True))
    yield Case((draw(2, 3, size), [1]))
    yield Case((draw(2, size, 3, 4).to(memory_format=torch.channels_last), [2, 3]))
    yield Case((draw(2, 3, size, 2), [3, 1], True))


SUM = Op(
    name="sum",
    targets=("aten.sum.dim_IntList", "aten.sum.default"),
    meaning="y = sum of x over some dimensions of a sample",
    rounds="binary32 partial sums in any order; the store",
    lemma="proved: window_mean",
    call=_call_sum,
    enclose=_enclose_sum,
    relate=_relate_sum,
    exact=exact_sum(_sum_terms),
    terms=_sum_terms,
    cases=_cases,
    domain="all finite inputs; in 16 bits fewer than 2^15 terms where a sample has one sum",
    check=_check_sum,
)

MEAN = Op(
    name="mean",
    targets=("aten.mean.dim", "aten.mean.default"),
    meaning="y = (sum of x over some dimensions of a sample) / (number of terms)",
    rounds="binary32 partial sums in any order, the division, the store",
    lemma="proved: window_mean, one_operation",
    call=_call_mean,
    enclose=_enclose_mean,
    relate=_relate_mean,
    exact=exact_sum(_mean_terms),
    terms=_mean_terms,
    cases=_cases,
    check=_check_mean,
)

OPS = (SUM, MEAN)
