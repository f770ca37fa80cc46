"""``errbound certify``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from errbound.commands._common import Interrupted, complain, rows, say, source
from errbound.errors import InputError
from errbound.options import data_options, model_options, numbers, radius

if TYPE_CHECKING:
    from errbound.data import DataSpec


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
    "--arithmetic", metavar="NAME", help="See errbound arithmetics.  [that of the device]"
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Where both models run.  [cpu]",
)
@model_options
@click.option("--model16", metavar="FILE", help="M16 is this model, not MODEL rounded.")
@click.option("--arch16", metavar="MODULE:CALLABLE", help="--arch for --model16.  [--arch]")
@click.option(
    "--on",
    type=click.Choice(["output", "softmax"]),
    default="output",
    show_default=True,
    help="Certify the output, or its softmax.",
)
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
    "--batch-size", type=int, metavar="N", help="Of the runs.  [256; 32 with --effort max]"
)
@click.option("--output", metavar="NAME", help="Which output, if the model returns several.")
@click.option(
    "--effort",
    type=click.Choice(["fast", "normal", "max"]),
    default="normal",
    show_default=True,
    help="How hard undecided samples are tried: max also improves slopes.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0.0),
    metavar="S",
    help="Seconds per undecided sample.  [none]",
)
@click.option(
    "--radius",
    "reach",
    callback=radius,
    default="0",
    metavar="R",
    help="Certify all inputs within R of each, before mean and std; pixel: 0.5/255.",
)
@click.option(
    "--tree-height",
    type=click.IntRange(1),
    metavar="H",
    help="Assume that no sum is a tree higher than H additions.",
)
@click.option(
    "--ties",
    type=click.Choice(["open", "first"]),
    default="open",
    show_default=True,
    help="Of equal outputs none is the answer, or the first, as in torch.argmax.",
)
@click.option("--out", metavar="DIR", help="Run directory.  [runs/MODEL-DATA-FORMAT]")
@click.option("--resume", is_flag=True, help="Continue the run in the directory.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the directory.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0.0, 1.0),
    metavar="F",
    help="Exit with 1 if a share of less than F is proved.",
)
@click.option(
    "--shadow", type=click.IntRange(1), metavar="N", help="Also run N samples over the reals."
)
@click.option(
    "--digits",
    type=click.IntRange(20, 1000),
    default=60,
    show_default=True,
    metavar="D",
    help="Decimal digits of --shadow.",
)
@click.option(
    "--shadow-with",
    type=click.Choice(["mpmath", "arb"]),
    default="mpmath",
    show_default=True,
    help="arb is fast and rigorous; it needs python-flint.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads that torch uses.")
@click.option("--quiet", is_flag=True, help="No progress, no table.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of the table.")
def certify(
    model: str,
    data: DataSpec,
    fmt: str,
    arithmetic: str | None,
    device: str | None,
    arch: str | None,
    trust_pickle: bool,
    model16: str | None,
    arch16: str | None,
    on: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    limit: int | None,
    offset: int,
    batch_size: int | None,
    output: str | None,
    effort: str,
    time_limit: float | None,
    reach: float | str,
    tree_height: int | None,
    ties: str,
    out: str | None,
    resume: bool,
    overwrite: bool,
    fail_under: float | None,
    shadow: int | None,
    digits: int,
    shadow_with: str,
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
      errbound certify model.pt --data mnist --model16 half.pt --on softmax
      errbound certify model.pt --data mnist --limit 20 --shadow 20
      errbound certify model.pt --data mnist --effort max --time-limit 10
      errbound certify model.pt --data mnist --radius pixel
      errbound certify model.pt --data mnist --tree-height 64
      errbound certify model.pt --data mnist --format bfloat16 --ties first

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
    from errbound.session import Inputs, Session, radius_of

    if threads is not None:
        torch.set_num_threads(threads)
    row, execution = rows(fmt, arithmetic, device)
    samples = data.open()
    session = Session(
        source(model, arch, trust_pickle),
        Inputs(samples, Preprocess(mean, std), offset, limit, data, radius_of(reach)),
        row,
        execution,
        output,
        batch_size,
        source16=source(model16, arch16 or arch, trust_pickle) if model16 else None,
        softmax=on == "softmax",
        effort=effort,
        limit=time_limit,
        tree_height=tree_height,
        ties=ties,
    )
    if fail_under is not None and not session.has_classes:
        raise InputError("--fail-under needs an output of two or more classes")
    parts = [Path(model).stem, Path(samples.name).stem, row.name]
    parts += [execution.name] if execution.name != "torch-cpu" else []
    parts += ["softmax"] if on == "softmax" else []
    parts += [f"radius-{reach}"] if reach else []
    parts += [f"height-{tree_height}"] if tree_height else []
    parts += [f"ties-{ties}"] if ties != "open" else []
    shadowed = ""
    folder = Path(out or f"runs/{'-'.join(parts)}")
    with Bar("certifying", shown=not quiet) as bar:
        try:
            run = session.run(folder, resume=resume, overwrite=overwrite, progress=bar)
            if shadow is not None:
                bar.next("shadowing")
                session.shadow(folder, shadow, digits, shadow_with, bar)
                shadowed = f"{folder / 'shadow.csv'}: errbound plot {folder} draws it"
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
        if shadowed:
            say(f"Shadow of {bar.total} samples in {shadowed}")
    share = run.certified_fraction
    if fail_under is not None and share is not None and share < fail_under:
        return complain(f"certified_fraction {share!r} is below --fail-under {fail_under!r}", 1)
    return 0


def _resume_command() -> str:
    """The command that was given, with ``--resume`` for ``--overwrite``."""
    given: list[str] = click.get_current_context().find_root().obj
    kept = [a for a in given if a not in ("--overwrite", "--resume")]
    return shlex.join(["errbound", *kept, "--resume"])
