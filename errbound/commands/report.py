"""``errbound report``."""

from __future__ import annotations

from pathlib import Path

import click

from errbound.commands._common import say


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-o", "--output", "target", metavar="FILE", help="[RUN/report.html]")
def report(run: str, target: str | None) -> int:
    """Write a run directory as one HTML page that needs nothing else.

    It has the verdicts, the figures, tables of samples and nodes, the assumptions and the command
    that makes the run again. Inputs that are images are shown if the data can be opened again.

    \b
    Example:
      errbound report runs/mnist_cnn-mnist-float16
    """
    from errbound.report.files import write_whole
    from errbound.report.html import render
    from errbound.report.inputs import images_of
    from errbound.report.run import load_run

    found = load_run(run)
    page = render(found, *images_of(found))
    path = Path(target) if target else Path(run, "report.html")
    write_whole(path, [page.encode(errors="replace")])
    say(str(path))
    return 0
