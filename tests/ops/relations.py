"""The contract of ``relate``, as checks without tolerance: everything is compared as integers.

Maps are read off a relation by pulling unit functionals; then, for an execution with stored
operands x_k and result v, v - sum_k M_k (x_k - c_k) is a number like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.arithmetic import Arithmetic
from errbound.number import Format, Interval, nearest, next_down, next_up
from errbound.ops import Centred, Functionals, Relation, Step, perform
from errbound.ops._softmax import _probabilities
from errbound.testing.emulator import execute_sum
from errbound.testing.sums import Plan

from . import contract

SCALE = 1126
"""Binary64 numbers are multiples of 2^-1074; the integer n stands for n 2^-SCALE."""

MAPS = 298
"""Coefficients of maps are products of two binary32 numbers at most: multiples of 2^-MAPS."""

DTYPES = {torch.float64: (53, 1074), torch.float32: (24, 149)}
"""Coefficients' precision; minus the exponent of what one underflow may cost."""


def integers(x: Tensor, scale: int = SCALE) -> Any:
    """Numbers as an object array of integers, each exact."""
    mantissa, exponent = np.frexp(x.detach().double().numpy())
    whole = (mantissa * 2.0**53).astype(np.int64).astype(object)
    shift = exponent.astype(object) - 53 + scale
    found = np.empty(whole.shape, dtype=object)
    for at in np.ndindex(whole.shape):
        n, s = whole[at], int(shift[at])
        found[at] = n << s if s >= 0 else n >> -s
        assert s >= 0 or found[at] << -s == n, "a number is no multiple of the scale"
    return found


def sides(value: int, scale: int) -> tuple[float, float]:
    """Binary64 numbers just below and just above n 2^-scale."""
    near = value / 2**scale  # of integers: correctly rounded
    return float(np.nextafter(near, -np.inf)), float(np.nextafter(near, np.inf))


# --- making operands -----------------------------------------------------------------------------


def off_centre(x: Centred, fmt: Format, g: torch.Generator) -> None:
    """Narrow half of the entries in place; many centres then lie outside of their intervals.

    To anything between the ends, or to a few numbers around the one that is nearest to 0, 1 or -1.
    """
    a, b = (contract.between(x, g, fmt) for _ in range(2))
    at = torch.randint(-1, 2, x.shape, generator=g).double().clamp(x.lo, x.hi)
    near = torch.rand(x.shape, generator=g) < 0.5
    a = torch.where(near, next_down(at, fmt), a)
    b = torch.where(near, next_up(next_up(at, fmt), fmt), b)
    here = torch.rand(x.shape, generator=g) < 0.5
    lo, hi = torch.minimum(a, b), torch.maximum(a, b)
    x.lo.copy_(torch.where(here, torch.maximum(lo, x.lo), x.lo))
    x.hi.copy_(torch.where(here, torch.minimum(hi, x.hi), x.hi))


def operands(
    boxes: Sequence[Interval], fmt: Format, g: torch.Generator, *, across: bool
) -> tuple[Centred, ...]:
    """Centred copies, in two of three draws narrowed afterwards; ``across``: some contain 0."""
    found = []
    for box in boxes:
        size = torch.maximum(box.lo.abs(), box.hi.abs())
        ends = (torch.rand(2, *box.shape, generator=g, dtype=torch.float64) * size).unbind()
        lo, hi = -nearest(ends[0], fmt), nearest(ends[1], fmt)
        here = (torch.rand(box.shape, generator=g) < 0.2) & across
        found.append(
            Centred.around(Interval(torch.where(here, lo, box.lo), torch.where(here, hi, box.hi)))
        )
    if float(torch.rand((), generator=g)) < 0.7:
        for x in found:
            off_centre(x, fmt, g)
    return tuple(found)


@dataclass(frozen=True)
class Related:
    """A call with its operands' boxes, its enclosure and its relation(s)."""

    call: contract.Call
    step: Step
    boxes: tuple[Centred, ...]
    out: tuple[Centred, ...]
    relations: tuple[Relation | None, ...]

    @property
    def alive(self) -> list[int]:
        """Samples whose range is kept."""
        found: list[int] = (~self.step.overflow).nonzero()[:, 0].tolist()
        return found


def related(
    call: contract.Call, boxes: tuple[Centred, ...], arithmetic: Arithmetic, storage: Format
) -> Related:
    """Enclose, then ask for the relation as ``Trace`` does."""
    step = Step(arithmetic, storage, call.leaves[0].shape[0])
    out = tuple(map(Centred.around, call.enclose(boxes, step)))
    args = tuple(contract._constant(a) for a in call.build(boxes))
    kwargs = {k: contract._constant(v) for k, v in call.kwargs.items()}
    several = isinstance(call.op.call(*call.build(call.leaves), **call.kwargs), list | tuple)
    scratch = Step(arithmetic, storage, step.samples)
    assert call.op.relate is not None
    with torch.no_grad():
        found = call.op.relate(scratch, list(out) if several else out[0], *args, **kwargs)
    relations = tuple(found) if isinstance(found, list) else (found,) * len(out)
    return Related(call, step, boxes, out, relations)


def executions(made: Related, rng: np.random.Generator, at: tuple[Tensor, ...]) -> Iterator[Any]:
    """Results at a point of the boxes: the kernel's, or the emulation's; and of a free order."""
    call, step = made.call, made.step
    leaves = tuple(
        contract.laid_out(v.to(x.dtype), x) for v, x in zip(at, call.leaves, strict=True)
    )
    args = call.build(leaves)
    with torch.inference_mode():
        value = perform(call.op, step.arithmetic, step.storage, args, call.kwargs)
        yield value if isinstance(value, list | tuple) else (value,)
        own = step.arithmetic.emulated and call.op.emulate is not None
        if call.op.terms is not None and not own:
            plan = Plan.random(rng)
            some, _ = execute_sum(
                call.op, args, call.kwargs, step.storage, plan, rng, step.arithmetic
            )
            yield (some,)


def points(made: Related, maps: Maps, g: torch.Generator, fmt: Format) -> Iterator[Any]:
    """Ends, anything between, and the corner that moves one output most, up or down."""
    boxes = made.boxes
    yield tuple(box.lo for box in boxes)
    yield tuple(box.hi for box in boxes)
    yield tuple(contract.between(box, g, fmt) for box in boxes)
    for up in (True, False):
        found = []
        for k, box in enumerate(boxes):
            steer = torch.zeros(box.shape)
            for n, rows in maps.rows.items():
                row = int(torch.randint(0, len(rows[0][1]), (), generator=g))
                steer[n] = sum(
                    torch.from_numpy(np.sign(m[row]).astype(float)).reshape(box.shape[1:])
                    for leaf, m, _ in rows
                    if leaf == k
                )
            found.append(torch.where((steer > 0) == up, box.hi, box.lo))
        yield tuple(found)


# --- maps ----------------------------------------------------------------------------------------


def units(shape: torch.Size, n: int, dtype: torch.dtype, windows: bool) -> Functionals:
    """Every entry of sample ``n`` of a node by itself, as ``Trace`` makes them if ``windows``."""
    size = shape[1:].numel()
    rows = torch.full((size,), n)
    if not windows:
        return Functionals(torch.eye(size, dtype=dtype).reshape(size, *shape[1:]), rows)
    count = torch.arange(size)
    channels, height, width = shape[1:]
    value = torch.zeros(size, channels, 1, 1, dtype=dtype)
    value[count, count // (height * width)] = 1.0
    place = count % (height * width)
    return Functionals(value, rows, torch.stack([place // width, place % width], 1))


@dataclass(frozen=True)
class Maps:
    """Per sample, each term's operand (its place among the boxes), its map and the size of that:
    the sums of magnitudes of what a coefficient is computed from; as integers.
    """

    rows: dict[int, list[tuple[int, Any, Any]]]


def curved(made: Related, x: Centred, n: int) -> tuple[Any, Any]:
    """The map of softmax or log-softmax: its derivative at binary32 numbers b near the centre.

    And its size: entries of the diagonal are differences, each part of which is rounded.
    """
    dim = made.call.build(made.boxes)[1]
    b = integers(_probabilities(x, dim)[0][n].movedim(dim - (dim > 0), -1), MAPS // 2)
    b = b.reshape(-1, b.shape[-1])
    places = np.arange(b.size).reshape(x.shape[1:])
    places = np.moveaxis(places, dim - (dim > 0), -1).reshape(b.shape)
    found, size = (np.zeros((b.size, b.size), dtype=object) for _ in range(2))
    one = 1 << (MAPS // 2)
    for line, at in zip(b, places, strict=True):
        soft = made.call.op.name == "softmax"
        for p, i in zip(line, at, strict=True):
            scale = p if soft else one
            found[i, at] = -scale * line
            found[i, i] += scale * one
            size[i, at] = scale * line
            size[i, i] += scale * one
    return found, size


def maps_of(made: Related, k: int) -> Maps:
    """The maps of output ``k``; both dtypes and both kinds of functionals give the same."""
    relation, shape = made.relations[k], made.out[k].shape
    assert relation is not None
    found: dict[int, list[tuple[int, Any, Any]]] = {}
    for n in made.alive:
        found[n] = []
        for x, pull in relation.terms:
            leaf = next(i for i, box in enumerate(made.boxes) if box is x)
            kinds = [units(shape, n, d, False) for d in (torch.float64, torch.float32)]
            if len(shape) == 4:
                kinds += [units(shape, n, d, True) for d in (torch.float64, torch.float32)]
            pulled = [pull(g) for g in kinds]
            assert all(bool((p.rows == n).all()) for p in pulled)
            if "softmax" in made.call.op.name:
                found[n].append((leaf, *curved(made, x, n)))
                continue
            whole = [p.whole(x.shape[1:]).value.double().flatten(1) for p in pulled]
            assert all(torch.equal(w, whole[0]) for w in whole[1:])
            exact = integers(whole[0], MAPS)
            found[n].append((leaf, exact, np.abs(exact)))
    return Maps(found)


def check_coefficients(made: Related, k: int, maps: Maps, g: torch.Generator) -> int:
    """A pulled coefficient errs by at most ``length`` roundings of |M|^T |g|; how many did."""
    relation, shape = made.relations[k], made.out[k].shape
    assert relation is not None
    checked = 0
    for n in made.alive[:1]:
        for (x, pull), (_, exact, sizes) in zip(relation.terms, maps.rows[n], strict=True):
            size = exact.shape[0]
            for dtype, (precision, least) in DTYPES.items():
                u = 2.0**-precision
                # One large number and many that it swallows; and numbers of all sizes.
                swallowed = torch.full((4, size), u, dtype=torch.float64)
                swallowed[torch.arange(4), torch.tensor([0, 0, size // 2, size - 1])] = 1.0
                swallowed[1] *= -1.0
                some = torch.randn(4, size, generator=g, dtype=torch.float64)
                value = torch.cat([swallowed, some]).to(dtype)
                rows = torch.full((8,), n)
                pulled = [pull(Functionals(value.reshape(8, *shape[1:]), rows))]
                if len(shape) == 4:
                    # The whole image as a window; the same, one row and column beyond it.
                    image = value.reshape(8, *shape[1:])
                    beyond = torch.nn.functional.pad(image, (1, 0, 1, 0), value=3.0)
                    zero = torch.zeros(8, 2, dtype=torch.int64)
                    pulled.append(pull(Functionals(image, rows, zero)))
                    inside = torch.ones(1, *shape[1:])  # as slopes, which drop what is beyond
                    pulled.append(pull(Functionals(beyond, rows, zero - 1).times(inside)))
                functional = integers(value)
                right = functional.dot(exact)
                most = np.abs(functional).dot(sizes)
                scale = SCALE + MAPS
                bound = most * relation.length + ((size + 2) << scale - least + precision)
                for p in pulled:
                    got = integers(p.whole(x.shape[1:]).value.flatten(1)) * 2**MAPS
                    assert bool((np.abs(got - right) * 2**precision <= bound).all()), (
                        f"{made.call.op.name}: more than {relation.length} roundings"
                    )
                    checked += got.size
    return checked


# --- executions ----------------------------------------------------------------------------------


def check_executions(
    made: Related, k: int, maps: Maps, at: tuple[Tensor, ...], value: Tensor
) -> int:
    """y = M (x - c) + o and |v - y| <= gap; the spread; what ``finish`` makes of ends of y."""
    relation, out = made.relations[k], made.out[k]
    assert relation is not None
    name, shape = made.call.op.name, out.shape
    zero = torch.zeros(())

    def whole(t: Tensor | None) -> Any:
        t = zero if t is None else t
        return t.expand(shape).reshape(shape[0], -1)

    lo, hi = whole(relation.offset.lo), whole(relation.offset.hi)
    gap, spread = whole(relation.gap), whole(relation.spread)
    checked = 0
    ends = torch.empty(2, *shape, dtype=torch.float64)
    ends[0], ends[1] = out.lo, out.hi
    for n in made.alive:
        size = shape[1:].numel()
        moved, most = np.zeros(size, dtype=object), np.zeros(size, dtype=object)
        for (leaf, m, sizes), (x, _) in zip(maps.rows[n], relation.terms, strict=True):
            d = integers(at[leaf][n].flatten()) - integers(x.ball.mid[n].flatten())
            moved = moved + m.dot(d)
            most = most + sizes.dot(np.abs(d))
        v = integers(value[n].reshape(-1)) * 2**MAPS
        low, high, beyond, reach = (integers(t[n]) * 2**MAPS for t in (lo, hi, gap, spread))
        rest = v - moved
        inside = (low - beyond <= rest) & (rest <= high + beyond)
        if not inside.all():
            first = int(np.argmin(inside))
            numbers = [
                float(Fraction(int(t[first]), 2 ** (SCALE + MAPS)))
                for t in (rest, low, high, beyond)
            ]
            raise AssertionError(
                f"{name}: offset {numbers[0]!r} is outside [{numbers[1]!r}, {numbers[2]!r}] by "
                f"more than the gap {numbers[3]!r}"
            )
        assert (most <= reach).all(), f"{name}: |M| |x - c| is more than the spread"
        scale = SCALE + MAPS
        for end, box, side in ((0, low, 0), (1, high, 1)):
            found = [sides(int(y), scale)[side] for y in moved + box]
            ends[end, n] = torch.tensor(found, dtype=torch.float64).reshape(shape[1:])
        checked += size
    if relation.finish is not None and made.alive:
        box = relation.finish(ends[0].clone(), ends[1].clone())
        alive = ~made.step.overflow
        assert bool(box.contains(value)[alive].all()), f"{name}: finish loses an execution"
    return checked
