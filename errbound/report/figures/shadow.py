"""Analytic against empirical error through depth, from a run's ``shadow.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from errbound.errors import InputError
from errbound.report.figures._canvas import (
    MODELS,
    Column,
    Drawing,
    Row,
    canvas,
    counted,
    legend,
    title,
)
from errbound.report.figures._log import Log
from errbound.report.figures.nodes import name_nodes
from errbound.report.files import disk
from errbound.report.run import Run
from errbound.report.shadows import SHADOW, SHADOW_COLUMNS

_HEADER = (
    "model",
    "position",
    "node",
    "operator",
    "where",
    "samples",
    "error_median",
    "error_max",
    "bound_median",
    "bound_max",
    "ratio_median",
    "ratio_samples",
)


_MARKS = (("observed", 6, None, "-", "^"), ("bound", 8, "white", "--", "v"))
"""What, first column, inside of its marks, line of the median, mark of the largest."""


def path_of(run: Run) -> Path | None:
    """The run's shadow.csv, if it has one."""
    place = None if run.path is None else run.path / SHADOW
    return place if place is not None and place.is_file() else None


def rows(run: Run) -> list[Row]:
    """One row per model and node: median and maximum over the samples.

    The ratio bound / error has a median over the samples whose error is neither 0 nor infinite.

    Raises:
        InputError: the file cannot be read or is no such table.
    """
    place = path_of(run)
    if place is None:
        return []
    nodes: dict[tuple[str, ...], list[list[float]]] = {}
    with disk(place, "read"), open(place, encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines, ())) != SHADOW_COLUMNS:
            raise InputError(
                f"{place}: the header is not {','.join(SHADOW_COLUMNS)}: write it again"
            )
        for line in lines:
            try:
                numbers = [float(cell) for cell in line[4:]]
                nodes.setdefault((line[1], line[2], line[3]), []).append(numbers)
                if len(line) != len(SHADOW_COLUMNS):
                    raise ValueError
            except (ValueError, IndexError):
                raise InputError(
                    f"{place}, line {lines.line_num}: is no row of {len(SHADOW_COLUMNS)} cells: "
                    "write it again"
                ) from None
    made: list[Row] = []
    for k, model in enumerate(("M16", "M32")):
        for position, (node, found) in enumerate(nodes.items(), 1):
            values = np.array(found)[:, [k, k + 2]]
            values = values[~np.isnan(values).any(axis=1)]
            if len(values):  # M16 may lack the node
                made.append((model, position, *node, *_measures(values)))
    return made


def _measures(values: Any) -> Row:
    """Of errors and bounds, shape (samples, 2)."""
    error, bound = values.T
    fair = (error > 0) & (error < np.inf)
    ratio = bound[fair] / error[fair]
    middle = float(np.median(ratio)) if ratio.size else float("nan")
    spread = [float(f(v)) for v in (error, bound) for f in (np.median, np.max)]
    return (len(error), *spread, middle, len(ratio))


def draw(columns: Sequence[Column]) -> Drawing:
    """Three rows of panels: M16's errors, M32's errors, bound / error."""
    sizes = Log(v for c in columns for row in c.rows for v in row[6:10])
    ratios = Log(row[10] for c in columns for row in c.rows)
    figure, grid = canvas(3, len(columns), 6.4, sharey="row", sharex="col")
    said = []
    for number, column in enumerate(columns):
        *panels, bottom = grid[:, number]
        for axes, model in zip(panels, ("M16", "M32"), strict=True):
            found = [row for row in column.rows if row[0] == model]
            name = f"{model}: distance from the exact value"
            title(axes, column.label if model == "M16" else "", name)
            sizes.show_y(axes)
            _errors(axes, model, found, sizes)
            _ratio(bottom, model, found, ratios)
            if found:
                last = found[-1]
                said.append(
                    f"{column.label}, {model} at the last node ({last[2]}): median error "
                    f"{last[6]:.3g}, median bound {last[8]:.3g}, median ratio {last[10]:.3g}"
                )
        ratios.show_y(bottom)
        without = sum(row[5] - row[11] for row in column.rows)
        title(
            bottom, "bound / error, median", counted({"errors of 0 or ∞, without a ratio": without})
        )
        name_nodes(bottom, {row[1]: row[2] for row in column.rows})
    for axes, text in zip(grid[:, 0], ("error", "error", "ratio"), strict=True):
        axes.set_ylabel(text)
    legend(figure, grid, 2)
    return Drawing(
        "shadow",
        "Analytic bound against empirical error through depth",
        "Line plots over the nodes, in program order: the error of the runs that were made and the "
        f"largest error that the enclosure allows; below, their ratio. {'; '.join(said)}.",
        _HEADER,
        columns,
        figure,
    )


def _errors(axes: Axes, model: str, found: Sequence[Row], sizes: Log) -> None:
    colour, marker = MODELS[model]
    x = [row[1] for row in found]
    named = model == "M16"  # each panel has one model: the legend needs the marks once
    for what, first, face, line, top in _MARKS:
        middle = sizes.place(row[first] for row in found)
        largest = sizes.place(row[first + 1] for row in found)
        look: dict[str, Any] = {"color": colour, "markerfacecolor": face or colour}
        median, most = (f"{what}, {k}" if named else None for k in ("median", "largest"))
        axes.plot(x, middle, marker=marker, ls=line, **look, label=median)
        axes.plot(x, largest, marker=top, ls="none", **look, label=most)


def _ratio(axes: Axes, model: str, found: Sequence[Row], ratios: Log) -> None:
    colour, marker = MODELS[model]
    axes.plot(
        [row[1] for row in found],
        ratios.place(row[10] for row in found),
        color=colour,
        marker=marker,
        label=f"{model}: bound / error",
    )
