"""What several suites share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
"""Integers of the same size."""


def identical(a: Any, b: Any) -> bool:
    """Equal bit for bit, the sign of zero included; lists and tuples entry by entry."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    if not isinstance(a, Tensor):
        return bool(a == b)
    kind = BITS.get(a.dtype, a.dtype)
    same = a.dtype == b.dtype and a.shape == b.shape
    return same and torch.equal(a.contiguous().view(kind), b.contiguous().view(kind))


def overload(target: str) -> Any:
    """The function that a graph calls under this name, "aten.add.Tensor"."""
    namespace, name, kind = target.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), kind)
