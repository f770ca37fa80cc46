"""``errbound certify``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from errbound.commands._common import Interrupted, complain, content, load, open_data, rows, say
from errbound.errors import InputError
from errbound.options import data_options, model_options, numbers


@click.command()
@click.argument("model", metavar="MODEL")
@data_options(required=True)
@click.option(
    "--format",
    "fmt",
    default="float16",
    show_default=True,
    metavar="NAME",
    help="See errbound formats.",
)
@click.option(
    "--arithmetic",
    default="torch-cpu",
    show_default=True,
    metavar="NAME",
    help="See errbound arithmetics.",
)
@model_options
@click.option(
    "--mean",
    callback=numbers,
    default="0",
    metavar="X,..",
    help="Subtracted from inputs, per channel.",
)
@click.option(
    "--std", callback=numbers, default="1", metavar="X,..", help="Divides them afterwards."
)
@click.option("--limit", type=int, metavar="N", help="Certify N samples only.")
@click.option("--offset", type=int, default=0, metavar="N", help="Start at sample N.")
@click.option(
    "--batch-size", type=int, default=256, show_default=True, metavar="N", help="Of the runs."
)
@click.option("--output", metavar="NAME", help="Which output, if the model returns several.")
@click.option("--out", metavar="DIR", help="Run directory.  [runs/MODEL-DATA-FORMAT]")
@click.option("--resume", is_flag=True, help="Continue the run in the directory.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the directory.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0.0, 1.0),
    metavar="F",
    help="Exit with 1 if a share of less than F is proved.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads that torch uses.")
@click.option("--quiet", is_flag=True, help="No progress, no table.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of the table.")
def certify(
    model: str,
    data: str,
    data_dir: str | None,
    fmt: str,
    arithmetic: str,
    arch: str | None,
    trust_pickle: bool,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    limit: int | None,
    offset: int,
    batch_size: int,
    output: str | None,
    out: str | None,
    resume: bool,
    overwrite: bool,
    fail_under: float | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Certify MODEL on data and write a run directory.

    MODEL is a torch.export archive, or a file of weights with --arch; the file's content decides,
    not its name. Every sample gets a verdict: proved, undecided, refuted, overflow or domain.

    \b
    Examples:
      errbound certify model.pt --data mnist
      errbound certify model.pt --data mnist --format bfloat16 --limit 1000
      errbound certify weights.pth --arch nets.py:Net --data cifar10 \\
          --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
      errbound certify model.pt --data samples.npz --fail-under 0.99 --json

    \b
    Exit status:
      0    done
      1    --fail-under is not met
      2    usage or input error
      3    an observed value lies outside its enclosure
      4    internal error
      130  interrupted; continue with --resume
    """
    import torch

    from errbound.data import Preprocess
    from errbound.report.terminal import Bar, table
    from errbound.session import Inputs, Session, Source

    if threads is not None:
        torch.set_num_threads(threads)
    row, execution = rows(fmt, arithmetic)
    loaded, samples = load(model, arch, trust_pickle), open_data(data, data_dir)
    session = Session(
        Source(content(loaded), loaded.kind, model, loaded.sha256, loaded.notes),
        Inputs(samples, Preprocess(mean, std), offset, limit),
        row,
        execution,
        output,
        batch_size,
    )
    if fail_under is not None and not session.has_classes:
        raise InputError("--fail-under needs an output of two or more classes")
    folder = Path(out or f"runs/{Path(model).stem}-{Path(samples.name).stem}-{row.name}")
    with Bar(shown=not quiet) as bar:
        try:
            run = session.run(folder, resume=resume, overwrite=overwrite, progress=bar)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted after {bar.done:,} of {bar.total:,} samples; continue with: "
                f"{_resume_command()}"
            ) from None
    if as_json:
        import json

        say(json.dumps(run.summary, indent=2, ensure_ascii=False))
    elif not quiet:
        say(table(run))
    share = run.certified_fraction
    if fail_under is not None and share is not None and share < fail_under:
        return complain(f"certified_fraction {share!r} is below --fail-under {fail_under!r}", 1)
    return 0


def _resume_command() -> str:
    """The command that was given, with ``--resume`` for ``--overwrite``."""
    given: list[str] = click.get_current_context().find_root().obj
    kept = [a for a in given if a not in ("--overwrite", "--resume")]
    return shlex.join(["errbound", *kept, "--resume"])
