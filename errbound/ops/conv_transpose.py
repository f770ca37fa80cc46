"""Transposed convolution in one and two dimensions.

In binary32 every output is a plain sum of products. In 16 bits torch has two kernels, by processor:
oneDNN's, which accumulates in binary32 and stores once; and one that multiplies by the weights
first, stores the sum over the channels for each tap, adds the taps that reach an output in 16
bits, and then the bias with another rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import Accumulation, Ball, Interval
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms
from errbound.ops._shapes import contract, exact_sum, hull, stored_sums
from errbound.ops.conv import by_group, gather

Entries = int | Sequence[int]


@dataclass(frozen=True)
class _Map:
    """Where the entries of a line or an image go: one number per dimension, and the groups."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    more: tuple[int, ...]
    groups: int
    dilation: tuple[int, ...]

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        """Torch's own transposed convolution; ``weight`` (C, O / groups, *kernel)."""
        line = len(self.stride) == 1
        call = functional.conv_transpose1d if line else functional.conv_transpose2d
        return call(x, weight, bias, self.stride, self.padding, self.more, groups, self.dilation)

    def taps(self, size: Sequence[int], kernel: Sequence[int]) -> Array:
        """(*output, taps) positions in the flattened input; -1 where a tap meets none."""
        found, taps = np.zeros((1,) * (2 * len(size)), dtype=int), 1
        for k, n in enumerate(size):
            reach = self.dilation[k] * (kernel[k] - 1)
            out = (n - 1) * self.stride[k] - 2 * self.padding[k] + reach + self.more[k] + 1
            at = np.arange(out)[:, None] + self.padding[k] - self.dilation[k] * np.arange(kernel[k])
            met = (at % self.stride[k] == 0) & (at >= 0) & (at < n * self.stride[k])
            shape = [1] * (2 * len(size))
            shape[k], shape[k + len(size)] = at.shape
            place, met = (at // self.stride[k]).reshape(shape), met.reshape(shape)
            found = np.where(met & (found >= 0), found * n + place, -1)
            taps *= kernel[k]
        return found.reshape(*found.shape[: len(size)], taps)


def _map(
    rank: int,
    stride: Entries = 1,
    padding: Entries = 0,
    output_padding: Entries = 0,
    groups: int = 1,
    dilation: Entries = 1,
) -> _Map:
    def each(value: Entries) -> tuple[int, ...]:
        given = [value] if isinstance(value, int) else list(value)
        return tuple(given * rank if len(given) == 1 else given)

    return _Map(each(stride), each(padding), each(output_padding), groups, each(dilation))


def _by_output(weight: Any, groups: int) -> Any:
    """(C, O / groups, kh, kw), a tensor or an array, as (O, C / groups, kh, kw)."""
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return grouped.swapaxes(1, 2).reshape(-1, grouped.shape[1], *weight.shape[2:])


def _enclose(
    step: Step, x: Interval, weight: Constant, bias: Constant | None = None, *rest: Any
) -> Interval:
    how = _map(x.lo.dim() - 2, *rest)
    # One output's weights in one row: the range check looks at the largest row.
    rows = Constant(_by_output(weight.value, how.groups))
    out, per_group, *kernel = rows.shape

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return how.apply(x, _by_output(w, how.groups), b, how.groups)

    def count(mask: Tensor) -> Tensor:
        seen = by_group(mask, how.groups)
        sums = how.apply(seen, torch.ones(how.groups, 1, *kernel), None, how.groups)
        return sums.round_().repeat_interleave(out // how.groups, dim=1)

    fan_in = per_group * math.prod(kernel)
    found = stored_sums(step, x, rows, bias, apply, fan_in, count, channel=1)
    if step.arithmetic.partials16 and step.storage.dtype.itemsize == 2:
        found = hull(found, _tap_by_tap(step, x, rows, bias, how))
    return found


def _tap_by_tap(
    step: Step, x: Interval, rows: Constant, bias: Constant | None, how: _Map
) -> Interval:
    """The sum over channels stored for each tap; the taps added in 16 bits; the bias last."""
    out, per_group, *kernel = rows.shape
    samples, _, *size = x.shape
    taps = math.prod(kernel)
    products = Constant(rows.value.flatten(2).transpose(1, 2).reshape(out * taps, per_group, 1))

    def multiply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return functional.conv1d(x.flatten(2), w, b, groups=how.groups)

    def channels(mask: Tensor) -> Tensor:
        seen = by_group(mask.flatten(2), how.groups)
        return seen.repeat_interleave(out * taps // how.groups, dim=1)

    sums = contract(
        step, Ball.enclosing(x), products, None, multiply, per_group, channels, step.sums
    )
    columns = step.store_(*sums.ends())
    places = torch.eye(taps, dtype=torch.float64).reshape(taps, 1, *kernel)

    def add(columns: Tensor, *_: Any) -> Tensor:
        sums = how.apply(
            columns.reshape(samples * out, taps, *size), places.to(columns.dtype), None, 1
        )
        return sums.reshape(samples, out, *sums.shape[2:])

    def met(mask: Tensor) -> Tensor:
        return add(mask.double())

    narrow = Accumulation(step.storage, step.storage.unit_roundoff, 0.0, 0.0)
    ones = Constant(torch.ones(1, taps, dtype=torch.float64))
    stored = Ball.enclosing(columns)
    box = step.store_(*contract(step, stored, ones, None, add, taps, met, narrow).ends())
    if bias is None:
        return box
    shift = bias.exact.reshape(-1, *[1] * len(size))
    return step.compute_(box.lo + shift, box.hi + shift)


def _terms(x: Array, weight: Array, bias: Array | None = None, *rest: Any) -> Terms:
    how = _map(x.ndim - 2, *rest)
    rows = _by_output(weight, how.groups)
    out, per_group, *kernel = rows.shape
    index = how.taps(x.shape[2:], kernel)
    seen = gather(x.reshape(*x.shape[:2], 1, -1), index)
    grouped = seen.reshape(x.shape[0], how.groups, 1, per_group, *index.shape)
    # (n, groups, 1, *output, channels, taps), the same for each output of a group
    left = np.moveaxis(grouped, 3, -2).repeat(out // how.groups, axis=2)
    ones = [1] * len(kernel)
    return Terms(
        left.reshape(x.shape[0], out, *index.shape[:-1], -1),
        rows.reshape(out, *ones, -1),
        None if bias is None else bias.reshape(out, *ones),
    )


def _check(rank: int, shape: str) -> Callable[..., None]:
    def check(x: Any, *_: Any, **__: Any) -> None:
        if x.dim() != rank:
            raise ValueError(f"its input has {x.dim()} dimensions; it must be {shape}")

    return check


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    side = 2 + size % 5
    yield Case((draw(1, 2, side, 3), draw(2, 4, 3, 3), draw(4), [1, 1], [1, 1]))
    yield Case((draw(2, size, 2, 3), draw(size, 3, 1, 1), draw(3)))
    yield Case((draw(2, 4, side, 3), draw(4, 3, 3, 2), None, [2, 3], [1, 0], [1, 2], 2))
    yield Case((draw(9, 3, side, 3), draw(3, 2, 2, 2), draw(2), [2], [0], [0], 1, [2]))
    strided = draw(2, 3, side, 3).permute(0, 3, 1, 2)
    yield Case((strided, draw(3, 1, 3, 3), draw(3), [3, 1], [0, 0], [1, 0], 3, [2, 1]))


def _cases1d(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    yield Case((draw(1, 2, size + 1), draw(2, 4, 3), draw(4), [1], [1]))
    yield Case((draw(2, 4, size), draw(4, 3, 3), None, [2], [1], [1], 2))
    yield Case(
        (draw(2, size + 1, 3).transpose(1, 2), draw(3, 1, 2), draw(3), [3], [0], [1], 3, [2])
    )


_ROUNDS = (
    "binary32 partial sums in any order and one rounding on store; in 16 bits also the sum over "
    "channels of each tap, every addition of taps and that of the bias"
)
_LEMMA = "proved: accepts_sum_sound, composed_accepted, tap_by_tap_accepted, late_bias_accepted"

CONV_TRANSPOSE1D = Op(
    name="conv_transpose1d",
    targets=("aten.conv_transpose1d.default",),
    meaning="y[o, s p + d k - pad] += W[c,o,k] x[c,p] for all c, p, k; + b[o]",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.conv_transpose1d,
    enclose=_enclose,
    exact=exact_sum(_terms),
    terms=_terms,
    cases=_cases1d,
    domain="finite inputs of shape (N, C, L)",
    check=_check(3, "(N, C, L)"),
)

CONV_TRANSPOSE2D = Op(
    name="conv_transpose2d",
    targets=("aten.conv_transpose2d.input",),
    meaning="y[o, s p + d k - pad, s q + d l - pad] += W[c,o,k,l] x[c,p,q] for all; + b[o]",
    rounds=_ROUNDS,
    lemma=_LEMMA,
    call=torch.conv_transpose2d,
    enclose=_enclose,
    exact=exact_sum(_terms),
    terms=_terms,
    cases=_cases,
    domain="finite inputs of shape (N, C, H, W)",
    check=_check(4, "(N, C, H, W)"),
)

OPS = (CONV_TRANSPOSE1D, CONV_TRANSPOSE2D)
