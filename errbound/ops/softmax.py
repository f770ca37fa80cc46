"""Softmax and log-softmax, as torch executes them.

    M = max_j x_j,  d_j = fl(x_j - M),  e_j = exp d_j,  s = sum_j e_j in any order,
    p_i = fl(e_i / s)   or   y_i = fl(d_i - log s),

in the intermediate format, then stored. In 16 bits some kernels of torch's CPU round to storage in
between: softmax over a dimension other than the last may store e_i (the sum takes it unrounded),
log-softmax over the last stores s and log s.

Two enclosures are intersected. *Step by step*: the interval of each line above in its own rounding
cells; it forgets that M and s depend on x. *Correlated*: let x'_j = M + d_j, which lies within
u |x_j - M| of x_j. Over the reals

    e^(x'_i) / sum_j e^(x'_j) = 1 / (1 + e^t),   t = log sum_{j != i} e^(x'_j - x'_i),

nondecreasing in x'_i and nonincreasing in every other x'_j, so the ends of the intervals of x'
bound t; then come the errors of exp, of the sum, of the quotient or the logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import TINY64, Format, Interval, inflate, widen
from errbound.ops._op import Array, BatchMoved, Case, Op, Step, real
from errbound.ops._shapes import hull
from errbound.ops._softmax import (
    LIMIT,
    OWN,
    Row,
    function,
    log_odds,
    partials16,
    relate_log_softmax,
    relate_softmax,
    row_of,
)


def _meet(a: Interval, b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """What both contain; of samples out of range, whose ends mean nothing, anything in order."""
    lo = torch.maximum(a.lo, b[0])
    return lo, torch.maximum(torch.minimum(a.hi, b[1]), lo)


def _quotients(step: Step, x: Interval, dim: int, row: Row, fmt: Format) -> Interval:
    """e_i / s, the numerator rounded to ``fmt`` first; stored.

    With E_j = exp d_j, sum E_j >= 1, and e_j = E_j (1 + rho_j) + alpha_j: leaving the alphas out
    changes e_i / sum e_j by at most 2 alpha + 2 n alpha (e_i / sum e_j) while the sums are >= 1/2.
    """
    e, n = row.e, x.lo.shape[dim]
    rounded = fmt is not step.intermediate
    if rounded:
        e = step.round_(e.lo.clone(), e.hi.clone(), fmt)
    direct = Interval(e.lo / row.s.hi, e.hi / row.s.lo)
    if max(row.rho + row.alpha, row.sigma) > LIMIT:
        return step.compute_(direct.lo, direct.hi)
    ratio = 2.0 * math.atanh(row.rho) * inflate(8)  # log((1 + rho) / (1 - rho))
    least, most = log_odds(x, dim, row.u)
    low, high = torch.sigmoid(-(most + ratio)), torch.sigmoid(-(least - ratio))
    relative = 2.0 * n * row.alpha + 2.0**-38
    absolute = 2.0 * row.alpha + TINY64 + (4.0 * fmt.eta if rounded else 0.0)
    u = fmt.unit_roundoff if rounded else 0.0
    low = low.mul_((1.0 - relative) * (1.0 - u) / (1.0 + row.sigma)).sub_(absolute)
    high = high.mul_((1.0 + relative) * (1.0 + u) / (1.0 - row.sigma)).add_(absolute)
    if not rounded:
        high.clamp_(max=1.0)  # e_i <= s, a sum of numbers >= 0
    return step.compute_(*_meet(direct, (low.clamp_(min=0.0), high)))


def _logarithms(step: Step, x: Interval, dim: int, row: Row, fmt: Format) -> Interval:
    """d_i - log s, the sum and its logarithm rounded to ``fmt`` besides; stored.

    log s - log sum E_j lies between the logarithms of (1 -+ (rho + n alpha)) (1 -+ sigma), since
    sum E_j >= 1; with rounding, of a factor 1 -+ u more. A computed logarithm L whose roundings
    have relative errors of sum r and absolute ones of sum a is within |L| r / (1 - r) + 2 a.
    """
    n, s = x.lo.shape[dim], row.s
    error = step.arithmetic.functions["log"]
    relative = error.relative + row.u
    absolute = error.absolute + (step.intermediate.eta if row.u else 0.0)
    shift = 0.0
    rounded = fmt is not step.intermediate
    if rounded:
        s = step.round_(s.lo.clone(), s.hi.clone(), fmt)
        shift = fmt.unit_roundoff
        relative, absolute = relative + shift, absolute + fmt.eta
    log = function(step, "log", s, torch.log)
    if rounded:
        log = step.round_(log.lo, log.hi, fmt)
    direct = Interval(row.d.lo - log.hi, row.d.hi - log.lo)
    spread = row.rho + n * row.alpha
    if max(spread, row.sigma, relative) > LIMIT:
        return step.compute_(direct.lo, direct.hi)
    largest = torch.maximum(log.lo.abs(), log.hi.abs())
    own = (relative / (1.0 - relative) * largest).add_(2.0 * absolute + 2.0**-40)
    over = math.log1p(spread) + math.log1p(row.sigma) + math.log1p(shift)
    under = math.log1p(-spread) + math.log1p(-row.sigma) + math.log1p(-shift)
    least, most = log_odds(x, dim, row.u)
    low = -torch.nn.functional.softplus(most, threshold=40.0)
    high = -torch.nn.functional.softplus(least, threshold=40.0)
    low, high = widen(low, high, 2.0**-40, OWN)
    return step.compute_(*_meet(direct, (low - own - over, high + own - under)))


def _enclose_softmax(step: Step, x: Interval, dim: int, dtype: Any = None) -> Interval:
    dim %= x.lo.dim()
    row = row_of(step, x, dim)
    found = _quotients(step, x, dim, row, step.intermediate)
    if partials16(step) and dim < x.lo.dim() - 1:
        found = hull(found, _quotients(step, x, dim, row, step.storage))
    return found


def _enclose_log_softmax(step: Step, x: Interval, dim: int, dtype: Any = None) -> Interval:
    dim %= x.lo.dim()
    row = row_of(step, x, dim)
    found = _logarithms(step, x, dim, row, step.intermediate)
    if partials16(step) and dim == x.lo.dim() - 1:
        found = hull(found, _logarithms(step, x, dim, row, step.storage))
    return found


def _check(x: Any, dim: int, dtype: Any = None) -> None:
    if dtype not in (None, x.dtype, torch.float32):
        raise ValueError(f"its input is converted to {dtype}; convert it before, by .to()")
    if dim % max(x.dim(), 1) == 0:
        raise BatchMoved("it normalises over the batch; name a dimension of a sample")


def _exponentials(x: Array, dim: int) -> tuple[Array, Array]:
    largest = np.max(x, axis=dim, keepdims=True)
    e: Array = np.vectorize(partial(real, "exp"), otypes=[object])(x - largest)
    return x - largest, e


def _exact_softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    _, e = _exponentials(x, dim)
    found: Array = e / e.sum(axis=dim, keepdims=True)
    return found


def _exact_log_softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    d, e = _exponentials(x, dim)
    log = np.vectorize(partial(real, "log"), otypes=[object])(e.sum(axis=dim, keepdims=True))
    found: Array = d - log
    return found


def _emulated(fl: Callable[[Tensor], Tensor], x: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The lines up to the sum, each operation rounded by ``fl``, the terms added in order."""
    d = fl(x - x.amax(dim, keepdim=True))
    e = fl(torch.exp(d))
    s = torch.zeros_like(e.narrow(dim, 0, 1))
    for k in range(e.shape[dim]):
        s = fl(s + e.narrow(dim, k, 1))
    return d, e, s


def _emulate_softmax(
    fl: Callable[[Tensor], Tensor], x: Tensor, dim: int, dtype: Any = None
) -> Tensor:
    _, e, s = _emulated(fl, x, dim)
    return fl(e / s)


def _emulate_log_softmax(
    fl: Callable[[Tensor], Tensor], x: Tensor, dim: int, dtype: Any = None
) -> Tensor:
    d, _, s = _emulated(fl, x, dim)
    return fl(d - fl(torch.log(s)))


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return (torch.randn(shape, generator=g) * 4).to(dtype)

    yield Case((draw(3, size), 1))
    yield Case((draw(2, 2 * size)[:, ::2], -1))
    yield Case((draw(2, size, 3), 1))
    yield Case((draw(2, 3, size), 1))
    yield Case((draw(2, size, 3, 2).to(memory_format=torch.channels_last), 1))


_LEMMA = (
    "measured: the kernels' formulas bit by bit, the error of exp and log as a profile; between "
    "them monotony and summation in any order (theory 3, 4)"
)

SOFTMAX = Op(
    name="softmax",
    targets=("aten.softmax.int", "aten.special_softmax.default"),
    meaning="y_i = exp(x_i) / sum_j exp(x_j) over one dimension of a sample",
    rounds="x - max, exp, the sum in any order and the quotient in binary32, then on store; over "
    "an inner dimension 16-bit kernels may store the exponentials",
    lemma=_LEMMA,
    call=torch.softmax,
    enclose=_enclose_softmax,
    relate=relate_softmax,
    exact=_exact_softmax,
    cases=_cases,
    check=_check,
    emulate=_emulate_softmax,
)

LOG_SOFTMAX = Op(
    name="log_softmax",
    targets=("aten.log_softmax.int", "aten.special_log_softmax.default"),
    meaning="y_i = x_i - log sum_j exp(x_j) over one dimension of a sample",
    rounds="x - max, exp, the sum in any order, its logarithm and the difference in binary32, then "
    "on store; over the last dimension 16-bit kernels store the sum and the logarithm",
    lemma=_LEMMA,
    call=torch.log_softmax,
    enclose=_enclose_log_softmax,
    relate=relate_log_softmax,
    exact=_exact_log_softmax,
    cases=_cases,
    check=_check,
    emulate=_emulate_log_softmax,
)

OPS = (SOFTMAX, LOG_SOFTMAX)
