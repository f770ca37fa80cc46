"""Conversion to another dtype: one rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from errbound.number import Interval
from errbound.ops._op import Case, Op, Step
from errbound.ops._relation import Centred, Relation, identity


def _call(x: Tensor, dtype: torch.dtype, *_: Any, **__: Any) -> Tensor:
    return x.to(dtype)


def _enclose(step: Step, x: Interval, dtype: torch.dtype, *_: Any, **__: Any) -> Interval:
    return step.store_(x.lo.clone(), x.hi.clone())


def _relate(
    step: Step, out: Interval, x: Centred, dtype: torch.dtype, *_: Any, **__: Any
) -> Relation:
    gap = step.gap(torch.maximum(x.lo.abs(), x.hi.abs()))
    return Relation(((x, identity),), Interval.point(x.ball.mid), x.ball.rad, 0, gap)


def _cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    yield Case((torch.randn(3, size, generator=g).to(dtype), dtype))


CAST = Op(
    name="cast",
    targets=("aten.to.dtype",),
    meaning="y = x, rounded to the dtype named",
    rounds="once, on store",
    lemma="proved: rounding_cell; programs of several formats: paper",
    call=_call,
    enclose=_enclose,
    relate=_relate,
    exact=lambda x, *_, **__: x,
    cases=_cases,
    shares=True,
)

OPS = (CAST,)
