"""δ against Γ per sample, with the line Γ = 2δ: the observed runs above, what is proved below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from errbound.report.decimals import percent
from errbound.report.figures._canvas import (
    BLUE,
    MANY,
    ORANGE,
    PURPLE,
    VERMILION,
    Column,
    Drawing,
    Row,
    canvas,
    counted,
    empty,
    legend,
    title,
)
from errbound.report.figures._log import Log, diagonal
from errbound.report.run import Run

_HEADER = ("index", "verdict", "margin", "observed_delta", "margin_lower", "proved_delta")
_PANELS = {"observed": slice(2, 4), "proved": slice(4, 6)}
_LOOK = {
    "proved": (BLUE, "o", 3),
    "overflow": (PURPLE, "s", 32),
    "undecided": (ORANGE, "^", 16),
    "refuted": (VERMILION, "X", 18),
}
"""Colour, marker and size (square points) of each verdict; the later lie on top."""


def rows(run: Run) -> list[Row]:
    """One row per sample; NaN for both bounds where there are no classes or no finite input."""
    made: list[Row] = []
    for s in run.each_sample():
        bounds = (s.margin_lower, s.proved_delta)
        if s.verdict not in _LOOK:
            bounds = (math.nan, math.nan)
        made.append((s.index, s.verdict, s.margin, s.observed_delta, *bounds))
    return made


def draw(columns: Sequence[Column]) -> Drawing:
    """Two rows of panels on the same axes."""
    points = [row[part] for c in columns for row in c.rows for part in _PANELS.values()]
    # A point that is not drawn may not decide the range of an axis.
    drawn = [p for p in points if not any(map(math.isnan, p))]
    x = Log((gamma for gamma, _ in drawn), below="≤ 0")
    y = Log(delta for _, delta in drawn)
    figure, grid = canvas(2, len(columns), 4.9, sharex=True, sharey=True)
    said = []
    for number, column in enumerate(columns):
        for axes, (what, part) in zip(grid[:, number], _PANELS.items(), strict=True):
            points = [row[part] for row in column.rows]
            lines = _counts(what, points)
            said.append(", ".join(filter(None, (column.label, *lines))))
            title(axes, column.label if what == "observed" else "", *lines)
            _panel(axes, x, y, column, part)
        grid[1, number].set_xlabel("margin Γ")
    for axes in grid[:, 0]:
        axes.set_ylabel("largest difference δ")
    legend(figure, grid, 3, markerscale=1.4)
    return Drawing(
        "delta-margin",
        "Largest output difference δ against margin Γ, per sample",
        "Scatter plot on logarithmic axes, one point per sample, with the line Γ = 2δ; samples "
        f"below the line satisfy Γ > 2δ. {'; '.join(said)}.",
        _HEADER,
        columns,
        figure,
    )


def _panel(axes: Axes, x: Log, y: Log, column: Column, part: slice) -> None:
    x.show_x(axes)
    y.show_y(axes)
    drawn = False
    for verdict, (colour, marker, size) in _LOOK.items():
        points = [row[part] for row in column.rows if row[1] == verdict]
        points = [p for p in points if not any(map(math.isnan, p))]
        if points:
            drawn = True
            gamma, delta = zip(*points, strict=True)
            axes.scatter(
                x.place(gamma),
                y.place(delta),
                s=size,
                c=colour,
                marker=marker,
                linewidths=0,
                label=verdict,
                rasterized=len(points) > MANY,
                zorder=2 + list(_LOOK).index(verdict),
            )
    if drawn:
        diagonal(axes, x, y, 0.5, "Γ = 2δ")
    else:
        empty(axes, "no sample has a Γ and a δ")


def _counts(what: str, points: Sequence[Row]) -> tuple[str, str]:
    """The share that the line separates, and what is at the border or not drawn."""
    if all(math.isnan(g) for g, _ in points):
        return f"{what}: no Γ", ""
    holds = percent(sum(g > 2 * d for g, d in points), len(points))
    aside = counted(
        {
            "Γ ≤ 0": sum(g <= 0 for g, _ in points),
            "δ = 0": sum(d == 0 for _, d in points),
            "δ = ∞": sum(d == math.inf for _, d in points),
            "not drawn (no δ or no Γ)": sum(math.isnan(g) or math.isnan(d) for g, d in points),
        }
    )
    return f"{what}: Γ > 2δ for {holds}", aside
