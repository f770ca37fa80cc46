"""A row with an assumed height of trees: another name, another assumption, smaller bounds."""

import pytest
import torch
from torch import nn

from errbound.analysis import Encloser
from errbound.arithmetic import ARITHMETICS, TORCH_CPU, Arithmetic, with_tree_height
from errbound.program import program_of


@pytest.mark.parametrize("row", ARITHMETICS, ids=lambda r: r.name)
def test_the_assumption_is_stated(row: Arithmetic) -> None:
    low = with_tree_height(row, 64)
    assert low.name == f"{row.name}, trees of height <= 64"
    assert low.assumptions[:-1] == row.assumptions
    assert "64 additions" in low.assumptions[-1]
    assert not low.probed
    assert all(acc.height == 64 for acc in low.sums.values())
    assert all(acc.height is None for acc in row.sums.values())


def test_no_sum_has_height_zero() -> None:
    with pytest.raises(ValueError, match="not 0"):
        with_tree_height(TORCH_CPU, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_intervals_shrink(dtype: torch.dtype) -> None:
    """Of 784 terms; and where the height is no constraint, nothing changes."""
    torch.manual_seed(0)
    x = torch.rand(4, 784)
    program = program_of(nn.Linear(784, 10).eval(), x[:2], dtype)
    stored = program.stored(x)
    free, low, high = (
        Encloser(program, row)(stored).output
        for row in (TORCH_CPU, with_tree_height(TORCH_CPU, 16), with_tree_height(TORCH_CPU, 784))
    )
    assert bool((free.lo <= low.lo).all())
    assert bool((low.hi <= free.hi).all())
    assert float((low.hi - low.lo).sum()) < 0.5 * float((free.hi - free.lo).sum())
    assert torch.equal(high.lo, free.lo)
    assert torch.equal(high.hi, free.hi)
