"""Enclosing every execution: one interval per node that holds its value in all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from errbound.arithmetic import Arithmetic
from errbound.errors import InputError
from errbound.number import BINARY64, Interval, Narrow, require_subnormals
from errbound.ops import Constant, Refused, Step, perform
from errbound.program import Node, Program

Visit = Callable[[Node, Any, Tensor], None]


class Tracer(Protocol):
    """Follows an enclosure node by node and may narrow or replace its values."""

    def start(self, box: Interval) -> Interval:
        """Told the input."""

    def before(self, node: Node, step: Step, args: tuple[Any, ...], kwargs: Any) -> None:
        """Told what a node is about to be enclosed with."""

    def after(self, node: Node, step: Step, value: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Told the node's interval(s); what it returns takes their place."""


@dataclass(frozen=True)
class Enclosed:
    """The result of enclosing a batch.

    Attributes:
        output: interval of the program's output.
        overflow: (samples,) int64; -1, or the index of the first node at which the range of a
            format may be left (0 is the input, k the k-th node). Such a sample's ends are finite
            but mean nothing from that node on.
        certain: (samples,) bool; at that node every execution leaves the range.
    """

    output: Interval
    overflow: Tensor
    certain: Tensor


class Encloser:
    """Encloses a program under an arithmetic; weights are prepared once."""

    def __init__(self, program: Program, arithmetic: Arithmetic) -> None:
        require_subnormals()
        if problem := arithmetic.broken():
            raise InputError(f"{arithmetic.name} does not describe this process: {problem}")
        if program.storage(program.input_dtype) is None:
            raise InputError(f"a program in {program.input_dtype} has no enclosure: cast it")
        self.program = program
        self.arithmetic = arithmetic
        self._constants = {k: Constant(v) for k, v in program.constants.items()}
        self._folded: dict[str, Any] = {}
        self._index = {node.name: i for i, node in enumerate(program.nodes, start=1)}

    def __call__(
        self, x: Tensor | Interval, visit: Visit | None = None, tracer: Tracer | None = None
    ) -> Enclosed:
        """Enclose the batch ``x`` (already rounded to the program's input dtype; or its ends).

        ``visit(node, value, alive)`` sees each node's interval (or list of intervals) and which
        samples are still meaningful, (samples,) bool. ``tracer`` may replace values.
        """
        box = x if isinstance(x, Interval) else Interval.point(x)
        samples = box.shape[0]
        start, overflow, certain = _started(box)
        storage_of = self.program.storage
        if tracer is not None:
            start = tracer.start(start)

        def evaluate(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not _varies((args, kwargs)):
                return self._fold(node, args, kwargs)
            storage = storage_of(node.dtype) or self.arithmetic.intermediate or BINARY64
            step = Step(self.arithmetic, storage, samples)
            traced = tracer is not None and node.dtype is not None
            if tracer is not None and traced:
                tracer.before(node, step, args, kwargs)
            try:
                value = node.op.enclose(step, *args, **kwargs)
            except Refused as error:
                raise InputError(f"{node.op.name} at {node.where}: {error}") from None
            if tracer is not None and traced:
                value = tracer.after(node, step, value, args, kwargs)
            if bool(step.overflow.any()):
                here = step.overflow & (overflow < 0)
                overflow[here] = self._index[node.name]
                certain.logical_or_(here & step.certain)
            if visit is not None and node.dtype is not None:
                visit(node, value, overflow < 0)
            return value

        with torch.no_grad():
            output = self.program.evaluate(start, self._constants, evaluate)
        if isinstance(output, Constant):
            output = Interval.point(output.value.expand(samples, *output.shape[1:]))
        return Enclosed(output, overflow, certain)

    def _fold(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A node that depends on constants alone: the kernel's own result is used.

        Sound only for operators without any freedom; others are refused. Over the reals, and where
        nothing is known of the kernels, these are the ones that round nothing.
        """
        strange = self.arithmetic.exact or not self.arithmetic.probed
        if not (node.op.moves if strange and node.dtype is not None else node.op.determined):
            raise NotConstant(node.where)
        if node.name not in self._folded:
            value = perform(
                node.op,
                self.arithmetic,
                self.program.storage(node.dtype),
                [_plain(a) for a in args],
                {k: _plain(v) for k, v in kwargs.items()},
            )
            if node.dtype is None:
                return value  # a size: it may change with the batch
            self._folded[node.name] = Constant(value) if isinstance(value, Tensor) else value
        return self._folded[node.name]


def _started(box: Interval) -> tuple[Interval, Tensor, Tensor]:
    """The input with finite ends, and ``Enclosed.overflow`` and ``certain`` of its samples."""
    samples = box.shape[0]
    ends = (box.low, box.high) if isinstance(box, Narrow) else (box.lo, box.hi)
    if all(bool(torch.isfinite(end.sum())) for end in ends[: 1 if ends[0] is ends[1] else 2]):
        overflow = torch.full((samples,), -1)  # a sum is finite only if all of its terms are
        return box, overflow, torch.zeros(samples, dtype=torch.bool)
    finite = torch.isfinite(box.lo)
    if box.lo is not box.hi:
        finite &= torch.isfinite(box.hi)
    overflow = torch.where(finite.reshape(samples, -1).all(dim=1), -1, 0)
    # Beyond the range at both ends. NaN, of which the sign is lost, counts for a point only.
    beyond = (box.lo == torch.inf) | (box.hi == -torch.inf)
    if box.lo is box.hi:
        beyond |= box.lo.isnan()
    certain = beyond.reshape(samples, -1).any(dim=1)
    if not bool(finite.all()):
        lo = torch.where(finite, box.lo, torch.zeros_like(box.lo))
        box = Interval(lo, lo if box.lo is box.hi else torch.where(finite, box.hi, lo))
    return box, overflow, certain


class NotConstant(InputError):
    """A sum or an elementary function of weights: more than one result is possible."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}: weights computed from weights by a sum or an elementary function (over the "
            "reals and in assumed arithmetics, by any operation) are not supported yet; compute "
            "them once and store them as a buffer"
        )


def _varies(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_varies(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(_varies(v) for v in value)
    return isinstance(value, Interval)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, Constant) else value
