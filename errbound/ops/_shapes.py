"""Definers: how operators of one shape are enclosed. An operator's record fills them in.

``moving``       numbers are moved, repeated or selected; nothing is rounded
``monotone``     a nondecreasing function of stored numbers that returns one of them
``contraction``  sums of products with constant weights, rounded once on store
``arithmetic``   one operation +, -, *, / per element
``tabulated``    a nondecreasing function of one stored number
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import (
    BINARY16,
    BY_DTYPE,
    DOUBLE,
    SINGLE,
    TINY64,
    Accumulation,
    Ball,
    Format,
    Interval,
    Narrow,
    Working,
    any_order,
    gamma,
    inflate,
    sum_error,
    widen,
)
from errbound.ops._op import Array, Constant, Step, Terms
from errbound.ops._sums import FLOOR, LEAST, fitting, in_binary32, most, single
from errbound.ops._sums import Sums as Sums


def both_ends(call: Callable[..., Any]) -> Callable[..., Any]:
    """Enclose an operator that moves numbers or is nondecreasing in each of them.

    ``call`` is applied to the lower ends and to the upper ends. Works on lists of intervals (cat)
    and returns a list of intervals where ``call`` returns several tensors (chunk).
    """

    def enclose(step: Step, *args: Any, **kwargs: Any) -> Any:
        # Numbers of binary32 stay such: none is computed.
        kind, ends = (Narrow, ("low", "high")) if _is_narrow(args) else (Interval, ("lo", "hi"))
        lo = call(*(_end(a, ends[0]) for a in args), **kwargs)
        if all(_is_point(a) for a in args):
            hi = lo  # a point stays a point: ends that are one tensor are known to be equal
        else:
            hi = call(*(_end(a, ends[1]) for a in args), **kwargs)
        if isinstance(lo, Tensor):
            return kind(lo, hi)
        return [kind(a, b) for a, b in zip(lo, hi, strict=True)]

    return enclose


def _is_narrow(arg: Any) -> bool:
    """Whether every operand is held in binary32."""
    if isinstance(arg, list | tuple):
        return all(_is_narrow(a) for a in arg)
    return not isinstance(arg, Interval | Constant) or isinstance(arg, Narrow)


def _is_point(arg: Any) -> bool:
    if isinstance(arg, list | tuple):
        return all(_is_point(a) for a in arg)
    if isinstance(arg, Narrow):
        return arg.is_point
    return not isinstance(arg, Interval) or arg.lo is arg.hi


def _end(arg: Any, end: str) -> Any:
    if isinstance(arg, Interval):
        return getattr(arg, end)
    if isinstance(arg, Constant):
        return arg.exact
    if isinstance(arg, list | tuple):
        return [_end(a, end) for a in arg]
    return arg


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
        apply: the linear map ``(x, weight, bias) -> sums`` in the dtype of its operands, binary64
            or binary32, a plain sum of products (no FFT, no Winograd).
        fan_in: largest number of products in one output.
        count: from the mask (1.0 or 0.0, shape of x) of inputs that are not zero in every
            execution, how many of them each output sees; broadcasts against the output.
        acc: how products are formed and added.

    With p the exact sum at the midpoint, r = |W| rad and S = |W|(|mid| + rad) + |b|, the error is
    that of ``sum_error`` at S and |s| <= |p| + r. Own error: p is computed with |error| <= gamma S,
    one rounding of the ends included; r and S are sums of non-negative terms; the rest is a few
    roundings, inflated. With flushed
    operands |x~ - x| <= tiny wherever x is not always zero, which changes s by tiny times a row of
    |W|; a flushed weight changes a product by at most tiny |x|.

    S and r are computed in binary32 for the samples where that is possible: every partial sum, at
    most S + T, stays in range, no S is tiny and, if the store is to more than 16 bits, r is small:
    there the few 2^-24 by which bounds are inflated would be seen in the ends. Else in binary64.
    """
    limit = _limit(fan_in, acc)
    narrow = in_binary32(step, weight, fan_in)
    centre = apply(x.mid, weight.exact, None if bias is None else bias.exact)
    wide = step.storage.precision > BINARY16.precision

    def bounds(
        work: Working, w: Tensor, b: Tensor | None, floor: float, masked: bool
    ) -> tuple[Sums, Tensor]:
        reach, rad, some = x.sizes(work.dtype)
        if floor + acc.input_absolute:
            reach.add_(some, alpha=floor + acc.input_absolute)
        sums = apply(reach, w, b)
        fits = fitting(sums, limit)
        flushed: float | Tensor = acc.input_absolute * weight.largest_row * inflate(2 * fan_in)
        if weight.has_subnormal and acc.input_absolute:
            largest = reach.reshape(reach.shape[0], -1).amax(dim=1).double()
            many = fan_in * acc.input_absolute * work.inflate(4)
            flushed = flushed + step.per_sample(largest * many, sums.dim())
        spread, total = None, centre.to(work.dtype)
        total = total.abs() if total is centre else total.abs_()
        if not x.is_point:
            rad = rad.add(some, alpha=floor) if floor else rad
            spread = apply(rad, w, None).mul_(work.inflate(fan_in + 8))
            if wide:
                fits = fits & (most(spread) <= 2.0**-12 * most(sums))
            total.add_(spread)
        error = sum_error(
            count(some) + (0 if bias is None else 1),
            sums,
            total,
            acc,
            relative=gamma(fan_in + 2),
            absolute=flushed,
            roundings=fan_in + 8,
            work=work,
            terms=fan_in + 1,
            least=LEAST if work is SINGLE else 0.0,
        )
        if masked:
            error.mul_(sums > 0)
        if work is DOUBLE:
            _check_partials(step, sums, limit)
        return Sums(centre, spread, error), fits

    if narrow:
        w, masked = single(weight)
        b = None if bias is None else single(bias)[0]
        short, fits = bounds(SINGLE, w, b, FLOOR, masked)
        if bool(fits.all()):
            return short
    b = None if bias is None else bias.magnitude
    long, _ = bounds(DOUBLE, weight.magnitude, b, 0.0, True)
    # Sample by sample, so that a sample's bounds do not depend on the others of its batch.
    return short.where(step.per_sample(fits, centre.dim()), long) if narrow else long


@lru_cache(maxsize=1024)
def _limit(fan_in: int, acc: Accumulation) -> float:
    """What S must be below so that no partial sum, at most S + T, overflows the accumulator."""
    full = any_order(torch.tensor(fan_in + 1), acc)  # T <= (A + B) S + C
    return acc.accumulator.max_finite / (2.0 + 2.0 * float(full.magnitude + full.signed))


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
    part = step.store_(*contract(step, ball, weight, None, apply, fan_in, count, step.sums).ends())
    shape = [1] * part.lo.dim()
    shape[channel] = -1
    shift = bias.exact.reshape(shape)
    return hull(once, step.compute_(part.lo + shift, part.hi + shift))


def _check_partials(step: Step, sums: Tensor, limit: float) -> None:
    """Mark samples in which a partial sum, in some order, may overflow the accumulator: S, of
    which ``sums`` is an upper bound, is not below ``limit``."""
    step.overflow |= ~(most(sums) < limit)


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
        return add(mask)

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
