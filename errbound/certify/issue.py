"""Issuing certificates: observed runs, enclosures and verdicts for batches of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from errbound.analysis import Encloser, execute
from errbound.arithmetic import Arithmetic
from errbound.certify.theorem import Bounds, bounds, distance
from errbound.errors import InputError
from errbound.number import BY_DTYPE, Format, Interval, ulp
from errbound.program import Node, Program

CELLS = 2**19
"""Samples are enclosed in chunks of about this many values per node, to stay within caches."""


class Verdict(StrEnum):
    """What is said of one sample, in order of precedence."""

    DOMAIN = "domain"
    REFUTED = "refuted"
    OVERFLOW = "overflow"
    PROVED = "proved"
    UNDECIDED = "undecided"


@dataclass
class NodeSummary:
    """Widths and ranges of one node over the samples seen so far; adds up over batches.

    Attributes:
        cells: number of values; ``split``: those whose interval is not one number.
        width_sum, width_max: of the split cells, in ulps of the larger end.
        low, high: smallest and largest end.
    """

    cells: int = 0
    split: int = 0
    width_sum: float = 0.0
    width_max: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, box: Interval, fmt: Format) -> None:
        """Count the intervals ``box`` of values stored in ``fmt``."""
        if not box.lo.numel():
            return
        self.cells += box.lo.numel()
        self.low = min(self.low, float(box.lo.min()))
        self.high = max(self.high, float(box.hi.max()))
        width = box.hi - box.lo
        split = int(torch.count_nonzero(width))
        if split == 0:
            return
        self.split += split
        if split * 4 < width.numel():
            at = width.nonzero(as_tuple=True)
            width, box = width[at], Interval(box.lo[at], box.hi[at])
        width = width.div_(ulp(torch.maximum(-box.lo, box.hi), fmt))
        self.width_sum += float(width.sum())
        self.width_max = max(self.width_max, float(width.max()))

    def merge(self, other: NodeSummary) -> None:
        """Add the counts of a later batch."""
        self.cells += other.cells
        self.split += other.split
        self.width_sum += other.width_sum
        self.width_max = max(self.width_max, other.width_max)
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)


@dataclass(frozen=True)
class Escape:
    """An observed value outside its enclosure: an assumption or errbound itself is wrong."""

    model: str
    node: str
    where: str
    sample: int
    value: float
    lo: float
    hi: float


@dataclass
class Batch:
    """Results for a batch of samples; tensors are (samples,).

    Attributes:
        verdict: one per sample.
        prediction32, prediction16: classes of the observed runs (int64; -1 without classes).
        margin: largest minus second largest output of the observed M32 run.
        observed_delta: largest |z32 - z16| of the two observed runs.
        bounds: what was proved; None if the output has no classes.
        proved_delta: upper bound over every execution of both.
        proved_delta16: the same with M32 taken as the one run made.
        overflow: "no" (proved absent), "possible" or "observed", per sample.
        overflow_node: first node that may overflow, "" if none.
        nodes: summaries by (model, node name).
        escapes: observed values outside their enclosures; empty unless something is wrong.
    """

    verdict: list[Verdict]
    prediction32: Tensor
    prediction16: Tensor
    margin: Tensor
    observed_delta: Tensor
    bounds: Bounds | None
    proved_delta: Tensor
    proved_delta16: Tensor
    overflow: list[str]
    overflow_node: list[str]
    nodes: dict[tuple[str, str], NodeSummary] = field(default_factory=dict)
    escapes: list[Escape] = field(default_factory=list)


class Certifier:
    """Certifies batches: M32 and M16 are programs, the arithmetic says what may happen.

    Raises ``InputError`` if the programs do not fit together.
    """

    def __init__(self, m32: Program, m16: Program, fmt: Format, arithmetic: Arithmetic) -> None:
        if m32.input_shape != m16.input_shape:
            raise InputError(
                f"M32 takes inputs of shape {m32.input_shape}, M16 of shape {m16.input_shape}"
            )
        self.format = fmt
        self.models = {"M32": m32, "M16": m16}
        self.enclosers = {k: Encloser(p, arithmetic) for k, p in self.models.items()}
        sizes = {p.batch for p in self.models.values()} - {None}
        self.batch = sizes.pop() if sizes else None

    def batch_of(self, x: Tensor) -> Batch:
        """Certify ``x``, binary32, (samples, *input_shape).

        The observed runs take the whole batch at once; enclosures go through it in chunks. A
        program of one batch size has the last rows repeated.
        """
        samples = x.shape[0]
        if tuple(x.shape[1:]) != self.models["M32"].input_shape:
            raise InputError(
                f"the data have samples of shape {tuple(x.shape[1:])}, the model takes "
                f"{self.models['M32'].input_shape}"
            )
        if self.batch is not None and samples < self.batch:
            x = torch.cat([x, x[-1:].expand(self.batch - samples, *x.shape[1:])])
        sane = torch.isfinite(x).reshape(x.shape[0], -1).all(dim=1)
        x = torch.where(sane.reshape(-1, *([1] * (x.dim() - 1))), x, torch.zeros_like(x))
        sides = {name: self._side(name, x) for name in self.models}
        return _conclude(sides, self.models, sane, samples)

    def _side(self, name: str, x: Tensor) -> _Side:
        program, encloser = self.models[name], self.enclosers[name]
        stored = x.to(program.input_dtype)
        seen: dict[str, Any] = {}
        output = execute(program, stored, lambda node, value: seen.__setitem__(node.name, value))
        side = _Side(output)
        rows = self._rows(seen, x.shape[0])
        for start in range(0, x.shape[0], rows):
            stop = min(start + rows, x.shape[0])

            def visit(node: Node, value: Any, alive: Tensor, start: int = start) -> None:
                pairs = zip(_each(value), _each(seen[node.name]), strict=True)
                for box, observed in pairs:
                    if isinstance(box, Interval):
                        fmt = BY_DTYPE[observed.dtype]
                        part = observed[start : start + alive.shape[0]]
                        side.look(name, node, box, part, alive, start, fmt)

            enclosed = encloser(stored[start:stop], visit)
            side.boxes.append(enclosed.output)
            side.overflow.append(enclosed.overflow)
        return side

    def _rows(self, seen: dict[str, Any], samples: int) -> int:
        if self.batch is not None:
            return self.batch
        largest = max(
            (v.numel() for value in seen.values() for v in _each(value) if isinstance(v, Tensor)),
            default=1,
        )
        return max(1, min(samples, CELLS * samples // max(largest, 1)))


class _Side:
    """One model's half of a batch: its run, its enclosures, what was seen on the way."""

    def __init__(self, output: Tensor) -> None:
        self.output = output
        self.boxes: list[Interval] = []
        self.overflow: list[Tensor] = []
        self.nodes: dict[str, NodeSummary] = {}
        self.escapes: list[Escape] = []

    def look(
        self,
        model: str,
        node: Node,
        box: Interval,
        observed: Tensor,
        alive: Tensor,
        start: int,
        fmt: Format,
    ) -> None:
        """Check that the observed values lie inside and add up the node's widths."""
        exact = observed.double()
        inside = (box.lo <= exact).logical_and_(exact <= box.hi)
        if not bool(alive.all()):
            inside[~alive] = True
            box = Interval(box.lo[alive], box.hi[alive])
        if not bool(inside.all()):
            first = (~inside).nonzero()[0]
            at = tuple(int(i) for i in first)
            full = Interval(box.lo, box.hi)
            lo, hi = (float("nan"),) * 2 if not bool(alive.all()) else (
                float(full.lo[at]), float(full.hi[at]),
            )
            self.escapes.append(
                Escape(model, node.name, node.where, start + at[0], float(exact[at]), lo, hi)
            )
        if not node.op.moves:
            self.nodes.setdefault(node.name, NodeSummary()).add(box, fmt)

    @property
    def box(self) -> Interval:
        """The output's enclosure, whole batch."""
        return Interval(
            torch.cat([b.lo for b in self.boxes]), torch.cat([b.hi for b in self.boxes])
        )


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _conclude(
    sides: dict[str, _Side], models: dict[str, Program], sane: Tensor, samples: int
) -> Batch:
    """Verdicts from both sides, by precedence: domain, refuted, overflow, proved, undecided."""
    z32, z16 = (sides[m].output.double()[:samples] for m in ("M32", "M16"))
    box32, box16 = (sides[m].box.rows(0, samples) for m in ("M32", "M16"))
    first = {m: torch.cat(sides[m].overflow)[:samples] for m in sides}
    safe = (first["M32"] < 0) & (first["M16"] < 0)
    finite32, finite16 = (torch.isfinite(z).reshape(samples, -1).all(dim=1) for z in (z32, z16))
    classes = z32.dim() == 2 and z32.shape[1] >= 2
    infinite = torch.full((samples,), torch.inf, dtype=torch.float64)
    observed = (z32 - z16).abs().reshape(samples, -1).amax(dim=1).nan_to_num(nan=torch.inf)
    found: Bounds | None = None
    if classes:
        found = bounds(box32, box16, z32)
        top = z32.topk(2, dim=1).values
        margin = (top[:, 0] - top[:, 1]).nan_to_num(nan=-torch.inf)
        predictions = z32.argmax(dim=1), z16.argmax(dim=1)
        delta, delta16 = found.delta, found.delta_run
    else:
        margin = -infinite
        predictions = (torch.full((samples,), -1),) * 2
        delta, delta16 = distance(box32, box16), distance(Interval.point(z32), box16)
    verdicts, overflow, nodes = [], [], []
    for i in range(samples):
        ran_over = not bool(finite32[i] & finite16[i])
        name = ""
        for m in ("M16", "M32"):
            index = int(first[m][i])
            if index >= 0:
                name = f"{m}:{models[m].nodes[index - 1].name if index else models[m].input}"
                break
        overflow.append("observed" if ran_over else "possible" if not safe[i] else "no")
        nodes.append(name)
        if not sane[i]:
            verdicts.append(Verdict.DOMAIN)
        elif classes and predictions[0][i] != predictions[1][i]:
            verdicts.append(Verdict.REFUTED)
        elif ran_over:
            verdicts.append(Verdict.OVERFLOW)
        elif found is not None and safe[i] and found.proved[i]:
            verdicts.append(Verdict.PROVED)
        else:
            verdicts.append(Verdict.UNDECIDED)
    usable = safe & sane
    return Batch(
        verdict=verdicts,
        prediction32=predictions[0],
        prediction16=predictions[1],
        margin=margin,
        observed_delta=torch.where(sane, observed, torch.nan),
        bounds=found,
        proved_delta=torch.where(usable, delta, infinite),
        proved_delta16=torch.where(usable, delta16, infinite),
        overflow=overflow,
        overflow_node=nodes,
        nodes={(m, n): s for m, side in sides.items() for n, s in side.nodes.items()},
        escapes=[e for side in sides.values() for e in side.escapes if e.sample < samples],
    )


