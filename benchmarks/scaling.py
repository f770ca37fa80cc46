"""How the cost of certifying grows: with batch, depth, width and, for refinement, image size.

Random networks; per point the seconds per sample of the observed runs, of the forward enclosures of
both models, of the backward pass on all rivals of one class, and of the refined stage, all timed in
one run on one thread, the minimum of some repetitions. The last table is the cost per refined
neuron of a convolutional network: functionals live on windows, so it must not grow with the image.

    python benchmarks/scaling.py --figure scaling.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from errbound.analysis import Encloser, Trace, execute
from errbound.arithmetic import TORCH_CPU
from errbound.number import Interval
from errbound.program import Program, program_of
from errbound.verdict.cascade import Follower

STAGES = ("run", "forward", "backward", "refined")
Point = tuple[int, dict[str, float]]


def perceptron(depth: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10)).eval()


def convolutions(depth: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*layers).eval()


def best(action: Callable[[], object], repetitions: int) -> float:
    action()
    found = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        found = min(found, time.perf_counter() - start)
    return found


def costs(module: nn.Module, x: Tensor, repetitions: int) -> dict[str, float]:
    """Seconds per sample of each stage, both models."""
    found = dict.fromkeys(STAGES, 0.0)
    for dtype in (torch.float32, torch.float16):
        program = program_of(module, x[:2], dtype)
        stored = program.stored(x)
        encloser = Encloser(program, TORCH_CPU)
        winner = execute(program, stored).argmax(dim=1)
        box = Interval.point(stored)

        def follow(
            stage: str,
            encloser: Encloser = encloser,
            box: Interval = box,
            winner: Tensor = winner,
        ) -> object:
            with torch.no_grad():
                return Follower(encloser, box, winner, None)(stage)

        actions: dict[str, Callable[[], object]] = {
            "run": lambda p=program, s=stored: execute(p, s),
            "forward": lambda e=encloser, b=box: e(b),
            "backward": lambda f=follow: f("backward"),
            "refined": lambda f=follow: f("refined"),
        }
        for stage, action in actions.items():
            found[stage] += best(action, repetitions) / x.shape[0]
    return found


def per_neuron(program: Program, x: Tensor, repetitions: int) -> float:
    """Seconds to bound one entry of the last convolution's output backwards, of all of them."""
    trace = Trace(program, refine=False, dtype=torch.float32)
    with torch.no_grad():
        Encloser(program, TORCH_CPU)(x, tracer=trace)
        entry = [e for e in trace.entries if "conv2d" in e.name][-1]
        mask = torch.ones(entry.value.shape, dtype=torch.bool)
        seconds = best(lambda: trace.narrow(entry.value, mask), repetitions)
        return seconds * (repetitions + 1) / trace.narrowed


def tables(repetitions: int) -> Iterator[tuple[str, list[Point]]]:
    torch.manual_seed(0)
    yield (
        "batch",
        [
            (n, costs(perceptron(4, 128), torch.rand(n, 128), repetitions))
            for n in (1, 4, 16, 64, 256)
        ],
    )
    yield (
        "depth",
        [
            (d, costs(perceptron(d, 128), torch.rand(16, 128), repetitions))
            for d in (1, 2, 4, 8, 16)
        ],
    )
    yield (
        "width",
        [
            (w, costs(perceptron(4, w), torch.rand(16, w), repetitions))
            for w in (32, 64, 128, 256, 512)
        ],
    )
    images: list[Point] = []
    for side in (8, 16, 32, 64):
        x = torch.rand(1, 3, side, side)
        program = program_of(convolutions(3, 8), x.repeat(2, 1, 1, 1), torch.float32)
        images.append(
            (side, {"refined neuron": per_neuron(program, program.stored(x), repetitions)})
        )
    yield "image side", images


def draw(found: list[tuple[str, list[Point]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(found), 3.2), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(found)), found, strict=True):
        for stage in points[0][1]:
            axes.loglog(
                [at for at, _ in points], [1e3 * c[stage] for _, c in points], "o-", label=stage
            )
        axes.set(xlabel=name, ylabel="milliseconds each")
        axes.set_xticks([at for at, _ in points], [str(at) for at, _ in points])
        axes.minorticks_off()
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, high / 100), high)
        axes.legend(fontsize="small")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = list(tables(options.repetitions))
    for name, points in found:
        print(f"\n{name:12}" + "".join(f"{stage:>16}" for stage in points[0][1]) + "  (ms each)")
        for at, cost in points:
            print(f"{at:<12}" + "".join(f"{1e3 * c:16.4f}" for c in cost.values()))
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
