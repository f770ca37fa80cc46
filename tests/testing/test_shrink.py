"""Shrinking one failing input: the result fails, and little of it is left."""

from __future__ import annotations

import torch

from errbound.testing.shrink import smaller


def test_what_does_not_matter_becomes_zero_and_the_rest_simple():
    x = torch.randn(4, 25, generator=torch.Generator().manual_seed(0)) * 3
    x[2, 7], x[0, 3] = 1.7, -2.3
    before = x.clone()
    small = smaller(x, lambda b: (b[:, 2, 7] > 0.4) & (b[:, 0, 3] < -1.5))
    assert torch.equal(x, before)
    assert small.nonzero().tolist() == [[0, 3], [2, 7]]
    assert small[2, 7] == 1
    assert small[0, 3] == -2


def test_entries_that_need_each_other_stay():
    """Any one of the four may become 0, not two of them."""
    x = torch.full((10,), 0.7)
    small = smaller(x, lambda b: (b[:, :4] > 0.5).sum(dim=1) >= 3)
    assert sorted(small.tolist()) == [0] * 7 + [1] * 3


def test_it_stays_a_failing_input_and_counts_candidates():
    seen = []

    def fails(batch):
        seen.append(len(batch))
        return batch.abs().sum(dim=1) > 40

    x = torch.linspace(-1, 1, 100)
    small = smaller(x, fails, rows=16, most=50)
    assert max(seen) <= 16
    assert sum(seen) <= 50 + 16
    assert small.abs().sum() > 40
    assert small.count_nonzero() < 100


def test_an_input_that_cannot_be_simpler_is_returned():
    x = torch.tensor([0.0, 1.0, 0.0])
    assert torch.equal(smaller(x, lambda b: torch.zeros(len(b), dtype=torch.bool)), x)
    assert smaller(torch.zeros(0), lambda b: torch.ones(len(b), dtype=torch.bool)).shape == (0,)
