"""The tables of the page: samples as compact JSON, nodes as text with numbers to sort by."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

from PIL import Image as Pillow

from errbound.report.decimals import lower, upper
from errbound.report.inputs import Image, Images
from errbound.report.run import Run
from errbound.report.tables import Sample

IMAGES = 200
"""So many samples at the head of the table are shown with their input."""
_SIDE = 64  # pixels of an image's longer side: larger ones are reduced
_DIGITS = 4
_ORDER = ("refuted", "undecided", "overflow", "domain", "proved", "no classes")

Number = Callable[[float], str]


def _fact(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.{_DIGITS}g}"


def _above(x: float) -> str:
    return upper(x, _DIGITS)


def _below(x: float) -> str:
    return lower(x, _DIGITS)


_SAMPLES: dict[str, tuple[str, Number | None, str]] = {
    "index": ("sample", None, "its index in the data"),
    "label": ("label", None, "its class in the data"),
    "prediction_m32": ("float32", None, "class of the 32-bit run that was made"),
    "prediction_m16": ("{format}", None, "class of the 16-bit run that was made"),
    "verdict": ("verdict", None, "as in the first table"),
    "pairwise_lower": (
        "lead ≥",
        _below,
        "in every 16-bit execution, the winner of all 32-bit executions leads by this or more",
    ),
    "margin": ("margin", _fact, "largest minus second largest output of the 32-bit run"),
    "margin_lower": ("Γ ≥", _below, "that margin in every 32-bit execution is this or more"),
    "observed_delta": (
        "observed δ",
        _fact,
        "largest difference between the outputs of the two runs",
    ),
    "proved_delta": ("δ ≤", _above, "that difference in every pair of executions is this or less"),
    "stage": (
        "decided by",
        None,
        "the input, the runs, or a stage of the analysis of all executions; the table of stages "
        "says what each does",
    ),
    "overflow": ("overflow", None, "what is known of values beyond the range of a format"),
    "overflow_node": ("at", None, "the first node that may overflow"),
}
"""Heading, how a number is written, meaning; by attribute of Sample, in the order of columns."""

_NODES: dict[str, tuple[str, Number | None]] = {
    "model": ("model", None),
    "node": ("node", None),
    "operator": ("operator", None),
    "where": ("module", None),
    "cells": ("values", None),
    "split_share": ("split share", _above),
    "width_mean": ("mean width (ulp)", _above),
    "width_max": ("largest width (ulp)", _above),
    "low": ("smallest", _below),
    "high": ("largest", _above),
    "headroom": ("headroom", _below),
}


def sample_table(run: Run, images: Images) -> dict[str, Any]:
    """What the page's script needs: headings, rows in the default order, levels, pictures.

    Cells are numbers, None, the words "inf" and "-inf", or, in a column of text, the position in
    its ``levels``.
    """
    ordered = sorted(run.samples, key=_rank)
    levels: dict[str, dict[str, int]] = {}
    rows = []
    for sample in ordered:
        row: list[Any] = []
        for name, (_, write, _) in _SAMPLES.items():
            value = getattr(sample, name)
            if isinstance(value, str):
                known = levels.setdefault(name, {})
                value = known.setdefault(value, len(known))
            elif write is not None:
                value = _json(write(value))
            elif name != "index" and value < 0:
                value = None
            row.append(value)
        rows.append(row)
    pictures = [_picture(images(sample.index)) for sample in ordered[:IMAGES]]
    return {
        "columns": [
            {"name": name, "title": title.format(**run.summary), "meaning": meaning}
            for name, (title, _, meaning) in _SAMPLES.items()
        ],
        "rows": rows,
        "levels": {name: list(known) for name, known in levels.items()},
        "images": pictures if any(pictures) else [],
        "classes": {
            name: sorted({v for s in ordered if (v := getattr(s, name)) >= 0})
            for name in ("label", "prediction_m32", "prediction_m16")
        },
    }


def node_table(run: Run) -> dict[str, Any]:
    """Headings, and rows of (text, number to sort by or "")."""
    rows = []
    for node in run.nodes:
        cells = []
        for name, (_, write) in _NODES.items():
            value = getattr(node, name)
            text = f"{value:,}" if isinstance(value, int) else value if write is None else ""
            if write is not None:
                text = write(value)
            number = "" if isinstance(value, str) or math.isnan(value) else repr(value)
            cells.append((text.replace("inf", "∞") if write else text, number))
        rows.append(cells)
    return {"columns": [title for title, _ in _NODES.values()], "rows": rows}


def _rank(sample: Sample) -> tuple[int, float, int]:
    """Refuted, undecided, overflow, domain; then what was proved most narrowly."""
    return _ORDER.index(sample.verdict), sample.pairwise_lower, sample.index


def _json(text: str) -> float | str | None:
    """A decimal as JSON has it: there is no infinity and no NaN."""
    if not text:
        return None
    return text if text.endswith("inf") else float(text)


def _picture(image: Image | None) -> str:
    """A PNG file in base64, or ""."""
    if image is None:
        return ""
    buffer = io.BytesIO()
    picture = Pillow.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE))
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
