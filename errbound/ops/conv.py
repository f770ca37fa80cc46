"""Two-dimensional convolution: stride, padding, dilation, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import Interval
from errbound.ops._linear import related_sums
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms
from errbound.ops._relation import Centred, Functionals, Pull, Relation
from errbound.ops._shapes import exact_sum, stored_sums

Pair = int | Sequence[int]


def pair(value: Pair) -> tuple[int, int]:
    """(height, width) from an int, a list of one or a list of two."""
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def patches(
    height: int, width: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Positions in an image that each output pixel sees; -1 is padding.

    Returns (out_h, out_w, kernel_h * kernel_w) indices into the flattened image.
    """
    numbered = torch.arange(1.0, height * width + 1.0, dtype=torch.float64)
    columns = functional.unfold(
        numbered.reshape(1, 1, height, width),
        pair(kernel),
        pair(dilation),
        pair(padding),
        pair(stride),
    )[0]
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(pair, (kernel, stride, padding, dilation))
    out_h = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_w = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    found: Array = columns.t().reshape(out_h, out_w, kh * kw).long().numpy() - 1
    return found


def gather(x: Array, index: Array) -> Array:
    """Values at ``index`` in the flattened last two dimensions of ``x``; 0 where it is -1.

    (..., H, W) and (out_h, out_w, k) give (..., out_h, out_w, k).
    """
    flat = x.reshape(*x.shape[:-2], -1)
    padded = np.concatenate([flat, np.zeros_like(flat[..., :1])], axis=-1)
    found: Array = padded[..., index]
    return found


def by_group(mask: Tensor, groups: int) -> Tensor:
    """(N, groups, ...) binary32: how many channels of each group of a mask are set."""
    grouped = mask.reshape(mask.shape[0], groups, -1, *mask.shape[2:])
    return grouped.sum(dim=2, dtype=torch.float32)


def _amount(weight_shape: Sequence[int], padding: Any, dilation: Pair) -> tuple[int, int]:
    """Padding in pixels; "same" is what torch adds on both sides where it is symmetric."""
    if not isinstance(padding, str):
        return pair(padding)
    if padding == "valid":
        return 0, 0
    total = [d * (k - 1) for d, k in zip(pair(dilation), weight_shape[2:], strict=True)]
    if any(t % 2 for t in total):
        raise ValueError("padding='same' with an even kernel pads one side more; pad explicitly")
    return total[0] // 2, total[1] // 2


def _contraction(
    weight: Constant,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Callable[..., Tensor], int, Callable[[Tensor], Tensor]]:
    """The linear map, its fan-in, and how many terms each output has."""
    kernel = weight.shape[2:]
    fan_in = weight.shape[1] * kernel[0] * kernel[1]
    pad = _amount(weight.shape, padding, dilation)

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return functional.conv2d(x, w, b, pair(stride), pad, pair(dilation), groups)

    def count(mask: Tensor) -> Tensor:
        # Padding is not a term: it is zero in every execution.
        seen = by_group(mask, groups)
        window = torch.ones(groups, 1, *kernel)
        sums = functional.conv2d(seen, window, None, pair(stride), pad, pair(dilation), groups)
        sums = sums.round_()  # counts, whatever the kernel
        return sums if groups == 1 else sums.repeat_interleave(weight.shape[0] // groups, dim=1)

    return apply, fan_in, count


def _enclose(
    step: Step, x: Interval, weight: Constant, bias: Constant | None = None, *rest: Any
) -> Interval:
    return stored_sums(step, x, weight, bias, *_contraction(weight, *rest), channel=1)


def transposed(
    weight: Constant,
    size: tuple[int, int],
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Pull:
    """The transposed map of a convolution of images of ``size``, on windows.

    A window of the output sees a window of the input, however large the images are. Torch's
    transposed convolution adds products in some order, as its convolution does (no FFT, no
    Winograd); ``Trace`` takes binary64 coefficients where a setting may narrow binary32.
    """
    step, spread = pair(stride), pair(dilation)
    pad = torch.tensor(_amount(weight.shape, padding, dilation))
    image = (weight.shape[1] * groups, *size)

    def pull(g: Functionals) -> Functionals:
        w = weight.exact.to(g.value.dtype)
        value = functional.conv_transpose2d(g.value, w, None, step, 0, 0, groups, spread)
        corner = torch.zeros(len(g.rows), 2, dtype=torch.int64) if g.corner is None else g.corner
        found = replace(g, value=value, corner=corner * torch.tensor(step) - pad)
        large = value.shape[-2] * value.shape[-1] >= size[0] * size[1]
        return found.whole(image) if large else found

    return pull


def _relate(
    step: Step,
    out: Interval,
    x: Centred,
    weight: Constant,
    bias: Constant | None = None,
    *rest: Any,
) -> Relation:
    height, width = x.shape[-2:]
    return related_sums(
        step,
        x,
        weight,
        bias,
        *_contraction(weight, *rest),
        channel=1,
        pull=transposed(weight, (height, width), *rest),
        length=weight.shape[0] * weight.shape[2] * weight.shape[3] + 1,
    )


def _terms(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Terms:
    n, _, h, w = x.shape
    out, per_group, kh, kw = weight.shape
    pad = _amount(weight.shape, padding, dilation)
    seen = gather(x, patches(h, w, (kh, kw), stride, pad, dilation))
    oh, ow, k = seen.shape[2:]
    # (n, groups, 1, oh, ow, channels * k) against (groups, out/groups, 1, 1, channels * k)
    grouped = seen.reshape(n, groups, 1, per_group, oh, ow, k)
    left = np.moveaxis(grouped, 3, 5).reshape(n, groups, 1, oh, ow, per_group * k)
    left = np.broadcast_to(left, (n, groups, out // groups, oh, ow, per_group * k))
    return Terms(
        left.reshape(n, out, oh, ow, per_group * k),
        weight.reshape(out, 1, 1, per_group * k),
        None if bias is None else bias.reshape(out, 1, 1),
    )


def _check(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> None:
    if x.dim() != 4:
        raise ValueError(f"its input has {x.dim()} dimensions; it must be (N, C, H, W)")
    _amount(weight.shape, padding, dilation)


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    side = 3 + size % 7
    for batch in (1, 9):
        yield Case((draw(batch, 2, side, 6), draw(4, 2, 3, 3), draw(4), [1, 1], [1, 1]))
    yield Case((draw(2, size, 4, 5), draw(3, size, 1, 1), draw(3)))
    yield Case((draw(2, 4, side, side), draw(6, 2, 3, 2), None, [2, 1], [1, 0], [1, 2], 2))
    strided = draw(2, side, side, 3).permute(0, 3, 1, 2)
    yield Case((strided, draw(3, 1, 3, 3), draw(3), [1, 1], [1, 1], [1, 1], 3))


CONV2D = Op(
    name="conv2d",
    targets=("aten.conv2d.default", "aten.conv2d.padding"),
    meaning="y[o,p,q] = sum W[o,c,k,l] x[c, s p + d k - pad, s q + d l - pad] + b[o]; padding is 0",
    rounds="binary32 partial sums in any order; one rounding on store",
    lemma="proved: accepts_sum_sound, late_bias_accepted",
    call=torch.conv2d,
    enclose=_enclose,
    relate=_relate,
    exact=exact_sum(_terms),
    terms=_terms,
    cases=_cases,
    domain="finite inputs of shape (N, C, H, W)",
    check=_check,
)

OPS = (CONV2D,)
