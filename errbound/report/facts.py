"""Facts about a run: what identifies it, so that it may be resumed, and what it assumes."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch

from errbound.report.journal import Record
from errbound.version import installed

IDENTITY = {
    "format": ("format",),
    "arithmetic": ("arithmetic",),
    "output": ("model", "output"),
    "offset": ("data", "offset"),
    "number of samples": ("data", "samples"),
    "mean": ("data", "mean"),
    "std": ("data", "std"),
    "radius": ("radius",),
    "ties": ("ties",),
    "effort": ("effort",),
    "time limit": ("time_limit",),
    "batch size": ("batch_size",),
    "errbound version": ("versions", "errbound"),
    "torch version": ("versions", "torch"),
    "number of threads": ("machine", "threads"),
    "CPU": ("machine", "cpu"),
    "instruction set": ("machine", "instruction_set"),
    "data": ("data", "sha256"),
    "model file": ("model", "sha256"),
    "model file of M16": ("model16", "sha256"),
    "what is certified": ("model", "on"),
    "program of M32": ("model", "program_m32"),
    "program of M16": ("model", "program_m16"),
}
"""What two runs must share to be one, with the place in the facts; the message names it."""


def difference(old: Record, new: Record) -> str:
    """What differs between two runs' facts, e.g. "format float16, now bfloat16"; "" if nothing."""
    for name, place in IDENTITY.items():
        before, now = _at(old, place), _at(new, place)
        if before != now:
            return f"{name} {_shown(before)}, now {_shown(now)}"
    return ""


def versions() -> dict[str, str]:
    """Of errbound and of what computes."""
    return {
        "errbound": installed(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def machine() -> dict[str, Any]:
    """Threads, CPU and the instruction set that torch uses: observed runs depend on them."""
    return {
        "threads": torch.get_num_threads(),
        "cpu": _cpu(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _at(facts: Record, place: tuple[str, ...]) -> Any:
    found: Any = facts
    for key in place:
        found = found.get(key) if isinstance(found, dict) else None
    return found.get("name") if isinstance(found, dict) else found


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:12] if len(text) == 64 else text
