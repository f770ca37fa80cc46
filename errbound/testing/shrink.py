"""Making a failing input smaller: entry by entry simpler, while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

Fails = Callable[[Tensor], Tensor]
"""For a batch (rows, ...) which rows fail: (rows,) bool."""

ENTRIES = 2**22
"""Candidates are tried in batches of about this many numbers, to bound memory."""

# What an entry may become, the simplest first.
SIMPLER: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.zeros_like,
    torch.sign,
    torch.round,
    lambda x: torch.copysign(torch.exp2(x.abs().log2().floor()), x),  # 0 stays 0
)


def smaller(x: Tensor, fails: Fails, rows: int = 256, most: int = 4096) -> Tensor:
    """The simplest input that still fails, as far as it is found.

    Delta debugging: halves of the entries, then quarters, down to single ones, become 0; those
    that cannot become 1 or -1, an integer or a power of two. Candidates are tried many at a time.

    Args:
        x: one failing input, any shape; not changed.
        fails: says which of a batch of inputs fail.
        rows: most inputs in a batch.
        most: stop after about this many candidates.

    Returns:
        A tensor like ``x`` for which ``fails`` was true, or ``x`` itself.
    """
    search = _Search(x, fails, max(1, min(rows, ENTRIES // max(x.numel(), 1))), most)
    for simpler in SIMPLER:
        search.replace(simpler(search.x))
    return search.x.reshape(x.shape)


class _Search:
    def __init__(self, x: Tensor, fails: Fails, rows: int, left: int) -> None:
        self.x, self.shape = x.reshape(-1).clone(), x.shape
        self.fails, self.rows, self.left = fails, rows, left

    def replace(self, target: Tensor) -> None:
        """Bring as many entries to ``target`` as the input can bear."""
        todo = (self.x != target).nonzero()[:, 0]
        size = len(todo)
        while size and self.left > 0:
            chunks = torch.split(todo, size)
            good = [chunks[k] for k in self._failing(chunks, target)]
            # What can be replaced alone need not be together: as many of them as can.
            several = [torch.cat(good[: len(good) >> k]) for k in range(len(good).bit_length())]
            done = next((several[k] for k in self._failing(several, target)), todo[:0])
            self.x[done] = target[done]
            todo = todo[~torch.isin(todo, done)]
            size = min(size // 2, len(todo))

    def _failing(self, candidates: Sequence[Tensor], target: Tensor) -> Iterator[int]:
        """Which candidates, entries to be replaced together, leave an input that fails."""
        for start in range(0, len(candidates), self.rows):
            part = candidates[start : start + self.rows]
            self.left -= len(part)
            batch = self.x.repeat(len(part), 1)
            for row, entries in zip(batch, part, strict=True):
                row[entries] = target[entries]
            failing = self.fails(batch.reshape(-1, *self.shape))
            yield from (start + int(k) for k in failing.nonzero()[:, 0])
            if self.left <= 0:
                return
