"""Bounds of linear functionals against adversarial executions, compared exactly.

A ``Target`` is a functional of one node of one sample. ``Seen`` holds the exact extremes of its
values over many executions; ``settle`` compares them with the bounds of a trace, as fractions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import fsum

import numpy as np
import torch

from errbound.analysis import Encloser, Trace
from errbound.ops import Functionals
from errbound.testing.emulator import Adversary
from errbound.verdict.cascade import Follower

from .harness import Outside

STEPS = 3
"""Gradient steps in the variant ``optimised``."""


@dataclass
class Record:
    """What was done, over many cases."""

    executions: int = 0
    programs: set = field(default_factory=set)
    formats: Counter = field(default_factory=Counter)
    records: Counter = field(default_factory=Counter)
    compared: Counter = field(default_factory=Counter)
    wide: Counter = field(default_factory=Counter)
    better: Counter = field(default_factory=Counter)
    reach: dict = field(default_factory=dict)
    linked: Counter = field(default_factory=Counter)
    nodes: Counter = field(default_factory=Counter)
    narrowed: int = 0
    inside: int = 0
    leads: int = 0

    def __str__(self):
        lines = [
            f"{self.executions} whole-program executions of {len(self.programs)} programs, "
            f"{dict(self.formats)}",
            f"{self.inside} values inside intervals of refined traces, {self.narrowed} of these "
            f"intervals narrowed; {self.leads} leads of the cascade",
        ]
        for name in sorted(self.compared):
            lines.append(
                f"    {name:22}{self.compared[name]:7} bounds kept, of {self.wide[name]:6} "
                f"values that differ; {self.better[name]:6} better than intervals; "
                f"{self.linked[name] / max(self.nodes[name], 1):5.1%} of split nodes with slope "
                f"> 0; largest share of the width reached {self.reach.get(name, 0.0):.3f}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Target:
    """g . v of entry ``k`` of a trace for one sample; ``g`` as a window or whole, binary64."""

    k: int
    sample: int
    g: torch.Tensor
    corner: torch.Tensor | None = None

    def functionals(self, dtype):
        return Functionals(self.g[None].to(dtype), torch.tensor([self.sample]), self.corner)

    def whole(self, shape):
        """(entries,) binary64: the functional without its window."""
        return self.functionals(torch.float64).whole(shape).value.flatten()


def draw_target(rng, k, shape, samples):
    """A functional of a node of ``shape`` (*sample's): pair, entry, signs or a few powers."""
    size = int(np.prod(shape))
    kind = rng.choice(["pair", "pair", "entry", "signs", "powers", "window"])
    sample = int(rng.choice(samples))
    if kind == "window" and len(shape) == 3:
        h, w = (int(rng.integers(1, n + 2)) for n in shape[1:])
        g = torch.from_numpy(rng.choice([0.0, 1.0, -1.0, 0.5], (shape[0], h, w)))
        corner = [int(rng.integers(-1, n)) for n in shape[1:]]  # partly beyond the image
        return Target(k, sample, g, torch.tensor([corner]))
    g = np.zeros(size)
    if kind == "pair" and size > 1:
        i, j = rng.choice(size, 2, replace=False)
        g[i], g[j] = 1.0, -1.0
    elif kind == "signs":
        g = rng.choice([1.0, -1.0], size)
    elif kind == "powers":
        g = rng.choice([0.0, 1.0, -0.5, 2.0**-12, -(2.0**-24), 2.0**10], size)
    else:
        g[rng.integers(0, size)] = rng.choice([1.0, -1.0])
    return Target(k, sample, torch.from_numpy(g).reshape(shape))


@dataclass
class Seen:
    """Exact extremes of a target over executions, as fractions, and who reached them."""

    target: Target
    weights: torch.Tensor
    low: Fraction | None = None
    high: Fraction | None = None
    rows: dict = field(default_factory=dict)

    def update(self, values, name):
        """``values`` (executions, entries), binary64 numbers of at most 24 bits."""
        at = self.weights.nonzero()[:, 0]
        g = self.weights[at].tolist()
        # Powers of two times stored numbers are exact, and fsum rounds correctly, which is
        # nondecreasing: the extremes are among the rows whose rounded sums are extreme.
        sums = [fsum(a * b for a, b in zip(g, row, strict=True)) for row in values[:, at].tolist()]
        for end in (min(sums), max(sums)):
            for row in {tuple(values[r, at].tolist()) for r, s in enumerate(sums) if s == end}:
                total = sum(
                    (Fraction(a) * Fraction(b) for a, b in zip(g, row, strict=True)), Fraction(0)
                )
                if self.low is None or total < self.low:
                    self.low, self.rows["low"] = total, name
                if self.high is None or total > self.high:
                    self.high, self.rows["high"] = total, name


def centred(target, entry):
    """g . c, exactly."""
    g = target.whole(entry.value.shape[1:]).tolist()
    c = entry.value.ball.mid[target.sample].flatten().tolist()
    return sum((Fraction(a) * Fraction(b) for a, b in zip(g, c, strict=True) if a), Fraction(0))


class Executions:
    """Values of every node of many executions of a program, by the entries of its traces."""

    def __init__(self, program, arithmetic, x, sample, rng):
        """``x``: an execution a row, of the box of sample ``sample[row]``."""
        self.sample, self.values = sample, {"input": [x]}
        self.plans = Adversary(program, rng, arithmetic=arithmetic)

        def visit(node, value, *_):
            if node.dtype is not None:
                self.values[node.name] = [value] if isinstance(value, torch.Tensor) else [*value]

        self.plans.run(x, visit)

    def of(self, trace, k):
        """Binary64 values (executions, *shape) of an entry."""
        name, part = trace.entries[k].name, 0
        while k and trace.entries[k - 1].name == name:
            k, part = k - 1, part + 1
        return self.values[name][part].double()


class Traced:
    """A trace of a program for the boxes of a batch, and for whom it means something."""

    def __init__(self, program, arithmetic, box, *, refine, dtype):
        self.trace = Trace(program, refine=refine, dtype=dtype)
        self.found = Encloser(program, arithmetic)(box, tracer=self.trace)
        index = {node.name: k for k, node in enumerate(program.nodes, start=1)}
        self.first = [index.get(e.name, 0) for e in self.trace.entries]
        if refine and isinstance(self.found.output, type(self.trace.entries[0].value)):
            every = torch.ones_like(self.found.output.lo, dtype=torch.bool)
            self.trace.narrow(self.found.output, every)

    def alive(self, k):
        """(samples,) bool: whose range is kept up to entry ``k``."""
        return (self.found.overflow < 0) | (self.found.overflow > self.first[k])


def contained(traced, executions, record, story):
    """Every value inside the intervals of a (refined) trace."""
    for k, entry in enumerate(traced.trace.entries):
        lo, hi = entry.value.lo[executions.sample], entry.value.hi[executions.sample]
        v = executions.of(traced.trace, k)
        out = ~((lo <= v) & (v <= hi))
        out[~traced.alive(k)[executions.sample]] = False
        if bool(out.any()):
            at = tuple(out.nonzero()[0].tolist())
            raise Outside(
                f"{entry.name}{list(at)}: {float(v[at])!r} outside the narrowed "
                f"[{float(lo[at])!r}, {float(hi[at])!r}]; {story}"
            )
        record.inside += v.numel()
    record.narrowed += traced.trace.narrowed


def settle(name, traced, seen, low, high, record, story):
    """Exact comparison of the extremes of a target with bounds (low, high) of g . (v - c)."""
    target, entry = seen.target, traced.trace.entries[seen.target.k]
    base = centred(target, entry)
    if not (np.isfinite(low) and np.isfinite(high)):
        assert low == -np.inf, (low, story)
        assert high == np.inf, (high, story)
        return
    bottom, top = base + Fraction(low), base + Fraction(high)
    if not (bottom <= seen.low and seen.high <= top):
        raise Outside(
            f"{name}: {entry.name}, sample {target.sample}: executions reach "
            f"[{float(seen.low)!r}, {float(seen.high)!r}] ({seen.rows}), bounds are "
            f"[{bottom}, {top}]; {target}; {story}"
        )
    record.compared[name] += 1
    if seen.low < seen.high:
        record.wide[name] += 1
        share = float((seen.high - seen.low) / (top - bottom))
        record.reach[name] = max(record.reach.get(name, 0.0), share)
    g = target.whole(entry.value.shape[1:])
    box = [end[target.sample].flatten() for end in (entry.value.lo, entry.value.hi)]
    apart = float((g.abs() * (box[1] - box[0])).sum())
    record.better[name] += top - bottom < Fraction(apart) * (1 - Fraction(1, 2**20))


def count_slopes(name, trace, dtype, record):
    """Of the nodes that are not points: how many entries pass something on."""
    for entry in trace.entries:
        if entry.relation is not None and not entry.value.is_point:
            split = entry.value.lo < entry.value.hi
            slope = trace.noise(entry, dtype).slope
            record.nodes[name] += int(split.sum())
            record.linked[name] += int((split & (slope > 0)).sum())


def compare(name, traced, seen, record, story, dtypes=(torch.float64, torch.float32)):
    """Bounds of every target in either dtype of coefficients."""
    with torch.no_grad():
        for dtype in dtypes:
            for one in seen:
                value = traced.trace.entries[one.target.k].value
                low, high = traced.trace.bounds(value, one.target.functionals(dtype))
                settle(name, traced, one, float(low), float(high), record, story)
    count_slopes(name, traced.trace, dtypes[0], record)


def random_slopes(traced, rng):
    """Any slope in [0, 1] at every node, 0 and 1 among them."""
    trace = traced.trace
    for entry in trace.entries:
        if entry.relation is not None:
            shape = entry.value.shape
            slope = rng.choice([rng.random(shape), rng.integers(0, 2, shape)])
            entry.slope = torch.from_numpy(np.asarray(slope)).float().reshape(shape)
    trace.changed([])


def optimise(name, traced, seen, record, story):
    """A few gradient steps for all targets together; the bounds of every step are compared."""
    trace = traced.trace
    with torch.enable_grad():
        slopes = trace.free_slopes()
        steps = torch.optim.Adam(slopes, lr=0.3)
        for _ in range(STEPS):
            total = torch.zeros((), dtype=torch.float64)
            for one in seen:
                value = trace.entries[one.target.k].value
                low, high = trace.bounds(value, one.target.functionals(torch.float64))
                ends = float(low.detach()), float(high.detach())
                settle(name, traced, one, *ends, record, story)
                total = total + (high - low).nan_to_num(0.0, 0.0, 0.0).sum()
            if not total.requires_grad:
                break
            steps.zero_grad()
            total.backward()
            for slope in slopes:
                if slope.grad is not None:
                    slope.grad.nan_to_num_(0.0, 0.0, 0.0)
            steps.step()
            trace.changed(slopes)
    count_slopes(name, trace, torch.float64, record)


def follow(program, arithmetic, box, traced, executions, rng, record, story):
    """What the cascade itself makes of it: its lead is below every z_i - z_j."""
    z = executions.values.get(program.output.name, [None])[0]
    output = traced.found.output
    if z is None or z.dim() != 2 or z.shape[1] < 2 or not hasattr(output, "ball"):
        return
    z, alive = z.double(), traced.found.overflow < 0
    winner = torch.from_numpy(rng.integers(0, z.shape[1], len(alive)))
    follower = Follower(Encloser(program, arithmetic), box, winner, None)
    for stage in ("backward", "refined", "slopes"):
        bound = follower(stage)
        for sample in alive.nonzero()[:, 0].tolist():
            i = int(winner[sample])
            for row in {tuple(v) for v in z[executions.sample == sample].tolist()}:
                least = min(Fraction(row[i]) - Fraction(v) for j, v in enumerate(row) if j != i)
                if not Fraction(float(bound.lead[sample])) <= least:
                    raise Outside(f"{stage}: lead {float(bound.lead[sample])!r}, {row}; {story}")
            record.leads += 1
