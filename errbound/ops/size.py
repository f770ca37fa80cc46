"""Sizes and parts: integers computed from shapes, entries of lists. No number is involved."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch

from errbound.ops._op import Case, Op


def _no_cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
    return iter(())


def _integer(name: str, target: str, meaning: str, call: Callable[..., Any]) -> Op:
    return Op(
        name=name,
        targets=(target,),
        meaning=meaning,
        rounds="never",
        lemma="paper: no number is involved",
        call=call,
        enclose=lambda step, *args: call(*args),
        exact=call,
        cases=_no_cases,
        moves=True,
        shares=name == "getitem",
    )


OPS = (
    _integer("size", "aten.sym_size.int", "size of a dimension", lambda x, dim: x.shape[dim]),
    _integer("getitem", "_operator.getitem", "one entry of a list", operator.getitem),
    _integer("integer_mul", "_operator.mul", "product of sizes", operator.mul),
    _integer("integer_add", "_operator.add", "sum of sizes", operator.add),
    _integer("integer_sub", "_operator.sub", "difference of sizes", operator.sub),
    _integer("integer_div", "_operator.floordiv", "quotient of sizes", operator.floordiv),
)
