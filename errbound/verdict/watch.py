"""What is watched while a batch is certified: the run inside its enclosure, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from errbound.errors import InputError
from errbound.number import Format, Interval, Narrow, ufp_
from errbound.program import Node, Program


@dataclass
class NodeSummary:
    """Widths and ranges of one node over the samples seen so far.

    Attributes:
        cells: number of values.
        split: how many of them have an interval that is not one number.
        width_sum: sum of the widths of the split cells, in ulps of the larger end.
        width_max: largest width, in ulps.
        low: smallest end; ``high``: largest end.
    """

    cells: int = 0
    split: int = 0
    width_sum: float = 0.0
    width_max: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, box: Interval, fmt: Format) -> None:
        """Count the intervals ``box`` of values stored in ``fmt``."""
        if not box.shape.numel():
            return
        # Widths and ulps of stored numbers are numbers of binary32, or nearly: a summary.
        lo, hi = _held(box)
        self.cells += lo.numel()
        self.low = min(self.low, float(lo.min()))
        self.high = max(self.high, float(hi.max()))
        if lo is hi:
            return
        width = (hi - lo).float()
        split = int(width.sign().sum(dtype=torch.float64))
        if split == 0:
            return
        self.split += split
        size = torch.maximum(lo.abs(), hi).float()
        width = width.div_(ufp_(size).clamp_(min=fmt.min_normal))
        ulps = 2.0 ** (fmt.precision - 1)
        self.width_sum += ulps * float(width.sum())
        self.width_max = max(self.width_max, ulps * float(width.max()))

    def merge(self, later: NodeSummary) -> None:
        """Add the counts of a later batch."""
        self.cells += later.cells
        self.split += later.split
        self.width_sum += later.width_sum
        self.width_max = max(self.width_max, later.width_max)
        self.low = min(self.low, later.low)
        self.high = max(self.high, later.high)


@dataclass(frozen=True)
class Escape:
    """An observed value outside its enclosure: an assumption or errbound itself is wrong.

    Attributes:
        model: "M32" or "M16"; ``node``, ``where``: the node and the module it belongs to.
        sample: row of the batch; ``element``: index of the value within the sample.
        value: what was observed; ``lo``, ``hi``: its enclosure.
    """

    model: str
    node: str
    where: str
    sample: int
    element: tuple[int, ...]
    value: float
    lo: float
    hi: float


Look = Callable[[str, Node, Interval, Tensor, Tensor, int], None]
"""Told model, node, enclosure, observed values (rows, ...), the rows whose ends mean something, and
the first row's sample."""


class Watch:
    """One model's run and its enclosures, compared as they appear.

    Args:
        model: "M32" or "M16"; ``program``: the program.
        stored: the batch as the model stores it, (samples, ...).
        seen: the observed value(s) of every node, by name.
        counted: (samples,) bool; False for rows that stand in for no sample.
        listener: told every enclosure with what was observed.

    Attributes:
        ran_over: (samples,) bool; an infinity or NaN was observed at the input or at some node.
        nodes: summaries of the nodes that round, over the counted samples.
        escapes: the first escape of each node and chunk; empty unless something is wrong.
    """

    def __init__(
        self,
        model: str,
        program: Program,
        stored: Tensor,
        seen: dict[str, Any],
        counted: Tensor,
        listener: Look | None = None,
    ) -> None:
        self.model = model
        self.listener = listener
        self.program = program
        self.seen = seen
        self.counted = counted
        self.ran_over = ~_finite(stored) & counted
        self.nodes: dict[str, NodeSummary] = {}
        self.escapes: list[Escape] = []

    def look(self, node: Node, value: Any, alive: Tensor, start: int) -> None:
        """Compare a node's enclosure with its run; samples start at ``start``.

        Args:
            node: the node; ``value``: its interval, or a list of them.
            alive: (rows,) bool; False where the range may have been left at or before this node,
                so that the ends mean nothing.
            start: first sample of the enclosed rows.
        """
        rows = slice(start, start + alive.shape[0])
        alive = alive & self.counted[rows]
        everyone = bool(alive.all())
        for box, observed in zip(each(value), each(self.seen[node.name]), strict=True):
            if not isinstance(box, Interval):
                continue
            if observed.dtype != node.dtype:
                raise InputError(
                    f"{node.where}: torch computes {node.op.name} in {observed.dtype}, the program "
                    f"says {node.dtype}; certify the module itself instead of an archive"
                )
            fmt, observed = self.program.storage(observed.dtype), observed[rows]
            assert fmt is not None
            if self.listener is not None:
                self.listener(self.model, node, box, observed, alive, start)
            if not everyone:
                self.ran_over[rows] |= ~_finite(observed) & ~alive & self.counted[rows]
                box, observed = box.at(alive), observed[alive]
            if not _inside(box, observed):
                self._escaped(node, box, observed, box.contains(observed), alive, start)
            if not node.op.moves:
                self.nodes.setdefault(node.name, NodeSummary()).add(box, fmt)

    def _escaped(
        self,
        node: Node,
        box: Interval,
        observed: Tensor,
        inside: Tensor,
        alive: Tensor,
        start: int,
    ) -> None:
        row, *element = (int(i) for i in (~inside).nonzero()[0])
        at = (row, *element)
        sample = start + int(alive.nonzero()[row, 0])
        value, lo, hi = (float(t[at]) for t in (observed, box.lo, box.hi))
        place = (self.model, node.name, node.where, sample, tuple(element))
        self.escapes.append(Escape(*place, value, lo, hi))


def each(value: Any) -> Sequence[Any]:
    """A node's values: itself, or the several that it returns."""
    return value if isinstance(value, list | tuple) else [value]


def _held(box: Interval) -> tuple[Tensor, Tensor]:
    """Its ends, in binary32 if they are held in it."""
    return (box.low, box.high) if isinstance(box, Narrow) else (box.lo, box.hi)


def _inside(box: Interval, observed: Tensor) -> bool:
    """Whether all observed values lie in ``box``; NaN does not."""
    lo, hi = _held(box)
    # What is observed is held exactly where the ends are: no wider than binary32.
    if observed.dtype.itemsize > lo.dtype.itemsize:
        lo, hi = box.lo, box.hi
    exact = observed.to(lo.dtype)
    moved = exact - lo if lo is hi else torch.clamp(exact, lo, hi).sub_(exact)
    return float(moved.abs_().sum()) == 0.0  # a number outside was moved; a NaN stays one


def _finite(x: Tensor) -> Tensor:
    """(samples,) whether all numbers are finite; x - x is 0 or NaN, and so are sums of these."""
    wide = x.float() if x.dtype.itemsize == 2 else x  # torch is slow on 16-bit numbers
    return (wide - wide).reshape(x.shape[0], -1).sum(dim=1) == 0
