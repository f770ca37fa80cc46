"""One real execution of a program, node by node: by torch's own kernels, or emulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU, Arithmetic
from errbound.errors import InputError
from errbound.ops import perform
from errbound.program import Node, Program


def execute(
    program: Program,
    x: Tensor,
    visit: Callable[[Node, Any], None] | None = None,
    arithmetic: Arithmetic = TORCH_CPU,
) -> Tensor:
    """Run ``program`` on ``x`` (batch first, the program's input dtype) on the arithmetic's device.

    Under ``torch-cpu`` bit-identical to the module it was traced from: the same overloads on the
    same dtypes, only that nothing is written in place; formats without kernels of their own are
    emulated. ``visit(node, value)`` sees every node's value, on the CPU.
    """

    def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        storage = program.storage(node.dtype)
        try:
            value = perform(node.op, arithmetic, storage, args, kwargs)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{node.op.name} at {node.where}: torch refuses it: {reason}"
            ) from None
        if visit is not None:
            visit(node, _on_cpu(value))
        return value

    constants = {k: t.to(arithmetic.device) for k, t in program.constants.items()}
    with torch.inference_mode(), arithmetic.settings():
        result: Tensor = program.evaluate(x.to(arithmetic.device), constants, step)
    return result.cpu()


def _on_cpu(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_on_cpu(v) for v in value]
    return value.cpu() if isinstance(value, Tensor) else value
