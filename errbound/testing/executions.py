"""A hypothesis strategy of adversarial executions of one program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.export import ExportedProgram

from errbound.arithmetic import Arithmetic, arithmetic_named
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY32, Format
from errbound.program import Program
from errbound.testing.emulator import Adversary, is_free
from errbound.testing.numbers import format_of
from errbound.testing.sums import BIASES, ORDERS, SHAPES, Plan
from errbound.verdict import pair_of

Model = nn.Module | ExportedProgram | Program


@dataclass(frozen=True, eq=False)
class Execution:
    """One execution of a program that an arithmetic allows.

    Attributes:
        output: (samples, ...), the program's result, in the dtype of its format.
        values: every node's value (or list of values), by the node's name.
        plans: how every sum was executed, by the node's name.
    """

    output: Tensor
    values: Mapping[str, Any]
    plans: Mapping[str, Plan]

    def __repr__(self) -> str:
        unlike = {name: plan for name, plan in self.plans.items() if plan != Plan()}
        return f"Execution(output={self.output.tolist()}, plans={unlike or 'left to right'})"


def arithmetic_of(arithmetic: str | Arithmetic) -> Arithmetic:
    """The arithmetic itself, or the one of this name; ``InputError`` lists the names."""
    if isinstance(arithmetic, Arithmetic):
        return arithmetic
    try:
        return arithmetic_named(arithmetic)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None


def program_in(
    model: Model, shape: tuple[int, ...], fmt: Format, output: str | None = None
) -> Program:
    """The program of a model in a format; a ``Program`` is taken as it is.

    Args:
        model: in evaluation mode; only read.
        shape: of one sample.
        fmt: binary32 for M32, another format for M16.
        output: which output, if the model has several.

    Raises:
        InputError: the model cannot be traced or is not covered.
    """
    if isinstance(model, Program):
        return model
    if fmt is BINARY32:
        return pair_of(model, shape, BFLOAT16, output).m32  # the range of binary32
    return pair_of(model, shape, fmt, output).m16


_PLANS = st.builds(
    Plan,
    order=st.sampled_from(ORDERS),
    bias=st.sampled_from(BIASES),
    shape=st.sampled_from(SHAPES),
    lanes=st.sampled_from((1, 2, 3, 4, 8, 16)),
    fused=st.sampled_from((0.0, 0.5, 1.0)),
    flush=st.sampled_from((0.0, 0.5, 1.0)),
    other=st.booleans(),
)


def executions(
    program: Model,
    x: Tensor,
    arithmetic: str | Arithmetic = "torch-cpu",
    format: str | Format = "float16",
) -> st.SearchStrategy[Execution]:
    """Executions that an arithmetic allows, chosen to hurt and carried out exactly.

    A plan is drawn for every sum of products: the order of its terms, the shape of the tree, where
    the bias comes, FMA or not, flushed or not where the arithmetic admits it. Sums that torch
    would never make are among them: they are allowed. Shrinks, sum by sum, to the order of the
    weights from left to right.

    Args:
        program: a program; or a model, of which the program in ``format`` is taken.
        x: a batch of inputs, (samples, ...), binary32 or already in the program's dtype.
        arithmetic: an execution model or its name.
        format: "float32" for the original; not used with a program.

    Raises:
        InputError: no such arithmetic or format; the model is not covered.
    """
    machine, fmt = arithmetic_of(arithmetic), format_of(format)
    frozen = program_in(program, tuple(x.shape[1:]), fmt)
    stored = frozen.stored(x)
    free = [node.name for node in frozen.nodes if is_free(node, machine)]

    @st.composite
    def drawn(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Execution:
        plans = {name: draw(_PLANS) for name in free}
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        values: dict[str, Any] = {}
        adversary = Adversary(frozen, rng, fixed=plans, arithmetic=machine)
        output = adversary.run(stored, lambda node, value, *_: values.update({node.name: value}))
        return Execution(output, values, plans)

    return drawn()
