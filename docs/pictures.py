"""Pictures of the site: a rounding cell, and the figures of runs that are made here.

The same code gives the same pictures; those of runs are of this machine's kernels.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from errbound import cli, load_run
from errbound.number import BINARY16, nearest
from errbound.report.figures import draw
from errbound.report.figures.explanation import draw as draw_explanation
from errbound.report.run import Run
from errbound.revisit import explain_sample, reopen

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SAMPLES = 1000
"""Of the runs that are drawn; how-it-works.md gives the commands."""

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"
ULP = 2.0**-10
"""Distance of binary16 numbers between 1 and 2."""


@dataclass(frozen=True)
class Picture:
    """A PNG file, what it shows in words, and its width on a page in pixels."""

    png: bytes
    alt: str
    width: int


@cache
def drawn() -> dict[str, Picture]:
    """All pictures by name."""
    made = {"rounding-cell": rounding_cell()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = [run(folder, "mnist_cnn", form) for form in ("bfloat16", "float8_e4m3fn")]
        for figure in draw(network):
            made[figure.name] = Picture(figure.image("png"), figure.alt, 800)
        tie = run(folder, "mnist_dnn", "bfloat16", offset=247, limit=1)
        found = explain_sample(reopen(tie), 247)
        figure = draw_explanation(found, "mnist_dnn, bfloat16, sample 247")
        made["explanation"] = Picture(figure.image("png"), figure.alt, 460)
    return made


def run(folder: Path, model: str, form: str, *, offset: int = 0, limit: int | None = None) -> Run:
    """Certify an example on MNIST, as the command line does."""
    out = folder / f"{model}-{form}"
    words = ["certify", str(EXAMPLES / f"{model}.pt"), "--data", "mnist", "--format", form]
    words += ["--offset", str(offset), "--limit", str(limit or SAMPLES), "--out", str(out)]
    status = cli.main([*words, "--quiet"])
    if status:
        raise RuntimeError(f"errbound {' '.join(words)}: exit status {status}")
    return load_run(out)


def rounding_cell() -> Picture:
    """Binary16 next to 1: an interval over three cells, and one within a cell."""
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(6.8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _staircase(left, 1.7, 3.2, "Two values are possible")
        _staircase(right, 1.6, 2.4, "One value: determined")
        left.set_ylabel("stored value fl(x), in units after 1")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return Picture(
        buffer.getvalue(),
        "Two staircases of binary16 next to 1, steps one unit in the last place wide and high. "
        "Left, the values before rounding lie in [1.7, 3.2] units after 1 and are stored as 2 or "
        "3 units. Right, they lie in [1.6, 2.4] units and all are stored as 2 units.",
        760,
    )


def _staircase(axes: Axes, a: float, b: float, title: str) -> None:
    """Rounding to nearest between 1 and 1 + 5 units, and the image of [a, b]."""
    for first, last, value in steps(5):
        axes.plot([first, last], [value, value], color=BLUE, lw=2, solid_capstyle="butt")
        for edge in {first, last} - {0.0, 5.0}:
            face = BLUE if rounded(edge) == value else "white"  # ties go to the even neighbour
            axes.plot(edge, value, "o", ms=4, color=BLUE, markerfacecolor=face, zorder=3)
    low, high = rounded(a), rounded(b)
    axes.axvspan(a, b, color=ORANGE, alpha=0.25, lw=0)
    for x, y, name in ((a, low, "a"), (b, high, "b")):
        axes.plot([x, x, 0], [0, y, y], color=ORANGE, lw=1, ls="--")
        axes.text(x, -0.05, name, color=ORANGE, ha="center", va="top", clip_on=False)
    label = "fl(a) = fl(b)" if low == high else None
    axes.text(0.1, high + 0.08, label or "fl(b)", color=ORANGE)
    if label is None:
        axes.text(0.1, low + 0.08, "fl(a)", color=ORANGE)
    axes.set(xlim=(0, 5), ylim=(0, 5), title=title)
    axes.set_xlabel("value before rounding x, in units after 1", labelpad=10, color=GREY)


def steps(count: int) -> Iterator[tuple[float, float, float]]:
    """(first, last, value) of each step, in units after 1."""
    for k in range(count + 1):
        yield max(k - 0.5, 0.0), min(k + 0.5, float(count)), float(k)


def rounded(x: float) -> float:
    """Where the rounding that certificates use takes 1 + x units, in units after 1."""
    stored = nearest(torch.tensor([1 + x * ULP], dtype=torch.float64), BINARY16)
    return (float(stored) - 1) / ULP
