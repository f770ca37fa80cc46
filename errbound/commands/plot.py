"""``errbound plot``."""

from __future__ import annotations

from pathlib import Path

import click

from errbound.commands._common import say


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "--output", "folder", metavar="DIR", help="[RUN/figures, or ./figures]")
def plot(runs: tuple[str, ...], folder: str | None) -> int:
    """Draw the figures of run directories, several side by side.

    Writes delta-margin, ratio and nodes, and shadow where a run has a shadow.csv: each as PDF, as
    PNG and as the CSV of the numbers drawn.

    \b
    Examples:
      errbound plot runs/mnist_cnn-mnist-float16
      errbound plot runs/a-float16 runs/a-bfloat16 -o figures
    """
    from errbound.report.figures import draw, save
    from errbound.report.run import load_run

    place = Path(runs[0], "figures") if len(runs) == 1 else Path("figures")
    for path in save(draw([load_run(run) for run in runs]), Path(folder) if folder else place):
        say(str(path))
    return 0
