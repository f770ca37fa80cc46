"""From ``torch.export`` to a frozen program: in-place forms undone, unknown operators listed."""

from __future__ import annotations

import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from errbound.errors import InputError
from errbound.number import BY_DTYPE
from errbound.ops import BY_TARGET, BatchMoved
from errbound.program.graph import Node, Program, Ref, refs

_CHECKS = re.compile(r"_assert|sym_constrain|_guards_fn|\bge$|\ble$|\bgt$|\blt$|\beq$|\bne$")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's logging, warnings and prints off the terminal."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    sink = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def trace(module: nn.Module, example: Tensor) -> ExportedProgram:
    """``torch.export`` of ``module`` on ``example`` (batch first), with a free batch size.

    Falls back to the example's own batch size where the model's code fixes it. The caller's
    module is only read. Raises ``InputError`` in one line if the model cannot be traced.
    """
    if any(m.training for m in module.modules()):
        raise InputError("the model is in training mode; call model.eval() before certifying it")
    if example.shape[0] < 2:
        example = example.repeat(2, *([1] * (example.dim() - 1)))
    shapes = ({0: Dim("batch", min=1)},)
    failure: Exception | None = None
    with quiet(), torch.no_grad():
        for dynamic in (shapes, None):
            try:
                return torch.export.export(module, (example,), dynamic_shapes=dynamic, strict=False)
            except Exception as error:  # torch raises many kinds; the first one says most
                failure = failure or error
    first = next(iter(str(failure).strip().splitlines()), type(failure).__name__)
    raise InputError(
        f"torch.export cannot trace the model on an input of shape {tuple(example.shape)}: {first}"
    ) from failure


def program_of(module: nn.Module, example: Tensor, dtype: torch.dtype) -> Program:
    """Trace a deep copy of ``module`` converted to ``dtype`` and freeze it."""
    converted = copy.deepcopy(module).to(dtype)
    return freeze(trace(converted, example.to(dtype)))


def freeze(exported: ExportedProgram) -> Program:
    """Copy an exported program into a ``Program`` that shares nothing with it.

    Raises ``InputError``: one error that lists *all* unknown operators with module path and source
    line; training mode; several inputs; an operator that moves the batch; writes through views.
    """
    return _Freezer(exported).program()


def unknown_operators(exported: ExportedProgram) -> dict[str, str]:
    """The operators of a program that have no record, with the first place that calls each."""
    unknown: dict[str, str] = {}
    for node in exported.graph.nodes:
        if node.op in ("placeholder", "output", "get_attr"):
            continue
        name = _target(node)
        if name not in BY_TARGET and not _CHECKS.search(name):
            unknown.setdefault(name, where(node))
    return unknown


class _Freezer:
    def __init__(self, exported: ExportedProgram) -> None:
        self.exported = exported
        self.graph = _inlined(exported.graph_module)
        self.current: dict[str, str] = {}  # value of a name after writes in place
        self.aliases: dict[str, set[str]] = {}  # names that may share storage
        self.constants: dict[str, Tensor] = {}
        self.lifted: set[str] = set()
        self.fixed: set[str] = set()  # names that do not depend on the input
        self.position = {n.name: i for i, n in enumerate(self.graph.nodes)}

    def program(self) -> Program:
        self._refuse_unknown()
        placeholder = self._inputs()
        value = placeholder.meta["val"]
        batch = value.shape[0] if isinstance(value.shape[0], int) else None
        self.batch = str(value.shape[0])
        # A binary64 program is frozen so that it can be cast; a mixture has no enclosure.
        self.dtypes = {*BY_DTYPE, *({torch.float64} & {value.dtype})}
        nodes = [
            self._node(n)
            for n in self.graph.nodes
            if n.op == "call_function" and not _CHECKS.search(_target(n))
        ]
        outputs = self._outputs()
        names = {r.name for r in outputs.values()}
        kept: list[Node] = []
        for node in reversed(nodes):
            if node.name in names:
                kept.append(node)
                names |= {r.name for r in refs((node.args, node.kwargs))}
        return Program(
            nodes=tuple(reversed(kept)),
            constants={k: v for k, v in self.constants.items() if k in names},
            lifted=frozenset(self.lifted & names),
            input=placeholder.name,
            input_shape=tuple(int(s) for s in value.shape[1:]),
            input_dtype=value.dtype,
            batch=batch,
            output=next(iter(outputs.values())),
            outputs=outputs,
        )

    def _refuse_unknown(self) -> None:
        unknown = unknown_operators(self.exported)
        if unknown:
            found = "; ".join(f"{name} ({place})" for name, place in unknown.items())
            raise InputError(
                f"operators without a record: {found}; `errbound ops` lists the known ones and "
                "CONTRIBUTING.md says how to add one"
            )

    def _inputs(self) -> fx.Node:
        tensors = {**self.exported.state_dict, **self.exported.constants}
        users: list[fx.Node] = []
        placeholders = [n for n in self.graph.nodes if n.op == "placeholder"]
        for node, spec in zip(placeholders, self.exported.graph_signature.input_specs, strict=True):
            if spec.kind is InputKind.USER_INPUT:
                users.append(node)
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                assert spec.target is not None
                self.constants[node.name] = tensors[spec.target].detach().clone()
                self.fixed.add(node.name)
                if spec.kind is InputKind.CONSTANT_TENSOR:
                    self.lifted.add(node.name)
            else:
                raise InputError(f"the model has an input of kind {spec.kind.name}: {node.name}")
        if len(users) != 1 or not isinstance(users[0].meta.get("val"), Tensor):
            names = ", ".join(n.name for n in users)
            raise InputError(f"the model must take exactly one tensor; its inputs are: {names}")
        if not users[0].meta["val"].is_floating_point():
            raise InputError(f"the input {users[0].name} is not a floating-point tensor")
        return users[0]

    def _outputs(self) -> dict[str, Ref]:
        for spec in self.exported.graph_signature.output_specs:
            if spec.kind is OutputKind.BUFFER_MUTATION:
                raise InputError(
                    f"the model was traced in training mode: it updates its buffer {spec.target}; "
                    "call model.eval() before exporting it"
                )
        leaves = next(n for n in self.graph.nodes if n.op == "output").args[0]
        skip = len(self.exported.graph_signature.output_specs) - len(
            self.exported.graph_signature.user_outputs
        )
        user = list(leaves)[skip:]
        spec = self.exported.call_spec.out_spec
        assert spec is not None
        paths, _ = pytree.tree_flatten_with_path(
            pytree.tree_unflatten(list(range(len(user))), spec)
        )
        found = {}
        for path, index in paths:
            leaf = user[index]
            if isinstance(leaf, fx.Node) and isinstance(leaf.meta.get("val"), Tensor):
                label = "/".join(_key(k) for k in path) or "0"
                found[label] = Ref(self._now(leaf.name))
        if not found:
            raise InputError("the model returns no tensor")
        return found

    def _now(self, name: str) -> str:
        while name in self.current:
            name = self.current[name]
        return name

    def _node(self, node: fx.Node) -> Node:
        target = _target(node)
        op = BY_TARGET[target]
        place = where(node)
        if op.check is not None:
            values = fx.node.map_arg(node.args, lambda n: n.meta.get("val"))
            options = fx.node.map_arg(node.kwargs, lambda n: n.meta.get("val"))
            try:
                op.check(*values, **options)
            except ValueError as error:
                if not (isinstance(error, BatchMoved) and self._is_fixed(node)):
                    raise InputError(f"{op.name} at {place}: {error}") from error
        if op.terms is not None and not all(n.name in self.fixed for n in node.all_input_nodes[1:]):
            raise InputError(f"{op.name} at {place}: its weights depend on the input")
        if not op.moves and any(
            isinstance(n.meta.get("val"), int | torch.SymInt) for n in node.all_input_nodes
        ):
            raise InputError(f"{op.name} at {place}: its value depends on the batch size")
        args, kwargs = self._convert(node.args), self._convert(dict(node.kwargs))
        self._share(node, op.shares)
        if _in_place(target):
            self._write(node, place)
        dtype = self._dtype(node, place)
        return Node(node.name, op, tuple(args), kwargs, dtype, place)

    def _convert(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return Ref(self._now(value.name))
        if isinstance(value, list | tuple):
            return [self._convert(v) for v in value]
        if isinstance(value, dict):
            return {k: self._convert(v) for k, v in value.items() if v is not None}
        return value

    def _dtype(self, node: fx.Node, place: str) -> torch.dtype | None:
        value = node.meta.get("val")
        first = value[0] if isinstance(value, list | tuple) and value else value
        if not isinstance(first, Tensor):
            return None
        if self._is_fixed(node):
            self.fixed.add(node.name)
        elif first.dtype not in self.dtypes:
            raise InputError(f"{place}: values of {first.dtype} have no enclosure")
        elif not first.dim() or str(first.shape[0]) != self.batch:
            raise InputError(f"{place}: dimension 0 is no longer the batch")
        elif not all(isinstance(s, int) for s in first.shape[1:]):
            raise InputError(f"{place}: the shape of a sample depends on the batch size")
        elif self._misaligned(node, first.dim(), BY_TARGET[_target(node)].moves):
            raise InputError(f"{place}: it combines one sample with another")
        return first.dtype

    def _is_fixed(self, node: fx.Node) -> bool:
        """Whether nothing that ``node`` reads depends on the input."""
        return all(n.name in self.fixed for n in node.all_input_nodes)

    def _misaligned(self, node: fx.Node, rank: int, moves: bool) -> bool:
        """Whether broadcasting would align an operand's batch with another dimension.

        An operator that moves the numbers of one tensor may change its rank, one that sums them may
        lower it; no other may.
        """
        values = [n.meta.get("val") for n in node.all_input_nodes if n.name not in self.fixed]
        ranks = [v.dim() for v in values if isinstance(v, Tensor)]
        if len(ranks) > 1:
            return any(r != rank for r in ranks)
        return not moves and any(r < rank for r in ranks)

    def _share(self, node: fx.Node, shares: bool) -> None:
        """Note that the result of a view shares storage with its operand."""
        group = {node.name}
        if shares:
            source = node.all_input_nodes[0].name if node.all_input_nodes else node.name
            group = self.aliases.get(source, {source})
            group.add(node.name)
        for member in group:
            self.aliases[member] = group

    def _write(self, node: fx.Node, place: str) -> None:
        """After ``a.op_()``: later uses of ``a`` mean the result; other views must be dead."""
        written = node.all_input_nodes[0] if node.all_input_nodes else node
        group = self.aliases.setdefault(written.name, {written.name})
        for constant in sorted(group & self.constants.keys()):
            raise InputError(
                f"{place}: it writes to the constant {constant} in place, as a model in training "
                "mode does; call model.eval() before exporting it"
            )
        for other in group - {written.name, node.name}:
            uses = next(n for n in self.graph.nodes if n.name == other).users
            # the write itself included: it would read the other view before the write
            if any(self.position[u.name] >= self.position[node.name] for u in uses):
                raise InputError(f"{place}: it writes in place through a view of {other}")
        dtypes = {
            n.meta["val"].dtype
            for n in node.all_input_nodes
            if isinstance(n.meta.get("val"), Tensor) and n.meta["val"].dim()
        }
        if len(dtypes) > 1:
            raise InputError(f"{place}: it mixes dtypes in place")
        self.current[written.name] = node.name
        group.add(node.name)
        self.aliases[node.name] = group


def _inlined(module: fx.GraphModule) -> fx.Graph:
    """The graph with ``torch.no_grad()`` blocks, which export wraps, put back in line."""
    graph = copy.deepcopy(module.graph)
    while True:
        wraps = [n for n in graph.nodes if _target(n) == "wrap_with_set_grad_enabled"]
        if not wraps:
            return graph
        wrap = wraps[0]
        block = wrap.args[1]
        assert isinstance(block, fx.Node)
        inner = module.get_submodule(str(block.target)).graph
        assert isinstance(inner, fx.Graph)
        values: dict[fx.Node, Any] = {}
        operands = iter(wrap.args[2:])
        results: Any = ()
        with graph.inserting_before(wrap):
            for node in inner.nodes:
                if node.op == "placeholder":
                    values[node] = next(operands)
                elif node.op == "output":
                    results = node.args[0]
                else:
                    values[node] = graph.node_copy(node, values.__getitem__)
        for user in list(wrap.users):
            user.replace_all_uses_with(values[results[user.args[1]]])
            graph.erase_node(user)
        graph.erase_node(wrap)
        if not block.users:
            graph.erase_node(block)


def _target(node: fx.Node) -> str:
    """Name of the function called: "aten.linear.default", "_operator.mul"."""
    target = node.target
    if isinstance(target, str):
        return target
    if isinstance(target, torch._ops.OpOverload | torch._ops.HigherOrderOperator):
        return str(target)
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', target)}"


def _in_place(target: str) -> bool:
    parts = target.split(".")
    return len(parts) == 3 and parts[1].endswith("_") and parts[1] != "detach_"


def _key(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))))


def where(node: fx.Node) -> str:
    """Module path, then the deepest source line outside torch."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = (stack[-1][0] if stack else "") or "the model"
    trace = node.meta.get("stack_trace") or ""
    lines = re.findall(r'File "([^"]+)", line (\d+)', trace)
    own = [(f, n) for f, n in lines if "/torch/" not in f.replace("\\", "/")]
    if not own:
        return f"{path}, {node.name}"
    file, number = own[-1]
    return f"{path}, {file}:{number}"
