"""``assert_encloses``: executions of a model inside their enclosures, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.analysis import Encloser, execute
from errbound.arithmetic import Arithmetic
from errbound.errors import InputError
from errbound.number import BINARY32, Format, Interval
from errbound.program import Node, Program
from errbound.testing.emulator import Adversary
from errbound.testing.executions import Model, arithmetic_of, program_in
from errbound.testing.numbers import format_of

Story = Callable[[Node, int], str]
"""What made a row of a node's value, in words."""

ROWS = 64
"""Adversarial executions are carried out about this many at a time, to bound memory."""


def assert_encloses(
    model: Model,
    x: Tensor,
    *,
    format: str | Format = "float16",
    arithmetic: str | Arithmetic = "torch-cpu",
    output: str | None = None,
    executions: int = 100,
    seed: int = 0,
) -> int:
    """Assert that executions of a model stay inside the enclosures that certificates rest on.

    Of a model both programs are checked, M32 and M16: every node's value in one real execution and
    in adversarial ones (any order of every sum, FMA or not) lies in its interval. From the node on
    at which a sample may leave the range of its format nothing is claimed, and nothing checked.
    Keeps every node's interval: meant for a few samples.

    Args:
        model: a module, an exported program, or one program alone.
        x: (samples, ...), floating-point.
        format: of M16.
        arithmetic: an execution model or its name.
        output: which output, if the model has several.
        executions: how many adversarial ones of every sample and program.
        seed: of their random choices.

    Returns:
        How many values were compared.

    Raises:
        AssertionError: a value lies outside; node, module path, value and interval are shown.
        InputError: ``x`` holds NaN or infinity, or nothing could be compared.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds NaN or infinity, for which nothing is claimed: take it out")
    machine, shape = arithmetic_of(arithmetic), tuple(x.shape[1:])
    formats = [format_of(format)] if isinstance(model, Program) else [BINARY32, format_of(format)]
    compared = 0
    for fmt in dict.fromkeys(formats):
        program = program_in(model, shape, fmt, output)
        boxes = _Boxes(program, program.stored(x), machine)
        for story, sample, values in _executions(boxes, executions, seed):
            compared += sum(
                boxes.compare(node, values[node.name], sample, story) for node in program.nodes
            )
    if not compared:
        raise InputError(
            "nothing was compared: every sample may leave the range of the format at once; "
            "scale x down or choose a wider format"
        )
    return compared


class _Boxes:
    """The interval of every node, and for which samples it means something."""

    def __init__(self, program: Program, x: Tensor, arithmetic: Arithmetic) -> None:
        self.program, self.x, self.arithmetic = program, x, arithmetic
        self.values: dict[str, tuple[list[Interval], Tensor]] = {}

        def keep(node: Node, value: Any, alive: Tensor) -> None:
            parts = [value] if isinstance(value, Interval) else value
            copies = [Interval(p.lo.clone(), p.hi.clone()) for p in parts]
            self.values[node.name] = copies, alive.clone()

        Encloser(program, arithmetic)(x, keep)

    def compare(self, node: Node, value: Any, sample: Tensor, story: Story) -> int:
        """Compare a node's values, row k of sample ``sample[k]``; how many there were."""
        if node.name not in self.values:
            return 0  # it does not depend on the input
        boxes, alive = self.values[node.name]
        here = alive[sample]
        count = 0
        for box, part in zip(boxes, [value] if isinstance(value, Tensor) else value, strict=True):
            lo, hi, seen = box.lo[sample], box.hi[sample], part.double()
            outside = ~((lo <= seen) & (seen <= hi))  # NaN too
            outside[~here] = False
            if bool(outside.any()):
                at = tuple(outside.nonzero()[0].tolist())
                raise AssertionError(
                    f"{node.name} ({node.where.split(', ')[0]}), {node.op.name} in "
                    f"{self._format(node)}, sample {int(sample[at[0]])}, entry {list(at[1:])}:\n"
                    f"  the value    {_shown(seen[at])}\n"
                    f"  lies outside [{_shown(lo[at])}, {_shown(hi[at])}]\n"
                    f"  and {int(outside.sum()) - 1} other values of this node do\n"
                    f"  in {story(node, at[0])}\n"
                    f"an assumption of {self.arithmetic.name} does not hold or errbound is wrong: "
                    f"please report it"
                )
            count += int(here.sum()) * (seen[0].numel() if len(seen) else 0)
        return count

    def _format(self, node: Node) -> str:
        fmt = self.program.storage(node.dtype)
        return str(node.dtype) if fmt is None else fmt.name


def _shown(value: Tensor) -> str:
    return f"{float(value)!r} ({float(value).hex()})"


def _executions(
    boxes: _Boxes, count: int, seed: int
) -> Iterator[tuple[Story, Tensor, dict[str, Any]]]:
    """(what it was, sample of every row, values by node): a real execution, then adversarial ones.

    Where the program fixes its batch, or depends on its size, the batch stays as it is.
    """
    program, x, machine = boxes.program, boxes.x, boxes.arithmetic
    samples = torch.arange(x.shape[0])
    values: dict[str, Any] = {}

    def keep(node: Node, value: Any, *_: Any) -> None:
        values[node.name] = value

    execute(program, x, keep, machine)
    yield lambda *_: machine.emulated or "an execution by torch's kernels", samples, values
    rng = np.random.default_rng(seed)
    adversary = Adversary(program, rng, arithmetic=machine)
    whole = program.batch is not None or program.depends_on_batch_size

    def story(node: Node, row: int) -> str:
        return f"an adversarial execution, seed {seed}: {adversary.plan_of(node.name, row)}"

    most = 1 if whole else max(1, ROWS // max(len(samples), 1))
    for start in range(0, count, most):
        sample = samples.repeat(min(most, count - start))
        adversary.run(x[sample], keep)
        yield story, sample, values
