"""``errbound explain``."""

from __future__ import annotations

from pathlib import Path

import click

from errbound.commands._common import say
from errbound.options import model_options


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--sample", type=int, required=True, metavar="N", help="Index in the data set.")
@model_options
@click.option("--arch16", metavar="MODULE:CALLABLE", help="--arch for --model16.  [--arch]")
@click.option("-o", "--output", "folder", metavar="DIR", help="[RUN/explain-N]")
def explain(
    run: str,
    sample: int,
    arch: str | None,
    trust_pickle: bool,
    arch16: str | None,
    folder: str | None,
) -> int:
    """Say why a sample of RUN got its verdict.

    Prints the stage that decided, margin, bound, the two classes, the widths of every node's
    intervals in the forward stage, the first node where cells split and where widths grow most;
    writes a figure. Model and data are loaded again from the files that the run names, and must be
    the same; effort, time limit and radius are those of the run.

    \b
    Examples:
      errbound explain runs/mnist_cnn-mnist-float16 --sample 247
      errbound explain runs/weights-cifar10-bfloat16 --sample 3 \\
          --arch nets.py:Net
    """
    from errbound.report.explanation import explained
    from errbound.report.figures import save
    from errbound.report.figures.explanation import draw
    from errbound.report.run import load_run
    from errbound.revisit import explain_sample, reopen

    given = load_run(run)
    session = reopen(given, arch=arch, arch16=arch16, trust_pickle=trust_pickle)
    found = explain_sample(session, sample)
    say(explained(given, sample, found))
    place = Path(folder) if folder else Path(run, f"explain-{sample}")
    drawing = draw(found, f"sample {sample}: {found.batch.verdict[0]}")
    written = list(save([drawing], place))
    say(f"\nWritten to {place}: {', '.join(p.name for p in written)}")
    return 0
