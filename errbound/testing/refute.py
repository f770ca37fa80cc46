"""A search for one execution that an arithmetic allows and that gives another class.

Where a bound leaves a sample undecided, either the bound is loose or such an execution exists. The
search goes layer by layer: of every sum that is not determined the orders of summation that push it
furthest down and up are looked for, and which of the two is taken follows the sign of the
coefficient that z_i - z_j has there. What it returns was executed, operation by operation, by the
emulator: it is legal by construction. That nothing is found proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.analysis import Encloser
from errbound.arithmetic import TORCH_CPU, Arithmetic
from errbound.number import Format, Interval
from errbound.ops import Constant, Step, perform
from errbound.program import Node, Program
from errbound.testing.emulator import FLUSHING, as_array, store
from errbound.testing.rounding import Array, Rounding, rounding
from errbound.testing.sums import Plan, accumulate

PLANS = (
    *(
        Plan(order=order, bias=bias)
        for order in ("descending", "ascending", "positives first", "negatives first")
        for bias in ("first", "last")
    ),
    *(Plan(order="random", bias=bias, shape="tree") for bias in ("first", "last")),
    *(Plan(order="random", bias="sorted in", shape="chain") for _ in range(4)),
    Plan(order="descending", shape="lanes", lanes=4),
    Plan(order="signs alternating", bias="sorted in"),
)
"""Ways to execute a sum that are tried besides those that are steered."""

GREEDY = 2**27
"""Greedy chains are tried where the squares of numbers of terms add up to less."""

TRIES = 12
"""Random orders of a sum that are tried, where it has few terms."""

CELLS = 2**22
"""Steered chains are built for about this many terms at a time."""


@dataclass(frozen=True, eq=False)
class Found:
    """The execution that came nearest to another class, or got there.

    Attributes:
        lead: z_i - z_j of that execution, j the rival that is closest; exact for 16-bit outputs.
        output: (classes,), in the dtype of the program.
        values: every node's value in it, (1, *shape), by the node's name.
        tried: how many executions were made.
    """

    lead: float
    output: Tensor
    values: Mapping[str, Any]
    tried: int

    @property
    def answer(self) -> int:
        """The class: the first of the largest outputs."""
        return int(self.output.double().argmax())


class Refuter:
    """Searches executions of one program.

    Args:
        program: whose sums are linear layers and convolutions; others are executed as observed
            runs are.
        rng: numpy generator of the random choices.
        arithmetic: what may happen; it stores sums once (no late bias).
        rows: executions of one round.
    """

    def __init__(
        self,
        program: Program,
        rng: np.random.Generator,
        arithmetic: Arithmetic = TORCH_CPU,
        rows: int = 24,
    ) -> None:
        self.program, self.rng, self.arithmetic, self.rows = program, rng, arithmetic, rows
        self._constants = {k: Constant(v) for k, v in program.constants.items()}
        self._reached: dict[tuple[str, bytes], tuple[Array, Array, Array]] = {}

    def __call__(self, x: Tensor, winner: int, rival: int, rounds: int = 20) -> Found:
        """Make z_winner - z_rival of one sample ``x``, (1, *shape), as small as can be.

        Stops as soon as the class of an execution is not ``winner``.
        """
        self._reached.clear()
        towards = self._coefficients(x, winner, rival)
        noise = {k: np.zeros((self.rows, *g.shape[1:])) for k, g in towards.items()}
        level = self.rng.choice([0.0, 0.3, 1.0, 3.0], self.rows)
        level[0] = 0.0
        order = np.arange(self.rows)
        best: Found | None = None
        for turn in range(rounds):
            if turn:
                noise, level = self._mutated(noise, level, order)
            values, output, fine = self._run(x, towards, noise, level)
            z = output.double()
            gap = (fine[:, winner] - fine[:, rival]).numpy()
            others = z.clone()
            others[:, winner] = -torch.inf
            lead = (z[:, winner] - others.amax(dim=1)).numpy()
            # An exact tie, where the winner comes first, is no other class: less is wanted.
            won = (z.argmax(dim=1) == winner).numpy()
            order = np.lexsort((gap, won))
            k = int(np.lexsort((lead, won))[0])
            if best is None or (bool(won[k]), float(lead[k])) < (best.answer == winner, best.lead):
                one = {n: _row(v, k) for n, v in values.items()}
                best = Found(float(lead[k]), output[k], one, 0)
            best = replace(best, tried=self.rows * (turn + 1))
            if best.answer != winner:
                break
        assert best is not None
        return best

    def _mutated(
        self, noise: dict[str, Array], level: Array, order: Array
    ) -> tuple[dict[str, Array], Array]:
        """The better quarter as it is, and offspring of it in place of the rest."""
        keep = order[: max(1, self.rows // 4)]
        parents = np.concatenate([keep, self.rng.choice(keep, self.rows - len(keep))])
        level = level[parents].copy()
        changed = {}
        for name, field in noise.items():
            new = field[parents]
            fresh = self.rng.normal(size=new.shape)
            redrawn = self.rng.random(new.shape) < self.rng.choice([0.02, 0.1, 0.4])
            redrawn[: len(keep)] = False
            changed[name] = np.where(redrawn, fresh, new)
        again = self.rng.random(self.rows) < 0.3
        again[: len(keep)] = False
        level[again] = self.rng.choice([0.3, 1.0, 3.0], int(again.sum()))
        return changed, level

    def _coefficients(self, x: Tensor, winner: int, rival: int) -> dict[str, Array]:
        """Of z_winner - z_rival, at every sum that is not determined: (1, *shape), rms 1.

        What is determined in every execution passes little on.
        """
        boxes: dict[str, Tensor] = {}

        def keep(node: Node, value: Any, alive: Tensor) -> None:
            if isinstance(value, Interval) and node.op.terms is not None:
                boxes[node.name] = value.hi > value.lo

        Encloser(self.program, self.arithmetic)(x, keep)
        leaves: dict[str, Tensor] = {}

        def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            value = node.op.call(*args, **kwargs)
            if node.name in boxes:
                open_ = boxes[node.name].double() + 1e-6
                value = value.detach() + (value - value.detach()) * open_
                value.retain_grad()
                leaves[node.name] = value
            return value

        constants = {
            k: v.double() if v.is_floating_point() else v for k, v in self.program.constants.items()
        }
        with torch.enable_grad():
            z = self.program.evaluate(x.double().requires_grad_(), constants, step)
            (z[0, winner] - z[0, rival]).backward()
        found = {}
        for name, value in leaves.items():
            if value.grad is not None and bool(boxes[name].any()):
                grad = value.grad.numpy()
                size = float(np.sqrt((grad[boxes[name].numpy()] ** 2).mean()))
                found[name] = grad / size if size > 0 else grad
        return found

    def _run(
        self, x: Tensor, towards: dict[str, Array], noise: dict[str, Array], level: Array
    ) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Values of all nodes, the output, and the output before its last rounding, binary64."""
        values: dict[str, Any] = {}
        last: list[Tensor] = []

        def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            fmt = self.program.storage(node.dtype)
            if node.name in towards and fmt is not None and node.op.name in FLUSHING:
                scale = level.reshape(-1, *[1] * (noise[node.name].ndim - 1))
                up = towards[node.name] + scale * noise[node.name] < 0
                value: Any = self._sums(node, args, kwargs, fmt, up)
            else:
                value = perform(node.op, self.arithmetic, fmt, args, kwargs)
            values[node.name] = value
            if node.name == self.program.output.name:
                wide = [a.double() if isinstance(a, Tensor) else a for a in args]
                last.append(node.op.call(*wide, **kwargs))
            return value

        rows = x.expand(self.rows, *x.shape[1:]).clone()
        with torch.inference_mode():
            output = self.program.evaluate(rows, self.program.constants, step)
        return values, output, last[0]

    def _sums(
        self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], fmt: Format, up: Array
    ) -> Tensor:
        """Every sum at the upper (lower) end of what was reached, where ``up`` says so (or not)."""
        keys = [(node.name, as_array(args[0][row]).tobytes()) for row in range(self.rows)]
        news = {key: row for row, key in enumerate(keys) if key not in self._reached}
        if news:
            x = args[0][list(news.values())]
            for key, ends in zip(news, self._ends(node, [x, *args[1:]], kwargs, fmt), strict=True):
                self._reached[key] = ends
        value = np.empty((self.rows, int(np.prod(up.shape[1:]))))
        for row, key in enumerate(keys):
            low, at, high = self._reached[key]
            value[row] = low
            value[row, at] = np.where(up[row].reshape(-1)[at], high, low[at])
        return torch.from_numpy(value.reshape(up.shape)).to(fmt.dtype)

    def _ends(
        self, node: Node, args: list[Any], kwargs: dict[str, Any], fmt: Format
    ) -> list[tuple[Array, Array, Array]]:
        """Per row: the smallest values reached (entries,); where there are larger ones; those."""
        rows = args[0].shape[0]
        wide = [Constant(a) if isinstance(a, Tensor) else a for a in args[1:]]
        step = Step(self.arithmetic, fmt, rows)
        box = node.op.enclose(step, Interval.point(args[0]), *wide, **kwargs)
        lo, hi = (end.reshape(rows, -1).numpy().copy() for end in (box.lo, box.hi))
        parts, places = [], [np.nonzero(lo[row] < hi[row])[0] for row in range(rows)]
        rest = [as_array(a) for a in args[1:]]
        assert node.op.terms is not None
        for row, at in enumerate(places):
            terms = node.op.terms(as_array(args[0][row : row + 1]), *rest, **kwargs)
            shape = np.broadcast_shapes(np.shape(terms.left), np.shape(terms.right))
            where = np.unravel_index(at, shape[:-1])
            bias = 0.0 if terms.bias is None else terms.bias
            left, right = (np.broadcast_to(t, shape)[where] for t in (terms.left, terms.right))
            parts.append((left, right, np.broadcast_to(bias, shape[:-1])[where]))
        left, right, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        row_of = np.repeat(np.arange(rows), [len(at) for at in places])
        at = np.concatenate(places)
        if len(at):
            low, high = self._reach(left, right, offset, fmt, lo[row_of, at], hi[row_of, at])
            lo[row_of, at] = low
        else:
            high = np.empty(0)
        return [(lo[row], places[row], high[row_of == row]) for row in range(rows)]

    def _try(
        self,
        plan: Plan,
        rows: Array,
        left: Array,
        right: Array,
        bias: Array,
        fl: Rounding,
        note: Callable[[Array, Array], None],
    ) -> None:
        """Note what some rows are under a plan, with FMA too where products are not exact."""
        x, w = left[rows], right[rows]
        if not len(rows):
            return
        for fused in (0.0, 1.0) if bool((fl(x * w) != x * w).any()) else (0.0,):
            mine = replace(plan, fused=fused)
            note(rows, accumulate(x, w, bias[rows], mine, self.rng, fl))

    def _reach(
        self, left: Array, right: Array, bias: Array, fmt: Format, lo: Array, hi: Array
    ) -> tuple[Array, Array]:
        """Smallest and largest stored sums (E,) that some execution has, of terms (E, m).

        All in [``lo``, ``hi``]; where both ends are reached no more is tried.
        """
        fl = rounding(self.arithmetic.intermediate or fmt)
        low, high = np.full(len(left), np.inf), np.full(len(left), -np.inf)

        def note(rows: Array, sums: Array) -> None:
            found = as_array(store(sums, fmt))
            low[rows] = np.minimum(low[rows], found)
            high[rows] = np.maximum(high[rows], found)

        def still() -> Array:
            found: Array = np.nonzero((low > lo) | (high < hi))[0]
            return found

        # Beyond a third of the bound of a sum of many terms no order was seen to come.
        total = (left * right).sum(axis=1) + bias
        size = (np.abs(left * right).sum(axis=1) + np.abs(bias) + np.abs(total)) / 2.0
        near = np.abs(total - (lo + hi) / 2.0) <= size * (left.shape[1] * 2.0**-24 / 3.0)
        for plan in PLANS:
            self._try(plan, still(), left, right, bias, fl, note)
        for plan in (Plan(shape="greedy up"), Plan(shape="greedy down")):
            rows = np.intersect1d(still(), np.nonzero(near)[0])
            if rows.size * left.shape[1] ** 2 < GREEDY:
                for part in np.array_split(rows, 1 + rows.size * left.shape[1] ** 2 // 2**24):
                    self._try(plan, part, left, right, bias, fl, note)
        for _ in range(min(TRIES, CELLS // max(1, left.size))):
            rows = np.intersect1d(still(), np.nonzero(near)[0])
            self._try(Plan(order="random", bias="sorted in"), rows, left, right, bias, fl, note)
        for first in (1.0, -1.0):
            for sign, missed in ((1.0, high < hi), (-1.0, low > lo)):
                rows = np.nonzero(missed)[0]
                for part in np.array_split(rows, 1 + rows.size * left.shape[1] // CELLS):
                    x, w = _steered(left[part], right[part], bias[part], sign, first, fl)
                    note(part, accumulate(x, w, None, Plan(), self.rng, fl))
        return low, high


def _steered(
    left: Array, right: Array, bias: Array, sign: float, first: float, fl: Rounding
) -> tuple[Array, Array]:
    """Terms (E, m) in an order in which a chain errs far upward (``sign`` 1) or downward.

    A partial sum is a multiple of its own ulp, so what an addition errs depends on the term and on
    the binade of the partial sum alone. Terms of the sign ``first`` come before the others, and
    near the top, where ulps are large, come those terms that err as wanted there: last of the
    first sign, first of the other one. The bias becomes a product with 1.
    """
    left = np.concatenate([left, bias[:, None]], axis=1)
    right = np.concatenate([right, np.ones((len(right), 1))], axis=1)
    terms = fl(left * right)
    early = terms * first > 0
    total = np.where(early, np.abs(terms), 0.0).sum(axis=1, keepdims=True)
    top = first * np.ldexp(1.5, np.frexp(total)[1] - 1)
    gain = sign * (fl(top + terms) - (top + terms))
    largest = np.abs(gain).max(axis=1, keepdims=True).clip(min=2.0**-1000)
    key = np.where(early, gain / largest, 4.0 - gain / largest)
    order = np.argsort(np.where(terms == 0, 8.0, key), axis=1)
    return np.take_along_axis(left, order, axis=1), np.take_along_axis(right, order, axis=1)


def _row(value: Any, k: int) -> Any:
    if isinstance(value, Tensor):
        return value[k : k + 1].clone() if value.dim() else value
    return [_row(v, k) for v in value] if isinstance(value, list | tuple) else value
