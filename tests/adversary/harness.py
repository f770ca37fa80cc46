"""Running one case: enclose it, attack it, execute it for real, evaluate nodes exactly.

No tolerance anywhere: a value is inside its interval or ``Outside`` is raised with everything
that is needed to see it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import torch

from errbound.analysis import Encloser, execute
from errbound.arithmetic import TORCH_CPU
from errbound.number import Interval
from errbound.ops import OPS, Step
from errbound.program import Program
from errbound.program.export import program_of
from errbound.testing.emulator import FLUSHING, Adversary, is_free


class Outside(AssertionError):
    """An execution left its enclosure."""


@dataclass
class Tally:
    """What was done, over many cases."""

    programs: set = field(default_factory=set)
    executions: int = 0
    containments: int = 0
    real: int = 0
    real_containments: int = 0
    exact: int = 0
    before: int = 0
    shares: dict = field(default_factory=dict)
    dead: int = 0
    samples: int = 0
    split: int = 0
    at_end: int = 0
    records: Counter = field(default_factory=Counter)
    formats: Counter = field(default_factory=Counter)
    regimes: Counter = field(default_factory=Counter)

    def __str__(self):
        rare = ", ".join(
            f"{n} {k}" for n, k in sorted(self.records.items(), key=lambda i: i[1])[:5]
        )
        shares = ", ".join(f"{name} {share:.3f}" for name, share in sorted(self.shares.items()))
        return f"""
{self.executions} whole-program executions of {len(self.programs)} programs
    {dict(self.formats)}, {dict(self.regimes)}
{self.containments} values inside their intervals
{self.real_containments} values of {self.real} real executions inside theirs
{self.before} sums before the store inside theirs; {self.exact} exact values of sums
    largest share of such an interval's radius: {shares}
{self.dead} of {self.samples} samples may overflow and count from there on no more
{self.at_end} of {self.split} values of split cells reached an end of their interval
rarest records, by programs: {rare}"""


class Spy(Step):
    """A step that remembers the real interval that was first offered for rounding."""

    offered = None

    def round_(self, lo, hi, fmt):
        if self.offered is None:
            self.offered = (lo.clone(), hi.clone())
        return super().round_(lo, hi, fmt)


def spied(program: Program):
    """The same program; and a mapping, filled by enclosing it, of pre-store intervals."""
    found = {}

    def watch(node):
        def enclose(step, *args, **kwargs):
            step.__class__ = Spy  # the very same step, that remembers
            value = node.op.enclose(step, *args, **kwargs)
            found[node.name] = step.offered
            return value

        return replace(node, op=replace(node.op, enclose=enclose))

    nodes = tuple(watch(n) if n.op.terms is not None else n for n in program.nodes)
    return replace(program, nodes=nodes), found


class Enclosures:
    """The interval of every node, and from which node on a sample means nothing."""

    def __init__(self, program, x, arithmetic=TORCH_CPU):
        self.program, self.samples = program, x.shape[0]
        self.values, self.alive, kept = {}, {}, []
        watched, self.offered = spied(program)

        def visit(node, value, alive):
            parts = [value] if isinstance(value, Interval) else value
            self.values[node.name] = [Interval(p.lo.clone(), p.hi.clone()) for p in parts]
            self.alive[node.name] = alive.clone()
            kept.extend(zip(parts, self.values[node.name], strict=True))

        enclosed = Encloser(watched, arithmetic)(x, visit)
        self.overflow, self.certain = enclosed.overflow, enclosed.certain
        self.index = {node.name: k for k, node in enumerate(program.nodes, start=1)}
        for now, then in kept:  # a later node must not write into an earlier one's interval
            assert torch.equal(now.lo, then.lo)
            assert torch.equal(now.hi, then.hi)

    def check(self, node, value, sample, tally, describe):
        """Every entry of a node's value inside; ``sample[row]`` says whose execution a row is."""
        if node.name not in self.values:
            return
        parts = [value] if isinstance(value, torch.Tensor) else value
        alive = self.alive[node.name][sample]
        for k, (box, part) in enumerate(zip(self.values[node.name], parts, strict=True)):
            lo, hi, v = box.lo[sample], box.hi[sample], part.double()
            inside = (lo <= v) & (v <= hi)
            inside[~alive] = True
            if not bool(inside.all()):
                at = tuple(torch.nonzero(~inside)[0].tolist())
                raise Outside(
                    f"{node.op.name} {node.name}[{k}]{list(at)}: {float(v[at])!r} outside "
                    f"[{float(lo[at])!r}, {float(hi[at])!r}]; {int((~inside).sum())} such values; "
                    f"{describe(node, at[0])}"
                )
            tally(int(alive.sum()) * (v[0].numel() if len(v) else 0), lo, hi, v, alive)
        lost = (self.certain & (self.overflow == self.index[node.name]))[sample]
        if bool(lost.any()) and isinstance(value, torch.Tensor):
            finite = torch.isfinite(value).flatten(1).all(dim=1) & lost
            if bool(finite.any()):
                row = int(finite.nonzero()[0])
                raise Outside(f"{node.name} does not overflow for certain; {describe(node, row)}")

    def check_before(self, node, before, sample, tally, describe):
        """Every sum inside its interval before the store: sharper than any stored value."""
        alive = self.alive[node.name][sample].reshape(-1, *[1] * (before.dim() - 1))
        lo, hi = (end[sample] for end in self.offered[node.name])
        known = alive & ~before.isnan()
        inside = (lo <= before) & (before <= hi) | ~known
        if not bool(inside.all()):
            at = tuple(torch.nonzero(~inside)[0].tolist())
            raise Outside(
                f"sum of {node.name}{list(at)}: {float(before[at])!r} outside "
                f"[{float(lo[at])!r}, {float(hi[at])!r}]; {describe(at[0])}"
            )
        tally.before += int(known.sum())
        wide = known & (hi - lo > 0)
        if bool(wide.any()):
            share = ((2 * before - lo - hi).abs() / (hi - lo))[wide].max()
            name = f"{node.op.name} {self.program.storage(self.program.input_dtype).name}"
            tally.shares[name] = max(tally.shares.get(name, 0.0), float(share))


def real_numbers(value):
    """Tensors as arrays of fractions."""
    if not isinstance(value, torch.Tensor):
        return value
    array = value.double().numpy()
    return np.vectorize(Fraction, otypes=[object])(array) if array.size else array.astype(object)


def exact_value(op, args, kwargs):
    """The operator over the reals at stored operands. Batch norm: with the numbers it folds."""
    if op.name != "batch_norm":
        return op.exact(*map(real_numbers, args), **{k: real_numbers(v) for k, v in kwargs.items()})
    arrays = [a.double().numpy() if isinstance(a, torch.Tensor) else a for a in args]
    terms = op.terms(*arrays)
    left, right, bias = (
        np.vectorize(Fraction, otypes=[object])(a) for a in (terms.left, terms.right, terms.bias)
    )
    return (left * right).sum(axis=-1) + bias


def attack(case, tally, rng, repeats, exact_nodes=1, arithmetic=TORCH_CPU):
    """Enclose, attack, execute and evaluate one case; raises ``Outside``."""
    program = program_of(case.module, case.inputs, case.format.dtype)
    if case.format.emulated:
        program = program.cast(case.format)
    x, samples = case.inputs, case.inputs.shape[0]
    boxes = Enclosures(program, x, arithmetic)
    story = f"{arithmetic.name}, {case.format.name}, {case.regime}, {case.blocks}"

    adversary = Adversary(program, rng, arithmetic=arithmetic)
    sample = torch.arange(samples).repeat_interleave(repeats)
    sums = [n.name for n in program.nodes if is_free(n, arithmetic)]
    assert len([n for n in program.nodes if n.op.name in FLUSHING]) >= 3
    chosen = set(rng.choice(sums, min(exact_nodes, len(sums)), replace=False).tolist())
    row = int(rng.integers(0, samples * repeats))

    def count(n, lo, hi, v, alive):
        tally.containments += n
        split = (lo < hi) & alive.reshape(-1, *[1] * (lo.dim() - 1))
        tally.split += int(split.sum())
        tally.at_end += int((split & ((v == lo) | (v == hi))).sum())

    def visit(node, value, args, before):
        if before is not None:
            boxes.check_before(
                node, before, sample, tally, lambda r: f"{adversary.plan_of(node.name, r)}; {story}"
            )
        boxes.check(
            node, value, sample, count, lambda n, r: f"{adversary.plan_of(n.name, r)}; {story}"
        )
        if node.name in chosen and boxes.alive[node.name][sample[row]]:
            _exactly(node, [args[0][row : row + 1], *args[1:]], sample[row])

    def _exactly(node, args, s):
        lo, hi = (end[s].reshape(-1) for end in boxes.offered[node.name])
        for value, low, high in zip(
            exact_value(node.op, args, {}).reshape(-1), lo.tolist(), hi.tolist(), strict=True
        ):
            if not low <= value <= high:
                raise Outside(f"exact {node.name}: {value} outside [{low!r}, {high!r}]; {story}")
            tally.exact += 1

    adversary.run(x[sample], visit)
    tally.executions += samples * repeats

    def count_real(n, *_):
        tally.real_containments += n

    for part in (torch.arange(samples), torch.tensor([0]), torch.arange(samples).repeat(3)):
        execute(
            program,
            x[part],
            lambda n, v, p=part: boxes.check(n, v, p, count_real, lambda *_: f"real; {story}"),
            arithmetic,
        )
        tally.real += len(part)

    tally.programs.add(program.digest)
    tally.records.update({n.op.name for n in program.nodes})
    tally.formats[case.format.name] += 1
    tally.regimes[case.regime] += 1
    tally.samples += samples
    tally.dead += int((boxes.overflow >= 0).sum())
    return boxes


def rare(tally, least):
    """Records that occurred in fewer than ``least`` programs."""
    return {op.name: tally.records[op.name] for op in OPS if tally.records[op.name] < least}
