"""Execution models as rows of data: which executions a machine may produce."""

from errbound.arithmetic._arithmetic import Arithmetic, FunctionError, with_tree_height
from errbound.arithmetic.exact import EXACT
from errbound.arithmetic.strict16 import STRICT16
from errbound.arithmetic.torch_cpu import TORCH_CPU
from errbound.arithmetic.torch_cuda import TORCH_CUDA_ASSUMED

ARITHMETICS = (TORCH_CPU, TORCH_CUDA_ASSUMED, STRICT16)
"""What a certificate can be about."""


def arithmetic_named(name: str) -> Arithmetic:
    """Return the arithmetic with this name; ``KeyError`` lists the known ones."""
    for row in ARITHMETICS:
        if row.name == name:
            return row
    raise KeyError(f"unknown arithmetic {name!r}; known: {', '.join(a.name for a in ARITHMETICS)}")


__all__ = [
    "ARITHMETICS",
    "EXACT",
    "STRICT16",
    "TORCH_CPU",
    "TORCH_CUDA_ASSUMED",
    "Arithmetic",
    "FunctionError",
    "arithmetic_named",
    "with_tree_height",
]
