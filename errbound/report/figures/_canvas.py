"""Style, layout and files of a figure: PDF, PNG and the numbers drawn as CSV.

Text coordinates are points, lengths inches. Nothing here depends on pyplot, on the user's
matplotlib settings or on the time: the same numbers give the same bytes.
"""

from __future__ import annotations

import csv
import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN = 3.4
"""Width of a column of print (8.6 cm); each run gets one."""
MANY = 1000
"""Scatter plots of more points are pixels inside the PDF, at 300 dots per inch."""

ORANGE, GREEN, BLUE = "#E69F00", "#009E73", "#0072B2"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#595959"
"""Okabe and Ito's palette, told apart by people with any colour vision; grey for what is aside."""

MODELS = {"M32": (BLUE, "o"), "M16": (VERMILION, "s")}
"""Colour and marker of each model."""

_STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.dpi": 300,
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    # Names of models and nodes are shown as they are; "$" starts no formula.
    "text.parse_math": False,
}
_UNDATED: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}

_CHARACTERS = 52  # of a title above one panel

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """One run in a figure: its label and the rows that are drawn."""

    label: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Drawing:
    """A finished figure; its layout is final, so that each of its files is the same each time.

    Attributes:
        name: of its files, without suffix.
        title: what it is; ``alt``: what it shows, in words and numbers.
        header: of the CSV, whose first column is the run's label; ``columns``: its rows.
        figure: as matplotlib holds it.
    """

    name: str
    title: str
    alt: str
    header: tuple[str, ...]
    columns: Sequence[Column]
    figure: Figure

    def __post_init__(self) -> None:
        with style():
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(file name, content) of the PDF, the PNG and the CSV."""
        for suffix in ("pdf", "png"):
            yield f"{self.name}.{suffix}", self.image(suffix)
        yield f"{self.name}.csv", self.table()

    def image(self, suffix: str) -> bytes:
        """The content of a "pdf" or "png" file."""
        buffer = io.BytesIO()
        with style():
            self.figure.savefig(buffer, format=suffix, metadata=_UNDATED[suffix])
        return buffer.getvalue()

    def table(self) -> bytes:
        """The content of the CSV file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("run", *self.header))
        for column in self.columns:
            writer.writerows((column.label, *row) for row in column.rows)
        return text.getvalue().encode()


@contextmanager
def style() -> Iterator[None]:
    """The settings under which figures are made and saved; the user's are restored."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def canvas(rows: int, columns: int, height: float, **share: Any) -> tuple[Figure, Any]:
    """A figure of one column of panels per run, and its axes, shape (rows, columns)."""
    figure = Figure(figsize=(COLUMN * columns, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def empty(axes: Axes, why: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY)


def legend(figure: Figure, panels: npt.NDArray[Any], columns: int, **look: Any) -> None:
    """One legend below all panels, each entry once."""
    found: dict[str, Any] = {}
    for axes in panels.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        look = {"loc": "outside lower center", "ncols": columns, "columnspacing": 1.2, **look}
        figure.legend(found.values(), found.keys(), **look)


def counted(counts: dict[str, int]) -> str:
    """Say "δ = ∞: 3, not drawn: 1": what is not zero."""
    return ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count)


def title(axes: Axes, *lines: str) -> None:
    """Set a panel's title: lines of which the empty are left out and the long wrapped."""
    axes.set_title("\n".join(part for line in lines for part in textwrap.wrap(line, _CHARACTERS)))
