"""Elementwise arithmetic: +, -, *, / on tensors, constants, buffers and Python scalars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import TINY64, Ball, Interval, down, inflate, nearest, up
from errbound.ops._op import Array, Case, Constant, Op, Step
from errbound.ops._relation import (
    Centred,
    Functionals,
    Pull,
    Relation,
    dense,
    identity,
    negated,
    scaled,
)
from errbound.ops._shapes import hull

Corners = Callable[[Interval, Interval], tuple[Tensor, Tensor]]


def _operand(step: Step, value: Any, *, stored: bool) -> Interval:
    """An operand as the kernel sees it.

    A Python scalar, or a tensor of no dimensions in another dtype, is converted to the storage
    format (``stored``: add, subtract, and as first operand) or to the intermediate format (second
    operand of multiply, divide); a tensor of integers is converted to the storage format, or used
    as a scalar if it has one entry.
    """
    if isinstance(value, Interval):
        return value
    if isinstance(value, Constant):
        if value.value.dim() and not value.value.is_floating_point():
            rounded, scalar = (
                Interval.point(step.scalar(value.value, as_stored=s)) for s in (True, False)
            )
            return hull(rounded, scalar) if value.value.numel() == 1 else rounded
        if value.value.dim():
            return Interval.point(value.exact)
        if value.value.dtype is step.storage.dtype:
            return Interval.point(value.exact)
        value = float(value.value)
    used = Interval.point(step.scalar(value, as_stored=stored))
    if step.arithmetic.probed:
        return used
    return hull(used, Interval.point(step.scalar(value, as_stored=not stored)))


def _binary(corners: Corners, *, stored: bool, swap: bool = False) -> Callable[..., Interval]:
    """Enclose a correctly rounded operation that is monotone in each operand between its ends."""

    def enclose(step: Step, a: Any, b: Any, **_: Any) -> Interval:
        first, second = (b, a) if swap else (a, b)
        lo, hi = corners(_operand(step, first, stored=True), _operand(step, second, stored=stored))
        return step.compute_(lo, hi)

    return enclose


def _add(a: Interval, b: Interval) -> tuple[Tensor, Tensor]:
    return a.lo + b.lo, a.hi + b.hi


def _sub(a: Interval, b: Interval) -> tuple[Tensor, Tensor]:
    return a.lo - b.hi, a.hi - b.lo


def _extremes(*values: Tensor) -> tuple[Tensor, Tensor]:
    lo = hi = values[0]
    for v in values[1:]:
        lo, hi = torch.minimum(lo, v), torch.maximum(hi, v)
    return (lo.clone(), hi) if lo is hi else (lo, hi)


def _mul(a: Interval, b: Interval) -> tuple[Tensor, Tensor]:
    if b.lo is b.hi:
        return _extremes(a.lo * b.lo, a.hi * b.lo)
    return _extremes(a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi)


def _div(a: Interval, b: Interval) -> tuple[Tensor, Tensor]:
    if b.lo is b.hi:
        lo, hi = _extremes(a.lo / b.lo, a.hi / b.lo)
    else:
        lo, hi = _extremes(a.lo / b.lo, a.lo / b.hi, a.hi / b.lo, a.hi / b.hi)
    # A divisor that may be zero leaves the range; infinite ends are what the range check sees.
    zero = (b.lo <= 0) & (b.hi >= 0)
    return torch.where(zero, -torch.inf, lo), torch.where(zero, torch.inf, hi)


def _divide(step: Step, a: Any, b: Any, **_: Any) -> Interval:
    """A quotient; where the kernel is not known, also the product with a constant's reciprocal."""
    found = _binary(_div, stored=False)(step, a, b)
    if step.arithmetic.probed or isinstance(b, Interval):
        return found
    divisor = _operand(step, b, stored=False)
    one = torch.ones((), dtype=torch.float64)
    ends = (nearest(one / end, step.intermediate) for end in (divisor.hi, divisor.lo))
    product = step.compute_(*_mul(_operand(step, a, stored=True), Interval(*ends)))
    return hull(found, product)


def _neg(step: Step, x: Interval) -> Interval:
    return Interval(-x.hi, -x.lo)


def _reciprocal(step: Step, x: Interval) -> Interval:
    lo, hi = _div(Interval.point(torch.ones((), dtype=torch.float64)), x)
    return step.compute_(lo, hi)


def _sum_of(step: Step, out: Interval, a: Any, b: Any, sign: float, *, stored: bool) -> Relation:
    """a + sign b: exact over the reals, then rounded."""
    terms: list[tuple[Centred, Pull]] = []
    box = []
    for value, factor, as_stored in ((a, 1.0, True), (b, sign, stored)):
        operand = _operand(step, value, stored=as_stored)
        box.append(operand)
        if isinstance(operand, Centred):
            terms.append((operand, _spread_over(operand, out, identity if factor > 0 else negated)))
    low, high = _add(box[0], box[1]) if sign > 0 else _sub(box[0], box[1])
    ends = [(x.ball.mid, x.ball.mid) if isinstance(x, Centred) else (x.lo, x.hi) for x in box]
    (a_lo, a_hi), (b_lo, b_hi) = ends if sign > 0 else (ends[0], (-ends[1][1], -ends[1][0]))
    lo, hi = a_lo + b_lo, a_hi + b_hi
    reach = sum((x.ball.rad for x, _ in terms), torch.zeros((), dtype=torch.float64))
    size = torch.maximum(low.abs(), high.abs()) * inflate(4)
    return Relation(
        tuple(terms),
        Interval(down(lo), up(hi)),  # one binary64 addition each
        (reach * inflate(2)).expand(out.shape),
        _copies(terms, out),
        step.gap(size.expand(out.shape), twice=True),
        step.compute_,
    )


def _product_of(step: Step, out: Interval, a: Any, b: Any, *, stored: bool) -> Relation | None:
    """a b: with one activation a scaling, with two the linear part of (c + d)(c' + d')."""
    x, y = _operand(step, a, stored=True), _operand(step, b, stored=stored)
    low, high = _mul(x, y)
    gap = step.gap(
        (torch.maximum(low.abs(), high.abs()) * inflate(4)).expand(out.shape), twice=True
    )
    balls = [z.ball if isinstance(z, Centred) else Ball.enclosing(z) for z in (x, y)]
    # Binary32 numbers near the centres, so that the map is exact in either dtype.
    factors = [ball.mid.float().double() for ball in balls]
    terms, reach = [], torch.zeros((), dtype=torch.float64)
    rest = balls[0].rad * balls[1].rad
    for mine, ball, factor, other in ((x, *_at(0, balls, factors)), (y, *_at(1, balls, factors))):
        if isinstance(mine, Centred):
            terms.append((mine, _spread_over(mine, out, scaled(factor.expand(out.shape)))))
            reach = reach + factor.abs() * ball.rad
            rest = rest + (factor - other.mid).abs() * ball.rad
        else:
            rest = rest + other.mid.abs() * ball.rad
    centre = balls[0].mid * balls[1].mid
    error = (rest + centre.abs() * 2.0**-52).mul(inflate(16)) + TINY64
    offset = Interval((centre - error).expand(out.shape), (centre + error).expand(out.shape))
    spread = (reach * inflate(8)).expand(out.shape)
    return Relation(tuple(terms), offset, spread, 1 + _copies(terms, out), gap, step.compute_)


def _at(k: int, balls: list[Ball], factors: list[Tensor]) -> tuple[Ball, Tensor, Ball]:
    """An operand's ball, the other operand's number and ball."""
    return balls[k], factors[1 - k], balls[1 - k]


def _spread_over(x: Centred, out: Interval, pull: Pull) -> Pull:
    """``pull`` for an operand that is broadcast against the output."""
    if x.shape == out.shape:
        return pull

    def summed(g: Functionals) -> Functionals:
        found = pull(g)
        value = found.value.sum_to_size(len(found.rows), *x.shape[1:])
        return replace(found, value=value)

    return dense(out.shape[1:], summed)


def _copies(terms: list[tuple[Centred, Pull]], out: Interval) -> int:
    """How many entries of the output one entry of an operand reaches, at most."""
    return max((out.lo.numel() // max(x.lo.numel(), 1) for x, _ in terms), default=1)


def _relate_add(step: Step, out: Interval, a: Any, b: Any, *_: Any, **__: Any) -> Relation:
    return _sum_of(step, out, a, b, 1.0, stored=True)


def _relate_sub(step: Step, out: Interval, a: Any, b: Any, *_: Any, **__: Any) -> Relation:
    return _sum_of(step, out, a, b, -1.0, stored=True)


def _relate_rsub(step: Step, out: Interval, a: Any, b: Any, *_: Any, **__: Any) -> Relation:
    return _sum_of(step, out, b, a, -1.0, stored=True)


def _relate_mul(step: Step, out: Interval, a: Any, b: Any) -> Relation | None:
    return _product_of(step, out, a, b, stored=False)


def _relate_div(step: Step, out: Interval, a: Any, b: Any, *_: Any, **__: Any) -> Relation | None:
    """A quotient by a constant is a scaling; by an activation the pass ends."""
    if isinstance(b, Interval) or not step.arithmetic.probed:
        return None
    x, divisor = _operand(step, a, stored=True), _operand(step, b, stored=False)
    if not isinstance(x, Centred) or bool((divisor.lo == 0).any()) or x.shape != out.shape:
        return None
    factor = (1.0 / divisor.lo).float().double()
    centre = x.ball.mid / divisor.lo
    size = torch.maximum(x.lo.abs(), x.hi.abs()) / divisor.lo.abs() * inflate(4)
    reach = x.ball.rad * factor.abs() * inflate(4)
    # 1/b is no binary32 number: relative error 2^-24 of the map, absolute if it is tiny.
    error = x.ball.rad * ((1.0 / divisor.lo - factor).abs() * inflate(8) + factor.abs() * 2.0**-52)
    error = error.mul(inflate(8)) + centre.abs() * 2.0**-51 + TINY64
    gap = step.gap(size, twice=True)
    by = factor.expand(1, *out.shape[1:])
    offset = Interval(centre - error, centre + error)
    return Relation(((x, scaled(by)),), offset, reach, 1, gap, step.compute_)


def _relate_neg(step: Step, out: Interval, x: Centred) -> Relation:
    return Relation(((x, negated),), Interval.point(-x.ball.mid), x.ball.rad, 0)


def _check_alpha(a: Any, b: Any, *positional: Any, alpha: float = 1) -> None:
    if alpha != 1 or any(p != 1 for p in positional):
        raise ValueError("alpha other than 1 has no record; write the product out")


def _cases(away_from_zero: bool = False) -> Callable[..., Iterator[Case]]:
    def cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
        def draw(*shape: int) -> Tensor:
            x = torch.randn(shape, generator=g)
            return (x + 3 * x.sign() if away_from_zero else x).to(dtype)

        yield Case((draw(3, size), draw(3, size)), inputs=2)
        yield Case((draw(2, 3, 2 * size)[..., ::2], draw(3, 1)))
        yield Case((draw(3, size), draw(1).reshape(())))
        for scalar in (0.1307, -3.0, 1.0 / 3.0):
            yield Case((draw(3, size), scalar))

    return cases


def _scalar_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    for scalar in (0.1307, -3.0, 2):
        yield Case((torch.randn(3, size, generator=g).to(dtype), scalar))


def _unary_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    x = torch.randn(3, 2 * size, generator=g)
    yield Case(((x + 2 * x.sign()).to(dtype),))
    yield Case(((x + 2 * x.sign()).to(dtype)[:, ::2],))


def _exact(f: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    def exact(a: Any, b: Any, **_: Any) -> Array:
        found: Array = np.asarray(f(a, b), dtype=object)
        return found

    return exact


def _plain(f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The torch call without ``alpha``, which is 1."""
    return lambda a, b, *_, **__: f(a, b)


_ROUNDS = "in binary32, then on store"

ADD = Op(
    name="add",
    targets=("aten.add.Tensor", "aten.add_.Tensor", "aten.add.Scalar", "aten.add_.Scalar"),
    meaning="y = a + b; a Python scalar is rounded to storage first",
    rounds=_ROUNDS,
    lemma="proved: plus_accepted, either_accepted, one_operation",
    call=_plain(torch.add),
    enclose=_binary(_add, stored=True),
    relate=_relate_add,
    exact=_exact(lambda a, b: a + b),
    cases=_cases(),
    check=_check_alpha,
)

SUB = Op(
    name="sub",
    targets=("aten.sub.Tensor", "aten.sub_.Tensor", "aten.sub.Scalar", "aten.sub_.Scalar"),
    meaning="y = a - b; a Python scalar is rounded to storage first",
    rounds=_ROUNDS,
    lemma="proved: minus_accepted, either_accepted, one_operation",
    call=_plain(torch.sub),
    enclose=_binary(_sub, stored=True),
    relate=_relate_sub,
    exact=_exact(lambda a, b: a - b),
    cases=_cases(),
    check=_check_alpha,
)

RSUB = Op(
    name="rsub",
    targets=("aten.rsub.Scalar", "aten.rsub.Tensor"),
    meaning="y = b - a; a Python scalar is rounded to storage first",
    rounds=_ROUNDS,
    lemma="proved: minus_accepted, either_accepted, one_operation",
    call=_plain(torch.rsub),
    enclose=_binary(_sub, stored=True, swap=True),
    relate=_relate_rsub,
    exact=_exact(lambda a, b: b - a),
    cases=_scalar_cases,
    check=_check_alpha,
)

MUL = Op(
    name="mul",
    # not aten.mul_.Scalar: it swaps its operands and so rounds the scalar to storage
    targets=("aten.mul.Tensor", "aten.mul_.Tensor", "aten.mul.Scalar"),
    meaning="y = a b; a Python scalar is used in binary32",
    rounds=_ROUNDS,
    lemma="proved: times_accepted, either_accepted, one_operation",
    call=torch.mul,
    enclose=_binary(_mul, stored=False),
    relate=_relate_mul,
    exact=_exact(lambda a, b: a * b),
    cases=_cases(),
)

DIV = Op(
    name="div",
    targets=("aten.div.Tensor", "aten.div_.Tensor", "aten.div.Scalar", "aten.div_.Scalar"),
    meaning="y = a / b; a Python scalar is used in binary32",
    rounds=_ROUNDS,
    lemma="proved: quotient_accepted, one_operation; by a rounded reciprocal (CUDA): paper",
    call=torch.div,
    enclose=_divide,
    relate=_relate_div,
    exact=_exact(lambda a, b: a / b),
    cases=_cases(away_from_zero=True),
    domain="divisors whose interval does not contain 0; else the verdict is as for overflow",
)

NEG = Op(
    name="neg",
    targets=("aten.neg.default", "aten.neg_.default"),
    meaning="y = -x",
    rounds="never",
    lemma="proved: negation_accepted",
    call=torch.neg,
    enclose=_neg,
    relate=_relate_neg,
    exact=lambda x: -x,
    cases=_unary_cases,
    moves=True,
)

RECIPROCAL = Op(
    name="reciprocal",
    targets=("aten.reciprocal.default", "aten.reciprocal_.default"),
    meaning="y = 1 / x",
    rounds=_ROUNDS,
    lemma="proved: quotient_accepted, one_operation; by a rounded reciprocal (CUDA): paper",
    call=torch.reciprocal,
    enclose=_reciprocal,
    exact=lambda x: 1 / x,
    cases=_unary_cases,
    domain="inputs whose interval does not contain 0; else the verdict is as for overflow",
)

OPS = (ADD, SUB, RSUB, MUL, DIV, NEG, RECIPROCAL)
