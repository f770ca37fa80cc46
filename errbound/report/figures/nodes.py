"""Through the depth of the network: the share of values that are not determined, and widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from errbound.report.figures._canvas import MODELS, Column, Drawing, Row, canvas, legend, title
from errbound.report.figures._log import Log
from errbound.report.run import Run

_HEADER = (
    "model",
    "position",
    "node",
    "operator",
    "where",
    "values",
    "split_share",
    "width_mean",
    "width_max",
)
_LABELS = 14
"""More nodes than this are numbered: their names would not fit."""


def rows(run: Run) -> list[Row]:
    """One row per model and node that rounds; equal names share a position."""
    found = [n for n in run.nodes if n.cells]
    place = positions([(n.model, n.node) for n in found])
    return [
        (
            n.model,
            place[n.node],
            n.node,
            n.operator,
            n.where,
            n.cells,
            n.split_share,
            n.width_mean,
            n.width_max,
        )
        for n in found
    ]


def positions(nodes: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Where each name of (model, name), in program order, stands on a common axis, from 1."""
    depth: dict[str, int] = {}
    for model in dict(nodes):
        for k, name in enumerate(n for m, n in nodes if m == model):
            depth[name] = max(k, depth.get(name, 0))
    return {name: k for k, name in enumerate(sorted(depth, key=depth.__getitem__), 1)}


def name_nodes(axes: Axes, names: dict[int, str]) -> None:
    """Write names of nodes under the axis, or their numbers where there are many."""
    axes.set_xlim(0.5, max(names, default=1) + 0.5)
    if len(names) <= _LABELS:
        axes.set_xticks(list(names), list(names.values()), rotation=40, ha="right")
        axes.tick_params(axis="x", pad=1)
        axes.set_xlabel("node, in program order")
    else:
        axes.set_xlabel("number of the node, in program order")


def draw(columns: Sequence[Column]) -> Drawing:
    """Two rows of panels, share above and width below; axes of nodes are each run's own."""
    widths = Log(width for c in columns for row in c.rows for width in row[7:9])
    figure, grid = canvas(2, len(columns), 4.6, sharey="row", sharex="col")
    said = []
    for number, column in enumerate(columns):
        top, bottom = grid[:, number]
        title(top, column.label)
        top.set_ylim(-0.03, 1.03)
        widths.show_y(bottom)
        for model in MODELS:
            found = [row for row in column.rows if row[0] == model]
            _lines(top, bottom, model, found, widths)
            if found:
                last = found[-1]
                said.append(
                    f"{column.label}, {model}: {100 * last[6]:.3g} % split at the last node "
                    f"({last[2]}), mean width {last[7]:.3g} ulp, largest {last[8]:.3g} ulp"
                )
        name_nodes(bottom, {row[1]: row[2] for row in column.rows})
    grid[0, 0].set_ylabel("share of split cells")
    grid[1, 0].set_ylabel("width, mean and largest (ulp)")
    legend(figure, grid, 2)
    return Drawing(
        "nodes",
        "Share of split cells, and their width, through depth",
        "Line plots over the nodes that round, in program order: above, the share of values that "
        f"are not one number in every execution; below, their widths. {'; '.join(said)}.",
        _HEADER,
        columns,
        figure,
    )


def _lines(top: Axes, bottom: Axes, model: str, found: Sequence[Row], widths: Log) -> None:
    colour, marker = MODELS[model]
    x = [row[1] for row in found]
    look: dict[str, Any] = {"color": colour, "marker": marker}
    top.plot(x, [row[6] for row in found], **look, label=model)
    bottom.plot(x, widths.place(row[7] for row in found), **look, label=model)
    largest = widths.place(row[8] for row in found)
    hollow = {**look, "markerfacecolor": "white", "ls": ":"}
    bottom.plot(x, largest, **hollow, label=f"{model}, largest")
