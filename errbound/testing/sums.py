"""One sum of products, executed in a chosen order: what ``torch-cpu`` allows, exactly.

A ``Plan`` fixes how: the order of the terms, where the bias comes, the shape of the tree, which
products are fused with the addition that consumes them, how readily subnormals are flushed.
``accumulate`` carries it out for a batch of executions; every row and every output has its own
permutation, tree and coins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from errbound.testing.rounding import Array, Rounding, add, flush, round32

Plus = Callable[[Array, Array], Array]
Start = Callable[[Array], Array]

ORDERS = (
    "given",
    "reversed",
    "random",
    "ascending",
    "descending",
    "positives first",
    "negatives first",
    "signs alternating",
)
BIASES = ("first", "last", "middle", "sorted in")
SHAPES = ("chain", "blocks", "lanes", "pairwise", "tree", "greedy up", "greedy down")


@dataclass(frozen=True)
class Plan:
    """One way to execute a sum.

    Attributes:
        order: of the products, one of ``ORDERS``.
        bias: where the bias stands among them, one of ``BIASES``.
        shape: one chain; ``lanes`` accumulators over consecutive blocks or over every lanes-th
            term, then combined; pairwise; a random binary tree; or a chain that takes next the
            term whose addition errs most upward (downward).
        lanes: number of accumulators.
        fused: share of products that are not rounded before they are added (FMA).
        flush: probability that a subnormal operand, product or partial sum becomes zero, where
            the arithmetic admits it.
        other: the operator's other freedom, if it has one: the bias after the store (linear),
            two divisions (adaptive pooling), the shift folded without FMA (batch norm).
    """

    order: str = "given"
    bias: str = "first"
    shape: str = "chain"
    lanes: int = 1
    fused: float = 0.0
    flush: float = 0.0
    other: bool = False

    @staticmethod
    def random(rng: np.random.Generator) -> Plan:
        """Any plan."""
        return Plan(
            order=str(rng.choice(ORDERS if rng.random() < 0.8 else ["given", "descending"])),
            bias=str(rng.choice(BIASES)),
            shape=str(rng.choice(SHAPES if rng.random() < 0.8 else ["chain"])),
            lanes=int(rng.choice([2, 3, 4, 8, 16])),
            fused=float(rng.choice([0.0, 0.5, 1.0])),
            flush=float(rng.choice([0.0, 0.5, 1.0])),
            other=bool(rng.random() < 0.5),
        )


def accumulate(
    left: Array,
    right: Array,
    bias: Array | None,
    plan: Plan,
    rng: np.random.Generator,
    fl: Rounding = round32,
) -> Array:
    """Sums of ``left * right`` over the last axis, plus ``bias``, every operation rounded.

    Args:
        left: (..., m) binary64 array of stored numbers of at most 24 bits.
        right: broadcasts against it, likewise.
        bias: None, or broadcasts against the sums.
        plan: how to execute; ``plan.flush`` must be 0 where the arithmetic flushes nothing.
        rng: numpy generator of the random choices.
        fl: rounding of the format in which terms are added, binary32 unless told.

    Returns binary64 array of numbers of that format.
    """
    shape = np.broadcast_shapes(np.shape(left), np.shape(right))
    x, w = np.broadcast_to(left, shape), np.broadcast_to(right, shape)
    x, w = flush(x, x, plan.flush, rng), flush(w, w, plan.flush, rng)
    exact = (x * w).reshape(int(np.prod(shape[:-1])), shape[-1])
    offset = None
    if bias is not None:
        offset = np.broadcast_to(bias, shape[:-1]).reshape(-1, 1)
        offset = flush(offset, offset, plan.flush, rng)
    if shape[-1] == 0:
        sums = np.zeros((exact.shape[0], 1)) if offset is None else offset
        return sums.reshape(shape[:-1])
    terms, wide = _leaves(exact, plan, rng, fl)
    terms = _arrange(terms, offset, plan, rng)
    return _reduce(terms, plan, wide, rng, fl).reshape(shape[:-1])


def _leaves(exact: Array, plan: Plan, rng: np.random.Generator, fl: Rounding) -> tuple[Array, bool]:
    """Products rounded except the fused ones; and whether any is still exact."""
    rounded = fl(exact)
    if not plan.flush and (rounded == exact).all():
        return exact, False
    rounded = flush(exact, rounded, plan.flush, rng)
    if not plan.fused:
        return rounded, False
    fused = True if plan.fused == 1 else rng.random(exact.shape) < plan.fused
    return np.where(fused, exact, rounded), True


def _keys(terms: Array, order: str, rng: np.random.Generator) -> Array:
    if order in ("given", "reversed"):
        return np.broadcast_to(np.arange(terms.shape[1], dtype=float), terms.shape)
    if order in ("ascending", "descending"):
        return np.abs(terms)
    noise = rng.random((len(terms), terms.shape[1]))
    if order == "random":
        return noise
    if order == "signs alternating":
        # Rank within one's own sign, so that the two signs take turns, large terms first.
        largest = np.argsort(np.argsort(-np.abs(terms), axis=1), axis=1)
        positive = terms >= 0
        mine = [
            np.cumsum(np.take_along_axis(s, np.argsort(largest, 1), 1), 1)
            for s in (positive, ~positive)
        ]
        back = [np.take_along_axis(c, largest, 1) for c in mine]
        return np.where(positive, back[0] - 0.5, back[1])
    return noise - np.where(terms > 0, 2.0, 0.0)


def _arrange(terms: Array, offset: Array | None, plan: Plan, rng: np.random.Generator) -> Array:
    """Terms in the order of the plan, the bias among them."""
    at_end = offset is not None and plan.bias != "sorted in"
    if offset is not None and not at_end:
        terms = np.concatenate([terms, offset], axis=1)
    if plan.order != "given":
        order = np.argsort(_keys(terms, plan.order, rng), axis=1, kind="stable")
        if plan.order in ("reversed", "descending", "negatives first"):
            order = order[:, ::-1]
        terms = np.take_along_axis(terms, order, axis=1)
    if not at_end:
        return terms
    at = {"first": 0, "last": terms.shape[1], "middle": terms.shape[1] // 2}[plan.bias]
    return np.concatenate([terms[:, :at], offset, terms[:, at:]], axis=1)


def _reduce(terms: Array, plan: Plan, wide: bool, rng: np.random.Generator, fl: Rounding) -> Array:
    def plus(a: Array, b: Array) -> Array:
        return flush(*add(a, b, wide=wide, fl=fl), plan.flush, rng)

    def start(a: Array) -> Array:
        """A pending product that meets no partial sum is rounded by itself."""
        return flush(a, fl(a), plan.flush, rng) if wide else a

    m = terms.shape[1]
    if plan.shape.startswith("greedy") and m * m * terms.shape[0] < 2e7:
        sign = 1.0 if plan.shape == "greedy up" else -1.0
        return _greedy(terms, plus, start, rng, lambda s: sign * (fl(s) - s))
    if plan.shape == "tree":
        return _tree(terms, plus, start, rng)
    lanes = {"blocks": plan.lanes, "lanes": plan.lanes, "pairwise": m}.get(plan.shape, 1)
    steps = -(-m // lanes)
    terms = np.pad(terms, ((0, 0), (0, lanes * steps - m)))
    if plan.shape == "blocks":
        terms = terms.reshape(-1, lanes, steps).swapaxes(1, 2)
    else:
        terms = terms.reshape(-1, steps, lanes)
    partial = start(terms[:, 0])
    for k in range(1, steps):
        partial = plus(terms[:, k], partial)
    while partial.shape[1] > 1:
        if partial.shape[1] % 2:
            partial = np.pad(partial, ((0, 0), (0, 1)))
        partial = plus(partial[:, ::2], partial[:, 1::2])
    return partial[:, 0]


def _tree(terms: Array, plus: Plus, start: Start, rng: np.random.Generator) -> Array:
    """Combine two random ones of the values that are left, until one is left."""
    values = np.array(terms)
    row = np.arange(values.shape[0])
    for left in range(values.shape[1], 1, -1):
        i = rng.integers(0, left, values.shape[0])
        j = (i + rng.integers(1, left, values.shape[0])) % left
        i, j = np.minimum(i, j), np.maximum(i, j)  # i stays, the last value moves to j
        a, b = values[row, i], values[row, j]
        values[row, i] = plus(a, start(b))
        values[row, j] = values[:, left - 1]
    return start(values[:, 0])


def _greedy(
    terms: Array, plus: Plus, start: Start, rng: np.random.Generator, error: Rounding
) -> Array:
    """A chain that always takes the term whose addition has the largest ``error``."""
    row = np.arange(terms.shape[0])
    first = np.where(
        rng.random(terms.shape[0]) < 0.5,
        np.abs(terms).argmax(axis=1),
        rng.integers(0, terms.shape[1], terms.shape[0]),
    )
    partial = start(terms[row, first])
    taken = np.zeros(terms.shape, dtype=bool)
    taken[row, first] = True
    for _ in range(1, terms.shape[1]):
        s = partial[:, None] + terms
        with np.errstate(invalid="ignore"):
            gain = np.where(taken, -np.inf, np.nan_to_num(error(s)))
        best = gain.argmax(axis=1)
        partial = plus(terms[row, best], partial)
        taken[row, best] = True
    return partial
