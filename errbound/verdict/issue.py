"""Issuing verdicts: observed runs, enclosures and the theorem, for batches of samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from errbound.analysis import Encloser, execute
from errbound.arithmetic import Arithmetic
from errbound.errors import InputError
from errbound.number import Format, Interval
from errbound.program import Node, Program
from errbound.verdict.cascade import Bound, Cascade
from errbound.verdict.theorem import Ties, bounds, distance, leads, wins, without_classes
from errbound.verdict.watch import Escape, Look, NodeSummary, Watch, each

Name = TypeVar("Name", bound=StrEnum)

CELLS = 2**19
"""Samples are enclosed in chunks of about this many values per node, to stay within caches."""


class Verdict(StrEnum):
    """What is said of one sample, in order of precedence."""

    DOMAIN = "domain"
    REFUTED = "refuted"
    OVERFLOW = "overflow"
    PROVED = "proved"
    UNDECIDED = "undecided"
    NO_CLASSES = "no classes"


class Overflow(StrEnum):
    """What is known of a sample's overflow, the strongest statement that holds."""

    CERTAIN = "certain"
    OBSERVED = "observed"
    POSSIBLE = "possible"
    ABSENT = "proved absent"
    UNKNOWN = ""


STAGES = {Verdict.DOMAIN: "input", Verdict.REFUTED: "run", Verdict.OVERFLOW: "run"}
"""What decided a verdict that needs no proof."""


@dataclass(frozen=True)
class Batch:
    """Results for a batch of samples; tensors and lists have one entry per sample.

    Attributes:
        verdict: by precedence.
        stage: what decided: "input", "run", "forward" (enclosures), a stage of the cascade; "" if
            nothing did.
        prediction32: class of the observed M32 run (int64); ``prediction16``: of M16; -1 where
            there are no classes or the input is outside the domain.
        margin: largest minus second largest output of the observed M32 run (NaN likewise).
        observed_delta: largest |z32 - z16| of the two observed runs (NaN outside the domain,
            infinite where one of them overflowed).
        margin_lower: lower bound of M32's margin over its executions (-inf without one).
        pairwise: smallest proved lower bound of z16_i - z16_j, i the class that wins every M32
            execution (-inf without one).
        proved_delta: upper bound of |z32 - z16| over every execution of both (inf without one).
        proved_delta16: the same with M32 taken as the one run made.
        overflow: of either model.
        overflow_node: "M16:node" or "M32:node", the first that may overflow, "M16:input" where
            the rounded input does; "" if none.
        nodes: summaries by (model, node name), of the nodes that round.
        seconds: what each stage took, "run" and "forward" included.
        escapes: observed values outside their enclosures; empty unless something is wrong.
    """

    verdict: list[Verdict]
    stage: list[str]
    prediction32: Tensor
    prediction16: Tensor
    margin: Tensor
    observed_delta: Tensor
    margin_lower: Tensor
    pairwise: Tensor
    proved_delta: Tensor
    proved_delta16: Tensor
    overflow: list[Overflow]
    overflow_node: list[str]
    nodes: dict[tuple[str, str], NodeSummary]
    escapes: list[Escape]
    seconds: dict[str, float] = field(default_factory=dict)

    def row(self, index: int) -> Batch:
        """One sample's results; ``nodes`` and ``escapes`` stay those of the batch."""
        one: dict[str, Any] = {
            f.name: value[index : index + 1]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor | list) and f.name != "escapes"
        }
        return replace(self, **one)


@dataclass(frozen=True)
class _Side:
    """One model's half of a batch, all rows: its run's output, enclosures, what was watched."""

    program: Program
    start: Interval
    output: Tensor
    box: Interval
    first: Tensor
    certain: Tensor
    watch: Watch


class Certifier:
    """Certifies batches: M32 and M16 are programs, the arithmetic says what may happen.

    ``stages`` of the cascade follow for undecided samples, within ``limit`` seconds a sample;
    ``ties`` says what is assumed of equal outputs.

    Raises ``InputError`` if the programs do not fit together.
    """

    def __init__(
        self,
        m32: Program,
        m16: Program,
        fmt: Format,
        arithmetic: Arithmetic,
        stages: tuple[str, ...] = (),
        limit: float | None = None,
        ties: Ties = Ties.OPEN,
    ) -> None:
        if m32.input_shape != m16.input_shape:
            raise InputError(
                f"M32 takes inputs of shape {m32.input_shape}, M16 of shape {m16.input_shape}"
            )
        self.format = fmt
        self.arithmetic = arithmetic
        self.ties = ties
        self.models = {"M32": m32, "M16": m16}
        self.enclosers = {k: Encloser(p, arithmetic) for k, p in self.models.items()}
        sizes = {p.batch for p in self.models.values()} - {None}
        if len(sizes) > 1:
            raise InputError(f"M32 takes batches of {m32.batch} only, M16 of {m16.batch} only")
        self.batch = sizes.pop() if sizes else None
        # A part of a batch cannot be analysed by itself where its size decides what is computed.
        whole = self.batch is not None or any(p.depends_on_batch_size for p in self.models.values())
        self.cascade = Cascade(self.enclosers, () if whole else stages, limit, ties)

    @cached_property
    def has_classes(self) -> bool:
        """Whether the output is (samples, two or more classes), so that an argmax makes sense."""
        program = self.models["M32"]
        shape = (self.batch or 2, *program.input_shape)
        output = execute(
            program, torch.zeros(shape, dtype=program.input_dtype), None, self.arithmetic
        )
        return output.dim() == 2 and output.shape[1] >= 2

    def batch_of(
        self,
        x: Tensor,
        look: Look | None = None,
        around: tuple[Tensor, Tensor] | None = None,
    ) -> Batch:
        """Certify ``x``, binary32, (samples, *input_shape); or all inputs ``around`` it.

        The observed runs take the whole batch at once; enclosures go through it in chunks. A
        program of one batch size has the last row repeated. ``look`` is told every enclosure.
        ``around``: lower and upper ends, binary32, shaped as x; x itself is what is run.
        """
        samples = x.shape[0]
        if tuple(x.shape[1:]) != self.models["M32"].input_shape:
            raise InputError(
                f"the data have samples of shape {tuple(x.shape[1:])}, the model takes "
                f"{self.models['M32'].input_shape}"
            )
        given = [x, *(around or ())]
        if self.batch is not None and samples < self.batch:
            more = self.batch - samples
            given = [torch.cat([part, part[-1:].expand(more, *x.shape[1:])]) for part in given]
        sane = torch.ones(len(given[0]), dtype=torch.bool)
        if not all(bool(part.sum().isfinite()) for part in given):  # finite: so are all terms
            for part in given:
                sane &= torch.isfinite(part.reshape(len(part), -1)).all(dim=1)
            keep = sane.reshape(-1, *([1] * (x.dim() - 1)))
            given = [torch.where(keep, part, torch.zeros_like(part)) for part in given]
        counted = sane & (torch.arange(len(sane)) < samples)
        seconds: dict[str, float] = {"run": 0.0, "forward": 0.0}
        with torch.inference_mode(False), torch.no_grad():
            sides = {name: self._side(name, given, counted, look, seconds) for name in self.models}
            return self._tightened(_conclude(sides, sane[:samples], self.ties), sides, seconds)

    def _tightened(self, batch: Batch, sides: dict[str, _Side], seconds: dict[str, float]) -> Batch:
        """What the cascade makes of the undecided samples of a batch."""
        open_ = torch.tensor([v is Verdict.UNDECIDED for v in batch.verdict]).nonzero()[:, 0]
        if not self.cascade.stages or not len(open_):
            return replace(batch, seconds=seconds)
        winner = batch.prediction32[open_]
        boxes, known = {}, {}
        for name, side in sides.items():
            boxes[name] = side.start.at(open_)
            inside = side.first[open_] < 0
            output = side.box.at(open_)
            least = torch.where(inside[:, None], leads(output, winner), -torch.inf)
            known[name] = Bound(least, output, inside)
        found, stages, spent = self.cascade(boxes, winner, known)
        m32, m16 = found["M32"], found["M16"]
        inside = m32.inside & m16.inside
        run = Interval.point(sides["M32"].output[open_])
        wins32 = wins(m32.leads, winner, self.ties)
        proved = wins32 & wins(m16.leads, winner, self.ties)

        def put(old: Tensor, new: Tensor) -> Tensor:
            return old.index_copy(0, open_, new)

        delta, delta16 = (
            torch.where(inside, torch.minimum(old[open_], distance(a, m16.output)), old[open_])
            for old, a in ((batch.proved_delta, m32.output), (batch.proved_delta16, run))
        )
        verdict, stage, overflow = list(batch.verdict), list(batch.stage), list(batch.overflow)
        nodes = list(batch.overflow_node)
        for k, row in enumerate(open_.tolist()):
            if bool(proved[k]):
                verdict[row], stage[row] = Verdict.PROVED, stages[k]
            if bool(inside[k]):
                overflow[row], nodes[row] = Overflow.ABSENT, ""
        margin = torch.maximum(batch.margin_lower[open_], m32.lead)
        rival = torch.maximum(batch.pairwise[open_], torch.where(wins32, m16.lead, -torch.inf))
        return replace(
            batch,
            verdict=verdict,
            stage=stage,
            margin_lower=put(batch.margin_lower, torch.where(inside, margin, -torch.inf)),
            pairwise=put(batch.pairwise, torch.where(inside, rival, -torch.inf)),
            proved_delta=put(batch.proved_delta, delta),
            proved_delta16=put(batch.proved_delta16, delta16),
            overflow=overflow,
            overflow_node=nodes,
            seconds=seconds | spent,
        )

    def _side(
        self,
        name: str,
        given: list[Tensor],
        counted: Tensor,
        look: Look | None,
        seconds: dict[str, float],
    ) -> _Side:
        program, began = self.models[name], time.perf_counter()
        stored, *ends = (program.stored(part) for part in given)
        # Rounding to storage is nondecreasing: the ends of what M16 reads.
        box = Interval(ends[0].double(), ends[1].double()) if ends else Interval.point(stored)
        seen: dict[str, Any] = {}

        def keep(node: Node, value: Any) -> None:
            seen[node.name] = value

        output = execute(program, stored, keep, self.arithmetic)
        ran = time.perf_counter()
        watch = Watch(name, program, stored, seen, counted, look)
        self.cascade.values = max(self.cascade.values, _values(seen) // max(len(stored), 1))
        parts = []
        samples = len(stored)
        rows = samples if program.depends_on_batch_size else self._rows(seen, samples)
        for start in range(0, samples, rows):

            def visit(node: Node, value: Any, alive: Tensor, start: int = start) -> None:
                watch.look(node, value, alive, start)

            parts.append(self.enclosers[name](box.rows(start, start + rows), visit))
        seen.clear()
        result = Interval(
            torch.cat([p.output.lo for p in parts]), torch.cat([p.output.hi for p in parts])
        )
        first = torch.cat([p.overflow for p in parts])
        certain = torch.cat([p.certain for p in parts])
        seconds["run"] += ran - began
        seconds["forward"] += time.perf_counter() - ran
        return _Side(program, box, output, result, first, certain, watch)

    def _rows(self, seen: dict[str, Any], samples: int) -> int:
        if self.batch is not None:
            return self.batch
        largest = max(
            (v.numel() for value in seen.values() for v in each(value) if isinstance(v, Tensor)),
            default=1,
        )
        rows = max(1, min(samples, CELLS * samples // max(largest, 1)))
        chunks = max(1, -(-samples // rows))
        return max(1, -(-samples // chunks))  # as good as equal chunks


def _values(seen: dict[str, Any]) -> int:
    return sum(v.numel() for value in seen.values() for v in each(value) if isinstance(v, Tensor))


def _conclude(sides: dict[str, _Side], sane: Tensor, ties: Ties) -> Batch:
    """Verdicts from both sides for the ``sane.shape[0]`` samples."""
    samples = sane.shape[0]
    both = [sides["M32"], sides["M16"]]
    z32, z16 = (s.output[:samples].double() for s in both)
    if z32.shape != z16.shape:
        raise InputError(
            f"M32 returns {tuple(z32.shape[1:])} values a sample, M16 {tuple(z16.shape[1:])}: "
            "there is nothing to compare"
        )
    box32, box16 = (s.box.rows(0, samples) for s in both)
    absent = ((both[0].first < 0) & (both[1].first < 0))[:samples]
    certain = (both[0].certain | both[1].certain)[:samples]
    ran_over = (both[0].watch.ran_over | both[1].watch.ran_over)[:samples]
    usable = absent & sane

    classes = z32.dim() == 2 and z32.shape[1] >= 2
    if classes:
        found = bounds(box32, box16, z32, ties)
        top = z32.topk(2, dim=1).values
        margin = torch.where(sane, top[:, 0] - top[:, 1], torch.nan)
        class32, class16 = (torch.where(sane, z.argmax(dim=1), -1) for z in (z32, z16))
    else:
        found = without_classes(box32, box16, z32)
        margin = torch.full_like(found.margin, torch.nan)
        class32 = class16 = found.winner
    observed = (z32 - z16).abs().reshape(samples, -1).amax(dim=1)
    observed = torch.where(observed.isnan(), torch.inf, observed)

    verdict = _first_that_holds(
        {
            Verdict.DOMAIN: ~sane,
            Verdict.REFUTED: class32 != class16,
            Verdict.OVERFLOW: ran_over,
            Verdict.PROVED: found.proved & usable,
        },
        Verdict.UNDECIDED if classes else Verdict.NO_CLASSES,
        samples,
    )
    overflow = _first_that_holds(
        {
            Overflow.UNKNOWN: ~sane,
            Overflow.CERTAIN: certain,
            Overflow.OBSERVED: ran_over,
            Overflow.ABSENT: absent,
        },
        Overflow.POSSIBLE,
        samples,
    )
    return Batch(
        verdict=verdict,
        stage=["forward" if v is Verdict.PROVED else STAGES.get(v, "") for v in verdict],
        prediction32=class32,
        prediction16=class16,
        margin=margin,
        observed_delta=torch.where(sane, observed, torch.nan),
        margin_lower=torch.where(usable, found.margin, -torch.inf),
        pairwise=torch.where(usable, found.pairwise, -torch.inf),
        proved_delta=torch.where(usable, found.delta, torch.inf),
        proved_delta16=torch.where(usable, found.delta_run, torch.inf),
        overflow=overflow,
        overflow_node=_overflow_nodes(sides, sane),
        nodes={(m, n): s for m, side in sides.items() for n, s in side.watch.nodes.items()},
        escapes=[e for side in both for e in side.watch.escapes],
    )


def _first_that_holds(cases: dict[Name, Tensor], otherwise: Name, samples: int) -> list[Name]:
    """Per sample, the first case whose mask (samples,) is True."""
    names = [*cases, otherwise]
    code = torch.full((samples,), len(cases))
    for index in reversed(range(len(cases))):
        code[cases[names[index]]] = index
    return [names[i] for i in code.tolist()]


def _overflow_nodes(sides: dict[str, _Side], sane: Tensor) -> list[str]:
    """Per sample the first node that may overflow, M16's if both have one."""
    named = [""] * sane.shape[0]
    for model in ("M32", "M16"):
        program, first = sides[model].program, sides[model].first[: sane.shape[0]]
        for sample in ((first >= 0) & sane).nonzero()[:, 0].tolist():
            index = int(first[sample])
            name = program.nodes[index - 1].name if index else "input"
            named[sample] = f"{model}:{name}"
    return named
