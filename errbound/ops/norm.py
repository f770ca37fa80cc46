"""Batch normalisation in evaluation, as torch executes it.

The kernel folds the statistics into two binary32 numbers per channel,

    alpha = fl(fl(1 / fl(sqrt(fl(v + eps)))) * w),   beta = fma(-mean, alpha, b)

(or b - fl(mean * alpha), which its binary16 code path computes), and evaluates
fma(x, alpha, beta): a sum of two terms, not a formula whose error is relative to the result.
Where every single operation rounds to storage, each step of the formula without fma does. Other
machines may evaluate ((x - mean) * inverse) * w + b, whose error has the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import TINY64, U64, Interval, down, inflate, nearest, up, widen
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms
from errbound.ops._relation import Centred, Relation, scaled

Rounding = Callable[[Tensor], Tensor]


def _binary32(x: Tensor) -> Tensor:
    return x.float().double()


def _alpha(weight: Tensor | None, var: Tensor, eps: float, fl: Rounding = _binary32) -> Tensor:
    """Scale per channel, every operation rounded by ``fl``.

    One binary64 operation, then ``fl``, is one rounding; torch's own binary32 root is not correct.
    """
    shifted = fl(var.double() + fl(torch.tensor(eps, dtype=torch.float64)))
    inverse = fl(1.0 / fl(shifted.sqrt()))
    return inverse if weight is None else fl(inverse * weight.double())


def _beta(alpha: Tensor, bias: Tensor | None, mean: Tensor, fl: Rounding = _binary32) -> Interval:
    """Shift per channel: fused or not."""
    b = torch.zeros_like(alpha) if bias is None else bias.double()
    product = mean.double() * alpha  # exact: 48 bits
    separate, fused = fl(b - fl(product)), b - product
    low, high = fl(down(fused)), fl(up(fused))
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
    if step.arithmetic.exact or not step.arithmetic.probed:
        return _formula(step, x, weight, bias, mean, var, eps)
    fl = partial(nearest, fmt=step.intermediate)
    scale = _alpha(weight.value if weight else None, var.value, eps, fl)
    shift = _beta(scale, bias.value if bias else None, mean.value, fl)
    alpha = _channels(scale, rank)
    below, above = (_channels(end, rank) for end in (shift.lo, shift.hi))
    # x alpha is exact in binary64 (48 bits). Fused, the kernel rounds x alpha + beta once;
    # otherwise the product errs by u |x alpha| + eta before.
    first, second = x.lo * alpha, x.hi * alpha
    middle = step.intermediate
    product = torch.maximum(first.abs(), second.abs())
    _mark(step, product)
    product.mul_(middle.unit_roundoff)
    lo = torch.minimum(first, second).add_(below)
    hi = torch.maximum(first, second).add_(above)
    return step.compute_(*widen(lo, hi, product.add_(middle.eta), roundings=1))


def _relate(
    step: Step,
    out: Interval,
    x: Centred,
    weight: Constant | None,
    bias: Constant | None,
    mean: Constant,
    var: Constant,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Relation | None:
    """x alpha + beta, the two numbers that the kernel folds, with the errors of ``_enclose``."""
    if step.arithmetic.exact or not step.arithmetic.probed:
        return None
    rank = x.lo.dim()
    fl = partial(nearest, fmt=step.intermediate)
    scale = _alpha(weight.value if weight else None, var.value, eps, fl)
    shift = _beta(scale, bias.value if bias else None, mean.value, fl)
    alpha = _channels(scale, rank)
    below, above = (_channels(end, rank) for end in (shift.lo, shift.hi))
    middle = step.intermediate
    product = torch.maximum((x.lo * alpha).abs(), (x.hi * alpha).abs())
    centre = x.ball.mid * alpha
    size = product + torch.maximum(below.abs(), above.abs())
    error = product * middle.unit_roundoff + middle.eta
    own = (centre.abs() + size) * (8.0 * U64)
    offset = Interval(centre + below - error - own, centre + above + error + own)
    reach = alpha.abs() * x.ball.rad * inflate(4)
    factors = alpha.expand(1, *x.shape[1:])
    size = (size + error) * inflate(4)
    gap = step.gap(size, twice=True)
    if step.arithmetic.intermediate is None and gap is not None:
        gap = gap * 2.0  # product and sum round to storage, each within an ulp of that size
    return Relation(((x, scaled(factors)),), offset, reach, 1, gap, step.compute_)


def _formula(
    step: Step,
    x: Interval,
    weight: Constant | None,
    bias: Constant | None,
    mean: Constant,
    var: Constant,
    eps: float,
) -> Interval:
    """The formula itself, for any way to evaluate it in at most 16 roundings of error u each.

    alpha has relative error <= 6 u (sum, root or its reciprocal with two units of error, product),
    so each of |x alpha|, |mean alpha| and |b| is changed by at most 12 u of itself by all
    operations, fused or not (what underflows costs ``tiny``); where nothing rounds, u is that of
    binary64.
    """
    rank = x.lo.dim()
    u = U64 if step.arithmetic.exact else step.intermediate.unit_roundoff
    scale = 1.0 / (var.exact + eps).sqrt()
    scale = _channels(scale if weight is None else scale * weight.exact, rank)
    centre = _channels(mean.exact, rank)
    ends = (x.lo - centre) * scale, (x.hi - centre) * scale
    lo, hi = torch.minimum(*ends), torch.maximum(*ends)
    tiny = TINY64 if step.arithmetic.exact else step.intermediate.min_normal
    size = (torch.maximum(x.lo.abs(), x.hi.abs()) + centre.abs()) * (scale.abs() + tiny)
    if bias is not None:
        shift = _channels(bias.exact, rank)
        lo, hi, size = lo + shift, hi + shift, size + shift.abs()
    _mark(step, size)
    return step.compute_(*widen(lo, hi, size * (16.0 * u) + 8.0 * tiny, roundings=8))


def _mark(step: Step, product: Tensor) -> None:
    """A product by itself may overflow where its sum with beta does not."""
    top = step.intermediate.max_finite
    if product.numel() and not float(product.max()) < top:
        step.overflow |= ~(product.reshape(step.samples, -1) < top).all(dim=1)


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
        _channels(scale, rank).numpy()[..., None],
        _channels(_beta(scale, b, m).lo, rank).numpy(),
    )


def _emulate(
    fl: Rounding,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Tensor:
    rank = x.dim()
    scale = _alpha(weight, var, eps, fl)
    shift = -fl(mean * scale) if bias is None else fl(bias - fl(mean * scale))
    return fl(fl(x * _channels(scale, rank)) + _channels(shift, rank))


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
    lemma="proved: norm_widened, one_operation; the formula is measured bit by bit (CUDA: paper)",
    call=_call,
    enclose=_enclose,
    relate=_relate,
    exact=_exact,
    terms=_terms,
    emulate=_emulate,
    cases=_cases,
    domain="evaluation mode, contiguous or channels-last input",
    check=_check,
)

OPS = (BATCH_NORM,)
