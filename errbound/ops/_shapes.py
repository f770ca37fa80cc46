"""Definers: how operators of one shape are enclosed. An operator's record fills them in.

``moving``       numbers are moved, repeated or selected; nothing is rounded
``monotone``     a nondecreasing function of stored numbers that returns one of them
``contraction``  sums of products with constant weights, rounded once on store
``arithmetic``   one operation +, -, *, / per element
``tabulated``    a nondecreasing function of one stored number
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import (
    BY_DTYPE,
    TINY64,
    U64,
    Accumulation,
    Ball,
    Format,
    Interval,
    any_order,
    gamma,
    inflate,
    widen,
)
from errbound.ops._op import Array, Constant, Step, Terms


def both_ends(call: Callable[..., Any]) -> Callable[..., Any]:
    """Enclose an operator that moves numbers or is nondecreasing in each of them.

    ``call`` is applied to the lower ends and to the upper ends. Works on lists of intervals (cat)
    and returns a list of intervals where ``call`` returns several tensors (chunk).
    """

    def enclose(step: Step, *args: Any, **kwargs: Any) -> Any:
        lo = call(*(_end(a, "lo") for a in args), **kwargs)
        if all(_is_point(a) for a in args):
            hi = lo  # a point stays a point: ends that are one tensor are known to be equal
        else:
            hi = call(*(_end(a, "hi") for a in args), **kwargs)
        if isinstance(lo, Tensor):
            return Interval(lo, hi)
        return [Interval(a, b) for a, b in zip(lo, hi, strict=True)]

    return enclose


def _is_point(arg: Any) -> bool:
    if isinstance(arg, list | tuple):
        return all(_is_point(a) for a in arg)
    return not isinstance(arg, Interval) or arg.lo is arg.hi


def _end(arg: Any, end: str) -> Any:
    if isinstance(arg, Interval):
        return getattr(arg, end)
    if isinstance(arg, Constant):
        return arg.exact
    if isinstance(arg, list | tuple):
        return [_end(a, end) for a in arg]
    return arg


@dataclass(frozen=True)
class Sums:
    """Sums of products before they are rounded to storage, in every order of summation.

    For every execution on stored operands x: |computed - (W (x - mid) + centre)| <= error, and
    |W (x - mid)| <= spread (None where x is a point). Binary64 tensors of the output's shape.
    """

    centre: Tensor
    spread: Tensor | None
    error: Tensor

    def ends(self) -> tuple[Tensor, Tensor]:
        """Ends of the interval that holds every computed sum."""
        radius = self.error if self.spread is None else self.error + self.spread
        radius = radius * inflate(4)
        return self.centre - radius, self.centre + radius


def contract(
    step: Step,
    x: Ball,
    weight: Constant,
    bias: Constant | None,
    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    fan_in: int,
    count: Callable[[Tensor], Tensor],
    acc: Accumulation,
) -> Sums:
    """Sums of products of ``x`` and constant weights, for every order of summation.

    Args:
        step: the node's evaluation.
        x: the input.
        weight: exact weights; ``bias``: None or exact.
        bias: added as one more term of the sum.
        apply: the linear map ``(x, weight, bias) -> sums`` in binary64, a plain sum of products
            (no FFT, no Winograd).
        fan_in: largest number of products in one output.
        count: from the mask (bool, shape of x) of inputs that are not zero in every execution,
            how many of them each output sees; broadcasts against the output.
        acc: how products are formed and added.

    With A(m) = magnitude, B(m) = signed, C(m) = absolute of ``any_order``, p the exact sum at the
    midpoint, r = |W| rad, S = |W|(|mid| + rad) + |b| and |s| <= |p| + r:

        |computed - s| <= A S + B |s| + C <= A S + B (|p| + r) + C.

    Own error: p is computed with |error| <= gamma S, so A := A + gamma (1 + B); r and S are sums
    of non-negative terms; the rest is a few roundings, inflated. With flushed operands
    |x~ - x| <= tiny wherever x is not always zero, which changes s by tiny times a row of |W|.
    """
    nonzero = (x.mid != 0) | (x.rad != 0)
    bound = any_order(count(nonzero) + (0 if bias is None else 1), acc)
    own = gamma(fan_in + 1)
    reach = x.mid.abs().add_(x.rad)
    if acc.input_absolute:
        reach = reach + acc.input_absolute * nonzero

    centre = apply(x.mid, weight.exact, None if bias is None else bias.exact)
    sums = apply(reach, weight.magnitude, None if bias is None else bias.magnitude)
    # Where every term is zero in every execution, so is the sum: no absolute error there.
    flush = acc.input_absolute * weight.largest_row
    absolute = (bound.absolute + TINY64 + flush * (1.0 + bound.signed)) * (sums > 0)
    error = sums.mul_(bound.magnitude + own * (1.0 + bound.signed)).add_(absolute)
    error.addcmul_(centre.abs(), bound.signed + 4.0 * U64)
    spread = None
    if not x.is_point:
        spread = apply(x.rad, weight.magnitude, None).mul_(inflate(2 * fan_in + 24))
        error.addcmul_(spread, bound.signed + torch.zeros_like(spread))
    if weight.has_subnormal and acc.input_absolute:
        # A flushed weight changes a product by at most tiny * |x|.
        largest = reach.reshape(reach.shape[0], -1).amax(dim=1)
        error.add_(step.per_sample(largest * (2.0 * fan_in * acc.input_absolute), error.dim()))
    error.mul_(inflate(2 * fan_in + 24))
    # Any partial sum is at most S + T, T <= (A + B) S + C the error bound.
    full = any_order(torch.tensor(fan_in + 1), acc)
    growth = 2.0 + 2.0 * float(full.magnitude + full.signed)
    _check_partials(step, reach, weight, bias, acc.accumulator.max_finite / growth)
    return Sums(centre, spread, error)


def stored_sums(
    step: Step,
    x: Interval,
    weight: Constant,
    bias: Constant | None,
    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    fan_in: int,
    count: Callable[[Tensor], Tensor],
    *,
    channel: int,
    late: bool = False,
) -> Interval:
    """A contraction, stored: by one rounding, or the bias added after it by another.

    ``channel`` is the dimension of the output that the bias belongs to; ``late``: this kernel may
    add the bias late, whatever the arithmetic says.
    """
    ball = Ball.enclosing(x)
    once = step.store_(*contract(step, ball, weight, bias, apply, fan_in, count, step.sums).ends())
    if bias is None or not (late or step.arithmetic.late_bias):
        return once
    sums = step.store_(*contract(step, ball, weight, None, apply, fan_in, count, step.sums).ends())
    shape = [1] * sums.lo.dim()
    shape[channel] = -1
    shift = bias.exact.reshape(shape)
    return hull(once, step.compute_(sums.lo + shift, sums.hi + shift))


def _check_partials(
    step: Step, reach: Tensor, weight: Constant, bias: Constant | None, limit: float
) -> None:
    """Mark samples in which a partial sum, in some order, may overflow the accumulator.

    S is at most the largest input times the largest row sum of |W|, plus the largest bias.
    """
    if not reach.numel():
        return
    top = weight.largest_row
    offset = 0.0 if bias is None or not bias.exact.numel() else float(bias.magnitude.max())
    if not float(reach.max()) * top + offset < limit:
        largest = reach.reshape(reach.shape[0], -1).amax(dim=1)
        step.overflow |= ~(largest * top + offset < limit)


def window_sums(
    step: Step,
    x: Interval,
    add: Callable[[Tensor], Tensor],
    fan_in: int,
    divisors: Sequence[Sequence[Any]],
) -> Interval:
    """Enclose sums of stored numbers, divided in the intermediate format, then stored.

    Args:
        step: the node's evaluation.
        x: the input.
        add: binary64 sums over windows; also applied to masks to count terms.
        fan_in: largest number of entries in a window.
        divisors: the ways in which a kernel may divide: each a sequence of positive divisors
            (floats or tensors that broadcast against the sums), one rounded division each. The
            result is the hull over the ways.
    """
    acc = step.additions
    ones = Constant(torch.ones(1, fan_in, dtype=torch.float64))

    def count(mask: Tensor) -> Tensor:
        return add(mask.double())

    ball = Ball.enclosing(x)
    lo, hi = contract(step, ball, ones, None, lambda x, w, b: add(x), fan_in, count, acc).ends()
    found: Interval | None = None
    for way in divisors:
        low, high = lo.clone(), hi.clone()
        for n in way:
            # The dividend is a number of the intermediate format and x -> x/n is nondecreasing.
            box = step.round_(low / n, high / n, step.intermediate)
            low, high = box.lo, box.hi
        box = step.store_(low, high)
        found = box if found is None else hull(found, box)
    assert found is not None
    return found


def hull(a: Interval, b: Interval) -> Interval:
    """The smallest interval that contains both."""
    return Interval(torch.minimum(a.lo, b.lo), torch.maximum(a.hi, b.hi))


@lru_cache(maxsize=64)
def table(call: Callable[[Tensor], Tensor], fmt: Format) -> tuple[Tensor, Tensor]:
    """All finite 16-bit inputs in order, and what ``call`` makes of them: (n,), (3, n) binary64.

    Both code paths of a kernel (vector, scalar tail) are taken: the inputs once in one long
    tensor, once in slices too short for a vector register, once strided.
    """
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(fmt.dtype)
    inputs = bits[torch.isfinite(bits)]
    inputs = inputs[torch.argsort(inputs.double(), stable=True)]
    with torch.inference_mode():
        results = [call(inputs).double()]
        results.append(torch.cat([call(part) for part in torch.split(inputs, 3)]).double())
        results.append(call(inputs.repeat(2).reshape(2, -1).t()[:, 0]).double())
    return inputs.double(), torch.stack(results)


@lru_cache(maxsize=64)
def _envelope(call: Callable[[Tensor], Tensor], fmt: Format) -> tuple[Tensor, Tensor, Tensor]:
    """All finite 16-bit inputs in order, with running bounds of ``call`` over them.

    For x in [a, b] every result lies in [min over inputs >= a, max over inputs <= b], whether or
    not the kernel is monotone.
    """
    inputs, results = table(call, fmt)
    low, high = results.amin(dim=0), results.amax(dim=0)
    return (
        inputs,
        low.flip(0).cummin(dim=0).values.flip(0),
        high.cummax(dim=0).values,
    )


def tabulated(
    name: str, call: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor]
) -> Callable[..., Interval]:
    """Enclose a nondecreasing function of one stored number with values in [-1, 1].

    16-bit storage: the table of the kernel itself, which contains its rounding. binary32: the
    exact image, widened at each end by the arithmetic's error of that function.
    """

    def enclose(step: Step, x: Interval) -> Interval:
        if step.arithmetic.tables and step.storage.dtype.itemsize == 2:
            inputs, low, high = _envelope(call, step.storage)
            # An end that is no finite input (of a sample that is out of range) takes the last.
            last = len(inputs) - 1
            at_lo = torch.searchsorted(inputs, x.lo.contiguous(), right=False).clamp_(max=last)
            at_hi = torch.searchsorted(inputs, x.hi.contiguous(), right=True).sub_(1).clamp_(min=0)
            return Interval(low[at_lo], high[at_hi])
        error = step.arithmetic.functions[name]
        lo, hi = reference(x.lo), reference(x.hi)
        # Binary64 elementary functions err by far less than 2^-45 relative, and TINY64 absolute.
        return step.store_(*widen(lo, hi, error.absolute + TINY64, error.relative + 2.0**-45))

    return enclose


def _sums(left: Array, right: Array) -> Array:
    """Sums of products over the last axis; mpmath has a loop of its own for them."""
    context = getattr(next(left.flat, None), "context", None)
    if context is None:
        found: Array = (left * right).sum(axis=-1)
        return found
    a, b = np.broadcast_arrays(left, right)
    found = np.empty(a.shape[:-1], dtype=object)
    for at in np.ndindex(found.shape):
        found[at] = context.fdot(a[at].tolist(), b[at].tolist())
    return found


def exact_sum(terms: Callable[..., Terms]) -> Callable[..., Array]:
    """The exact meaning of a sum of products, from its terms."""

    def exact(*args: Any, **kwargs: Any) -> Array:
        t = terms(*args, **kwargs)
        total = _sums(t.left, t.right)
        if t.bias is not None:
            total = total + t.bias
        for divisor in t.divisors:
            total = total / divisor
        return total

    return exact


def known_format(value: Tensor) -> Format:
    """Format of a tensor's dtype; ``ValueError`` for dtypes that errbound has no row for."""
    try:
        return BY_DTYPE[value.dtype]
    except KeyError:
        raise ValueError(f"no format for {value.dtype}") from None
