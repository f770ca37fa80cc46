"""Pooling: max (exact), average and adaptive average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import Interval, inflate, up
from errbound.ops._linear import related_windows
from errbound.ops._op import Array, Case, Op, Step, Terms
from errbound.ops._relation import Centred, Functionals, Relation, dense
from errbound.ops._shapes import both_ends, exact_sum, window_sums
from errbound.ops.conv import Pair, gather, pair

Window = tuple[int, int]


def _windows(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> list[Window]:
    """[start, stop) of each window along one axis; may reach into the padding on both sides."""
    span = size + 2 * pad - kernel
    count = (-(-span // stride) if ceil else span // stride) + 1
    if ceil and (count - 1) * stride >= size + pad:
        count -= 1  # the last window must start inside the image or its left padding
    return [(i * stride - pad, min(i * stride - pad + kernel, size + pad)) for i in range(count)]


def _adaptive(size: int, out: int) -> list[Window]:
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _index(height: int, width: int, rows: list[Window], columns: list[Window]) -> Array:
    """(out_h, out_w, k) indices into the flattened image; -1 where a window has no pixel."""

    def reach(windows: list[Window], size: int) -> tuple[Array, Array]:
        longest = max(stop - start for start, stop in windows)
        at = np.array([start for start, _ in windows])[:, None] + np.arange(longest)
        stops = np.array([stop for _, stop in windows])[:, None]
        return at, (at >= 0) & (at < np.minimum(stops, size))

    (r, inside_r), (c, inside_c) = reach(rows, height), reach(columns, width)
    index = r[:, None, :, None] * width + c[None, :, None, :]
    inside = inside_r[:, None, :, None] & inside_c[None, :, None, :]
    found: Array = np.where(inside, index, -1).reshape(len(rows), len(columns), -1)
    return found


def _average_windows(
    shape: Sequence[int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Array, Any]:
    """Indices and divisors (float or (out_h, out_w)) of ``avg_pool2d``."""
    height, width = shape[-2:]
    kh, kw = pair(kernel)
    sh, sw = pair(stride) if stride else (kh, kw)
    ph, pw = pair(padding)
    rows = _windows(height, kh, sh, ph, ceil_mode)
    columns = _windows(width, kw, sw, pw, ceil_mode)
    index = _index(height, width, rows, columns)
    if divisor_override:
        return index, float(divisor_override)
    if not count_include_pad:
        return index, (index >= 0).sum(axis=-1).astype(float)
    tall = np.array([stop - start for start, stop in rows], dtype=float)
    wide = np.array([stop - start for start, stop in columns], dtype=float)
    return index, np.outer(tall, wide)


def _adaptive_windows(shape: Sequence[int], size: Sequence[int]) -> tuple[Array, Array, Array]:
    height, width = shape[-2:]
    rows, columns = _adaptive(height, size[0]), _adaptive(width, size[1])
    tall = np.array([stop - start for start, stop in rows], dtype=float)[:, None]
    wide = np.array([stop - start for start, stop in columns], dtype=float)[None, :]
    return _index(height, width, rows, columns), tall, wide


def _adder(index: Array) -> Callable[[Tensor], Tensor]:
    """Binary64 sums over the windows of ``index``."""
    where = torch.from_numpy(index)

    def add(x: Tensor) -> Tensor:
        flat = functional.pad(x.flatten(-2), (0, 1))  # entry -1 is the padding's zero
        return flat[..., where].sum(dim=-1)

    return add


def _sums(step: Step, x: Interval, index: Array, divisors: Sequence[Sequence[Any]]) -> Interval:
    out_h, out_w, fan_in = index.shape
    height, width = x.shape[-2:]
    add = _adder(index)
    tiles = np.array_equal(np.sort(index, axis=None), np.arange(height * width))
    if tiles and height % out_h == 0 and width % out_w == 0:
        tile = (height // out_h, width // out_w)

        def add(x: Tensor) -> Tensor:
            return functional.avg_pool2d(x, tile, divisor_override=1)

    return window_sums(step, x, add, fan_in, divisors)


def _enclose_average(step: Step, x: Interval, *args: Any, **kwargs: Any) -> Interval:
    index, divisor = _average_windows(x.shape, *args, **kwargs)
    return _sums(step, x, index, [[torch.as_tensor(divisor, dtype=torch.float64)]])


def _enclose_adaptive(step: Step, x: Interval, size: Sequence[int]) -> Interval:
    index, tall, wide = _adaptive_windows(x.shape, size)
    at_once = torch.from_numpy(tall * wide)
    # One division by the area, or by the height and then by the width: layouts differ.
    return _sums(step, x, index, [[at_once], [torch.from_numpy(tall), torch.from_numpy(wide)]])


def _relate(
    step: Step, out: Interval, x: Centred, index: Array, divisors: Sequence[Sequence[Any]]
) -> Relation:
    height, width = x.shape[-2:]
    places = torch.from_numpy(np.where(index < 0, height * width, index)).flatten()

    def pull(g: Functionals) -> Functionals:
        value = g.value.flatten(-2)[..., None].expand(-1, -1, -1, index.shape[-1]).flatten(-2)
        flat = value.new_zeros(*value.shape[:2], height * width + 1)
        flat.index_add_(2, places, value)
        return replace(g, value=flat[..., :-1].reshape(-1, *x.shape[1:]))

    return related_windows(
        step,
        x,
        _adder(index),
        index.shape[-1],
        divisors,
        dense(out.shape[1:], pull),
        # Not the size of a window: adaptive pooling may have more windows than pixels.
        int(torch.bincount(places, minlength=height * width + 1)[:-1].max()),
    )


def _relate_average(step: Step, out: Interval, x: Centred, *args: Any, **kwargs: Any) -> Relation:
    index, divisor = _average_windows(x.shape, *args, **kwargs)
    return _relate(step, out, x, index, [[torch.as_tensor(divisor, dtype=torch.float64)]])


def _relate_adaptive(step: Step, out: Interval, x: Centred, size: Sequence[int]) -> Relation:
    index, tall, wide = _adaptive_windows(x.shape, size)
    at_once = torch.from_numpy(tall * wide)
    return _relate(
        step, out, x, index, [[at_once], [torch.from_numpy(tall), torch.from_numpy(wide)]]
    )


def _defaults(
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Pair, Pair, Pair, Pair, bool]:
    return kernel, stride or kernel, padding, dilation, ceil_mode


def _largest(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Max-pooled values and where in the flattened image each comes from."""
    kernel, stride, padding, dilation, ceil = _defaults(*rest)
    found, where = torch.ops.aten.max_pool2d_with_indices.default(
        x, kernel, stride, padding, dilation, ceil
    )
    return found, where


def _relate_max(step: Step, out: Interval, x: Centred, *rest: Any) -> Relation:
    """v = x_i + [0, max over the others of hi_j - lo_i], i the entry with the largest centre."""
    _, where = _largest(x.ball.mid, *rest)
    flat = where.flatten(-2)

    def chosen(values: Tensor) -> Tensor:
        return values.flatten(-2).gather(2, flat).reshape(where.shape)

    # All windows hold their winner, so the largest upper end of the others is found without it:
    # window by window, with the winner's upper end in place of nothing.
    excess = _others(x.hi, where, *rest).sub_(chosen(x.lo)).clamp_(min=0.0)
    excess = torch.where(excess > 0, excess * inflate(2), 0.0)
    middle = chosen(x.ball.mid)
    size = x.shape[-2] * x.shape[-1]

    def pull(g: Functionals) -> Functionals:
        value = g.value.flatten(-2)
        into = value.new_zeros(*value.shape[:2], size)
        into.scatter_add_(2, flat[g.rows] if flat.shape[0] > 1 else flat.expand_as(value), value)
        return replace(g, value=into.reshape(-1, *x.shape[1:]))

    offset = Interval(middle, up(middle + excess))
    offset = Interval(middle, torch.where(excess > 0, offset.hi, middle))
    kernel = pair(rest[0])
    return Relation(
        ((x, dense(out.shape[1:], pull)),), offset, chosen(x.ball.rad), kernel[0] * kernel[1]
    )


def _others(hi: Tensor, where: Tensor, *rest: Any) -> Tensor:
    """Largest upper end of each window's entries but the one at ``where``; -inf if none."""
    kernel, stride, padding, dilation, ceil = _defaults(*rest)
    height, width = hi.shape[-2:]
    rows, columns = (
        _dilated(size, k, s, p, d, ceil)
        for size, k, s, p, d in zip(
            (height, width),
            pair(kernel),
            pair(stride),
            pair(padding),
            pair(dilation),
            strict=True,
        )
    )
    inside = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    places = rows[:, None, :, None] * width + columns[None, :, None, :]
    inside_both = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    places = torch.where(inside_both, places, height * width).flatten(2)
    ends = functional.pad(hi.flatten(-2), (0, 1), value=-torch.inf)[..., places]
    return ends.masked_fill(places == where[..., None], -torch.inf).amax(dim=-1)


def _dilated(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> Tensor:
    """(windows, kernel) positions along one axis; outside [0, size) is padding."""
    starts = [a for a, _ in _windows(size, dilation * (kernel - 1) + 1, stride, pad, ceil)]
    return torch.tensor(starts)[:, None] + dilation * torch.arange(kernel)


def _undecided(step: Step, x: Interval, *rest: Any) -> Tensor:
    """Entries that may or may not win their window."""
    _, where = _largest(x.lo, *rest)
    flat = where.flatten(-2)
    floor = x.lo.flatten(-2).gather(2, flat).reshape(where.shape)
    close = (_others(x.hi, where, *rest) > floor).flatten(-2)
    found = torch.zeros_like(x.lo).flatten(-2)
    found.scatter_add_(2, flat, close.double())
    return (found > 0).reshape(x.shape)


def _check_divisor(
    x: Any,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> None:
    if divisor_override is not None and divisor_override < 1:
        raise ValueError(f"it divides by {divisor_override}; a divisor must be positive")


def _average_terms(x: Array, *args: Any, **kwargs: Any) -> Terms:
    index, divisor = _average_windows(x.shape, *args, **kwargs)
    return Terms(gather(x, index), np.ones(1, dtype=int), None, (_whole(divisor),))


def _adaptive_terms(x: Array, size: Sequence[int]) -> Terms:
    index, tall, wide = _adaptive_windows(x.shape, size)
    return Terms(gather(x, index), np.ones(1, dtype=int), None, (_whole(tall * wide),))


def _whole(divisor: Any) -> Array:
    """Divisors as integers, which divide exact numbers exactly."""
    return np.asarray(divisor, dtype=int)


def _images(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Tensor]:
    side = 4 + size % 7
    yield torch.randn(2, size, side, 6, generator=g).to(dtype)
    yield torch.randn(2, side, 6, size, generator=g).to(dtype).permute(0, 3, 1, 2)
    yield torch.randn(1, 2, 2 * side, 6, generator=g).to(dtype)[:, :, ::2]


def _max_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    for x in _images(g, dtype, size):
        yield Case((x, [2, 2], [2, 2]))
        yield Case((x, [3, 2], [1, 2], [1, 1], [1, 1], True))


def _average_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    for x in _images(g, dtype, size):
        yield Case((x, [2, 2], [2, 2]))
        yield Case((x, [3, 3], [2, 2], [1, 1], True))
        yield Case((x, [3, 3], [2, 1], [1, 1], False, False))
        yield Case((x, [3, 3], [1, 1], [0, 0], False, True, 7))


def _adaptive_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    for x in _images(g, dtype, size):
        yield Case((x, [1, 1]))
        yield Case((x, [2, 3]))
        yield Case((x, [3, 4]))


def _exact_max(
    x: Array,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Array:
    numbered = torch.arange(x.size, dtype=torch.float64).reshape(x.shape)
    ranks = torch.from_numpy(np.argsort(np.argsort(x, axis=None, kind="stable"))).double()
    _, where = torch.ops.aten.max_pool2d_with_indices.default(
        ranks.reshape(x.shape), kernel, stride or [], padding, dilation, ceil_mode
    )
    base = numbered[:, :, :1, :1].long()
    found: Array = x.reshape(-1)[(where + base).numpy()]
    return found


MAX_POOL2D = Op(
    name="max_pool2d",
    targets=("aten.max_pool2d.default",),
    meaning="y = the largest entry of each window; padding never wins",
    rounds="never",
    lemma="proved: selection_accepted",
    call=torch.max_pool2d,
    enclose=both_ends(torch.max_pool2d),
    relate=_relate_max,
    bends=_undecided,
    exact=_exact_max,
    cases=_max_cases,
    moves=True,
)

AVG_POOL2D = Op(
    name="avg_pool2d",
    targets=("aten.avg_pool2d.default",),
    meaning="y = (sum of each window) / n",
    rounds="binary32 partial sums in any order, the division, the store",
    lemma="proved: window_mean, one_operation",
    call=torch.ops.aten.avg_pool2d.default,
    enclose=_enclose_average,
    relate=_relate_average,
    exact=exact_sum(_average_terms),
    terms=_average_terms,
    cases=_average_cases,
    domain="all finite inputs; a positive divisor",
    check=_check_divisor,
)

ADAPTIVE_AVG_POOL2D = Op(
    name="adaptive_avg_pool2d",
    targets=("aten.adaptive_avg_pool2d.default",),
    meaning="y = mean of each of out_h x out_w windows",
    rounds="binary32 partial sums in any order, one division by the area or two (height, then "
    "width; layouts differ), the store",
    lemma="proved: window_mean, one_operation",
    call=torch.ops.aten.adaptive_avg_pool2d.default,
    enclose=_enclose_adaptive,
    relate=_relate_adaptive,
    exact=exact_sum(_adaptive_terms),
    terms=_adaptive_terms,
    cases=_adaptive_cases,
)

OPS = (MAX_POOL2D, AVG_POOL2D, ADAPTIVE_AVG_POOL2D)
