"""Options that several commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """Parse "0.1307" or "0.485,0.456,0.406"."""
    try:
        return tuple(float(v) for v in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no number and no list such as 0.485,0.456,0.406"
        ) from None


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
    """Add ``--data`` and ``--data-dir``."""

    def add(command: _Command) -> _Command:
        where = click.option("--data-dir", metavar="DIR", help="Where the data set's files are.")
        which = click.option(
            "--data", required=required, metavar="DATA", help="mnist, cifar10 or a .npz file."
        )
        return which(where(command))

    return add


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
