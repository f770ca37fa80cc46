"""Shadow arithmetic: mpmath and Arb agree on every record; selections of balls are rigorous."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from flint import arb, ctx
from torch import Tensor, nn

from errbound.analysis import Shadow, reals
from errbound.analysis.shadow import Reals
from errbound.ops import Op
from errbound.program import program_of
from tests.ops import contract

DIGITS = 60


def numbers(r: Reals, value: Any) -> Any:
    """Tensors as arrays of real numbers."""
    if isinstance(value, list):
        return [numbers(r, v) for v in value]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    found = np.empty(value.numel(), dtype=object)
    found[:] = [r.number(v) for v in value.double().reshape(-1).tolist()]
    return found.reshape(tuple(value.shape))


def ends(r: Reals, value: Any) -> list[tuple[Fraction, Fraction]]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [r.ends(v) for part in parts for v in np.asarray(part).reshape(-1)]


@pytest.mark.parametrize("op", contract.WITH_CASES, ids=lambda op: op.name)
def test_mpmath_and_arb_agree_on_every_record(op: Op) -> None:
    cases = list(op.cases(torch.Generator().manual_seed(1), torch.float32, 7))
    for case in cases[:3]:
        found = {}
        for how in ("mpmath", "arb"):
            with reals(how, DIGITS) as r:
                args = [numbers(r, a) for a in case.args]
                kwargs = {k: numbers(r, v) for k, v in case.kwargs.items()}
                value = (
                    r.select(op, tuple(args), kwargs)
                    if op.moves or op.compares
                    else op.exact(*args, **kwargs)
                )
                found[how] = ends(r, value)
        for (x, _), (low, high) in zip(found["mpmath"], found["arb"], strict=True):
            assert high - low <= Fraction(1, 10**50) * (1 + abs(low))
            near = Fraction(1, 10**55) * (1 + abs(low))
            assert low - near <= x <= high + near


@pytest.mark.parametrize(
    "op", [op for op in contract.WITH_CASES if op.moves or op.compares], ids=lambda o: o.name
)
def test_selections_of_wide_balls_contain_the_selected(op: Op) -> None:
    """Balls that overlap: whatever is inside, its selection is inside the result."""
    g = torch.Generator().manual_seed(2)
    ctx.prec = 53
    case = next(iter(op.cases(g, torch.float32, 7)))

    def wide(value: Any) -> Any:
        if isinstance(value, list):
            return [wide(v) for v in value]
        if not isinstance(value, Tensor):
            return value
        flat = np.empty(value.numel(), dtype=object)
        flat[:] = [arb(v, 0.5) for v in value.reshape(-1).tolist()]
        return flat.reshape(tuple(value.shape))

    def inner(value: Any) -> Any:
        if isinstance(value, list):
            return [inner(v) for v in value]
        if not isinstance(value, Tensor):
            return value
        return value.double() + (torch.rand(value.shape, generator=g).double() - 0.5) * 0.99

    k = case.inputs if not isinstance(case.args[0], list) else 1
    with reals("arb", 15) as r:
        box = r.select(op, (*(wide(a) for a in case.args[:k]), *case.args[k:]), case.kwargs)
        for _ in range(5):
            point = op.call(*(inner(a) for a in case.args[:k]), *case.args[k:], **case.kwargs)
            parts = point if isinstance(point, list | tuple) else [point]
            values = [Fraction(v) for p in parts for v in p.double().reshape(-1).tolist()]
            for v, (low, high) in zip(values, ends(r, box), strict=True):
                assert low <= v <= high


@pytest.mark.parametrize("how", ["mpmath", "arb"])
def test_digits_are_what_was_asked_for(how: str) -> None:
    third = program_of(_Third(), torch.zeros(2, 1), torch.float32)
    with reals(how, 80) as r:
        seen: list[Any] = []
        Shadow(third, r)(torch.ones(1, 1), lambda node, value: seen.append(value))
        low, high = r.ends(seen[-1].reshape(-1)[0])
        assert abs(low - Fraction(1, 3)) < Fraction(1, 10**79)
        assert high - low < Fraction(1, 10**79)


class _Third(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return x / 3
