"""Histogram of proved / observed δ: how much of a bound is more than what happened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from errbound.report.figures._canvas import (
    BLUE,
    ORANGE,
    Column,
    Drawing,
    Row,
    canvas,
    counted,
    empty,
    legend,
    title,
)
from errbound.report.run import Run

_HEADER = ("measure", "what", "low", "high", "samples")
_BINS = 40
_USUAL = 0.98
"""Share of the ratios that the bins divide; those beyond are one bar, or they would be the rest."""
_WIDE = 10.0  # bins that reach further are of equal width on a logarithmic axis
_MEASURES: dict[str, dict[str, Any]] = {
    "every execution of both": {"color": BLUE, "alpha": 0.45},
    "float32 as it ran": {"color": ORANGE, "edgecolor": ORANGE, "fill": False, "hatch": "////"},
}
_DASHES = {"every execution of both": "-", "float32 as it ran": "--"}


def rows(run: Run) -> list[Row]:
    """One row per sample: its δ as observed, as proved, as proved with M32's one run."""
    return [(s.observed_delta, s.proved_delta, s.proved_delta16) for s in run.each_sample()]


def draw(columns: Sequence[Column]) -> Drawing:
    """One panel per run on the same axes; the CSV holds the bars, not the samples."""
    ratios = [_ratios(c.rows) for c in columns]
    edges = _edges([r for both in ratios for one in both.values() for r in one if r < math.inf])
    bars = [
        Column(c.label, [*_aside(c.rows), *_bars(both, edges)])
        for c, both in zip(columns, ratios, strict=True)
    ]
    figure, grid = canvas(1, len(columns), 2.7, sharex=True, sharey=True)
    said = [_panel(axes, column, edges) for axes, column in zip(grid[0], bars, strict=True)]
    grid[0, 0].set_ylabel("samples")
    legend(figure, grid, 2)
    return Drawing(
        "ratio",
        "How many times larger the proved δ is than the observed δ",
        f"Histogram of the ratio of proved to observed δ. {'; '.join(said)}.",
        _HEADER,
        bars,
        figure,
    )


def _ratios(samples: Sequence[Row]) -> dict[str, list[float]]:
    """By measure, where 0 < observed δ < ∞."""
    kept = [s for s in samples if 0.0 < s[0] < math.inf]
    return {name: [s[k] / s[0] for s in kept] for k, name in enumerate(_MEASURES, 1)}


def _edges(ratios: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ends of the bins, from 1: a proved δ is no less than the observed one."""
    usual = float(np.quantile(ratios, _USUAL)) if ratios else 1.0
    space = np.linspace if usual <= _WIDE else np.geomspace
    return np.asarray(space(1.0, max(usual, 1.01), _BINS + 1))


def _aside(samples: Sequence[Row]) -> list[Row]:
    """Rows for the samples that have no ratio."""
    seen = [s[0] for s in samples]
    counts = {
        "observed δ = 0": sum(d == 0.0 for d in seen),
        "observed δ = ∞": sum(d == math.inf for d in seen),
        "no δ": sum(map(math.isnan, seen)),
    }
    return [("", what, "", "", count) for what, count in counts.items() if count]


def _bars(ratios: dict[str, list[float]], edges: npt.NDArray[np.float64]) -> list[Row]:
    """Rows for the bars, the one beyond the bins, and the medians of both measures."""
    made: list[Row] = []
    for name, values in ratios.items():
        inside = [v for v in values if v <= edges[-1]]
        counts, _ = np.histogram(inside, edges)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            made.append((name, "bar", float(low), float(high), int(count)))
        made.append((name, "beyond", float(edges[-1]), math.inf, len(values) - len(inside)))
        if values:
            middle = float(np.median(values))
            made.append((name, "median", middle, middle, len(values)))
    return made


def _round(last: float) -> list[float]:
    """A few round numbers from 1 to ``last``."""
    return [float(t) for t in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(1.0, last)]


def _panel(axes: Axes, column: Column, edges: npt.NDArray[np.float64]) -> str:
    """Draw one run's bars; return them in words."""
    log = edges[-1] > _WIDE
    place = np.log10 if log else np.asarray
    first, last = float(place(edges[0])), float(place(edges[-1]))
    room = (last - first) / 10  # for the bar of what lies beyond
    medians = {}
    for name, look in _MEASURES.items():
        found = [row[1:] for row in column.rows if row[0] == name]
        low, high, counts = (
            np.array(part)
            for part in zip(*(row[1:] for row in found if row[0] == "bar"), strict=True)
        )
        left, right = place(low), place(high)
        axes.bar(left, counts, right - left, align="edge", label=name, **look)
        for what, middle, _, n in found:
            if what == "beyond":
                axes.bar([last + room], [n], room, **look)
            if what == "median":
                medians[name] = middle
                at = float(place(middle)) if middle <= edges[-1] else last + room
                axes.axvline(at, color=look["color"], ls=_DASHES[name], lw=1.2)
    steps = (m * 10.0**k for k in range(309) for m in (1, 2, 5)) if log else _round(edges[-1])
    ticks = [t for t in steps if first <= place(t) <= last - room / 4]
    axes.set_xticks([*map(place, ticks), last + room], [*(f"{t:g}" for t in ticks), "more"])
    axes.set_xlabel("proved δ / observed δ")
    if not medians:
        empty(axes, "no sample has a ratio")
    aside = counted({row[1]: row[4] for row in column.rows if not row[0]})
    values = [f"{m:,.3g}".replace("inf", "∞") for m in medians.values()]
    title(axes, column.label, f"medians {' and '.join(values)}" if values else "", aside)
    words = [f"median {m} for {name}" for m, name in zip(values, medians, strict=True)]
    return ", ".join(filter(None, (column.label, *words, aside)))
