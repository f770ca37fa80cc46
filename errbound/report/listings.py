"""Listings generated from the records: operators, formats, arithmetics."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.export import ExportedProgram

from errbound.arithmetic import ARITHMETICS
from errbound.errors import InputError
from errbound.number import FORMATS
from errbound.ops import OPS
from errbound.program import freeze, trace, unknown_operators

WIDTH = 100


def operators() -> str:
    """All operators that have a record."""
    grid = _grid("operator", "exact meaning", "where it rounds", "why its enclosure holds")
    for op in sorted(OPS, key=lambda op: op.name):
        grid.add_row(op.name, op.meaning, op.rounds, op.lemma)
    return _text(grid)


def operators_of(model: nn.Module | ExportedProgram, shape: tuple[int, ...] | None) -> str:
    """The operators of a model with the modules that call them, or those that have no record.

    Args:
        model: a module in evaluation mode, or an exported program.
        shape: of one sample; needed for a module.
    """
    if isinstance(model, nn.Module):
        if shape is None:
            raise InputError("a module is traced on an input: add --data for its shape")
        model = trace(model, torch.zeros(2, *shape))
    missing = unknown_operators(model)
    if missing:
        grid = _grid("no record", "called in")
        for target, place in missing.items():
            grid.add_row(target, place)
        return _text(grid) + "\n\nCONTRIBUTING.md says how to add an operator."
    grid = _grid("operator", "called in", "where it rounds")
    for node in freeze(model).nodes:
        grid.add_row(node.op.name, node.where.split(", ")[0], node.op.rounds)
    return _text(grid) + "\n\nEvery operator has a record."


def formats() -> str:
    """All formats."""
    grid = _grid("format", "IEEE 754", "precision", "emin", "emax", "largest", "smallest")
    for column in grid.columns[2:]:
        column.justify = "right"
    for f in FORMATS:
        row = (f.precision, f.emin, f.emax, f"{f.max_finite:.6g}", f"{2 * f.eta:.6g}")
        grid.add_row(f.name, f.alias, *map(str, row))
    return _text(grid)


def arithmetics() -> str:
    """All arithmetics with their assumptions."""
    return "\n\n".join(
        "\n".join([f"{a.name}: {a.summary}", *(_item(line) for line in a.assumptions)])
        for a in ARITHMETICS
    )


def _item(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
    )


def _grid(*columns: str) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        grid.add_column(name, overflow="fold")
    return grid


def _text(content: Any) -> str:
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    console.print(content)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())
