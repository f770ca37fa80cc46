"""The cascade: tighter and dearer bounds for the samples that cheaper ones left undecided.

``backward``  linear functionals of the outputs, followed back through linear relations
``refined``   the same, after intervals of inner nodes were narrowed by the same pass
``slopes``    the same, with slopes that gradient steps have improved

Every stage is sound by itself, so per sample the best bound of all of them counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.analysis import Encloser, Trace
from errbound.number import Interval
from errbound.ops import Centred, Functionals
from errbound.verdict.theorem import Ties, leads, wins

EFFORTS: Mapping[str, tuple[str, ...]] = {
    "fast": (),
    "normal": ("backward", "refined"),
    "max": ("backward", "refined", "slopes"),
}
"""What ``--effort`` takes, and the stages that follow the forward enclosure."""

VALUES = 2**22
"""Traces hold about this many values; samples are taken in chunks accordingly."""

STEPS = 20
"""Gradient steps of slope optimisation."""

RATE = 0.1
"""Their rate; slopes lie in [0, 1]."""


@dataclass(frozen=True)
class Bound:
    """What is known of one model, per sample.

    Attributes:
        leads: (N, classes) lower bounds of z_i - z_j, i the given class, infinite for j = i; -inf
            where the range of a format may be left.
        output: interval of the output.
        inside: (N,) no execution leaves the range of a format.
    """

    leads: Tensor
    output: Interval
    inside: Tensor

    @property
    def lead(self) -> Tensor:
        """(N,) lower bound of the lead over every rival."""
        return self.leads.amin(dim=1)

    def best(self, other: Bound) -> Bound:
        """What both show together; an interval is taken from where the range is kept."""
        lo = torch.where(self.inside[:, None], self.output.lo, other.output.lo)
        hi = torch.where(self.inside[:, None], self.output.hi, other.output.hi)
        both = (self.inside & other.inside)[:, None]
        return Bound(
            torch.maximum(self.leads, other.leads),
            Interval(
                torch.where(both, torch.maximum(lo, other.output.lo), lo),
                torch.where(both, torch.minimum(hi, other.output.hi), hi),
            ),
            self.inside | other.inside,
        )

    def at(self, rows: Tensor) -> Bound:
        """Some of the samples."""
        return Bound(self.leads[rows], self.output.at(rows), self.inside[rows])

    def put(self, rows: Tensor, other: Bound) -> Bound:
        """With the given samples replaced."""
        return Bound(
            self.leads.index_copy(0, rows, other.leads),
            Interval(
                self.output.lo.index_copy(0, rows, other.output.lo),
                self.output.hi.index_copy(0, rows, other.output.hi),
            ),
            self.inside.index_copy(0, rows, other.inside),
        )


class Follower:
    """One model's bounds for a few samples, stage by stage; what a stage built serves the next."""

    def __init__(
        self,
        encloser: Encloser,
        box: Interval,
        winner: Tensor,
        deadline: float | None,
        ties: Ties = Ties.OPEN,
    ) -> None:
        self.encloser = encloser
        self.box = box
        self.winner = winner
        self.deadline = deadline
        self.ties = ties
        self.trace: Trace | None = None
        self._refined: tuple[Trace, Centred, Tensor] | None = None

    def __call__(self, stage: str) -> Bound:
        """Bounds of a stage."""
        if stage != "slopes":
            trace, output, inside = self._trace(refine=stage == "refined")
            if stage == "refined":
                trace.narrow(output, torch.ones_like(output.lo, dtype=torch.bool))
                self._refined = trace, output, inside
            found = self._least(output, trace.bounds(output, self._differences(output))[0])
        else:
            trace, output, inside = self._refined or self._trace(refine=True)
            found = self._improve(trace, output)
        return Bound(torch.where(inside[:, None], found, -torch.inf), output, inside)

    def _in_time(self) -> bool:
        return self.deadline is None or time.perf_counter() < self.deadline

    def _trace(self, *, refine: bool) -> tuple[Trace, Centred, Tensor]:
        trace = Trace(
            self.encloser.program, refine=refine, dtype=torch.float32, go_on=self._in_time
        )
        found = self.encloser(self.box, tracer=trace)
        self.trace = trace
        assert isinstance(found.output, Centred)
        return trace, found.output, found.overflow < 0

    def _improve(self, trace: Trace, output: Centred) -> Tensor:
        """The largest leads that gradient steps on the slopes find; each step's is sound."""
        g = self._differences(output)
        best = torch.full(output.shape, -torch.inf, dtype=torch.float64)
        with torch.enable_grad():
            slopes = trace.free_slopes()
            if not slopes:
                return best
            steps = torch.optim.Adam(slopes, lr=RATE)
            for _ in range(STEPS):
                found = self._least(output, trace.bounds(output, g)[0])
                best = torch.maximum(best, found.detach())
                undecided = ~wins(best, self.winner, self.ties)
                lead = found.amin(dim=1)
                if not lead.requires_grad or not self._in_time() or not bool(undecided.any()):
                    break  # the output has no relation, or nothing is left to do
                steps.zero_grad()
                (-lead[undecided & lead.isfinite()].sum()).backward()  # type: ignore[no-untyped-call]
                steps.step()
                trace.changed(slopes)
        return best

    def _differences(self, output: Centred) -> Functionals:
        """z_i - z_j for each sample and each j, (N classes, classes); 0 for j = i."""
        classes = output.shape[1]
        rows = torch.arange(len(self.winner)).repeat_interleave(classes)
        count = torch.arange(len(rows))
        g = torch.zeros(len(rows), classes, dtype=torch.float64)
        g[count, self.winner[rows]] += 1.0
        g[count, count % classes] -= 1.0
        return Functionals(g, rows)

    def _least(self, output: Centred, low: Tensor) -> Tensor:
        """(N, classes): lower bounds of z_i - z_j, from ``low`` or from the interval."""
        index = self.winner[:, None]
        centre = output.ball.mid
        joint = (centre.gather(1, index) - centre) + low.reshape(centre.shape)
        size = (
            centre.abs() + centre.abs().gather(1, index) + low.detach().reshape(centre.shape).abs()
        )
        joint = joint - size * 2.0**-50  # two roundings
        joint = torch.where(joint.isnan(), -torch.inf, joint)
        return torch.maximum(joint, leads(output, self.winner))


class Cascade:
    """Runs the stages on the samples that are still undecided.

    Args:
        enclosers: of M32 and M16.
        stages: which, in order.
        limit: seconds per sample after which no more is narrowed or improved; None: no limit.
        ties: what is assumed of equal outputs.
    """

    def __init__(
        self,
        enclosers: Mapping[str, Encloser],
        stages: tuple[str, ...],
        limit: float | None = None,
        ties: Ties = Ties.OPEN,
    ) -> None:
        self.enclosers = enclosers
        self.stages = stages
        self.limit = limit
        self.ties = ties
        self.values = 1

    def __call__(
        self, boxes: Mapping[str, Interval], winner: Tensor, known: Mapping[str, Bound]
    ) -> tuple[dict[str, Bound], list[str], dict[str, float]]:
        """Improve what is known of samples (N,) whose class ``winner`` may win everywhere.

        Args:
            boxes: inputs of both models, (N, *input_shape).
            winner: (N,) int64.
            known: bounds so far.

        Returns:
            The bounds, per sample the stage that decided ("" if none), the seconds of each stage.
        """
        found = dict(known)
        decided = [""] * len(winner)
        seconds = dict.fromkeys(self.stages, 0.0)
        size = max(1, VALUES // max(self.values, 1))
        for rows in torch.split(torch.arange(len(winner)), size):
            self._chunk(rows, boxes, winner, found, decided, seconds)
        return found, decided, seconds

    def _chunk(
        self,
        rows: Tensor,
        boxes: Mapping[str, Interval],
        winner: Tensor,
        found: dict[str, Bound],
        decided: list[str],
        seconds: dict[str, float],
    ) -> None:
        deadline = None
        if self.limit is not None:
            deadline = time.perf_counter() + self.limit * len(rows)
        follow: dict[str, tuple[Tensor, Follower]] = {}
        for stage in self.stages:
            began = time.perf_counter()
            for name, encloser in self.enclosers.items():
                open_ = rows[~wins(found[name].leads[rows], winner[rows], self.ties)]
                if stage != "slopes" or name not in follow:
                    if not len(open_):
                        continue
                    box = boxes[name].at(open_)
                    follow[name] = (
                        open_,
                        Follower(encloser, box, winner[open_], deadline, self.ties),
                    )
                at, follower = follow[name]
                if bool(wins(found[name].leads[at], winner[at], self.ties).all()):
                    continue
                found[name] = found[name].put(at, found[name].at(at).best(follower(stage)))
            seconds[stage] += time.perf_counter() - began
            won = [wins(b.leads[rows], winner[rows], self.ties) for b in found.values()]
            done = torch.stack(won).all(dim=0)
            for row in rows[done].tolist():
                decided[row] = stage
            rows = rows[~done]
            if not len(rows):
                return
