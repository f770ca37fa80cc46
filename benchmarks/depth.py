"""How far effort max reaches: widths of intervals against depth, in a residual network.

For a few CIFAR-10 images M32, and M16 in each format, is enclosed forward, again with refinement,
and slopes are optimised. Per rounded node the median width in ulps before and after refinement;
then the lower bound of the lead of the observed class over its rivals in every execution, after
each stage, and the seconds. An image is proved in a format if both models' leads are positive.

    python -m benchmarks.depth resnet20 --samples 4 --figure depth.png
    python -m benchmarks.depth examples/cifar_resnet --samples 4
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.published import ROWS, data, load
from errbound.analysis import Encloser, execute
from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, Format, Interval, ulp
from errbound.program import Node
from errbound.verdict import pair_of
from errbound.verdict.cascade import Follower

Widths = dict[str, float]


def median_width(box: Interval, fmt: Format) -> float:
    """Median width in ulps of the larger end."""
    size = ulp(torch.maximum(box.lo.abs(), box.hi.abs()), fmt)
    return float(((box.hi - box.lo) / size).median())


def forward(encloser: Encloser, x: Tensor, fmt: Format) -> Widths:
    """Widths by node without refinement."""
    found: Widths = {}

    def visit(node: Node, value: Any, alive: Tensor) -> None:
        if isinstance(value, Interval) and not node.op.moves:
            found[node.name] = median_width(value, fmt)

    with torch.no_grad():
        encloser(x, visit)
    return found


def refined(
    encloser: Encloser, x: Tensor, fmt: Format, winner: Tensor
) -> tuple[Widths, dict[str, float]]:
    """Widths by node with refinement, and the lead of ``winner`` after each stage."""
    follower = Follower(encloser, Interval.point(x), winner, None)
    with torch.no_grad():
        leads = {stage: float(follower(stage).lead[0]) for stage in ("refined", "slopes")}
    assert follower.trace is not None
    return {e.name: median_width(e.value, fmt) for e in follower.trace.entries}, leads


def draw(found: list[tuple[str, Widths, Widths]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for label, before, after in found:
        nodes = range(1, len(before) + 1)
        (line,) = axes.semilogy(nodes, list(before.values()), ":", linewidth=1)
        axes.semilogy(
            nodes,
            [after[name] for name in before],
            "-",
            color=line.get_color(),
            label=label,
            linewidth=1,
        )
    axes.set(xlabel="rounded nodes, in order", ylabel="median width, ulps")
    axes.set_title("dotted: forward; solid: refined", fontsize="medium")
    axes.legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(ROWS))
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--offset", type=int, default=0, help="the first image")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    row, samples = ROWS[options.model], data(options.model)
    x = samples.batch(options.offset, options.offset + options.samples)
    if row.preprocess is not None:
        x = row.preprocess(x)
    found = []
    for fmt in (BINARY32, BINARY16, BFLOAT16):
        pair = pair_of(
            load(options.model), tuple(x.shape[1:]), BINARY16 if fmt is BINARY32 else fmt
        )
        program = pair.m32 if fmt is BINARY32 else pair.m16
        encloser, stored = Encloser(program, TORCH_CPU), program.stored(x)
        for k in range(len(x)):
            one = stored[k : k + 1]
            start = time.process_time()
            winner = execute(program, one).argmax(dim=1)
            before = forward(encloser, one, fmt)
            after, leads = refined(encloser, one, fmt, winner)
            seconds = time.process_time() - start
            label = f"{fmt.alias}, image {options.offset + k}"
            shown = ", ".join(f"{stage} {lead:.4g}" for stage, lead in leads.items())
            print(f"{options.model} {label}: lead >= {shown}; {seconds:.0f} s of processor time")
            names = list(before)
            for name in names[:: max(1, len(names) // 12)]:
                print(f"    {name:20} {before[name]:12.4g} {after[name]:12.4g}", flush=True)
            if fmt is not BINARY32:
                found.append((label, before, after))
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
