"""The command that makes a run again."""

from __future__ import annotations

import shlex
from typing import Any

from errbound.report.journal import Record


def command(facts: Record) -> str:
    """A line for the shell that certifies the same again, from a run's facts or summary.

    Capital words stand for what a run from Python leaves open: MODEL, DATA. Paths are as they were
    given, relative to the folder where errbound ran.
    """
    model, data = facts["model"], facts["data"]
    m16, spec = facts.get("model16"), data.get("spec")
    words: list[Any] = ["errbound", "certify", model["path"] or "MODEL"]
    for option, value in (spec or {"data": "DATA"}).items():
        if value is not None:
            words += [f"--{option.replace('_', '-')}", value]
    words += ["--format", facts["format"], "--arithmetic", facts["arithmetic"]["row"]]
    if facts["arithmetic"]["tree_height"] is not None:
        words += ["--tree-height", facts["arithmetic"]["tree_height"]]
    if model.get("arch"):
        words += ["--arch", model["arch"]]
    if m16:
        words += ["--model16", m16["path"] or "MODEL16"]
        if m16.get("arch"):
            words += ["--arch16", m16["arch"]]
    if "pickle" in {source["kind"] for source in (model, m16) if source}:
        words += ["--trust-pickle"]
    # "=" keeps a list that begins with a minus sign from being read as an option.
    words += [f"--{name}={','.join(map(repr, data[name]))}" for name in ("mean", "std")]
    words += ["--offset", data["offset"], "--limit", data["samples"]]
    words += ["--batch-size", facts["batch_size"], "--output", model["output"]]
    words += ["--on", model.get("on", "output"), "--effort", facts["effort"]]
    if facts["time_limit"] is not None:
        words += ["--time-limit", repr(facts["time_limit"])]
    if facts["radius"]:
        words += ["--radius", repr(facts["radius"])]
    words += ["--ties", facts["ties"]]
    words += ["--threads", facts["machine"]["threads"]]
    return shlex.join(map(str, words))
