"""Execution models as rows of data: which executions a machine may produce."""

from errbound.arithmetic._arithmetic import Arithmetic, FunctionError
from errbound.arithmetic.torch_cpu import TORCH_CPU

ARITHMETICS = (TORCH_CPU,)


def arithmetic_named(name: str) -> Arithmetic:
    """Return the arithmetic with this name; ``KeyError`` lists the known ones."""
    for row in ARITHMETICS:
        if row.name == name:
            return row
    raise KeyError(f"unknown arithmetic {name!r}; known: {', '.join(a.name for a in ARITHMETICS)}")


__all__ = ["ARITHMETICS", "TORCH_CPU", "Arithmetic", "FunctionError", "arithmetic_named"]
