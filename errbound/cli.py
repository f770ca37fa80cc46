"""The command line. Torch and the rest of errbound are imported when a command runs.

Exit status: 0 done; 1 ``--fail-under`` not met; 2 a usage or input error; 3 an observed value
outside its enclosure; 4 an internal error; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from errbound.errors import ErrboundError, InputError
from errbound.options import LateVersion, data_options, model_options, numbers

if TYPE_CHECKING:
    from errbound.data import Dataset
    from errbound.program.load import LoadedModel

INTERRUPTED = 130


class Interrupted(ErrboundError):
    """The user or the system asked to stop (SIGINT, SIGTERM)."""

    status = INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--version", cls=LateVersion, help="Show the version and exit.")
def cli() -> None:
    """Certify, per sample, that a 16-bit network answers as its 32-bit original.

    \b
    Examples:
      errbound certify model.pt --data mnist
      errbound certify weights.pth --arch nets.py:Net --data cifar10
      errbound export weights.pth --arch nets.py:Net --data mnist -o model.pt
      errbound ops --for model.pt
    """


@cli.command()
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
    row, execution = _rows(fmt, arithmetic)
    loaded, samples = _load(model, arch, trust_pickle), _open(data, data_dir)
    session = Session(
        Source(_content(loaded), loaded.kind, model, loaded.sha256, loaded.notes),
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


@cli.command()
@click.argument("weights", metavar="WEIGHTS")
@model_options
@data_options(required=True)
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The archive.")
@click.option("--overwrite", is_flag=True, help="Replace the archive if it exists.")
def export(
    weights: str,
    arch: str | None,
    trust_pickle: bool,
    data: str,
    data_dir: str | None,
    target: str,
    overwrite: bool,
) -> int:
    """Write WEIGHTS as a torch.export archive; the data give the shape.

    \b
    Example:
      errbound export weights.pth --arch mypkg.models:LeNet --data mnist \\
          -o model.pt
    """
    import torch

    from errbound import api

    loaded = _load(weights, arch, trust_pickle)
    if loaded.module is None:
        raise InputError(f"{weights}: is a torch.export archive already")
    if Path(target).exists() and not overwrite:
        raise InputError(f"{target}: exists; --overwrite replaces it")
    shape = _open(data, data_dir).inputs.shape[1:]
    api.export(loaded.module, torch.zeros(2, *shape), target)
    say(f"wrote {target}; certify it with: errbound certify {target} --data {data}")
    return 0


@cli.command()
@click.option(
    "--for", "model", metavar="MODEL", help="List this model's operators, or what it lacks."
)
@model_options
@data_options(required=False)
def ops(
    model: str | None, arch: str | None, trust_pickle: bool, data: str | None, data_dir: str | None
) -> int:
    """List the operators that have a record, or those of a model.

    A module (weights with --arch) needs --data besides, for the shape of an input.

    \b
    Examples:
      errbound ops
      errbound ops --for model.pt
    """
    from errbound.report.listings import operators, operators_of

    if model is None:
        say(operators())
        return 0
    loaded = _load(model, arch, trust_pickle)
    shape = None if data is None else tuple(_open(data, data_dir).inputs.shape[1:])
    say(operators_of(_content(loaded), shape))
    return 0


@cli.command()
def formats() -> int:
    """List the formats."""
    from errbound.report.listings import formats

    say(formats())
    return 0


@cli.command()
def arithmetics() -> int:
    """List the arithmetics and what they assume."""
    from errbound.report.listings import arithmetics

    say(arithmetics())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status. Errors are one line on standard error."""
    args = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    before = signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return int(cli.main(args, prog_name="errbound", standalone_mode=False, obj=args) or 0)
    except click.Abort:
        return complain("interrupted", INTERRUPTED)
    except click.ClickException as error:
        return complain(f"error: {error.format_message()}", InputError.status)
    except Interrupted as error:
        return complain(str(error), error.status)
    except ErrboundError as error:
        return complain(f"error: {error}", error.status)
    except Exception as error:
        return complain(_internal(error), ErrboundError.status)
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """Print to standard output; quietly stop printing when nobody reads it."""
    try:
        click.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str, status: int) -> int:
    """Print one line to standard error; return the exit status."""
    click.echo(" ".join(text.splitlines()), err=True)
    return status


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _internal(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="errbound-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return (
        f"internal error: {type(error).__name__}: {error} - please report it with the traceback "
        f"in {file.name}"
    )


def _resume_command() -> str:
    """The command that was given, with ``--resume`` for ``--overwrite``."""
    given: list[str] = click.get_current_context().find_root().obj
    kept = [a for a in given if a not in ("--overwrite", "--resume")]
    return shlex.join(["errbound", *kept, "--resume"])


def _load(path: str, arch: str | None, trust_pickle: bool) -> LoadedModel:
    from errbound.program.load import load_model

    return load_model(path, arch=arch, trust_pickle=trust_pickle)


def _content(loaded: LoadedModel) -> Any:
    return loaded.exported if loaded.module is None else loaded.module


def _open(spec: str, folder: str | None) -> Dataset:
    from errbound.data import open_dataset

    return open_dataset(spec, data_dir=None if folder is None else Path(folder).expanduser())


def _rows(fmt: str, arithmetic: str) -> tuple[Any, Any]:
    from errbound.arithmetic import arithmetic_named
    from errbound.number import format_named

    try:
        return format_named(fmt), arithmetic_named(arithmetic)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None
