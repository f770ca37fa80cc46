"""What softmax and log-softmax share: their lines up to the sum, and their linear relations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from errbound.number import TINY64, Interval, any_order, inflate, widen
from errbound.ops._op import Step
from errbound.ops._relation import Centred, Functionals, Relation, dense

OWN = 2.0**-45
"""More than the relative error of a binary64 exp, log, log1p or sigmoid."""

LIMIT = 0.25
"""Errors of exp at its largest argument, 0, beyond which the correlated enclosure is not used."""


@dataclass(frozen=True)
class Row:
    """What the lines up to the sum may give, and how far they err from the reals.

    Attributes:
        d, e: intervals of x - M and of exp (x - M), numbers of the intermediate format.
        s: interval of the sum, likewise, kept dimension of one entry.
        u: relative error of one addition.
        rho, alpha: |e_j - exp d_j| <= rho exp d_j + alpha.
        sigma: |s - sum e_j| <= sigma sum e_j.
    """

    d: Interval
    e: Interval
    s: Interval
    u: float
    rho: float
    alpha: float
    sigma: float


def function(step: Step, name: str, x: Interval, call: Callable[[Tensor], Tensor]) -> Interval:
    """A nondecreasing elementary function, rounded to the intermediate format."""
    error = step.arithmetic.functions[name]
    ends = widen(call(x.lo), call(x.hi), error.absolute + TINY64, error.relative + OWN)
    return step.round_(*ends, step.intermediate)


def row_of(step: Step, x: Interval, dim: int) -> Row:
    middle = step.intermediate
    below, above = (end.amax(dim, keepdim=True) for end in (x.lo, x.hi))
    # M is at least every x_j, so no difference is positive.
    d = step.round_(x.lo - above, (x.hi - below).clamp_(max=0.0), middle)
    e = function(step, "exp", d, torch.exp)
    e.lo.clamp_(min=0.0)  # no kernel returns less
    bound = any_order(torch.tensor(x.lo.shape[dim]), step.additions)
    sigma = float(bound.magnitude + bound.signed)
    own = x.lo.shape[dim] * 2.0**-50  # of the binary64 sums of this line
    least = e.lo.sum(dim, keepdim=True).mul_((1.0 - own) * (1.0 - sigma))
    most = e.hi.sum(dim, keepdim=True).mul_((1.0 + own) * (1.0 + sigma) * inflate(4))
    # A sum of numbers >= 0, rounded, is never less than one of them, and one of them is exp 0.
    error = step.arithmetic.functions["exp"]
    one = 1.0 - error.relative - error.absolute - OWN
    least = torch.maximum(least, e.lo.amax(dim, keepdim=True)).clamp_(min=one)
    s = step.round_(least, most.clamp_(min=one), middle)
    u = step.additions.addition
    eta = middle.eta if u else 0.0
    # The function's result is rounded: by torch's kernels already, elsewhere besides.
    rho = error.relative + u + error.relative * u
    return Row(d, e, s, u, rho, error.absolute * (1.0 + u) + eta, sigma)


def log_odds(x: Interval, dim: int, u: float) -> tuple[Tensor, Tensor]:
    """Ends of t = log sum_{j != i} e^(x'_j - x'_i) for |x'_j - x_j| <= u |x_j - M|.

    x' is nondecreasing in x and x' <= M, so x'_j <= hi + u (M - hi) at the largest M.
    The sums without one term are sums of two running sums: nothing cancels.
    """
    above = x.hi.amax(dim, keepdim=True)
    low, high = x.lo - (above - x.lo) * u, x.hi + (above - x.hi) * u
    n = x.lo.shape[dim]

    def others(ends: Tensor) -> tuple[Tensor, Tensor]:
        top = ends.amax(dim, keepdim=True)
        terms = torch.exp(ends - top)
        zero = torch.zeros_like(terms.narrow(dim, 0, 1))
        before = torch.cat([zero, terms.narrow(dim, 0, n - 1)], dim).cumsum(dim)
        after = torch.cat([terms.narrow(dim, 1, n - 1), zero], dim)
        return top, before + after.flip(dim).cumsum(dim).flip(dim)

    top, rest = others(low)
    least = rest.log().add_(top - high)
    top, rest = others(high)
    most = rest.add_(TINY64).log_().add_(top - low)
    # Arguments of exp err by 2^-53 of themselves, and below -700 the term is under TINY64; log
    # errs by OWN of a value under 700; each of 2n additions by 2^-53.
    slack = 2.0**-34 + n * 2.0**-50
    largest = torch.maximum(x.lo.abs(), x.hi.abs()).amax(dim, keepdim=True) * 2.0**-49
    return least.sub_(slack + largest), most.add_(slack + largest)


def partials16(step: Step) -> bool:
    return step.arithmetic.partials16 and step.storage.dtype.itemsize == 2


def _probabilities(x: Centred, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax over the reals near the centre, as binary32 numbers b; over the box, its upper ends;
    and d >= |p - b| for every p of the box."""
    low, high = torch.minimum(x.lo, x.ball.mid), torch.maximum(x.hi, x.ball.mid)
    least, most = log_odds(Interval(low, high), dim, 0.0)
    below, above = widen(torch.sigmoid(-most), torch.sigmoid(-least), TINY64, 2.0**-40)
    near = torch.softmax(x.ball.mid, dim).float().double()
    away = torch.maximum(above - near, near - below).clamp_(min=0.0).mul_(inflate(4))
    return near, above, away


def relate_softmax(
    step: Step, out: Interval, x: Centred, dim: int, dtype: Any = None
) -> Relation | None:
    """Mean value: p(x) = p(c) + J (x - c), J_ij = p_i (1_ij - p_j) somewhere on the box.

    The map is J at b. |J_ii - b_i (1 - b_i)| <= d_i and |p_i p_j - b_i b_j| <= p_i d_j + b_j d_i.
    The kernel's quotient errs as in ``_quotients``: log-odds by 2 u D + ratio, D >= |x_j - M|.
    """
    dim %= x.lo.dim()
    row = row_of(step, x, dim)
    inner = dim < x.lo.dim() - 1
    if max(row.rho + row.alpha, row.sigma) > LIMIT or (inner and partials16(step)):
        return None
    near, above, away = _probabilities(x, dim)
    rad, n = x.ball.rad, x.lo.shape[dim]

    def total(values: Tensor) -> Tensor:
        return values.sum(dim, keepdim=True) * inflate(2 * n)

    noise = away * rad + above * total(away * rad) + away * total(near * rad)
    widest = x.hi.amax(dim, keepdim=True) - x.lo.amin(dim, keepdim=True)
    shift = 2.0 * row.u * widest + 2.0 * math.atanh(row.rho) + 2.0**-40
    relative = shift.exp() * ((1.0 + 2.0 * n * row.alpha + 2.0**-38) / (1.0 - row.sigma)) - 1.0
    error = above * (relative + 2.0**-40) + 2.0 * row.alpha + TINY64
    radius = (noise + error + 2.0**-40 * near) * inflate(16)  # softmax of the centre errs by OWN
    spread = (near * rad + near * total(near * rad)) * inflate(8)
    value = torch.softmax(x.ball.mid, dim)

    def pull(g: Functionals) -> Functionals:
        t = g.times(near)
        shared = t.value.sum(dim, keepdim=True)
        return replace(t, value=t.value - shared * t.of(near).to(t.value.dtype))

    return Relation(
        ((x, dense(out.shape[1:], pull)),),
        Interval(value - radius, value + radius),
        spread,
        n + 4,
        step.gap((above + error) * inflate(4), twice=True),
    )


def relate_log_softmax(
    step: Step, out: Interval, x: Centred, dim: int, dtype: Any = None
) -> Relation | None:
    """Mean value: y_i(x) = y_i(c) + (x_i - c_i) - sum_j p_j (x_j - c_j), p somewhere on the box.

    The kernel's difference errs by u D in x_i - M and in log sum, and as in ``_logarithms``.
    """
    dim %= x.lo.dim()
    row = row_of(step, x, dim)
    n, error = x.lo.shape[dim], step.arithmetic.functions["log"]
    rounded = dim == x.lo.dim() - 1 and partials16(step)
    narrow = step.storage if rounded else step.intermediate
    shift = narrow.unit_roundoff if rounded else 0.0
    relative = error.relative + row.u + shift
    absolute = error.absolute + step.intermediate.eta + narrow.eta
    loose = row.rho + n * row.alpha
    if max(loose, row.sigma, relative) > LIMIT:
        return None
    near, _, away = _probabilities(x, dim)
    rad = x.ball.rad
    widest = x.hi.amax(dim, keepdim=True) - x.lo.amin(dim, keepdim=True)
    largest = torch.maximum(row.s.hi.log().abs(), row.s.lo.log().abs()) + 2.0 * (loose + shift)
    under = -math.log1p(-loose) - math.log1p(-row.sigma) - math.log1p(-shift)
    kernel = 2.0 * row.u * widest + relative / (1.0 - relative) * largest + 2.0 * absolute
    noise = (away * rad).sum(dim, keepdim=True) * inflate(2 * n)
    value = torch.log_softmax(x.ball.mid, dim)
    own = (value.abs() + x.ball.mid.abs().amax(dim, keepdim=True) + 1.0) * 2.0**-40
    radius = (noise + kernel + under + own) * inflate(16)
    spread = (rad + (near * rad).sum(dim, keepdim=True)) * inflate(2 * n + 8)

    def pull(g: Functionals) -> Functionals:
        shared = g.value.sum(dim, keepdim=True)
        return replace(g, value=g.value - shared * g.of(near).to(g.value.dtype))

    return Relation(
        ((x, dense(out.shape[1:], pull)),),
        Interval(value - radius, value + radius),
        spread,
        n + 4,
        step.gap((value.abs() + radius + spread) * inflate(4), twice=True),
    )
