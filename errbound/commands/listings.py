"""``errbound ops``, ``errbound formats``, ``errbound arithmetics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from errbound.commands._common import load, say
from errbound.options import data_options, model_options

if TYPE_CHECKING:
    from errbound.data import DataSpec


@click.command()
@click.option(
    "--for", "model", metavar="MODEL", help="List this model's operators, or what it lacks."
)
@model_options
@data_options(required=False)
def ops(model: str | None, arch: str | None, trust_pickle: bool, data: DataSpec | None) -> int:
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
    loaded = load(model, arch, trust_pickle)
    shape = None if data is None else tuple(data.open().inputs.shape[1:])
    say(operators_of(loaded.content, shape))
    return 0


@click.command()
def formats() -> int:
    """List the formats."""
    from errbound.report.listings import formats

    say(formats())
    return 0


@click.command()
def arithmetics() -> int:
    """List the arithmetics and what they assume."""
    from errbound.report.listings import arithmetics

    say(arithmetics())
    return 0
