"""A whole program, executed adversarially: many executions at once, one per row of the batch.

``Adversary`` walks ``Program.evaluate``. Operators with ``terms`` are executed by ``accumulate``
under plans that differ from row to row; every other operator is executed as observed runs are
(``errbound.ops.perform``). What ``torch-cpu`` leaves open besides the sum is left open here too:

* linear, input of rank >= 3: the bias may be added after the store, with another store;
* transposed convolution, 16 bits: the sum over channels of each tap stored, the taps added in 16
  bits, then the bias;
* adaptive average pooling: one division by the area, or by the height and then by the width;
* batch norm: fl(b - fl(mean alpha)) or fma(-mean, alpha, b) for the shift; FMA or not after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU, Arithmetic
from errbound.number import Format, nearest
from errbound.ops import Op, perform
from errbound.program import Node, Program
from errbound.testing.rounding import Array, round32, rounding, sum_to_odd
from errbound.testing.sums import Plan, accumulate

Visit = Callable[[Node, Any, tuple[Any, ...], Tensor | None], None]
"""``visit(node, value, args, before)``, as ``Adversary.run`` says."""

FLUSHING = ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
"""Operators whose sums the arithmetic's row ``sums`` describes; the others flush nothing."""


def store(values: Array, fmt: Format) -> Tensor:
    """Binary64 ``values`` (binary32 numbers) stored: a tensor of the format, signed zeros kept."""
    exact = torch.from_numpy(np.ascontiguousarray(values))
    stored = nearest(exact, fmt).to(fmt.dtype)
    return torch.copysign(stored, exact.to(fmt.dtype))


def as_array(value: Any) -> Any:
    """Tensors as binary64 arrays; everything else as it is."""
    return value.double().numpy() if isinstance(value, Tensor) else value


def fold(
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    fused: Array | bool,
) -> tuple[Array, Array]:
    """Batch norm's scale and shift in binary32, from the formula, by numpy alone."""
    root = round32(np.sqrt(round32(var + round32(np.array(eps)))))
    scale = round32(1.0 / root)
    if weight is not None:
        scale = round32(scale * weight)
    product = mean * scale
    b = np.zeros_like(product) if bias is None else bias
    separate = round32(b - round32(product))
    once = round32(sum_to_odd(-product, b))
    return scale, np.where(fused, once, separate)


def execute_sum(
    op: Op,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    fmt: Format,
    plan: Plan,
    rng: np.random.Generator,
    arithmetic: Arithmetic = TORCH_CPU,
) -> tuple[Tensor, Array | None]:
    """One execution (per row) of an operator with ``terms``, stored in ``fmt``.

    Returns the stored tensor, and what the enclosure bounds before the store: the sum, divided by
    the area for pools, not rounded since; None where the execution has no such value.
    """
    arrays = [as_array(a) for a in args]
    assert op.terms is not None
    terms = op.terms(*arrays, **{k: as_array(v) for k, v in kwargs.items()})
    left, right, bias, divisors = terms.left, terms.right, terms.bias, terms.divisors
    fl = rounding(arithmetic.intermediate or fmt)
    flushed = op.name in FLUSHING and arithmetic.sums[fmt.name].addition_absolute > 0
    plan = plan if flushed else replace(plan, flush=0.0)
    late = arithmetic.late_bias or (op.name == "linear" and arrays[0].ndim >= 3)
    with np.errstate(over="ignore", invalid="ignore"):
        if op.name == "batch_norm":
            fused = rng.random(arrays[3].shape) < 0.5 if plan.other else True
            weight, offset, mean, var, eps = *arrays[1:5], arrays[7]
            scale, shift = fold(weight, offset, mean, var, eps, fused)
            rank = arrays[0].ndim
            right = scale.reshape(-1, *([1] * (rank - 1)))
            bias = shift.reshape(-1, *([1] * (rank - 2)))
        if op.name == "adaptive_avg_pool2d" and plan.other:
            divisors = extents(arrays[0].shape, args[1])
        narrow = arithmetic.partials16 and fmt.dtype.itemsize == 2
        if op.name.startswith("conv_transpose") and narrow and plan.other:
            return tap_by_tap(left, right, bias, arrays[1].shape[2:], fmt, plan, rng), None
        if op.name in FLUSHING and bias is not None and late and plan.other:
            first = store(accumulate(left, right, None, plan, rng, fl), fmt)
            return store(fl(as_array(first) + bias), fmt), None
        sums = accumulate(left, right, bias, plan, rng, fl)
        before = sums / terms.divisors[0] if terms.divisors else sums
        for divisor in divisors:
            sums = fl(sums / divisor)
    return store(sums, fmt), None if op.name == "batch_norm" else before


def tap_by_tap(
    left: Array,
    right: Array,
    bias: Array | None,
    kernel: Sequence[int],
    fmt: Format,
    plan: Plan,
    rng: np.random.Generator,
) -> Tensor:
    """A transposed convolution in 16 bits whose products over channels are stored for each tap."""
    taps, narrow = int(np.prod(kernel)), rounding(fmt)
    x, w = (np.moveaxis(t.reshape(*t.shape[:-1], -1, taps), -1, -2) for t in (left, right))
    columns = narrow(accumulate(x, w, None, plan, rng))
    sums = accumulate(columns, np.ones(1), None, replace(plan, flush=0.0), rng, narrow)
    return store(sums if bias is None else narrow(sums + bias), fmt)


def extents(shape: tuple[int, ...], size: Sequence[int]) -> tuple[Array, Array]:
    """Heights (out_h, 1) and widths (1, out_w) of the windows of adaptive pooling."""

    def lengths(total: int, parts: int) -> Array:
        return np.array([-(-(i + 1) * total // parts) - i * total // parts for i in range(parts)])

    return lengths(shape[-2], size[0])[:, None], lengths(shape[-1], size[1])[None, :]


def is_free(node: Node, arithmetic: Arithmetic) -> bool:
    """Whether plans decide what the node computes: a sum, with no emulation of its own."""
    own = arithmetic.emulated and node.op.emulate is not None
    return node.op.terms is not None and not own


class Adversary:
    """Adversarial executions of a program, one per row.

    Args:
        program: the program.
        rng: numpy generator.
        groups: how many plans are drawn at each node; rows are dealt among them.
        fixed: by name of a node, the plan of all its rows instead.
        arithmetic: what may happen.
    """

    def __init__(
        self,
        program: Program,
        rng: np.random.Generator,
        groups: int = 8,
        fixed: Mapping[str, Plan] | None = None,
        arithmetic: Arithmetic = TORCH_CPU,
    ) -> None:
        self.program, self.rng, self.groups = program, rng, groups
        self.fixed, self.arithmetic = fixed, arithmetic
        self.plans: dict[str, list[tuple[Array, Plan]]] = {}

    def run(self, x: Tensor, visit: Visit) -> Tensor:
        """Execute on ``x``, a row per execution; ``visit(node, value, args, before)`` sees all.

        ``before``: binary64 sums before the store, NaN where there are none; None for other nodes.
        """
        rows = x.shape[0]
        self._deal = self.rng.permutation(rows)

        def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            before = None
            fmt = self.program.storage(node.dtype)
            if fmt is None or not is_free(node, self.arithmetic):
                value = perform(node.op, self.arithmetic, fmt, args, kwargs)
            else:
                value, before = self._sum(node, args, kwargs, rows, fmt)
            visit(node, value, args, before)
            return value

        with torch.inference_mode():
            result: Tensor = self.program.evaluate(x, self.program.constants, step)
        return result

    def _sum(
        self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], rows: int, fmt: Format
    ) -> tuple[Tensor, Tensor]:
        # Either the same rows meet again and again, or they are dealt anew.
        deal = self._deal if self.rng.random() < 0.5 else self.rng.permutation(rows)
        parts = [deal] if self.fixed else np.array_split(deal, min(self.groups, rows))
        result: Tensor | None = None
        before = torch.empty(0)
        self.plans[node.name] = plans = []
        for part in parts:
            plan = self.fixed[node.name] if self.fixed else Plan.random(self.rng)
            plans.append((part, plan))
            where = torch.from_numpy(part)
            mine = [args[0][where], *args[1:]]
            value, sums = execute_sum(node.op, mine, kwargs, fmt, plan, self.rng, self.arithmetic)
            if result is None:
                result = value.new_empty((rows, *value.shape[1:]))
                before = torch.full(result.shape, torch.nan, dtype=torch.float64)
            result[where] = value
            if sums is not None:
                before[where] = torch.from_numpy(sums)
        assert result is not None
        return result, before

    def plan_of(self, name: str, row: int) -> Plan | None:
        """The plan that made ``row`` of a node, for messages."""
        return next((p for part, p in self.plans.get(name, ()) if row in part), None)
