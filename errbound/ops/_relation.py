"""Linear relations between a node and its operands: what going backwards needs of an operator.

With v the stored value of a node, x_k its activation operands and c_k fixed binary64 numbers near
them (their *centres*), a relation says of every execution

    y = sum_k M_k (x_k - c_k) + o,   offset.lo <= o <= offset.hi,   |v - y| <= gap,

where the maps M_k are known exactly and ``spread`` bounds sum_k |M_k| |x_k - c_k|. A functional of
v becomes a functional of the x_k by the transposed maps. The definers here give the relation of
operators of one shape; those that are not exact build on the bounds that enclose them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from errbound.number import TINY64, Ball, Interval, down, inflate, up


@dataclass(frozen=True)
class Centred(Interval):
    """An interval of a node's values with the centre that all its relations are about.

    The interval may be narrowed later, in place; the ball, whose radius then is larger than it
    need be, stays: relations that were made with a centre hold for that centre only.
    """

    ball: Ball

    @staticmethod
    def around(box: Interval) -> Centred:
        """A copy of ``box``, so that narrowing it changes no other node's interval."""
        lo = box.lo.clone()
        hi = lo if box.lo is box.hi else box.hi.clone()
        return Centred(lo, hi, Ball.enclosing(Interval(lo, hi)))

    @property
    def is_point(self) -> bool:
        """Whether all executions are known to agree everywhere."""
        return self.lo is self.hi


@dataclass(frozen=True)
class Functionals:
    """Linear functionals of one node, each of one sample.

    Attributes:
        value: (P, *shape), binary32 or binary64; or windows (P, C, h, w) of images (C, H, W),
            outside of which the functional is zero.
        rows: (P,) int64, the sample that each functional is about.
        corner: (P, 2) int64, row and column of each window's first entry; None: whole values.
            A window may reach beyond the image: what lies there means nothing and is dropped.
        row: the sample, if all functionals are about one; then nothing is copied per functional.
    """

    value: Tensor
    rows: Tensor
    corner: Tensor | None = None
    row: int | None = None

    def of(self, values: Tensor) -> Tensor:
        """Per-sample numbers (N or 1, *shape) where the functionals look; 0 beyond the image.

        (P, *shape) or (1, *shape).
        """
        if values.shape[0] > 1 and self.row is not None:
            values = values[self.row : self.row + 1]
        rows = self.rows if values.shape[0] > 1 else None
        if self.corner is None:
            return values if rows is None else values.index_select(0, rows)
        places = self._places(*values.shape[-2:])
        flat = functional.pad(values.flatten(-2), (0, 1))
        if rows is None:
            seen = flat[0].t()[places]
        else:
            seen = flat.transpose(1, 2)[rows[:, None], places]
        return seen.transpose(1, 2).reshape(-1, values.shape[1], *self.value.shape[-2:])

    def dot(self, values: Tensor) -> Tensor:
        """(P,): sums of products with per-sample numbers (N or 1, *shape), in their dtype."""
        seen = self.of(values)
        if seen.shape[0] == 1:
            return self.value.reshape(len(self.rows), -1) @ seen.flatten()
        return (self.value * seen).reshape(len(self.rows), -1).sum(dim=1)

    def times(self, factors: Tensor) -> Functionals:
        """Multiplied by numbers (N or 1, *shape) of binary32, so that either dtype holds them."""
        factors = self.of(factors).to(self.value.dtype)
        return replace(self, value=self.value * factors)

    def whole(self, shape: Sequence[int]) -> Functionals:
        """The same functionals without windows, (P, *shape)."""
        if self.corner is None:
            return self
        height, width = shape[-2:]
        places = self._places(height, width)[:, None].expand(-1, self.value.shape[1], -1)
        flat = self.value.new_zeros(*self.value.shape[:2], height * width + 1)
        flat.scatter_(2, places, self.value.flatten(2))
        return replace(self, value=flat[..., :-1].reshape(-1, *shape), corner=None)

    def plus(self, other: Functionals, shape: Sequence[int]) -> Functionals:
        """The sum of two functionals of one node; windows grow to what both see."""
        # Along paths of one stride all pairs of windows are equally far apart; others are whole.
        if self.corner is None or other.corner is None or not _alike(self.corner - other.corner):
            a, b = self.whole(shape), other.whole(shape)
            return replace(a, value=a.value + b.value)
        corner = torch.minimum(self.corner, other.corner)
        sizes = [
            (p.corner[0] - corner[0] + torch.tensor(p.value.shape[-2:])).tolist()
            for p in (self, other)
            if p.corner is not None
        ]
        height, width = (max(a, b) for a, b in zip(*sizes, strict=True))

        def grown(part: Functionals) -> Tensor:
            assert part.corner is not None
            top, left = (part.corner - corner)[0].tolist()
            h, w = part.value.shape[-2:]
            return functional.pad(part.value, (left, width - left - w, top, height - top - h))

        return replace(self, value=grown(self) + grown(other), corner=corner)

    def _places(self, height: int, width: int) -> Tensor:
        """(P, h w) positions in the flattened image; its size where there is none."""
        assert self.corner is not None
        h, w = self.value.shape[-2:]
        down_ = self.corner[:, :1] + torch.arange(h)
        right = self.corner[:, 1:] + torch.arange(w)
        inside = ((down_ >= 0) & (down_ < height))[:, :, None]
        inside = inside & ((right >= 0) & (right < width))[:, None, :]
        places = down_[:, :, None] * width + right[:, None, :]
        return torch.where(inside, places, height * width).flatten(1)


def _alike(rows: Tensor) -> bool:
    return bool((rows == rows[:1]).all())


Pull = Callable[[Functionals], Functionals]
"""A transposed map: functionals of y become functionals of an operand.

Windows that reach beyond the image are zero there, as ``times`` leaves them.
"""


@dataclass(frozen=True)
class Relation:
    """See above; tensors are binary64 of the node's shape (N, *shape), or broadcast to it.

    Attributes:
        terms: the activation operands, each with the transposed map of M_k.
        offset: bounds of o, own errors included.
        spread: bound of sum_k |M_k| |x_k - c_k|, where a coefficient that is computed as a sum
            counts with the magnitudes of its terms; None where it is 0.
        length: bound of the number of roundings in one coefficient that a transposed map returns
            (a sum of n products: n; 0 where it only moves them).
        gap: bound of |v - y|; None where it is 0.
        finish: the nondecreasing map from ends of y to ends of v; None where v = y.
    """

    terms: tuple[tuple[Centred, Pull], ...]
    offset: Interval
    spread: Tensor | None
    length: int
    gap: Tensor | None = None
    finish: Callable[[Tensor, Tensor], Interval] | None = None


def moved(call: Callable[..., Any], out: Any, *args: Any, **kwargs: Any) -> list[Relation]:
    """Relations of an operator that moves numbers, one per output.

    ``call`` is applied to the numbered entries of one sample's operands: every entry of the output
    names its source, 0 a constant. Moving is the same for all samples.
    """
    operands = _centred(args)
    samples = operands[0].shape[0]
    starts = [1]
    for x in operands:
        starts.append(starts[-1] + x.lo[0].numel())

    def sources(shift: int) -> list[Tensor]:
        numbered = iter(
            torch.arange(a + shift, b + shift, dtype=torch.float64)
            .reshape(1, *x.shape[1:])
            .repeat(samples, *[1] * (x.lo.dim() - 1))
            for a, b, x in zip(starts, starts[1:], operands, strict=False)
        )
        result = call(*_replace(args, numbered), **kwargs)
        parts = [result] if isinstance(result, Tensor) else list(result)
        return [part[0].reshape(-1).long() for part in parts]

    def gathered(parts: list[Tensor], at: Tensor, shape: Sequence[int]) -> Tensor:
        nothing = torch.zeros(samples, 1, dtype=torch.float64)
        return torch.cat([nothing, *(p.reshape(samples, -1) for p in parts)], 1)[:, at].reshape(
            shape
        )

    found = []
    boxes = [out] if isinstance(out, Interval) else list(out)
    for box, first, second in zip(boxes, sources(0), sources(2**40), strict=True):
        # What does not move along with the numbers is a constant: padding.
        source = torch.where(second - first == 2**40, first, 0)
        terms, copies = [], 1
        for a, b, x in zip(starts, starts[1:], operands, strict=False):
            mine = ((source >= a) & (source < b)).nonzero()[:, 0]
            if len(mine):
                copies = max(copies, int(torch.bincount(source[mine] - a).max()))
                pull = _scatter(mine, source[mine] - a, x.shape[1:])
                terms.append((x, dense(box.shape[1:], pull)))
        fixed = (source == 0).reshape(box.shape[1:])
        centre = gathered([x.ball.mid for x in operands], source, box.shape)
        offset = Interval(torch.where(fixed, box.lo, centre), torch.where(fixed, box.hi, centre))
        spread = gathered([x.ball.rad for x in operands], source, box.shape)
        found.append(Relation(tuple(terms), offset, spread, copies - 1))
    return found


def _replace(value: Any, numbered: Iterator[Tensor]) -> Any:
    """``value`` with its activations, in order, replaced by numbered tensors."""
    if isinstance(value, Centred):
        return next(numbered)
    if isinstance(value, list | tuple):
        return [_replace(v, numbered) for v in value]
    return value


def _centred(value: Any) -> list[Centred]:
    if isinstance(value, Centred):
        return [value]
    if isinstance(value, list | tuple):
        return [x for v in value for x in _centred(v)]
    return []


def _scatter(at: Tensor, source: Tensor, shape: Sequence[int]) -> Pull:
    """Functionals of entries ``at`` of the output are added to those of their sources."""
    size = int(torch.tensor(shape).prod())
    same = len(source) == size and bool((source == torch.arange(size)).all())

    def pull(g: Functionals) -> Functionals:
        flat = g.value.reshape(len(g.rows), -1)
        if not same or flat.shape[1] != size:
            flat = flat.new_zeros(flat.shape[0], size).index_add_(1, source, flat[:, at])
        return replace(g, value=flat.reshape(-1, *shape))

    return pull


def dense(shape: Sequence[int], pull: Pull) -> Pull:
    """``pull`` for functionals of a node of this ``shape`` that are not windows."""
    return lambda g: pull(g.whole(shape))


def identity(g: Functionals) -> Functionals:
    """The transposed identity."""
    return g


def scaled(factors: Tensor) -> Pull:
    """The transposed map of a product with binary32 numbers (N or 1, *shape)."""
    return lambda g: g.times(factors)


def negated(g: Functionals) -> Functionals:
    """The transposed map of y = -x."""
    return replace(g, value=-g.value)


def piecewise(
    x: Centred, f: Callable[[Tensor], Tensor], kinks: Sequence[Tensor | float]
) -> Relation:
    """A nondecreasing piecewise linear function whose slopes change at ``kinks`` only.

    With any slope L, f(x) - L x is piecewise linear, so on [lo, hi] its extremes are at the ends or
    at kinks between them. L is the slope of the chord; where f is the identity or constant on
    [lo, hi] that is 1 or 0, and nothing is lost.
    """
    at = [x.lo, x.hi, *(torch.minimum(torch.maximum(x.lo, _as(k)), x.hi) for k in kinks)]
    values = [f(point) for point in at]
    width = x.hi - x.lo
    slope = ((values[1] - values[0]) / width.clamp(min=2.0**-1000)).nan_to_num(nan=0.0)
    slope = torch.where(width > 0, slope, 0.0).float().double()
    rest = [v - slope * p for v, p in zip(values, at, strict=True)]
    lo, hi = torch.stack(rest).amin(dim=0), torch.stack(rest).amax(dim=0)
    size = torch.stack([v.abs() for v in values]).amax(dim=0)
    size.add_(slope.abs() * torch.maximum(x.lo.abs(), x.hi.abs()))
    # y = L (x - c) + (f(x) - L x) + L c; each value and the last sum err by a few roundings.
    shift = slope * x.ball.mid
    exact = (slope == 1.0) & (lo == 0.0) & (hi == 0.0)  # f(x) = x: nothing is rounded
    exact |= (slope == 0.0) & (lo == hi)
    # The centre, and with it the shift, may be far from an interval that was narrowed.
    own = torch.where(exact, 0.0, (size + shift.abs()) * (16.0 * 2.0**-53) + TINY64)
    offset = Interval(lo + shift - own, hi + shift + own)
    return Relation(((x, scaled(slope)),), offset, slope.abs() * x.ball.rad * inflate(4), 1)


def _as(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def between(
    x: Centred,
    value: Tensor,
    error: Tensor,
    least: Tensor,
    most: Tensor,
    gap: Tensor | None,
) -> Relation:
    """A function with difference quotients in [least, most] on the interval of ``x``.

    f(x) = f(c) + q (x - c), q in [least, most]: L is the middle, (most - least)/2 |x - c| the rest.
    ``value`` is f(c) up to ``error``, which also bounds what the kernel adds before it rounds.
    """
    slope = ((least + most) * 0.5).float().double()
    half = torch.maximum(most - slope, slope - least) * x.ball.rad
    radius = (half + error).mul_(inflate(8)).add_(TINY64)
    offset = Interval(down(value - radius), up(value + radius))
    reach = slope.abs() * x.ball.rad * inflate(4)
    return Relation(((x, scaled(slope)),), offset, reach, 1, gap)
