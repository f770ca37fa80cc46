"""What several commands share: printing, opening models and data."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from errbound.errors import ErrboundError, InputError

if TYPE_CHECKING:
    from errbound.program.load import LoadedModel
    from errbound.session import Source

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


def source(path: str, arch: str | None, trust_pickle: bool) -> Source:
    from errbound.session import Source

    loaded = load(path, arch, trust_pickle)
    return Source(loaded.content, loaded.kind, path, loaded.sha256, loaded.notes, arch)


def rows(fmt: str, arithmetic: str | None, device: str | None) -> tuple[Any, Any]:
    """The rows that the options name; the device alone names its arithmetic."""
    from errbound.arithmetic import ARITHMETICS, arithmetic_named
    from errbound.number import format_named

    try:
        if arithmetic is None:
            arithmetic = next(a.name for a in ARITHMETICS if a.device == (device or "cpu"))
        execution = arithmetic_named(arithmetic)
        if device not in (None, execution.device):
            raise InputError(f"{execution.name} runs on {execution.device}: leave --device out")
        if execution.device == "cuda" and (problem := execution.broken()):
            raise InputError(f"--device cuda: {problem}; use --device cpu")
        return format_named(fmt), execution
    except KeyError as error:
        raise InputError(str(error.args[0])) from None
