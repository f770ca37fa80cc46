"""Agreeing samples that are not proved, one by one: how far the bound falls short, and whether an
execution exists that gives another class.

Prints one row per sample: the models' class, the closest rival, lower bounds of the lead over it in
M32 and in M16 at effort max, and what the search of ``errbound.testing.refute`` found in M16, or
if M32's bound is not positive in M32: "refuted" (an execution with another class), "tie" (one with
both outputs equal; the first index wins), "tie always" (in every execution), "open" (none). Last,
what the verdict is with ``--ties first``.

    python -m benchmarks.exceptions cifar_base
    python -m benchmarks.exceptions --rounds 60 kw_mnist cifar_2c2f
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.published import ROWS, certify, data, load
from errbound.analysis import Encloser
from errbound.arithmetic import TORCH_CPU
from errbound.number import Interval, format_named
from errbound.program import Program
from errbound.testing.refute import Refuter
from errbound.verdict import EFFORTS, Certifier, Ties, Verdict, pair_of

RIVALS = 3
"""So many classes, the closest, are tried in the search for another answer."""


@dataclass(frozen=True)
class Outcome:
    """What is known of one sample that was not proved at the effort of its row."""

    index: int
    winner: int
    rival: int
    lead32: float
    lead16: float
    execution: str
    ties_first: str


def rivals(box: Interval, winner: int) -> list[int]:
    """Classes whose interval reaches the winner's, the closest first."""
    lo, hi = box.lo[0], box.hi[0]
    near = [j for j in range(len(hi)) if j != winner and hi[j] >= lo[winner]]
    return sorted(near, key=lambda j: -float(hi[j]))[:RIVALS]


def searched(program: Program, x: Tensor, winner: int, rounds: int) -> tuple[str, int]:
    """What is found of one sample (1, *shape) of a program, and the rival that it is about."""
    stored = program.stored(x)
    with torch.no_grad():
        box = Encloser(program, TORCH_CPU)(Interval.point(stored)).output
    near = rivals(box, winner)
    if near and bool((box.lo[0] == box.hi[0])[[*near, winner]].all()):
        return "tie always", near[0]
    best = "open"
    for rival in near:
        found = Refuter(program, np.random.default_rng(0))(stored, winner, rival, rounds)
        if found.answer != winner:
            return "refuted", found.answer
        if found.lead == 0.0:
            best = "tie"
    return best, (near or [-1])[0]


def outcomes(name: str, fmt: str, rounds: int, limit: int | None = None) -> Iterator[Outcome]:
    """The agreeing samples of a row of ``benchmarks.published`` that its effort leaves open."""
    run = certify(name, fmt, limit)
    open_ = [s.index for s in run.samples if s.verdict == Verdict.UNDECIDED]
    row, samples = ROWS[name], data(name)
    pair = pair_of(load(name), tuple(samples.inputs.shape[1:]), format_named(fmt))
    strict, first = (
        Certifier(pair.m32, pair.m16, pair.format, TORCH_CPU, EFFORTS["max"], ties=ties)
        for ties in Ties
    )
    for index in open_:
        x = samples.batch(index, index + 1)
        x = x if row.preprocess is None else row.preprocess(x)
        batch, also = strict.batch_of(x), str(first.batch_of(x).verdict[0])
        winner = int(batch.prediction32[0])
        lead32, lead16 = float(batch.margin_lower[0]), float(batch.pairwise[0])
        if batch.verdict[0] is Verdict.PROVED:
            yield Outcome(index, winner, -1, lead32, lead16, "proved at max", also)
            continue
        execution, rival = searched(pair.m16, x, winner, rounds)
        if execution != "refuted" and lead32 <= 0:
            in32, other = searched(pair.m32, x, winner, rounds)
            if in32 != "open":
                execution, rival = f"{in32} (M32)", other
        yield Outcome(index, winner, rival, lead32, lead16, execution, also)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(ROWS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rounds", type=int, default=8, help="of the search for an execution")
    options = parser.parse_args()
    head = ("model", "format", "sample", "class", "rival", "M32 lead >=", "M16 lead >=")
    head = (*head, "execution", "ties first")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.models or ROWS:
        for fmt in ("float16", "bfloat16"):
            for o in outcomes(name, fmt, options.rounds, options.limit):
                print(
                    f"| {name} | {fmt} | {o.index} | {o.winner} | {o.rival} | {o.lead32:.4g} "
                    f"| {o.lead16:.4g} | {o.execution} | {o.ties_first} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
