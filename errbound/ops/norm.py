"""Batch normalisation in evaluation, as torch executes it.

The kernel folds the statistics into two binary32 numbers per channel,

    alpha = fl(fl(1 / fl(sqrt(fl(v + eps)))) * w),   beta = fma(-mean, alpha, b)

(or b - fl(mean * alpha), which its binary16 code path computes), and evaluates
fma(x, alpha, beta): a sum of two terms, not a formula whose error is relative to the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import Interval, down, up, widen
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms


def _alpha(weight: Tensor | None, var: Tensor, eps: float) -> Tensor:
    """Binary32 scale per channel. The root goes through binary64: torch's own is not correct."""
    shifted = var.float() + torch.tensor(eps, dtype=torch.float32)
    inverse = 1.0 / shifted.double().sqrt().float()
    return inverse if weight is None else inverse * weight.float()


def _beta(alpha: Tensor, bias: Tensor | None, mean: Tensor) -> Interval:
    """Binary32 shift per channel: fused or not."""
    b = torch.zeros_like(alpha) if bias is None else bias.float()
    separate = (b - mean.float() * alpha).double()
    product = mean.double() * alpha.double()  # exact: 48 bits
    fused = b.double() - product
    low, high = down(fused).float().double(), up(fused).float().double()
    return Interval(torch.minimum(separate, low), torch.maximum(separate, high))


def _channels(values: Tensor, rank: int) -> Tensor:
    return values.reshape(-1, *([1] * (rank - 2)))


def _enclose(
    step: Step,
    x: Interval,
    weight: Constant | None,
    bias: Constant | None,
    mean: Constant,
    var: Constant,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Interval:
    rank = x.lo.dim()
    scale = _alpha(weight.value if weight else None, var.value, eps)
    shift = _beta(scale, bias.value if bias else None, mean.value)
    alpha = _channels(scale.double(), rank)
    below, above = (_channels(end, rank) for end in (shift.lo, shift.hi))
    # x alpha is exact in binary64 (48 bits). Fused, the kernel rounds x alpha + beta once;
    # otherwise the product errs by u |x alpha| + eta before.
    first, second = x.lo * alpha, x.hi * alpha
    middle = step.arithmetic.intermediate
    product = torch.maximum(first.abs(), second.abs())
    if product.numel() and not float(product.max()) < middle.max_finite:
        # The product by itself may overflow where its sum with beta does not.
        inside = product.reshape(step.samples, -1) < middle.max_finite
        step.overflow |= ~inside.all(dim=1)
    product.mul_(middle.unit_roundoff)
    lo = torch.minimum(first, second).add_(below)
    hi = torch.maximum(first, second).add_(above)
    return step.compute_(*widen(lo, hi, product.add_(middle.eta), roundings=1))


def _root(value: Any) -> Any:
    return value.sqrt() if hasattr(value, "sqrt") else value ** (value * 0 + 1 / 2)


def _exact(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    training: bool = False,
    momentum: float = 0.1,
    eps: Any = 1e-5,
    cudnn: bool = False,
) -> Array:
    def per_channel(values: Array) -> Array:
        return values.reshape(-1, *([1] * (x.ndim - 2)))

    root = np.vectorize(_root, otypes=[object])(var + eps)
    y = (x - per_channel(mean)) / per_channel(root)
    if weight is not None:
        y = y * per_channel(weight)
    found: Array = y if bias is None else y + per_channel(bias)
    return found


def _terms(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Terms:
    """Two terms with the numbers the kernel folds, binary64 arrays."""

    def tensor(values: Array | None) -> Tensor | None:
        return None if values is None else torch.from_numpy(np.ascontiguousarray(values))

    w, b, m, v = (tensor(t) for t in (weight, bias, mean, var))
    assert m is not None
    assert v is not None
    scale = _alpha(w, v, eps)
    rank = x.ndim
    return Terms(
        x[..., None],
        _channels(scale.double(), rank).numpy()[..., None],
        _channels(_beta(scale, b, m).lo, rank).numpy(),
    )


def _laid_out(x: Any) -> bool:
    dense = x.is_contiguous()
    return bool(dense or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)))


def _check(x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *_: Any) -> None:
    if training:
        raise ValueError("it normalises by the batch: the model was traced in training mode")
    if mean is None or var is None:
        raise ValueError("it has no running statistics")
    if not _laid_out(x):
        raise ValueError(
            "its input is not contiguous, for which torch runs another formula; call .contiguous()"
        )


def _call(x: Tensor, *args: Any) -> Tensor:
    if not _laid_out(x):
        raise ValueError("batch_norm: its input is not contiguous; call .contiguous() before it")
    found: Tensor = torch.ops.aten.batch_norm.default(x, *args)
    return found


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    rest = (False, 0.1, 1e-5, False)
    for shape in ((3, size), (2, size, 3, 5), (2, 3, size)):
        c = shape[1]
        var = (torch.rand(c, generator=g) * 3 + 0.01).to(dtype)
        yield Case((draw(*shape), draw(c), draw(c), draw(c), var, *rest))
        yield Case((draw(*shape), None, None, draw(c), var, *rest))
    nhwc = draw(2, 3, size, 4).to(memory_format=torch.channels_last)
    yield Case((nhwc, draw(3), draw(3), draw(3), draw(3).abs() + 1, *rest))


BATCH_NORM = Op(
    name="batch_norm",
    targets=("aten.batch_norm.default",),
    meaning="y = (x - mean) / sqrt(var + eps) * w + b, per channel",
    rounds="alpha and beta in binary32; fma(x, alpha, beta) or its two operations in binary32; the "
    "store",
    lemma="paper: a sum of two terms (theory 3, 4); the formula is measured bit by bit",
    call=_call,
    enclose=_enclose,
    exact=_exact,
    terms=_terms,
    cases=_cases,
    domain="evaluation mode, contiguous or channels-last input",
    check=_check,
)

OPS = (BATCH_NORM,)
