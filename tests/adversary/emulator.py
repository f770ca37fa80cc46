"""A whole program, executed adversarially: many executions at once, one per row of the batch.

``Adversary`` walks ``Program.evaluate``. Operators with ``terms`` are executed by ``accumulate``
under plans that differ from row to row; every other operator is torch's own call in the real
dtype. What ``torch-cpu`` leaves open besides the sum is left open here too:

* linear, input of rank >= 3: the bias may be added after the store, with another store;
* adaptive average pooling: one division by the area, or by the height and then by the width;
* batch norm: fl(b - fl(mean alpha)) or fma(-mean, alpha, b) for the shift; FMA or not after it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import BY_DTYPE, nearest

from .binary32 import round32, sum_to_odd
from .sums import Plan, accumulate

FLUSHING = ("linear", "conv2d")
"""Operators whose sums the arithmetic's row ``sums`` describes; the others flush nothing."""


def store(values, fmt):
    """Binary64 ``values`` (binary32 numbers) stored: a tensor of the format, signed zeros kept."""
    exact = torch.from_numpy(np.ascontiguousarray(values))
    stored = nearest(exact, fmt).to(fmt.dtype)
    return torch.copysign(stored, exact.to(fmt.dtype))


def as_array(value):
    """Tensors as binary64 arrays; everything else as it is."""
    return value.double().numpy() if isinstance(value, torch.Tensor) else value


def _shift(weight, bias, mean, var, eps, fused):
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


def execute_sum(op, args, kwargs, fmt, plan, rng):
    """One execution (per row) of an operator with ``terms``, stored in ``fmt``.

    Returns the stored tensor, and what the enclosure bounds before the store: the sum, divided by
    the area for pools, not rounded since; None where the execution has no such value.
    """
    arrays = [as_array(a) for a in args]
    terms = op.terms(*arrays, **{k: as_array(v) for k, v in kwargs.items()})
    left, right, bias, divisors = terms.left, terms.right, terms.bias, terms.divisors
    flushed = op.name in FLUSHING and TORCH_CPU.sums[fmt.name].addition_absolute > 0
    plan = plan if flushed else replace(plan, flush=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        if op.name == "batch_norm":
            fused = rng.random(arrays[3].shape) < 0.5 if plan.other else True
            scale, shift = _shift(*arrays[1:5], arrays[7], fused)
            rank = arrays[0].ndim
            right = scale.reshape(-1, *([1] * (rank - 1)))
            bias = shift.reshape(-1, *([1] * (rank - 2)))
        if op.name == "adaptive_avg_pool2d" and plan.other:
            divisors = _extents(arrays[0].shape, args[1])
        if op.name == "linear" and bias is not None and arrays[0].ndim >= 3 and plan.other:
            first = store(accumulate(left, right, None, plan, rng), fmt)
            return store(round32(as_array(first) + bias), fmt), None
        sums = accumulate(left, right, bias, plan, rng)
        before = sums / terms.divisors[0] if terms.divisors else sums
        for divisor in divisors:
            sums = round32(sums / divisor)
    return store(sums, fmt), None if op.name == "batch_norm" else before


def _extents(shape, size):
    def lengths(total, parts):
        return np.array([-(-(i + 1) * total // parts) - i * total // parts for i in range(parts)])

    return lengths(shape[-2], size[0])[:, None], lengths(shape[-1], size[1])[None, :]


class Adversary:
    """Adversarial executions of a program, one per row.

    Args:
        program: the program.
        rng: numpy generator.
        groups: how many plans are drawn at each node; rows are dealt among them.
        plan: fixes the plan of all rows instead.
    """

    def __init__(self, program, rng, groups=8, plan=None):
        self.program, self.rng, self.groups, self.plan = program, rng, groups, plan
        self.plans = {}

    def run(self, x, visit):
        """Execute on ``x``, a row per execution; ``visit(node, value, args, before)`` sees all.

        ``before``: binary64 sums before the store, NaN where there are none; None for other nodes.
        """
        rows = x.shape[0]
        self._deal = self.rng.permutation(rows)

        def step(node, args, kwargs):
            before = None
            if node.op.terms is None:
                value = node.op.call(*args, **kwargs)
            else:
                value, before = self._sum(node, args, kwargs, rows)
            visit(node, value, args, before)
            return value

        with torch.inference_mode():
            return self.program.evaluate(x, self.program.constants, step)

    def _sum(self, node, args, kwargs, rows):
        fmt = BY_DTYPE[node.dtype]
        # Either the same rows meet again and again, or they are dealt anew.
        deal = self._deal if self.rng.random() < 0.5 else self.rng.permutation(rows)
        parts = np.array_split(deal, min(self.groups, rows))
        result = before = None
        self.plans[node.name] = plans = []
        for part in parts:
            plan = self.plan or Plan.random(self.rng)
            plans.append((part, plan))
            where = torch.from_numpy(part)
            mine = [args[0][where], *args[1:]]
            value, sums = execute_sum(node.op, mine, kwargs, fmt, plan, self.rng)
            if result is None:
                result = value.new_empty((rows, *value.shape[1:]))
                before = torch.full(result.shape, torch.nan, dtype=torch.float64)
            result[where] = value
            if sums is not None:
                before[where] = torch.from_numpy(sums)
        return result, before

    def plan_of(self, name, row):
        """The plan that made ``row`` of a node, for messages."""
        return next((p for part, p in self.plans.get(name, ()) if row in part), None)
