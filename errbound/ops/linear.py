"""Linear layers: y = x W^T + b."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import Interval
from errbound.ops._linear import related_sums
from errbound.ops._op import Array, Case, Constant, Op, Step, Terms
from errbound.ops._relation import Centred, Functionals, Relation, dense
from errbound.ops._shapes import exact_sum, stored_sums


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b in binary64, rows and columns filled up with zeros to multiples of eight.

    BLAS then sums every row in one order: without it the last bit of a row would depend on how
    many other rows there are and on where it lies.
    """
    rows = x.flatten(0, -2)
    count, missing = rows.shape[0], -rows.shape[1] % 8
    if missing or count % 8:
        rows = functional.pad(rows, (0, missing, 0, -count % 8))
    if missing:
        weight = functional.pad(weight, (0, missing))
    sums = functional.linear(rows, weight, bias)
    return sums[:count].reshape(*x.shape[:-1], weight.shape[0])


def _count(mask: Tensor) -> Tensor:
    return mask.sum(dim=-1, keepdim=True)


def _enclose(step: Step, x: Interval, weight: Constant, bias: Constant | None = None) -> Interval:
    # With three or more dimensions the kernel may store x W^T first and then add the bias.
    late = x.lo.dim() > 2
    return stored_sums(
        step, x, weight, bias, _affine, weight.shape[1], _count, channel=-1, late=late
    )


def _relate(
    step: Step, out: Interval, x: Centred, weight: Constant, bias: Constant | None = None
) -> Relation:
    def pull(g: Functionals) -> Functionals:
        return replace(g, value=g.value @ weight.exact.to(g.value.dtype))

    late = x.lo.dim() > 2
    return related_sums(
        step,
        x,
        weight,
        bias,
        _affine,
        weight.shape[1],
        _count,
        channel=-1,
        late=late,
        pull=dense(out.shape[1:], pull),
        length=weight.shape[0] + 1,
    )


def _check(x: Any, *_: Any, **__: Any) -> None:
    if x.dim() < 2:
        raise ValueError("its input has one dimension; it must be (N, ..., features)")


def _terms(x: Array, weight: Array, bias: Array | None = None) -> Terms:
    return Terms(x[..., None, :], weight, bias)


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    for batch in (1, 9):
        yield Case((draw(batch, size), draw(5, size), draw(5)))
    yield Case((draw(3, 2 * size)[:, ::2], draw(4, size), None))
    yield Case((draw(2, 3, size), draw(4, size), draw(4)))
    yield Case((draw(2, size, 3).transpose(1, 2), draw(4, size), draw(4)))


def _call(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return functional.linear(x, weight, bias)


LINEAR = Op(
    name="linear",
    targets=("aten.linear.default",),
    meaning="y_i = sum_k W_ik x_k + b_i",
    rounds="binary32 partial sums in any order; one rounding on store (inputs of rank >= 3: the "
    "bias may be added after the store, with a second rounding)",
    lemma="proved: accepts_sum_sound, late_bias_accepted",
    call=_call,
    enclose=_enclose,
    relate=_relate,
    exact=exact_sum(_terms),
    terms=_terms,
    cases=_cases,
    domain="finite inputs of shape (N, ..., features)",
    check=_check,
)

OPS = (LINEAR,)
