"""One sample: how far its class leads the others, and the widths of its intervals through depth.

Of the lead of the winner over a class, z_w - z_j, the middle of its interval is drawn, and half its
width: what some execution may take away. Where the middle is larger, the lead is proved.
"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from errbound.report.figures._canvas import (
    MODELS,
    Column,
    Drawing,
    Row,
    canvas,
    empty,
    legend,
    style,
    title,
)
from errbound.report.figures._log import Log
from errbound.report.figures.nodes import name_nodes, positions
from errbound.verdict import Explanation

_SIDE = {"M32": -0.15, "M16": 0.15}
"""Where a model stands beside its class: the two agree, and both are to be seen."""

_HEADER = ("kind", "model", "position", "name", "lead", "spread", "split_share", "width_max_ulp")


def draw(found: Explanation, label: str) -> Drawing:
    """Above, per class how far the winner leads it in each model; below, widths through depth."""
    rows = [*_classes(found), *_nodes(found)]
    with style():
        figure, grid = canvas(2, 1, 4.4)
        top, bottom = grid[:, 0]
        title(top, label)
        _draw_classes(top, [r for r in rows if r[0] == "class"])
        _draw_nodes(bottom, [r for r in rows if r[0] == "node"])
        legend(figure, grid, 2)
    b = found.batch
    said = f"Verdict {b.verdict[0]}."
    if found.winner >= 0:
        said += (
            f" Class {found.winner} leads class {found.rival}, its closest rival in M16, by at "
            f"least {float(b.pairwise[0]):.3g}."
        )
    return Drawing(
        "explanation",
        "One sample: lead over each class, widths through depth",
        "Above, for each other class, how far the winner leads it and what executions may take "
        f"away, in M32 and M16; below, line plots of interval widths over nodes. {said}",
        _HEADER,
        [Column(label, rows)],
        figure,
    )


def _classes(found: Explanation) -> list[Row]:
    rows: list[Row] = []
    for model, (lo, hi) in found.outputs.items() if found.winner >= 0 else ():
        w = found.winner
        for k in range(len(lo)):
            low, high = lo[w] - hi[k], hi[w] - lo[k]
            if k != w:
                middle, half = (low + high) / 2, (high - low) / 2
                rows.append(("class", model, k, str(k), middle, half, math.nan, math.nan))
    return rows


def _nodes(found: Explanation) -> list[Row]:
    place = positions([(n.model, n.node) for n in found.nodes])
    return [
        (
            *("node", n.model, place[n.node], n.node, math.nan, math.nan),
            *(n.summary.split / n.summary.cells, n.summary.width_max),
        )
        for n in found.nodes
    ]


def _draw_classes(axes: Axes, rows: list[Row]) -> None:
    if not 1 <= len({row[2] for row in rows}) <= 40:
        empty(axes, "no classes to show, or too many")
        return
    sizes = Log(v for row in rows for v in row[4:6])
    for model, (colour, marker) in MODELS.items():
        mine = [row for row in rows if row[1] == model]
        x = [row[2] + _SIDE[model] for row in mine]
        look: dict[str, Any] = {"ls": "none", "marker": marker, "color": colour}
        axes.plot(x, sizes.place(row[4] for row in mine), **look, label=f"{model}: lead")
        hollow = {**look, "markerfacecolor": "white"}
        label = f"{model}: may be lost"
        axes.plot(x, sizes.place(row[5] for row in mine), **hollow, label=label)
    sizes.show_y(axes)
    axes.set_xticks(sorted({row[2] for row in rows}))
    axes.set_xlabel("class")
    axes.set_ylabel("lead of the winner")


def _draw_nodes(axes: Axes, rows: list[Row]) -> None:
    widths = Log(row[7] for row in rows)
    for model, (colour, marker) in MODELS.items():
        mine = [row for row in rows if row[1] == model]
        y = widths.place(row[7] for row in mine)
        axes.plot([row[2] for row in mine], y, color=colour, marker=marker, label=f"{model}: width")
    widths.show_y(axes)
    axes.set_ylabel("largest width (ulp)")
    name_nodes(axes, {row[2]: row[3] for row in rows})
