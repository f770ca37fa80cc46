"""A run: its result as an object, and its directory.

A run directory holds ``journal.jsonl`` (from which alone the rest is made), ``summary.json``,
``samples.csv`` and ``nodes.csv``; after an escape also ``escape.json`` and ``escape.npz``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from errbound.errors import InputError
from errbound.report.facts import difference
from errbound.report.files import disk, write_whole
from errbound.report.journal import Journal, Record, Records, lock
from errbound.report.summary import summary_of
from errbound.report.tables import NodeRow, Sample, nodes, nodes_csv, samples, samples_csv

JOURNAL = "journal.jsonl"
RESULTS = ("nodes.csv", "samples.csv", "shadow.csv", "summary.json")
ESCAPE = ("escape.json", "escape.npz")
DERIVED = ("report.html", "figures/*.[pc][dns][fgv]", "explain-*/explanation.[pc][dns][fgv]")
"""What other commands make of a run (pdf, png, csv), by pattern: stale once it is replaced."""


@dataclass(frozen=True, eq=False)
class Run:
    """The result of certifying a model on some inputs.

    Attributes:
        summary: the content of summary.json (``errbound.report.summary.schema()`` describes it).
        path: the run directory, or None.
    """

    summary: dict[str, Any]
    path: Path | None
    _records: Records = field(repr=False)

    @property
    def header(self) -> Record:
        """Facts, nodes and number of batches, as the journal begins with them."""
        return self._records.header

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of samples by verdict."""
        return dict(self.summary["verdicts"])

    @property
    def certified_fraction(self) -> float | None:
        """Share of all samples with the verdict "proved"; None if the output has no classes."""
        share: float | None = self.summary["certified_fraction"]
        return share

    def each_sample(self) -> Iterator[Sample]:
        """The samples in order, read one batch at a time."""
        return samples(self._records)

    @cached_property
    def samples(self) -> list[Sample]:
        """One entry per sample, in order."""
        return list(self.each_sample())

    @cached_property
    def nodes(self) -> list[NodeRow]:
        """One entry per model and node, in program order."""
        return nodes(self._records)

    def __len__(self) -> int:
        return int(self.summary["samples"])


def finished(records: Records, path: Path | None = None) -> Run:
    """The result of complete records."""
    return Run(summary_of(records), path, records)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a finished run from its directory; numbers are exact, as they were computed.

    Raises:
        InputError: there is no run, or it was interrupted and needs ``--resume``.
    """
    folder = Path(path)
    if not (folder / JOURNAL).is_file():
        raise InputError(f"{folder}: holds no run ({JOURNAL} is missing)")
    journal = Journal(folder / JOURNAL)
    done, whole = sum(1 for _ in journal), journal.header["batches"]
    if done < whole:
        raise InputError(
            f"{folder}: the run was interrupted after {done} of {whole} batches: "
            "repeat its command with --resume"
        )
    return finished(journal, folder)


def open_directory(folder: Path, header: Record, *, resume: bool, overwrite: bool) -> Journal:
    """Start or continue the run in ``folder``; nothing that is not a run's is ever touched.

    Raises:
        InputError: there is a run and neither flag; there are other files; the run to resume is
            another one; the disk refuses.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other")
    place = folder / JOURNAL
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = {p.name for p in folder.iterdir()}
    if JOURNAL not in held:
        if held - {f".{JOURNAL}.tmp"}:
            raise InputError(f"{folder}: holds other files, not a run: choose another --out")
        return Journal.create(place, header)
    if resume:
        journal = Journal(place)
        what = difference(journal.header["facts"], header["facts"])
        if what:
            raise InputError(
                f"{folder}: the run to resume differs: {what}; use --overwrite or another --out"
            )
        return journal
    if not overwrite:
        raise InputError(
            f"{folder}: exists; --resume continues it, --overwrite starts again, --out names "
            "another directory"
        )
    with disk(folder), open(place, "rb") as file:
        lock(file, place)
        for name in (*RESULTS, *ESCAPE):
            (folder / name).unlink(missing_ok=True)
        for stale in (path for pattern in DERIVED for path in folder.glob(pattern)):
            stale.unlink()
    return Journal.create(place, header)


def write_results(folder: Path, run: Run, records: Records) -> None:
    """Write the three files of a finished run, each whole or not at all.

    Raises:
        InputError: the disk refuses.
    """
    write_whole(folder / "nodes.csv", nodes_csv(records))
    write_whole(folder / "samples.csv", samples_csv(records))
    write_whole(folder / "summary.json", _json(run.summary))


def _json(value: Record) -> Iterator[bytes]:
    yield json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
