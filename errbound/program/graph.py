"""The frozen program: a functional graph of operator records over named tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from errbound.errors import InputError
from errbound.number import BINARY64, BY_DTYPE, Format, stored
from errbound.ops import Op


@dataclass(frozen=True)
class Ref:
    """The value of a node, of the input or of a constant."""

    name: str


@dataclass(frozen=True)
class Node:
    """One call of an operator.

    Attributes:
        name: unique in the program.
        op: the operator's record.
        args: positional arguments: ``Ref``, numbers, strings, None, lists of these.
        kwargs: keyword arguments, likewise.
        dtype: of the output tensor(s); None where the output is an integer.
        where: module path and source line, for messages.
    """

    name: str
    op: Op
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dtype: torch.dtype | None
    where: str


@dataclass(frozen=True, eq=False)
class Program:
    """A network, frozen: its own tensors, no storage shared with the caller, nothing in place.

    Attributes:
        nodes: in order of execution.
        constants: weights, buffers and lifted constants by name; never written to.
        lifted: names of constants that ``Module.half()`` would not convert.
        input: name of the one input; first dimension is the batch.
        input_shape: of one sample.
        input_dtype: floating-point dtype of the input.
        batch: None if the batch size is free, else the only one the program accepts.
        output: the node whose value is the result.
        outputs: all outputs by path ("0", "logits", ...), for ``--output``.
        emulated: the format whose numbers binary32 tensors hold (storage emulation); binary64
            where they stand for reals (``exact``); None for what their dtype says.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    lifted: frozenset[str]
    input: str
    input_shape: tuple[int, ...]
    input_dtype: torch.dtype
    batch: int | None
    output: Ref
    outputs: Mapping[str, Ref]
    emulated: Format | None = None

    def storage(self, dtype: torch.dtype | None) -> Format | None:
        """The format in which values of this dtype are stored; None for other than numbers."""
        if self.emulated is not None and dtype is not None and dtype.is_floating_point:
            return self.emulated
        return None if dtype is None else BY_DTYPE.get(dtype)

    def stored(self, x: Tensor) -> Tensor:
        """``x``, binary32, rounded to the format of the program's input."""
        fmt = self.storage(self.input_dtype)
        return x.to(self.input_dtype) if fmt is None or fmt is BINARY64 else stored(x, fmt)

    def exact(self) -> Program:
        """The program over the reals, with these weights (M-infinity if this is M32)."""
        return replace(self, emulated=BINARY64)

    def evaluate(
        self,
        x: Any,
        constants: Mapping[str, Any],
        step: Callable[[Node, tuple[Any, ...], dict[str, Any]], Any],
    ) -> Any:
        """Walk the graph: ``step(node, args, kwargs)`` gives each node's value.

        Values are dropped after their last use. One walk serves execution, enclosure and exact
        evaluation: what differs is ``step`` and the type of the values.
        """
        values: dict[str, Any] = {self.input: x, **constants}
        for node in self.nodes:
            args = tuple(_resolve(a, values) for a in node.args)
            kwargs = {k: _resolve(v, values) for k, v in node.kwargs.items()}
            values[node.name] = step(node, args, kwargs)
            del args, kwargs
            for name in self._last_uses[node.name]:
                del values[name]
        return values[self.output.name]

    @cached_property
    def _last_uses(self) -> dict[str, list[str]]:
        seen = {self.output.name, *self.constants}
        drops: dict[str, list[str]] = {}
        for node in reversed(self.nodes):
            used = {r.name for r in refs((node.args, node.kwargs))} | {node.name}
            drops[node.name] = sorted(used - seen)
            seen |= used
        return drops

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the graph and of every tensor's bytes."""
        h = hashlib.sha256()
        for node in self.nodes:
            h.update(f"{node.name}={node.op.name}{node.args}{dict(node.kwargs)}".encode())
            h.update(str(node.dtype).encode())
        h.update(f"{self.input}{self.input_shape}{self.input_dtype}{self.output}".encode())
        if self.emulated is not None:
            h.update(self.emulated.name.encode())
        for name, tensor in sorted(self.constants.items()):
            h.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            h.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return h.hexdigest()

    @cached_property
    def depends_on_batch_size(self) -> bool:
        """Whether a size decides more than shapes, so that only whole batches may be analysed."""
        sizes = {n.name for n in self.nodes if n.dtype is None}
        return any(
            r.name in sizes
            for n in self.nodes
            if n.dtype is not None and not n.op.shaped
            for r in refs((n.args, n.kwargs))
        )

    def select(self, output: str) -> Program:
        """The same program with another of its outputs as the result.

        Raises ``InputError`` that lists the outputs if there is none of that name.
        """
        if output not in self.outputs:
            known = ", ".join(self.outputs)
            raise InputError(f"the model has no output {output!r}; its outputs are: {known}")
        return replace(self, output=self.outputs[output])

    def followed_by(self, op: Op, *args: Any) -> Program:
        """The same program with ``op(output, *args)``, stored in the output's dtype, as its result.

        Raises ``InputError`` if the output is not a tensor that a node computes.
        """
        last = next((n for n in self.nodes if n.name == self.output.name), None)
        if last is None or last.dtype is None:
            raise InputError(
                f"the model's output is no node's value, so {op.name} cannot follow it"
            )
        node = Node(f"{op.name}_of_output", op, (self.output, *args), {}, last.dtype, op.name)
        return replace(self, nodes=(*self.nodes, node), output=Ref(node.name))

    def cast(self, fmt: Format) -> Program:
        """The program after ``Module.half()``: parameters and floating buffers rounded.

        Raises ``InputError`` where the graph alone does not tell what a halved model would do:
        constants made in ``forward`` and literal dtypes are not converted by ``Module.half()``.
        """
        dtypes = {n.name: n.dtype for n in self.nodes} | {
            name: t.dtype for name, t in self.constants.items()
        }
        dtypes[self.input] = self.input_dtype

        def promoted(node: Node) -> bool:
            """Made floating-point from integers: in what dtype, only the module can tell."""
            read = [d for r in refs((node.args, node.kwargs)) if (d := dtypes[r.name]) is not None]
            real = node.dtype is not None and node.dtype.is_floating_point
            return real and bool(read) and not any(d.is_floating_point for d in read)

        literal = [n.where for n in self.nodes if promoted(n)] + [
            n.where
            for n in self.nodes
            for a in (*n.args, *n.kwargs.values())
            if isinstance(a, torch.dtype)
        ]
        made = sorted(n for n in self.lifted if self.constants[n].is_floating_point())
        if literal or made:
            what = f"the constant {made[0]}" if made else f"the dtype at {literal[0]}"
            if fmt.emulated:
                raise InputError(
                    f"{what} says its own dtype, and storage in {fmt.name} is emulated for weights "
                    "and activations only: write it as a buffer, or choose float16 or bfloat16"
                )
            raise InputError(
                f"an archive does not tell how {what} is converted to {fmt.name}; certify the "
                f"module itself (weights and --arch, or errbound.certify(module, ...))"
            )

        def convert(dtype: torch.dtype | None) -> torch.dtype | None:
            return fmt.dtype if dtype is not None and dtype.is_floating_point else dtype

        return replace(
            self,
            nodes=tuple(replace(n, dtype=convert(n.dtype)) for n in self.nodes),
            constants={
                name: stored(t, fmt) if t.is_floating_point() else t
                for name, t in self.constants.items()
            },
            input_dtype=fmt.dtype,
            emulated=fmt if fmt.emulated else None,
        )


def refs(value: Any) -> list[Ref]:
    """All references inside nested lists, tuples and mappings."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [r for v in value for r in refs(v)]
    return []


def _resolve(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return values[value.name]
    if isinstance(value, list | tuple):
        return [_resolve(v, values) for v in value]
    return value
