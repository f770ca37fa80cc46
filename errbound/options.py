"""Options that several commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from errbound.errors import InputError

if TYPE_CHECKING:
    from errbound.data import DataSpec

_DATA = "mnist, fashion-mnist, cifar10, a folder of images or a .npz file."
_Command = TypeVar("_Command", bound=Callable[..., Any])


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """Parse "0.1307" or "0.485,0.456,0.406"."""
    try:
        return tuple(float(v) for v in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no number and no list such as 0.485,0.456,0.406"
        ) from None


def radius(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
    """Parse "0.01" or "pixel"; the session says which numbers are radii."""
    try:
        return value if value == "pixel" else float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number and not 'pixel'") from None


def model_options(command: _Command) -> _Command:
    """Add ``--arch`` and ``--trust-pickle``."""
    for option in (
        click.option("--trust-pickle", is_flag=True, help="Let a pickle run the code it holds."),
        click.option(
            "--arch",
            metavar="MODULE:CALLABLE",
            help="Builds the module for a file of weights; also file.py:callable.",
        ),
    ):
        command = option(command)
    return command


def data_options(*, required: bool) -> Callable[[_Command], _Command]:
    """Add ``--data`` and what goes with it.

    The command gets one argument for all of them, ``data``: an ``errbound.data.DataSpec``, or
    ``None`` without ``--data``. ``--download`` is done before the command begins.
    """

    def add(command: _Command) -> _Command:
        @wraps(command)
        def collected(
            *args: Any,
            data: str | None,
            data_dir: str | None,
            split: str | None,
            size: str | None,
            download: str | None,
            **rest: Any,
        ) -> Any:
            if data is None:
                if any((data_dir, split, size, download)):
                    raise InputError(
                        "--data-dir, --split, --size and --download go with --data: give it"
                    )
                return command(*args, data=None, **rest)
            from errbound.data import DataSpec

            spec = DataSpec(data, data_dir, split, size)
            if download is not None:
                _fetch(spec, download)
            return command(*args, data=spec, **rest)

        options = (
            click.option("--download", metavar="URL", help="Fetch missing files into --data-dir."),
            click.option("--size", metavar="H,W", help="Resize the images of a folder."),
            click.option("--split", metavar="NAME", help="test or train.  [test]"),
            click.option("--data-dir", metavar="DIR", help="Where the data set's files are."),
            click.option("--data", required=required, metavar="DATA", help=_DATA),
        )
        for option in options:
            collected = option(collected)
        return cast(_Command, collected)

    return add


def _fetch(spec: DataSpec, url: str) -> None:
    """Fetch what the data set lacks; a bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn

    from errbound.data import fetch

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), DownloadColumn())
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("", total=None)

        def show(name: str, done: int, total: int | None) -> None:
            bar.update(task, description=name, completed=done, total=total)

        fetch(spec.data, url, data_dir=spec.folder, split=spec.split, progress=show)


class LateVersion(click.Option):
    """``--version`` that reads the version only when asked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
            if value and not ctx.resilient_parsing:
                from errbound.version import installed

                click.echo(f"errbound {installed()}")
                ctx.exit()

        kwargs.update(is_flag=True, expose_value=False, is_eager=True, callback=show)
        super().__init__(*args, **kwargs)
