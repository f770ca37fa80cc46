"""How far effort max reaches: what is known of each activation's input against depth.

For a few CIFAR-10 images M32, and M16 in each format, is enclosed forward, again with refinement,
and slopes are optimised. Per activation: of how many inputs the sign is open, forward and refined,
and the median width of those that the forward stage leaves open, before and after, in ulps of the
root mean square of the run's values. Then the lower bound of the lead of the observed class over
its rivals in every execution, after each stage, and the seconds of processor time. An image is
proved in a format if both models' leads are positive.

    python -m benchmarks.depth resnet20 --samples 4 --figure depth.png
    python -m benchmarks.depth examples/cifar_resnet --samples 4 --formats float16
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.published import ROWS, data, load
from errbound.analysis import Encloser, execute
from errbound.arithmetic import TORCH_CPU
from errbound.number import BINARY16, BINARY32, Format, Interval, format_named, ulp
from errbound.program import Node, Program
from errbound.program.graph import refs
from errbound.verdict import pair_of
from errbound.verdict.cascade import Follower


@dataclass(frozen=True)
class Activation:
    """What is known of an activation's input: forward, and refined.

    Attributes:
        size: number of values; ``open``: how many may have either sign.
        width: median width of those that the forward stage leaves open, in ulps.
    """

    size: int
    open: tuple[int, int]
    width: tuple[float, float]


def inputs_of_activations(program: Program) -> list[str]:
    """Names of the nodes that a function that bends reads, in order."""
    read = {refs(node.args[:1])[0].name for node in program.nodes if node.op.bends}
    return [node.name for node in program.nodes if node.name in read]


def forward(encloser: Encloser, x: Tensor) -> dict[str, Interval]:
    """Intervals by node without refinement."""
    found: dict[str, Interval] = {}

    def visit(node: Node, value: Any, alive: Tensor) -> None:
        if isinstance(value, Interval):
            found[node.name] = Interval(value.lo.clone(), value.hi.clone())

    with torch.no_grad():
        encloser(x, visit)
    return found


def refined(
    encloser: Encloser, x: Tensor, winner: Tensor
) -> tuple[dict[str, Interval], dict[str, float]]:
    """Intervals by node with refinement, and the lead of ``winner`` after each stage."""
    follower = Follower(encloser, Interval.point(x), winner, None)
    with torch.no_grad():
        leads = {stage: float(follower(stage).lead[0]) for stage in ("refined", "slopes")}
    assert follower.trace is not None
    return {e.name: e.value for e in follower.trace.entries}, leads


def compared(before: Interval, after: Interval, run: Tensor, fmt: Format) -> Activation:
    """One activation's input."""
    boxes = (before, after)
    signs = [(box.lo < 0) & (box.hi > 0) for box in boxes]
    unit = float(ulp(run.double().square().mean().sqrt().reshape(1), fmt))
    some = bool(signs[0].any())
    widths = [float(((b.hi - b.lo)[signs[0]]).median()) / unit if some else 0.0 for b in boxes]
    low, high = (int(s.sum()) for s in signs)
    return Activation(run.numel(), (low, high), (widths[0], widths[1]))


def draw(found: list[tuple[str, list[Activation]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    colours: dict[str, str] = {}
    for label, rows in found:
        fmt = label.split(",")[0]
        first = fmt not in colours
        colour = colours.setdefault(fmt, f"C{len(colours)}")
        for end, style in enumerate((":", "-")):
            axes.semilogy(
                range(1, len(rows) + 1),
                [row.width[end] or torch.nan for row in rows],
                style,
                color=colour,
                label=fmt if end and first else None,
                linewidth=1,
            )
    axes.set(xlabel="activation", ylabel="median width, ulps of the root mean square")
    axes.set_title("values of open sign; dotted: forward, solid: refined", fontsize="medium")
    axes.legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(ROWS))
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--offset", type=int, default=0, help="the first image")
    parser.add_argument("--formats", nargs="*", default=["float32", "float16", "bfloat16"])
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    row, samples = ROWS[options.model], data(options.model)
    x = samples.batch(options.offset, options.offset + options.samples)
    if row.preprocess is not None:
        x = row.preprocess(x)
    found = []
    for fmt in map(format_named, options.formats):
        wide = fmt is BINARY32
        pair = pair_of(load(options.model), tuple(x.shape[1:]), BINARY16 if wide else fmt)
        program = pair.m32 if wide else pair.m16
        encloser, stored = Encloser(program, TORCH_CPU), program.stored(x)
        for k in range(len(x)):
            one = stored[k : k + 1]
            start = time.process_time()
            run: dict[str, Any] = {}
            output = execute(program, one, lambda node, v, run=run: run.update({node.name: v}))
            before = forward(encloser, one)
            after, leads = refined(encloser, one, output.argmax(dim=1))
            seconds = time.process_time() - start
            label = f"{fmt.alias}, image {options.offset + k}"
            shown = ", ".join(f"{stage} {lead:.4g}" for stage, lead in leads.items())
            print(f"{options.model} {label}: lead >= {shown}; {seconds:.0f} s of processor time")
            names = inputs_of_activations(program)
            rows = [compared(before[n], after[n], run[n], fmt) for n in names]
            for name, a in zip(names, rows, strict=True):
                signs = f"{a.open[0]:7} {a.open[1]:7} of {a.size:7}"
                print(f"    {name:16}{signs} {a.width[0]:10.4g} {a.width[1]:10.4g}", flush=True)
            found.append((label, rows))
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
