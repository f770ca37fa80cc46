"""The summary of a run: facts about it, and counts, shares and medians over its samples.

``summary.json`` follows ``summary.schema.json`` (JSON Schema 2020-12) beside this file.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from importlib.resources import files
from statistics import median
from typing import Any

from errbound.report.decimals import upper
from errbound.report.journal import Record, Records
from errbound.verdict import EFFORTS, Overflow, Verdict

SCHEMA_VERSION = 1


def schema() -> dict[str, Any]:
    """The JSON Schema of summary.json."""
    text = files("errbound.report").joinpath("summary.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


class Tally:
    """Adds up records; memory does not depend on what is in them but for two numbers a sample."""

    def __init__(self) -> None:
        self.samples = 0
        self.verdicts = Counter[str]()
        self.overflow = Counter[str]()
        self.overflow_nodes = Counter[str]()
        self.hits = Counter[str]()
        self.labelled = False
        self.ratios = array("d")
        self.ratios16 = array("d")
        self.observed_max = -math.inf
        self.proved_max = -math.inf
        self.seconds = 0.0
        self.stages = Counter[str]()
        self.stage_seconds = Counter[str]()

    def add(self, record: Record) -> None:
        """Count the samples of one batch."""
        s = record["samples"]
        self.seconds += record["seconds"]
        self.stage_seconds.update(record["stages"])
        self.stages.update(s["stage"])
        self.samples += len(s["index"])
        self.verdicts.update(s["verdict"])
        self.overflow.update(s["overflow"])
        self.overflow_nodes.update(filter(None, s["overflow_node"]))
        for label, m32, m16, verdict in zip(
            s["label"], s["prediction_m32"], s["prediction_m16"], s["verdict"], strict=True
        ):
            self.labelled |= label >= 0
            proved = verdict == Verdict.PROVED
            self.hits["agree"] += m32 == m16 >= 0
            self.hits["m32"] += m32 == label >= 0
            self.hits["m16"] += m16 == label >= 0
            self.hits["guaranteed"] += proved and m32 == label >= 0
        for margin, seen, proved, proved16 in zip(
            s["margin"], s["observed_delta"], s["proved_delta"], s["proved_delta16"], strict=True
        ):
            self.hits["classic"] += margin > 2.0 * seen
            if 0.0 < seen < math.inf:
                self.ratios.append(proved / seen)
                self.ratios16.append(proved16 / seen)
            if not math.isnan(seen):
                self.observed_max = max(self.observed_max, seen)
                self.proved_max = max(self.proved_max, proved)

    def summary(self, facts: Record) -> dict[str, Any]:
        """The content of summary.json; None where there is nothing to say or no finite number."""
        classes = Verdict.NO_CLASSES not in self.verdicts
        labels = classes and self.labelled
        measured = ("forward", *EFFORTS[facts["effort"]])

        def share(count: int, known: bool = classes) -> float | None:
            return count / self.samples if known else None

        return {
            "schema_version": SCHEMA_VERSION,
            "samples": self.samples,
            "verdicts": {str(v): self.verdicts[v] for v in Verdict},
            "certified_fraction": share(self.verdicts[Verdict.PROVED]),
            "agreement_fraction": share(self.hits["agree"]),
            "classic_ceiling_fraction": share(self.hits["classic"]),
            "accuracy_m32": share(self.hits["m32"], labels),
            "accuracy_m16": share(self.hits["m16"], labels),
            "guaranteed_accuracy": share(self.hits["guaranteed"], labels),
            "delta_ratio_median": _median(self.ratios),
            "delta16_ratio_median": _median(self.ratios16),
            "delta_ratio_samples": len(self.ratios),
            "observed_delta_max": _finite(self.observed_max),
            "proved_delta_max": _finite(float(upper(self.proved_max))),
            "overflow": {str(o): self.overflow[o] for o in Overflow if o},
            "overflow_first_nodes": dict(self.overflow_nodes),
            "ties": "open",  # of runs that were made when nothing else could be chosen
            **facts,
            "stages": {name: self.stages[name] for name in ("input", "run", *measured)},
            "times": {
                "seconds": round(self.seconds, 3),
                "samples_per_second": round(self.samples / self.seconds, 1)
                if self.seconds
                else None,
                "stages": {n: round(self.stage_seconds[n], 3) for n in ("run", *measured)},
            },
        }


def summary_of(records: Records) -> dict[str, Any]:
    """The content of summary.json."""
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally.summary(records.header["facts"])


def _median(values: array[float]) -> float | None:
    return _finite(float(f"{median(values):.6g}")) if values else None


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
