"""``errbound export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from errbound.commands._common import load, say
from errbound.errors import InputError
from errbound.options import data_options, model_options

if TYPE_CHECKING:
    from errbound.data import DataSpec


@click.command()
@click.argument("weights", metavar="WEIGHTS")
@model_options
@data_options(required=True)
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The archive.")
@click.option("--overwrite", is_flag=True, help="Replace the archive if it exists.")
def export(
    weights: str,
    arch: str | None,
    trust_pickle: bool,
    data: DataSpec,
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

    loaded = load(weights, arch, trust_pickle)
    if loaded.module is None:
        raise InputError(f"{weights}: is a torch.export archive already")
    if Path(target).exists() and not overwrite:
        raise InputError(f"{target}: exists; --overwrite replaces it")
    shape = data.open().inputs.shape[1:]
    api.export(loaded.module, torch.zeros(2, *shape), target)
    say(f"wrote {target}; certify it with: errbound certify {target} {data}")
    return 0
