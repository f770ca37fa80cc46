"""What several commands share: printing, opening models and data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from errbound.errors import ErrboundError, InputError

if TYPE_CHECKING:
    from errbound.data import Dataset
    from errbound.program.load import LoadedModel

INTERRUPTED = 130


class Interrupted(ErrboundError):
    """The user or the system asked to stop (SIGINT, SIGTERM)."""

    status = INTERRUPTED


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


def load(path: str, arch: str | None, trust_pickle: bool) -> LoadedModel:
    from errbound.program.load import load_model

    return load_model(path, arch=arch, trust_pickle=trust_pickle)


def content(loaded: LoadedModel) -> Any:
    return loaded.exported if loaded.module is None else loaded.module


def open_data(spec: str, folder: str | None) -> Dataset:
    from errbound.data import open_dataset

    return open_dataset(spec, data_dir=None if folder is None else Path(folder).expanduser())


def rows(fmt: str, arithmetic: str) -> tuple[Any, Any]:
    from errbound.arithmetic import arithmetic_named
    from errbound.number import format_named

    try:
        return format_named(fmt), arithmetic_named(arithmetic)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None
