"""The explanation of one sample as text, and as a figure."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from errbound.report.decimals import lower, upper
from errbound.report.run import Run
from errbound.report.terminal import STAGES
from errbound.verdict import Explanation, NodeWidth, Verdict

WIDTH = 96


def explained(run: Run, index: int, found: Explanation) -> str:
    """The text: verdict, reason, and a table of nodes; plain, at most 96 columns."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    s = run.summary
    model = Path(s["model"]["path"] or s["model"]["kind"]).name
    data, name = s["data"]["name"], s["arithmetic"]["name"]
    console.print(f"{model}, {data} sample {index}, {s['format']} against float32, {name}")
    if s["radius"]:
        console.print(
            f"and all inputs within {s['radius']!r} of it (in every value, before mean and std); "
            "runs are of the sample itself"
        )
    console.print()
    for line in _reason(found, s["format"]):
        console.print(line)
    console.print()
    console.print(_nodes(found))
    console.print()
    for line in _where(found):
        console.print(line)
    if s["arithmetic"]["observed"].startswith("emulated"):
        console.print(f"Observed values are {s['arithmetic']['observed']}.")
    if not s["arithmetic"]["probed"]:
        console.print(f"{name} is assumed, not probed.")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def _reason(found: Explanation, fmt: str) -> Iterator[str]:
    """Why the sample got its verdict, in sentences."""
    b = found.batch
    verdict = b.verdict[0]
    yield f"{verdict}: {_MEANING[verdict]}"
    if verdict is Verdict.DOMAIN:
        return
    yield _stage(found)
    seen, proved = float(b.observed_delta[0]), float(b.proved_delta[0])
    yield f"Largest observed delta {seen:.4g}; proved delta {_up(proved)}."
    if b.overflow_node[0]:
        yield (
            f"Overflow {b.overflow[0]}; the first node that may: {b.overflow_node[0]}. From there "
            "on nothing is enclosed, so nothing can be proved."
        )
    if found.winner < 0:
        if verdict is Verdict.PROVED:  # a later stage, where the forward one left the range
            yield (
                f"The winner leads by at least {_down(b.margin_lower[0])} in every execution of "
                f"float32, and by at least {_down(b.pairwise[0])} in every one of {fmt}."
            )
        return
    first, second = found.winner, found.rival
    yield (
        f"The run of float32 says class {int(b.prediction32[0])}, that of {fmt} class "
        f"{int(b.prediction16[0])}; float32's margin is {b.margin[0]:.4g}."
    )
    gamma, delta = float(b.margin_lower[0]), proved
    if b.pairwise[0] == -math.inf:
        yield f"Float32 itself is not settled: executions may prefer class {second} to {first}."
        return
    yield f"Class {first} wins every execution of float32, by at least {_down(gamma)}."
    lo, hi = found.outputs["M16"]
    lead, forward = float(b.pairwise[0]), lo[first] - hi[second]
    enough = "enough" if lead > 0 else "not enough, it must be above 0"
    if lead == 0 and b.verdict[0] is Verdict.PROVED:
        enough = "enough: of equal outputs the first is the answer"
    ends = (
        f"In {fmt}, class {first} is at least {_down(lo[first])} and its closest rival {second} at "
        f"most {_up(hi[second])}"
    )
    if lead > forward:  # rounded down, the forward lead is not
        yield (
            f"{ends}, by the forward stage. Differences followed back to the input show more: it "
            f"leads by at least {_down(lead)} ({enough})."
        )
    else:
        yield f"{ends}: it leads by at least {_down(lead)} ({enough})."
    holds = "holds" if gamma > 2 * delta else "does not hold"
    yield f"The classic condition, margin > 2 delta: {_down(gamma)} > 2 x {_up(delta)}, {holds}."


def _stage(found: Explanation) -> str:
    """Which stage decided, or which were tried."""
    b = found.batch
    if b.stage[0]:
        return f"Decided by stage {b.stage[0]}: {STAGES[b.stage[0]]}."
    tried = ", ".join(name for name in b.seconds if name != "run")
    return f"Decided by no stage; tried: {tried}."


_MEANING = {
    Verdict.DOMAIN: "the input holds NaN or infinity.",
    Verdict.REFUTED: "the two runs that were made gave different classes.",
    Verdict.OVERFLOW: "a run left the range of its format.",
    Verdict.PROVED: "every execution of both models gives the same class.",
    Verdict.UNDECIDED: "there is no proof, and the two runs gave the same class.",
    Verdict.NO_CLASSES: "the output is no vector of classes; only distances are proved.",
}


def _nodes(found: Explanation) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("model", "node", "module"):
        grid.add_column(name, overflow="fold")
    for name in ("values", "split", "mean ulp", "max ulp", "max width", "growth"):
        grid.add_column(name, justify="right")
    for n in found.nodes:
        s = n.summary
        mean = s.width_sum / s.split if s.split else 0.0
        grid.add_row(
            *(n.model, n.node, n.where, f"{s.cells:,}", f"{100 * s.split / s.cells:.1f} %"),
            *(f"{mean:.3g}", f"{s.width_max:.3g}", f"{n.widest:.3g}"),
            "" if math.isnan(n.growth) else f"x {n.growth:.3g}",
        )
    return grid


def _where(found: Explanation) -> Iterator[str]:
    """Where cells first split and where widths grow most, per model."""
    for model in ("M32", "M16"):
        first, fastest = found.first_split(model), found.fastest(model)
        if first is None:
            if any(n.model == model for n in found.nodes):
                yield f"{model}: every value above is one number in all executions."
            continue
        share = 100 * first.summary.split / first.summary.cells
        text = f"{model}: cells first split at {_named(first)}, {share:.1f} % of them"
        if fastest is not None:
            text += (
                f"; the width, relative to the largest value, grows most at {_named(fastest)}, "
                f"x {fastest.growth:.3g}"
            )
        yield text + "."


def _named(node: NodeWidth) -> str:
    return f"{node.node} ({node.where})" if node.where else node.node


def _up(x: Any) -> str:
    return upper(float(x), 4)


def _down(x: Any) -> str:
    return lower(float(x), 4)
