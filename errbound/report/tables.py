"""The tables of a run: one row per sample, one row per node; and how batches are kept.

``Sample`` and ``NodeRow`` define the two CSV files. Decimals of proved bounds are rounded
outward to six significant digits (:mod:`errbound.report.decimals`); observed numbers are exact.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from errbound.number import format_named
from errbound.program import Program
from errbound.report.decimals import lower, observed, upper
from errbound.report.journal import Record, Records
from errbound.verdict import Batch, NodeSummary


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one sample; a row of samples.csv. Proved bounds hold on its ball, if any.

    Attributes:
        index: in the data set.
        label: -1 if the data have none.
        prediction_m32: class of the observed 32-bit run; ``prediction_m16``: of the 16-bit run;
            -1 without classes or outside the domain.
        margin: largest minus second largest output of the observed 32-bit run.
        margin_lower: lower bound of that margin over every execution of M32.
        observed_delta: largest difference between the outputs of the two observed runs, which take
            the sample itself also where a ball around it is certified.
        proved_delta: upper bound of it over every execution of M32 and of M16.
        proved_delta16: the same with M32 taken as the one run made (on the sample itself).
        pairwise_lower: lower bound, over every execution of M16, of the distance from the class
            that wins every execution of M32 to its closest rival.
        verdict: "domain", "refuted", "overflow", "proved", "undecided" or "no classes".
        stage: what decided: "input", "run", "forward", "backward", "refined", "slopes"; "" if
            nothing did.
        overflow: "proved absent", "possible", "observed", "certain"; "" outside the domain.
        overflow_node: the first node that may overflow, "M16:node"; "" if none.
    """

    index: int
    label: int
    prediction_m32: int
    prediction_m16: int
    margin: float
    margin_lower: float
    observed_delta: float
    proved_delta: float
    proved_delta16: float
    pairwise_lower: float
    verdict: str
    stage: str
    overflow: str
    overflow_node: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """What is known of one node over all samples; a row of nodes.csv.

    Nodes that only move or select numbers round nothing: their numbers are NaN and ``cells`` is 0.

    Attributes:
        model: "M32" or "M16"; ``node``: its name; ``operator``: of its record.
        where: path of the module that calls it.
        cells: number of values, over the samples whose range is not left.
        split_share: share of values whose interval is not one number.
        width_mean: mean width of those, in ulps of the larger end; ``width_max``: the largest.
        low: smallest value in any execution; ``high``: largest.
        headroom: largest finite number of the format / largest magnitude, a lower bound.
    """

    model: str
    node: str
    operator: str
    where: str
    cells: int
    split_share: float
    width_mean: float
    width_max: float
    low: float
    high: float
    headroom: float


SAMPLE_COLUMNS = tuple(f.name for f in fields(Sample))
NODE_COLUMNS = tuple(f.name for f in fields(NodeRow))


def _class(index: int) -> str:
    return "" if index < 0 else str(index)


_WRITE: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(SAMPLE_COLUMNS + NODE_COLUMNS, str),
    **dict.fromkeys(("label", "prediction_m32", "prediction_m16"), _class),
    **dict.fromkeys(("margin", "observed_delta"), observed),
    **dict.fromkeys(("proved_delta", "proved_delta16", "split_share"), upper),
    **dict.fromkeys(("width_mean", "width_max", "high"), upper),
    **dict.fromkeys(("margin_lower", "pairwise_lower", "low", "headroom"), lower),
}


def keep(batch: Batch, number: int, start: int, labels: Sequence[int] | None) -> Record:
    """The record of a batch: plain lists, exact floats; ``start`` is its first sample's index."""
    count = len(batch.verdict)
    columns = (
        list(range(start, start + count)),
        [-1] * count if labels is None else list(labels),
        batch.prediction32.tolist(),
        batch.prediction16.tolist(),
        batch.margin.tolist(),
        batch.margin_lower.tolist(),
        batch.observed_delta.tolist(),
        batch.proved_delta.tolist(),
        batch.proved_delta16.tolist(),
        batch.pairwise.tolist(),
        [str(v) for v in batch.verdict],
        batch.stage,
        [str(v) for v in batch.overflow],
        batch.overflow_node,
    )
    nodes = {f"{m}:{n}": list(vars(s).values()) for (m, n), s in batch.nodes.items()}
    return {
        "batch": number,
        "samples": dict(zip(SAMPLE_COLUMNS, columns, strict=True)),
        "nodes": nodes,
        "stages": batch.seconds,
    }


def listed(models: dict[str, Program]) -> list[dict[str, str]]:
    """The nodes that have values, in program order, for the header of a journal."""
    return [
        {
            "model": model,
            "node": node.name,
            "operator": node.op.name,
            "where": node.where.split(", ")[0],
            "format": fmt.name,
        }
        for model, program in models.items()
        for node in program.nodes
        if (fmt := program.storage(node.dtype)) is not None
    ]


def samples(records: Iterable[Record]) -> Iterator[Sample]:
    """All samples, in order."""
    for record in records:
        for row in zip(*record["samples"].values(), strict=True):
            yield Sample(*row)


def nodes(records: Records) -> list[NodeRow]:
    """All nodes in program order, with what all batches say of them together."""
    total: dict[str, NodeSummary] = {}
    for record in records:
        for name, counts in record["nodes"].items():
            total.setdefault(name, NodeSummary()).merge(NodeSummary(*counts))
    rows = []
    for node in records.header["nodes"]:
        model, name, operator, where, fmt = node.values()
        found = total.get(f"{model}:{name}", NodeSummary())
        rows.append(NodeRow(model, name, operator, where, found.cells, *_measures(found, fmt)))
    return rows


def _measures(node: NodeSummary, fmt: str) -> tuple[float, float, float, float, float, float]:
    if not node.cells:
        nan = math.nan
        return nan, nan, nan, nan, nan, nan
    share = node.split / node.cells
    mean = node.width_sum / node.split if node.split else 0.0
    largest = max(-node.low, node.high)
    top = format_named(fmt).max_finite
    headroom = math.nextafter(top / largest, 0.0) if largest else math.inf
    return share, mean, node.width_max, node.low, node.high, headroom


def samples_csv(records: Iterable[Record]) -> Iterator[bytes]:
    """The content of samples.csv."""
    yield from _csv(SAMPLE_COLUMNS, (astuple(row) for row in samples(records)))


def nodes_csv(records: Records) -> Iterator[bytes]:
    """The content of nodes.csv."""
    yield from _csv(NODE_COLUMNS, (astuple(row) for row in nodes(records)))


def _csv(names: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Lines of a CSV file (RFC 4180, but line feeds) with a header line."""
    writers = [_WRITE[name] for name in names]
    yield csv_line(names)
    for row in rows:
        yield csv_line([write(cell) for write, cell in zip(writers, row, strict=True)])


def csv_line(cells: Sequence[str]) -> bytes:
    """One line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
