"""Why one sample got its verdict: its classes, and the widths of its intervals node by node."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from errbound.number import Interval
from errbound.program import Node, Program
from errbound.program.graph import refs
from errbound.verdict.issue import Batch, Certifier
from errbound.verdict.watch import NodeSummary


@dataclass
class NodeWidth:
    """One node of one model for one sample.

    Attributes:
        model: "M32" or "M16"; ``node``, ``operator``, ``where``: as in nodes.csv.
        summary: counts and widths in ulps, of this sample alone.
        widest: largest width; ``largest``: largest magnitude of an end.
        growth: relative width (widest / largest) over the largest relative width of an operand;
            NaN where all operands are single numbers.
    """

    model: str
    node: str
    operator: str
    where: str
    summary: NodeSummary = field(default_factory=NodeSummary)
    widest: float = 0.0
    largest: float = 0.0
    growth: float = float("nan")

    @property
    def relative(self) -> float:
        """Largest width over the largest magnitude; 0 for a single number."""
        return self.widest / self.largest if self.widest else 0.0


@dataclass(frozen=True)
class Explanation:
    """Everything about one sample.

    Attributes:
        batch: its results; every field has one entry.
        outputs: per model the interval of the output, (classes,), as lists; models whose range may
            be left before it have none.
        winner: the class that is said to win: of every M32 execution, or of the observed run; -1
            without classes.
        rival: the class that may come closest to it in M16, or in M32 where M32's own executions
            disagree; -1 without classes.
        nodes: of M32, then of M16, in program order; those beyond a possible overflow are left out.
    """

    batch: Batch
    outputs: dict[str, tuple[list[float], list[float]]]
    winner: int
    rival: int
    nodes: list[NodeWidth]

    def first_split(self, model: str) -> NodeWidth | None:
        """The first node with a value that is not one number."""
        return next((n for n in self.nodes if n.model == model and n.summary.split), None)

    def fastest(self, model: str) -> NodeWidth | None:
        """The node at which the relative width grows most over its operands'."""
        grown = [n for n in self.nodes if n.model == model and n.growth > 1.0]
        return max(grown, key=lambda n: n.growth, default=None)


def explain(certifier: Certifier, x: Tensor, row: int) -> Explanation:
    """Explain sample ``row`` of the batch ``x``, run as a batch: kernels may depend on its size."""
    widths: dict[tuple[str, str], NodeWidth] = {}
    outputs: dict[str, tuple[list[float], list[float]]] = {}

    def look(
        model: str, node: Node, box: Interval, value: Tensor, alive: Tensor, start: int
    ) -> None:
        if not start <= row < start + value.shape[0] or not bool(alive[row - start]):
            return  # another sample; or its ends mean nothing, the range may have been left
        program = certifier.models[model]
        mine = box.rows(row - start, row - start + 1)
        if node.name == program.output.name:
            outputs[model] = (mine.lo.reshape(-1).tolist(), mine.hi.reshape(-1).tolist())
        fmt = program.storage(node.dtype)
        if fmt is None or not mine.lo.numel():
            return
        where = node.where.split(", ")[0]
        found = widths.setdefault(
            (model, node.name), NodeWidth(model, node.name, node.op.name, where)
        )
        found.summary.add(mine, fmt)
        found.widest = max(found.widest, float((mine.hi - mine.lo).max()))
        found.largest = max(found.largest, float(torch.maximum(-mine.lo, mine.hi).max()))

    batch = certifier.batch_of(x, look).row(row)
    for model, program in certifier.models.items():
        _grow(program, {n: w for (m, n), w in widths.items() if m == model})
    winner, rival = _classes(batch, outputs)
    return Explanation(batch, outputs, winner, rival, list(widths.values()))


def _grow(program: Program, widths: dict[str, NodeWidth]) -> None:
    for node in program.nodes:
        operands = [widths[r.name] for r in refs((node.args, node.kwargs)) if r.name in widths]
        before = max((w.relative for w in operands), default=0.0)
        if node.name in widths and before:
            widths[node.name].growth = widths[node.name].relative / before


def _classes(batch: Batch, outputs: dict[str, tuple[list[float], list[float]]]) -> tuple[int, int]:
    """The winner and its closest rival; -1 where an output has no enclosure or no classes."""
    winner = int(batch.prediction32[0])
    if winner < 0 or len(outputs) < 2 or len(outputs["M16"][0]) < 2:
        return -1, -1
    _, hi = outputs["M16" if float(batch.margin_lower[0]) > 0 else "M32"]
    rivals = [k for k in range(len(hi)) if k != winner]
    return winner, max(rivals, key=lambda k: hi[k])
