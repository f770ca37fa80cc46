"""One-dimensional convolution: stride, padding, dilation, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import Interval
from errbound.ops._linear import related_sums
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms
from errbound.ops._relation import Centred, Functionals, Relation
from errbound.ops._shapes import exact_sum, stored_sums
from errbound.ops.conv import CONV2D, by_group, transposed

Single = int | Sequence[int]


def single(value: Single) -> int:
    """The number of an int or of a list of one."""
    return value if isinstance(value, int) else value[0]


def _images(
    weight: Any,
    bias: Any = None,
    stride: Single = 1,
    padding: Single | str = 0,
    dilation: Single = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    """The same as a convolution of images of height 1; ``weight`` (O, C, 1, K) already."""
    pad = padding if isinstance(padding, str) else [0, single(padding)]
    return weight, bias, [1, single(stride)], pad, [1, single(dilation)], groups


def _contraction(
    weight: Constant,
    stride: Single = 1,
    padding: Single | str = 0,
    dilation: Single = 1,
    groups: int = 1,
) -> tuple[Callable[..., Tensor], int, Callable[[Tensor], Tensor]]:
    out, per_group, kernel = weight.shape

    def apply(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return functional.conv1d(x, w, b, stride, padding, dilation, groups)

    def count(mask: Tensor) -> Tensor:
        # Padding is not a term: it is zero in every execution.
        seen = by_group(mask, groups)
        sums = apply(seen, torch.ones(groups, 1, kernel), None)
        return sums.round_().repeat_interleave(out // groups, dim=1)  # counts, whatever the kernel

    return apply, per_group * kernel, count


def _enclose(
    step: Step, x: Interval, weight: Constant, bias: Constant | None = None, *rest: Any
) -> Interval:
    return stored_sums(step, x, weight, bias, *_contraction(weight, *rest), channel=1)


def _relate(
    step: Step,
    out: Interval,
    x: Centred,
    weight: Constant,
    bias: Constant | None = None,
    *rest: Any,
) -> Relation:
    image = _images(None, None, *rest)[2:]
    back = transposed(Constant(weight.value.unsqueeze(2)), (1, x.shape[-1]), *image)

    def pull(g: Functionals) -> Functionals:
        found = back(replace(g, value=g.value.unsqueeze(2)))
        found = found.whole((x.shape[1], 1, x.shape[2]))
        return replace(found, value=found.value.squeeze(2))

    return related_sums(
        step,
        x,
        weight,
        bias,
        *_contraction(weight, *rest),
        channel=1,
        pull=pull,
        length=weight.shape[0] * weight.shape[2] + 1,
    )


def _terms(x: Array, weight: Array, *rest: Any) -> Terms:
    assert CONV2D.terms is not None
    t = CONV2D.terms(x[:, :, None], *_images(weight[:, :, None], *rest))
    bias = None if t.bias is None else t.bias.reshape(-1, 1)
    return Terms(t.left[:, :, 0], t.right[:, 0], bias)


def _check(x: Any, weight: Any, *rest: Any) -> None:
    if x.dim() != 3:
        raise ValueError(f"its input has {x.dim()} dimensions; it must be (N, C, L)")
    assert CONV2D.check is not None
    CONV2D.check(x.unsqueeze(2), *_images(weight.unsqueeze(2), *rest))


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    for batch in (1, 9):
        yield Case((draw(batch, 2, size + 2), draw(4, 2, 3), draw(4), [1], [1]))
    yield Case((draw(2, size, 5), draw(3, size, 1), draw(3)))
    yield Case((draw(2, 4, size + 3), draw(6, 2, 3), None, [2], [1], [2], 2))
    yield Case((draw(2, size + 2, 3).transpose(1, 2), draw(3, 1, 3), draw(3), [1], [0], [1], 3))


CONV1D = Op(
    name="conv1d",
    targets=("aten.conv1d.default", "aten.conv1d.padding"),
    meaning="y[o,p] = sum W[o,c,k] x[c, s p + d k - pad] + b[o]; padding is 0",
    rounds="binary32 partial sums in any order; one rounding on store",
    lemma="proved: accepts_sum_sound, late_bias_accepted",
    call=torch.conv1d,
    enclose=_enclose,
    relate=_relate,
    exact=exact_sum(_terms),
    terms=_terms,
    cases=_cases,
    domain="finite inputs of shape (N, C, L)",
    check=_check,
)

OPS = (CONV1D,)
