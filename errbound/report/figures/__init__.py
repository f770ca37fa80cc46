"""Figures of one run, or of several side by side.

A figure is a module with ``rows(run)``, the numbers, and ``draw(columns)``, which sees nothing
else; so the CSV beside a figure holds what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from errbound.report.figures import margin, nodes, ratio, shadow
from errbound.report.figures._canvas import Column, Drawing, style
from errbound.report.files import disk, write_whole
from errbound.report.run import Run

__all__ = ["Drawing", "draw", "labels", "save"]

_ALWAYS = (margin, ratio, nodes)
_NAME = 28  # characters of a model's name


def draw(runs: Sequence[Run]) -> list[Drawing]:
    """All figures of these runs, one column each, in their order.

    ``shadow`` is among them if a run directory has a ``shadow.csv``.

    Raises:
        InputError: ``shadow.csv`` is damaged.
    """
    figures = [*_ALWAYS, *([shadow] if any(map(shadow.path_of, runs)) else [])]
    names = labels(runs)
    made = []
    with style():
        for figure in figures:
            columns = [Column(n, figure.rows(run)) for n, run in zip(names, runs, strict=True)]
            made.append(figure.draw(columns))
    return made


def save(drawings: Sequence[Drawing], folder: Path) -> Iterator[Path]:
    """Write PDF, PNG and CSV of each; yield the paths.

    Raises:
        InputError: the disk refuses.
    """
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        for name, content in drawing.files():
            write_whole(folder / name, [content])
            yield folder / name


def labels(runs: Sequence[Run]) -> list[str]:
    """Model and format of each run, with whatever else tells them apart."""
    facts = [
        (
            Path(s["model"]["path"] or s["model"]["kind"]).stem,
            s["format"],
            s["arithmetic"]["name"],
            Path(s["data"]["name"]).stem,
        )
        for s in (run.summary for run in runs)
    ]
    told = [k for k in range(4) if k < 2 or len({f[k] for f in facts}) > 1]
    names = [", ".join(_short(f[k]) for k in told) for f in facts]
    if len(set(names)) < len(names):
        return [f"{k}: {name}" for k, name in enumerate(names, 1)]
    return names


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
