"""One real execution of a program, node by node, by torch's own kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from errbound.program import Node, Program


def execute(
    program: Program, x: Tensor, visit: Callable[[Node, Any], None] | None = None
) -> Tensor:
    """Run ``program`` on ``x`` (batch first, the program's input dtype).

    Bit-identical to the module it was traced from: the same overloads on the same dtypes, only
    that nothing is written in place. ``visit(node, value)`` sees every node's value.
    """

    def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = node.op.call(*args, **kwargs)
        if visit is not None:
            visit(node, value)
        return value

    with torch.inference_mode():
        result: Tensor = program.evaluate(x, program.constants, step)
    return result
