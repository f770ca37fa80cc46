"""A session: one model on one data set, batch by batch, into records that survive a kill."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import Tensor, nn
from torch.export import ExportedProgram

from errbound.analysis import Shadow, reals
from errbound.arithmetic import Arithmetic, with_tree_height
from errbound.data import Dataset, DataSpec, Preprocess
from errbound.errors import ContainmentError, InputError
from errbound.number import Format
from errbound.report.facts import machine, versions
from errbound.report.files import write_whole
from errbound.report.journal import Memory, Record, Records
from errbound.report.run import ESCAPE, Run, finished, open_directory, write_results
from errbound.report.shadows import SHADOW, shadow_csv
from errbound.report.tables import keep, listed
from errbound.verdict import EFFORTS, Batch, Certifier, Pair, Shadowed, Shadower, Ties, pair_of

Progress = Callable[[int, int], None]
"""Told (samples done, samples in all): once at the start and after each batch."""

BATCH = {"fast": 256, "normal": 256, "max": 32}
"""Samples per batch where nothing else is asked for, by effort: a killed run loses one batch."""

PIXEL = 0.5 / 255
"""Half a step of 8-bit pixels that were divided by 255: what ``radius="pixel"`` means."""


def radius_of(given: float | str) -> float:
    """The radius that "pixel" or a number says.

    Raises ``InputError`` unless it is 0 or more and finite.
    """
    try:
        radius = PIXEL if given == "pixel" else float(given)
    except ValueError:
        radius = math.nan
    if not 0.0 <= radius < math.inf:
        raise InputError(f"a radius of {given}: choose 'pixel' or a number, 0 or more")
    return radius


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        model: the model; only read.
        kind: "module", "exported", "state_dict" or "pickle".
        path: its file, or None; ``sha256``: digest of the file's bytes.
        notes: what loading it did.
        arch: what built the module for a file of weights.
    """

    model: nn.Module | ExportedProgram
    kind: str
    path: str | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    arch: str | None = None

    def facts(self) -> Record:
        """What a run records of it, so that it can be loaded again and recognised."""
        return {"path": self.path, "kind": self.kind, "sha256": self.sha256, "arch": self.arch}


@dataclass(frozen=True)
class Inputs:
    """The samples to certify: a window of a data set, preprocessed in binary32.

    Attributes:
        data: the data set; ``preprocess``: applied to it.
        offset: first sample; ``limit``: number of samples, None for all.
        spec: how the data were asked for, where a run is to reopen them.
        radius: of the ball around each sample that is certified as a whole, in the units of the
            data, before mean and std; 0: the samples alone.

    Raises ``InputError`` for a window without samples.
    """

    data: Dataset
    preprocess: Preprocess = field(default_factory=Preprocess)
    offset: int = 0
    limit: int | None = None
    spec: DataSpec | None = None
    radius: float = 0.0

    @property
    def window(self) -> range:
        """Indices of the samples."""
        return self.data.window(self.offset, self.limit)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.data.inputs.shape[1:])

    def batch(self, start: int, stop: int) -> Tensor:
        """Samples ``start:stop``, binary32, (stop - start, *shape)."""
        return self.preprocess(self.data.batch(start, stop))

    def around(self, start: int, stop: int) -> tuple[Tensor, Tensor] | None:
        """Ends of the balls of samples ``start:stop``, each as :meth:`batch`; None at radius 0."""
        if not self.radius:
            return None
        return self.preprocess.ends(self.data.batch(start, stop), self.radius)

    def labels(self, start: int, stop: int) -> list[int] | None:
        """Their labels, if the data have any."""
        found = self.data.labels
        return None if found is None else [int(k) for k in found[start:stop]]


class Session:
    """Everything that is decided before the first batch.

    Raises:
        InputError: model, data and options do not fit together.
    """

    def __init__(
        self,
        source: Source,
        inputs: Inputs,
        fmt: Format,
        arithmetic: Arithmetic,
        output: str | None = None,
        batch_size: int | None = None,
        *,
        source16: Source | None = None,
        softmax: bool = False,
        effort: str = "normal",
        limit: float | None = None,
        tree_height: int | None = None,
        ties: str = "open",
    ) -> None:
        batch_size = BATCH[effort] if batch_size is None else batch_size
        if batch_size < 1:
            raise InputError(f"a batch size of {batch_size}: choose 1 or more")
        self.row, self.tree_height = arithmetic.name, tree_height
        if tree_height is not None:
            arithmetic = with_tree_height(arithmetic, tree_height)
        self.inputs = inputs
        self.window = inputs.window
        inputs.batch(self.window.start, self.window.start + 1)  # mean and std fit the channels
        pair = pair_of(
            source.model,
            inputs.shape,
            fmt,
            output,
            model16=source16.model if source16 else None,
            softmax=softmax,
        )
        if pair.m32.input_shape != inputs.shape:
            raise InputError(
                f"the data have samples of shape {inputs.shape}, the model takes "
                f"{pair.m32.input_shape}"
            )
        stages = EFFORTS[effort]
        self.certifier = Certifier(pair.m32, pair.m16, fmt, arithmetic, stages, limit, Ties(ties))
        self.effort, self.limit, self.ties = effort, limit, ties
        self.batch_size = self.certifier.batch or batch_size
        if softmax and not self.has_classes:
            raise InputError("softmax needs an output of two or more classes, (N, classes)")
        self.source = source
        facts = self._facts(source, source16, pair, arithmetic, batch_size, output, softmax)
        self.header: Record = {
            "header": 1,
            "facts": facts,
            "nodes": listed(self.certifier.models),
            "batches": -(-len(self.window) // self.batch_size),
        }

    @property
    def has_classes(self) -> bool:
        """Whether the output is (N, two or more classes)."""
        return self.certifier.has_classes

    def run(
        self,
        out: Path | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Run:
        """Certify all batches, those that a resumed run already has excepted.

        Raises:
            InputError: the directory or the disk refuses.
            ContainmentError: an observed value lies outside its enclosure.
        """
        tell = progress or (lambda done, total: None)
        if out is None:
            records = Memory(self.header)
            self._batches(records, 0, None, tell)
            return finished(records)
        journal = open_directory(out, self.header, resume=resume, overwrite=overwrite)
        with journal:
            self._batches(journal, sum(1 for _ in journal), out, tell)
            result = finished(journal, out)
            write_results(out, result, journal)
        return result

    def shadow(
        self,
        out: Path | None,
        count: int,
        digits: int = 60,
        how: str = "mpmath",
        progress: Progress | None = None,
    ) -> list[tuple[int, list[Shadowed]]]:
        """Run the first ``count`` samples over the reals too; write ``shadow.csv`` as it grows.

        Args:
            out: the run directory, or None.
            count: number of samples, in the batches of the run.
            digits: decimal digits; ``how``: "mpmath" or "arb".
            progress: told (samples done, samples in all).

        Returns:
            Per sample its index and its nodes.

        Raises:
            InputError: python-flint is missing, or the disk refuses.
            ContainmentError: a value lies outside its enclosure.
        """
        m32 = self.certifier.models["M32"]
        if self.certifier.batch is not None or m32.depends_on_batch_size:
            raise InputError(
                "a shadow is of one sample, and what the model computes depends on the size of its "
                "batch: export it with a free batch size"
            )
        total = min(count, len(self.window))
        tell = progress or (lambda done, total: None)
        found: list[tuple[int, list[Shadowed]]] = []
        tell(0, total)
        with reals(how, digits) as numbers:
            shadower = Shadower(self.certifier, Shadow(m32, numbers))
            for start in self.window[: total : self.batch_size]:
                stop = min(start + self.batch_size, self.window.stop)
                wanted = total - len(found)
                for nodes in shadower.batch(self.inputs.batch(start, stop), wanted):
                    found.append((self.window.start + len(found), nodes))
                    if out is not None:
                        write_whole(out / SHADOW, shadow_csv(found))
                    tell(len(found), total)
        return found

    def _batches(self, records: Records, done: int, out: Path | None, tell: Progress) -> None:
        starts = self.window[:: self.batch_size]
        tell(min(done * self.batch_size, len(self.window)), len(self.window))
        for number in range(done, len(starts)):
            began = time.perf_counter()
            start = starts[number]
            stop = min(start + self.batch_size, self.window.stop)
            x = self.inputs.batch(start, stop)
            batch = self.certifier.batch_of(x, None, self.inputs.around(start, stop))
            if batch.escapes:
                self._escaped(batch, x, start, out)
            record = keep(batch, number, start, self.inputs.labels(start, stop))
            record["seconds"] = time.perf_counter() - began
            records.append(record)
            tell(stop - self.window.start, len(self.window))

    def _escaped(self, batch: Batch, x: Tensor, start: int, out: Path | None) -> NoReturn:
        """Save what is needed to see it again, then be loud."""
        first = batch.escapes[0]
        index = start + first.sample
        saved = (
            "give out=... to have it saved" if out is None else self._saved(batch, x, index, out)
        )
        raise ContainmentError(
            f"{first.model} {first.node} ({first.where.split(', ')[0]}), sample {index}: the "
            f"observed value {first.value!r} lies outside its enclosure [{first.lo!r}, "
            f"{first.hi!r}]; an assumption of {self.header['facts']['arithmetic']['name']} does "
            f"not hold on this machine or errbound is wrong, and no result of this run may be "
            f"trusted; {saved}"
        )

    def _saved(self, batch: Batch, x: Tensor, index: int, out: Path) -> str:
        """Write the batch and what was seen; say where, or why not: the escape matters more."""
        details, data = (out / name for name in ESCAPE)
        facts = self.header["facts"]
        command = f"errbound certify {facts['model']['path'] or 'MODEL'} --data {data}"
        command += f" --batch-size {self.batch_size} --format {facts['format']}"
        command += f" --output {facts['model']['output']} --arithmetic {self.row}"
        command += f" --tree-height {self.tree_height}" if self.tree_height else ""
        command += f" --ties {self.ties}"
        content = {
            "index": index,
            "row": batch.escapes[0].sample,
            "escapes": [asdict(e) for e in batch.escapes],
            "again": command,
            **facts,
        }
        arrays = io.BytesIO()
        np.savez(arrays, x=x.numpy())
        try:
            write_whole(data, [arrays.getvalue()])
            write_whole(details, [json.dumps(content, indent=2).encode(), b"\n"])
        except InputError as error:
            return str(error)
        return f"{details} has the details, {data} the batch"

    def _facts(
        self,
        source: Source,
        source16: Source | None,
        pair: Pair,
        arithmetic: Arithmetic,
        asked: int,
        output: str | None,
        softmax: bool,
    ) -> dict[str, Any]:
        data, notes = self.inputs.data, [*source.notes, *pair.notes]
        if source16 is not None:
            notes += [f"M16: {note}" for note in source16.notes]
        if self.batch_size != asked:
            notes.append(f"the model takes batches of {self.batch_size} only")
        if EFFORTS[self.effort] and not self.certifier.cascade.stages:
            notes.append(
                "samples cannot be analysed apart, for what is computed depends on the size of "
                "the batch: no stage follows the forward enclosure"
            )
        return {
            "format": pair.format.name,
            "arithmetic": {
                "name": arithmetic.name,
                "row": self.row,
                "tree_height": self.tree_height,
                "assumptions": list(arithmetic.assumptions),
                "probed": arithmetic.probed,
                "observed": _observed(arithmetic, pair.format),
            },
            "scope": _scope(self.inputs.radius, arithmetic, self.ties),
            "batch_size": self.batch_size,
            "effort": self.effort,
            "time_limit": self.limit,
            "radius": self.inputs.radius,
            "ties": self.ties,
            "model": {
                **source.facts(),
                "program_m32": pair.m32.digest,
                "program_m16": pair.m16.digest,
                "output": output or next(iter(pair.m32.outputs)),
                "on": "softmax" if softmax else "output",
                "notes": notes,
            },
            "model16": source16.facts() if source16 else None,
            "data": {
                "name": data.name,
                "source": data.source,
                "sha256": data.sha256,
                "offset": self.window.start,
                "samples": len(self.window),
                "mean": list(self.inputs.preprocess.mean),
                "std": list(self.inputs.preprocess.std),
                "note": data.note,
                "spec": asdict(self.inputs.spec) if self.inputs.spec else None,
            },
            "versions": versions(),
            "machine": machine(),
        }


def _scope(radius: float, arithmetic: Arithmetic, ties: str) -> str:
    """What the claims are limited to, in words."""
    these = "these inputs"
    if radius:
        these = f"all inputs within {radius!r} of these (in every value, before mean and std)"
    assumed = "" if arithmetic.probed else "; the arithmetic is assumed, not probed"
    if Ties(ties) is Ties.FIRST:
        assumed += "; of equal outputs the first is the answer"
    return f"{these}, any order of summation{assumed}"


def _observed(arithmetic: Arithmetic, fmt: Format) -> str:
    """How the observed runs are made, in words."""
    if arithmetic.emulated:
        return f"emulated: {arithmetic.emulated}"
    if fmt.emulated:
        kernels = f"binary32 kernels of torch on {arithmetic.device}"
        return f"emulated in M16: {kernels}, every result rounded to {fmt.name}"
    return f"executed by torch on {arithmetic.device}"
