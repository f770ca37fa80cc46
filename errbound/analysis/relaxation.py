"""Going backwards: bounds of linear functionals of a node through linear relations.

An enclosure forgets how values depend on each other. A functional g . v of a node, followed back
through the relations of ``ops/_relation.py``, does not: with y = M (x - c_x) + o, |v - y| <= gap,
for any slope s in [0, 1],

    v - c_v = s M (x - c_x) + n,
    n in (1 - s) [lo - c_v, hi - c_v] + s [offset.lo - gap - c_v, offset.hi + gap - c_v],

since v - c_v = (1 - s)(v - c_v) + s (v - y - c_v) + s y. For a rounding v = fl(y) this is the
relaxation of the staircase (docs/theory.md, section 5); s = 0 cuts the dependence where the cell is
narrower than the noise. So g . (v - c_v) = (s M)^T g . (x - c_x) + g . n, and so on back to the
input. Ends of n are chosen by the sign of g.

Own rounding. A computed coefficient of x differs from (s M)^T g by at most gamma |s M|^T |g|, gamma
for the roundings that it went through (the product with s, the transposed sum, the additions where
paths meet); times |x - c_x| that is at most gamma |g| s ``spread``, which widens n. Then computed
coefficients count as exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU
from errbound.number import Interval, down, inflate, up
from errbound.ops import Centred, Functionals, Relation, Step
from errbound.program import Node, Program
from errbound.program.graph import refs

TINY = {torch.float32: 2.0**-120, torch.float64: 2.0**-1000}
"""More than any underflow of a sum of products of coefficients (each <= 2^-149, 2^-1074)."""

CELLS = 2**21
"""Functionals are followed in chunks of about this many coefficients per node."""


@dataclass(frozen=True)
class Noise:
    """What one node adds to a functional: the slope and n = middle -+ radius, (N, *shape).

    ``tiny`` bounds what underflow of coefficients and products may change besides.
    """

    slope: Tensor
    middle: Tensor
    radius: Tensor
    tiny: float


@dataclass
class Entry:
    """One node of a trace: its centred interval, and its relation to its operands, if any."""

    name: str
    value: Centred
    relation: Relation | None
    made: dict[torch.dtype, Noise]
    slope: Tensor | None = None


class Trace:
    """The nodes of a batch while a program is enclosed, in order; filled by the walk's hooks.

    Args:
        program: the program that is enclosed.
        refine: whether to narrow the intervals of operands where a function bends, before it is
            enclosed.
        dtype: of the coefficients in refinement.
        go_on: whether there is time to narrow more.
    """

    def __init__(
        self,
        program: Program,
        *,
        refine: bool,
        dtype: torch.dtype,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        # Settings that narrow the kernels' binary32 leave binary64 alone.
        self.dtype = torch.float64 if TORCH_CPU.broken() else dtype
        self.refine = refine
        self.go_on = go_on
        self.entries: list[Entry] = []
        self._at: dict[int, int] = {}
        uses: dict[str, int] = {}
        for node in program.nodes:
            for ref in refs((node.args, node.kwargs)):
                uses[ref.name] = uses.get(ref.name, 0) + 1
        self._paths = max(uses.values(), default=1) ** 2
        """An upper bound of the number of paths that meet in a node, or in an entry of a list."""
        self.narrowed = 0
        self._widest = 1
        """The most coefficients that a functional had in the chunk at hand."""

    def start(self, box: Interval) -> Centred:
        """Record the program's input."""
        return self._add("input", Centred.around(box), None)

    def before(self, node: Node, step: Step, args: tuple[Any, ...], kwargs: Any) -> None:
        """Narrow the first operand where the function that is to be enclosed bends."""
        if not (self.refine and node.op.bends and args and isinstance(args[0], Centred)):
            return
        x = args[0]
        if not x.is_point:
            self.narrow(x, node.op.bends(step, *args, **kwargs))

    def after(self, node: Node, step: Step, value: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Record the node's value(s); returns them centred."""
        boxes = [value] if isinstance(value, Interval) else list(value)
        if all(isinstance(box, Centred) for box in boxes):
            return value  # an entry of a list
        centred = [Centred.around(box) for box in boxes]
        found: Any = None
        if node.op.relate is not None:
            scratch = Step(step.arithmetic, step.storage, step.samples)
            out = centred[0] if isinstance(value, Interval) else centred
            found = node.op.relate(scratch, out, *args, **kwargs)
        relations = found if isinstance(found, list) else [found] * len(centred)
        for box, relation in zip(centred, relations, strict=True):
            self._add(node.name, box, relation)
        return centred[0] if isinstance(value, Interval) else centred

    def entry(self, value: Centred) -> Entry:
        """The entry of a value of this trace."""
        return self.entries[self._at[id(value)]]

    def narrow(self, x: Centred, mask: Tensor) -> None:
        """Narrow ``x`` where ``mask`` (N, *shape) says so, by following each entry backwards.

        y is bounded, then taken through the node's own rounding. The centre stays, and with it
        every relation that was made.
        """
        entry = self.entry(x)
        relation = entry.relation
        if relation is None or relation.spread is None:
            return
        shape = x.shape
        if relation.gap is not None:
            mask = mask & (relation.spread > relation.gap)  # else an ulp is all there is to gain
        places = mask.nonzero()
        if not len(places):
            return
        low = down(relation.offset.lo - relation.spread).expand(shape).clone()
        high = up(relation.offset.hi + relation.spread).expand(shape).clone()
        self._widest = x.lo[0].numel()
        for chunk in self._chunks(places):
            g = _units(chunk, shape, self.dtype)
            offset = Interval(*(end[tuple(chunk.t())] for end in _ends(relation.offset, shape)))
            if not self.go_on():
                break
            lo, hi = self._through(entry, g, offset)
            at = tuple(chunk.t())
            low[at] = torch.maximum(low[at], lo)
            high[at] = torch.minimum(high[at], hi)
        if relation.finish is not None:
            box = relation.finish(low, high)
        elif relation.gap is not None:
            box = Interval(down(low - relation.gap), up(high + relation.gap))
        else:
            box = Interval(low, high)
        lo, hi = torch.maximum(x.lo, box.lo), torch.minimum(x.hi, box.hi)
        sane = lo <= hi  # of samples out of range, whose ends mean nothing, both are kept
        x.lo.copy_(torch.where(sane, lo, x.lo))
        x.hi.copy_(torch.where(sane, hi, x.hi))
        entry.made.clear()
        self.narrowed += len(places)

    def bounds(self, x: Centred, g: Functionals) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds (P,), binary64, of g . (v - c_v), v the value of ``x``."""
        return self._walk({self._at[id(x)]: g})

    def free_slopes(self) -> list[Tensor]:
        """The slopes of all nodes, binary32, as variables that a gradient step may change."""
        found = []
        for entry in self.entries:
            if entry.relation is not None:
                slope = self.noise(entry, torch.float64).slope
                entry.slope = slope.detach().float().requires_grad_()
                found.append(entry.slope)
        self.changed(found)
        return found

    def changed(self, slopes: list[Tensor]) -> None:
        """After a step: back into [0, 1], where every slope is sound."""
        with torch.no_grad():
            for slope in slopes:
                slope.clamp_(0.0, 1.0)
        for entry in self.entries:
            entry.made.clear()

    def _chunks(self, places: Tensor) -> Iterator[Tensor]:
        """``places`` in chunks; by sample, so that slopes are shared, where samples have many.

        Chunks grow to what the windows that the last one met leave room for.
        """
        samples = torch.bincount(places[:, 0]).tolist()  # in order: ``nonzero`` goes by sample
        samples = [count for count in samples if count]
        parts = torch.split(places, samples) if len(places) >= 32 * len(samples) else (places,)
        size = max(1, CELLS // max(self._widest, 1))
        for part in parts:
            start = 0
            while start < len(part):
                self._widest = 1
                yield part[start : start + size]
                start += size
                size = max(1, min(4 * size, CELLS // self._widest))

    def _through(self, entry: Entry, g: Functionals, offset: Interval) -> tuple[Tensor, Tensor]:
        """Bounds of g . y, y before the node's rounding; ``g`` has unit entries, ``offset`` o's."""
        assert entry.relation is not None
        pending: dict[int, Functionals] = {}
        self._pull(entry.relation, g, pending)
        low, high = self._walk(pending) if pending else (torch.zeros_like(offset.lo),) * 2
        # The transposed map of a unit copies and scales: its roundings are those of the walk.
        own = self._own(entry.relation, self.dtype)
        spread = entry.relation.spread
        if spread is not None:
            full = spread.expand(entry.value.shape)
            own_error = replace(g, value=g.value.double()).dot(full) * own
            low, high = low - own_error, high + own_error
        # Sums may cancel: their roundings are relative to the summands.
        slack = (low.abs() + high.abs() + offset.lo.abs() + offset.hi.abs()) * 2.0**-50
        return low + offset.lo - slack, high + offset.hi + slack

    def _walk(self, pending: dict[int, Functionals]) -> tuple[Tensor, Tensor]:
        some = next(iter(pending.values()))
        count = some.value.shape[0]
        middle = torch.zeros(count, dtype=torch.float64)
        radius = torch.zeros(count, dtype=torch.float64)
        size = torch.zeros(count, dtype=torch.float64)
        tiny = 0.0
        while pending:
            k = max(pending)
            g, entry = pending.pop(k), self.entries[k]
            noise = self.noise(entry, g.value.dtype)
            tiny += noise.tiny
            part = g.dot(noise.middle).double()
            spent = replace(g, value=g.value.abs()).dot(noise.radius).double()
            middle, radius, size = middle + part, radius + spent, size + part.abs()
            if entry.relation is not None and bool((noise.slope != 0).any()):
                self._pull(entry.relation, g.times(noise.slope), pending)
        # Sums of fewer than 2^10 numbers in binary64.
        slack = (size + radius) * 2.0**-40 + tiny
        low, high = middle - radius - slack, middle + radius + slack
        return _or(low, -torch.inf), _or(high, torch.inf)

    def _pull(self, relation: Relation, g: Functionals, pending: dict[int, Functionals]) -> None:
        for x, pull in relation.terms:
            if x.is_point:
                continue  # x = c_x in every execution
            k, found = self._at[id(x)], pull(g)
            self._widest = max(self._widest, found.value[0].numel())
            pending[k] = pending[k].plus(found, x.shape[1:]) if k in pending else found

    def _own(self, relation: Relation, dtype: torch.dtype) -> float:
        """gamma: product with the slope, the transposed sum, additions where paths meet.

        n roundings to nearest err by at most n u of the sum of magnitudes, without a condition on n
        (Jeannerod and Rump 2013); the factor is for the terms' own roundings.
        """
        roundings = relation.length + self._paths + 4
        return roundings * float(torch.finfo(dtype).eps) * 0.5 * (1.0 + 2.0**-10)

    def noise(self, entry: Entry, dtype: torch.dtype) -> Noise:
        """The node's noise for coefficients of ``dtype``, its slope chosen for the narrower n."""
        if dtype not in entry.made:
            entry.made[dtype] = self._noise(entry, dtype)
        return entry.made[dtype]

    def _noise(self, entry: Entry, dtype: torch.dtype) -> Noise:
        x, relation, c = entry.value, entry.relation, entry.value.ball.mid
        slope, reach = torch.zeros_like(c), 0.0
        lo, hi = x.lo - c, x.hi - c
        own = torch.zeros_like(c)
        # Of the differences that are rounded; their sums may cancel.
        size = torch.maximum(lo.abs(), hi.abs())
        if relation is not None:
            low, high = _beyond(relation.offset, relation.gap)
            low, high = low - c, high - c
            usable = low.isfinite() & high.isfinite()
            low, high = torch.where(usable, low, lo), torch.where(usable, high, hi)
            slope = (high - low < hi - lo).double()
            if entry.slope is not None:
                slope = entry.slope.double() * usable
            rest = 1.0 - slope  # exact for binary32 slopes from 2^-30 on, else within ``size``
            lo, hi = rest * lo + slope * low, rest * hi + slope * high
            size = rest * size + slope * torch.maximum(low.abs(), high.abs())
            reach = sum(_largest_sum(t.ball.rad) for t, _ in relation.terms)
            if relation.spread is not None:
                own = relation.spread * slope * self._own(relation, dtype)
                # The product of a coefficient with a slope may underflow before it is pulled.
                reach += _largest_sum(relation.spread.expand(x.shape))
            if relation.gap is not None or relation.offset.lo is not relation.offset.hi:
                size = size + slope * c.abs()  # ends of v - y were rounded, too
        middle = (lo + hi) * 0.5
        radius = size * 2.0**-49 + own
        radius = (radius + torch.maximum(hi - middle, middle - lo)) * inflate(16)
        # In the coefficients' dtype: the middle is rounded, and so are products and sums.
        eps = float(torch.finfo(dtype).eps)
        near = middle.to(dtype).double()
        gamma = (x.lo[0].numel() + 8) * eps
        radius = radius + (middle - near).abs() + near.abs() * gamma
        radius = radius * (1.0 + gamma + 4.0 * eps)
        tiny = TINY[dtype] * (1.0 + reach)
        if dtype is not torch.float64:
            # Upward: a coefficient may be large where the radius is a subnormal number.
            single = radius.to(dtype)
            above = torch.nextafter(single, torch.full_like(single, torch.inf))
            radius = torch.where(radius > 0, above, single)
        return Noise(slope.to(dtype), near.to(dtype), radius.to(dtype), tiny)

    def _add(self, name: str, value: Centred, relation: Relation | None) -> Centred:
        self._at[id(value)] = len(self.entries)
        self.entries.append(Entry(name, value, relation, {}))
        return value


def _ends(box: Interval, shape: torch.Size) -> tuple[Tensor, Tensor]:
    return box.lo.expand(shape), box.hi.expand(shape)


def _beyond(box: Interval, gap: Tensor | None) -> tuple[Tensor, Tensor]:
    """Ends moved outward by ``gap``, if there is one."""
    return (box.lo, box.hi) if gap is None else (box.lo - gap, box.hi + gap)


def _or(bound: Tensor, nothing: float) -> Tensor:
    """``nothing`` where a bound is NaN."""
    return torch.where(bound.isnan(), nothing, bound)


def _largest_sum(values: Tensor) -> float:
    """The largest, over samples, of the sums of numbers (N, *shape)."""
    return float(values.reshape(len(values), -1).sum(dim=1).max())


def _units(places: Tensor, shape: torch.Size, dtype: torch.dtype) -> Functionals:
    """Unit functionals of the entries at ``places`` (P, 1 + dimensions): windows of one pixel."""
    rows = places[:, 0]
    row = int(rows[0]) if bool((rows == rows[0]).all()) else None
    count = torch.arange(len(places))
    if len(shape) == 4:
        value = torch.zeros(len(places), shape[1], 1, 1, dtype=dtype)
        value[count, places[:, 1]] = 1.0
        return Functionals(value, rows, places[:, 2:], row)
    value = torch.zeros(len(places), *shape[1:], dtype=dtype)
    value[(count, *places[:, 1:].t())] = 1.0
    return Functionals(value, rows, row=row)
