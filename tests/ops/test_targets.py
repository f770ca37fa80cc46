"""The ATen overloads that a record claims exist and do bit for bit what its ``call`` does."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from errbound.number import NATIVE, Format
from errbound.ops import BY_TARGET, OPS, Case, Op
from tests.helpers import identical, overload

from . import contract

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
ATEN = [(op, t) for op in contract.WITH_CASES for t in op.targets]


def variants(op: Op, target: str, fmt: Format, size: int) -> Iterator[Case]:
    """Cases, with their last argument in the forms that different overloads take."""
    g = torch.Generator().manual_seed(size)
    for case in (*op.cases(g, fmt.dtype, size), *contract.extra(op, g, fmt, size)):
        yield case
        if target.endswith(".dims") and isinstance(case.args[1], int):
            yield Case((case.args[0], [case.args[1]]))
    if target == "aten.rsub.Tensor":
        yield from BY_TARGET["aten.sub.Tensor"].cases(g, fmt.dtype, size)
    if target in ("aten.sum.default", "aten.mean.default"):
        yield Case((torch.randn(3, size, generator=g).to(fmt.dtype),))
    if op.name == "squeeze":
        x = torch.randn(3, 1, size, generator=g).to(fmt.dtype)
        yield from (Case((x, 1)), Case((x, -2)), Case((x, [1])))


def cloned(value: Any) -> Any:
    """Copies with the same strides."""
    if isinstance(value, list):
        return [cloned(v) for v in value]
    return contract.laid_out(value, value) if isinstance(value, Tensor) else value


@pytest.mark.parametrize(("op", "target"), ATEN, ids=[t for _, t in ATEN])
@formats
def test_an_overload_does_what_the_record_calls(op: Op, target: str, fmt: Format) -> None:
    function = overload(target)
    in_place = target.split(".")[1].endswith("_")
    done = 0
    for size in contract.SIZES:
        for case in variants(op, target, fmt, size):
            args, before = cloned(list(case.args)), cloned(list(case.args))
            try:
                with torch.inference_mode():
                    result = function(*args, **case.kwargs)
            except (RuntimeError, TypeError):
                continue  # arguments of another overload
            with torch.inference_mode():
                value = op.call(*case.args, **case.kwargs)
            if in_place and value.dtype != case.args[0].dtype:
                continue  # refused where a graph is frozen
            assert identical(result, value), case
            if in_place:
                assert identical(args[0], value)
            else:
                assert identical(args, before)
            done += 1
    assert done >= len(contract.SIZES)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_target_exists(op: Op) -> None:
    for target in op.targets:
        assert BY_TARGET[target] is op
        namespace, name, *_ = target.split(".")
        if namespace == "_operator":
            assert callable(getattr(operator, name))
            continue
        found = overload(target)
        assert isinstance(found, torch._ops.OpOverload)
        assert str(found) == target


def test_an_overload_that_swaps_its_operands_is_not_claimed() -> None:
    """aten.mul_.Scalar rounds the scalar to 16 bits, aten.mul.Scalar does not."""
    x = torch.tensor([2.53125], dtype=torch.bfloat16)
    swapped = torch.ops.aten.mul_.Scalar(x.clone(), 0.1307)
    assert not torch.equal(swapped, torch.ops.aten.mul.Scalar(x, 0.1307))
    assert "aten.mul_.Scalar" not in BY_TARGET


def test_records_that_share_storage_say_so() -> None:
    """A view that is not declared would hide a write in place."""
    g = torch.Generator().manual_seed(0)
    for op in contract.WITH_CASES:
        for target in op.targets:
            function = overload(target)
            schema = function._schema
            writes = any(a.alias_info and a.alias_info.is_write for a in schema.arguments)
            views = any(r.alias_info for r in schema.returns) and not writes
            assert not views or op.shares, target
        for case in op.cases(g, torch.float32, 7):
            x = case.args[0]
            for target in op.targets:
                if target.split(".")[1].endswith("_") or not isinstance(x, Tensor):
                    continue
                try:
                    result = overload(target)(*case.args, **case.kwargs)
                except (RuntimeError, TypeError):
                    continue
                first = result[0] if isinstance(result, list | tuple) else result
                shared = first.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
                assert op.shares or not shared, target
