"""The contract of an operator record, as checks: what ``enclose`` claims, ``call`` and ``exact``.

Every check is without tolerance: an observed number is inside an interval or it is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU
from errbound.number import BY_DTYPE, NATIVE, Format, Interval, nearest
from errbound.ops import OPS, Case, Constant, Op, Step
from tests.helpers import BITS

SIZES = (1, 7, 64, 65)
ROUNDING = [op for op in OPS if not op.moves]
WITH_CASES = [op for op in OPS if next(op.cases(torch.Generator(), torch.float32, 7), None)]


# --- numbers of a format -------------------------------------------------------------------------


def shifted(x: Tensor, steps: Tensor) -> Tensor:
    """The numbers of x's dtype ``steps`` places above ``x`` (below if negative), kept finite."""
    kind = BITS[x.dtype]
    top = int(torch.tensor(torch.finfo(x.dtype).max, dtype=x.dtype).view(kind))
    bits = x.contiguous().view(kind).long()
    sign = 1 << (8 * x.element_size() - 1)
    place = torch.where(bits < 0, -(bits + sign), bits)  # -0 and 0 are one place
    place = (place + steps).clamp(-top, top)
    bits = torch.where(place < 0, -place - sign, place)
    return bits.to(kind).view(x.dtype)


def laid_out(values: Tensor, like: Tensor) -> Tensor:
    """``values`` with the strides of ``like``, in storage of their own."""
    length = like.untyped_storage().nbytes() // like.element_size()
    base = torch.zeros(length, dtype=values.dtype)
    view = torch.as_strided(base, like.size(), like.stride(), like.storage_offset())
    return view.copy_(values)


def between(box: Interval, g: torch.Generator, fmt: Format) -> Tensor:
    """A random number of ``fmt`` in each interval: both ends, or anything between them."""
    share = torch.rand(box.shape, generator=g, dtype=torch.float64)
    inner = nearest(box.lo + share * (box.hi - box.lo), fmt)
    inner = torch.where(torch.isfinite(inner), inner, box.lo).clamp(box.lo, box.hi)
    pick = torch.randint(0, 4, box.shape, generator=g)
    return torch.where(pick == 0, box.lo, torch.where(pick == 1, box.hi, inner))


def is_number(x: Tensor, fmt: Format) -> bool:
    """Whether every entry is a finite number of ``fmt``."""
    return bool(torch.isfinite(x).all()) and bool((nearest(x, fmt) == x).all())


# --- cases ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A case with its activations singled out.

    ``leaves`` are the activations in order of appearance; ``build`` puts others in their place.
    """

    op: Op
    leaves: tuple[Tensor, ...]
    build: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    kwargs: dict[str, Any]

    def run(self, leaves: tuple[Tensor, ...] | None = None) -> tuple[Tensor, ...]:
        """The real kernel's result(s)."""
        with torch.inference_mode():
            result = self.op.call(*self.build(leaves or self.leaves), **self.kwargs)
        return tuple(result) if isinstance(result, list | tuple) else (result,)

    @property
    def storage(self) -> Format:
        """Format of the output."""
        return BY_DTYPE[self.run()[0].dtype]

    def enclose(self, boxes: tuple[Interval, ...], step: Step) -> tuple[Interval, ...]:
        """The intervals of the result(s); other tensors are constants."""
        args = tuple(_constant(a) for a in self.build(boxes))
        kwargs = {k: _constant(v) for k, v in self.kwargs.items()}
        with torch.inference_mode():
            result = self.op.enclose(step, *args, **kwargs)
        return tuple(result) if isinstance(result, list | tuple) else (result,)

    def step(self, kind: type[Step] = Step) -> Step:
        """A fresh step for this case."""
        return kind(TORCH_CPU, self.storage, self.leaves[0].shape[0])


def _constant(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_constant(v) for v in value]
    return Constant(value) if isinstance(value, Tensor) else value


def calls(op: Op, case: Case) -> Iterator[Call]:
    """The case as it stands; for arithmetic with a constant tensor also with the roles swapped."""
    first = case.args[0]
    if isinstance(first, list):
        yield Call(op, tuple(first), lambda ls: (list(ls), *case.args[1:]), case.kwargs)
        return
    k = case.inputs
    yield Call(op, case.args[:k], lambda ls: (*ls, *case.args[k:]), case.kwargs)
    tensors = [a for a in case.args if isinstance(a, Tensor)]
    two = op.terms is None and k == 1 and len(tensors) == len(case.args) == 2
    if two and tensors[1].dim() and tensors[1].dtype == tensors[0].dtype:
        other = case.args[1].expand_as(case.args[0]).contiguous()
        yield Call(op, (other,), lambda ls: (case.args[0], *ls), case.kwargs)
    if two and tensors[1].dim() == 0 and not divides(op):
        yield Call(op, case.args[:1], lambda ls: (case.args[1], *ls), case.kwargs)


def all_calls(op: Op, fmt: Format, size: int) -> Iterator[Call]:
    """Every case of a record at one size, then those that the records do not spell out."""
    g = torch.Generator().manual_seed(size)
    for case in (*op.cases(g, fmt.dtype, size), *extra(op, g, fmt, size)):
        yield from calls(op, case)


def extra(op: Op, g: torch.Generator, fmt: Format, size: int) -> Iterator[Case]:
    """Arguments that a graph may hold besides: integers, other dtypes, padding by name."""
    x = torch.randn(3, size, generator=g).to(fmt.dtype)
    if op.name in ("add", "sub", "mul"):
        big = torch.tensor([2049, -16777217, 3])[torch.arange(size) % 3]
        yield Case((x, big if fmt.dtype != torch.float16 else big % 4099))
        yield Case((x, torch.tensor(16777217 if fmt.dtype != torch.float16 else 2049)))
        yield Case((x, torch.arange(size) % 2 == 0) if op.name != "sub" else (x, 7))
    if op.name in ("add", "sub", "mul", "div"):
        wide = (torch.rand(size, generator=g) + 0.5) / 3
        yield Case((x, wide[:1].reshape(())))  # a stored scalar in binary32
        yield Case((x, wide))
    if op.name == "cast":
        yield from (Case((x, other.dtype)) for other in NATIVE)
    if op.name in ("sum", "mean", "softmax", "log_softmax"):
        yield Case((x, 1 if "softmax" in op.name else [1]), {"dtype": torch.float32})
    if op.name == "conv2d":
        image = torch.randn(2, 2, 4, 5, generator=g).to(fmt.dtype)
        weight = torch.randn(3, 2, 3, 3, generator=g).to(fmt.dtype)
        yield Case((image, weight, None, [1, 1], "same", [2, 1]))
        yield Case((image, weight, None, [1, 1], "valid"))


def divides(op: Op) -> bool:
    """Whether an interval that contains 0 leaves the domain."""
    return "contain 0" in op.domain


# --- inputs --------------------------------------------------------------------------------------

VARIANTS = ("plain", "mixed", "huge")


def varied(call: Call, variant: str, g: torch.Generator) -> Call:
    """The call on other activations.

    "mixed": a third of them, a third zeros of both signs, a third around the smallest normal
    number; "huge": up to three times the largest finite number, cut off there.
    """

    def change(x: Tensor) -> Tensor:
        info = torch.finfo(x.dtype)
        if variant == "mixed":
            scale = 2.0 ** torch.randint(-9, 3, x.shape, generator=g).double()
            tiny = (x.double() * info.smallest_normal * scale).to(x.dtype)
            pick = torch.randint(0, 6, x.shape, generator=g)
            zero = torch.where(pick == 0, -0.0, 0.0).to(x.dtype)
            return torch.where(pick < 2, zero, torch.where(pick < 4, tiny, x))
        if variant == "huge":
            return (x.double() * info.max / 8).clamp(info.min, info.max).to(x.dtype)
        return x

    return replace(call, leaves=tuple(laid_out(change(x), x) for x in call.leaves))


def boxes_around(
    call: Call, g: torch.Generator, widest: int, mirrored: float = 0.03
) -> tuple[Interval, ...]:
    """Random intervals of format numbers that contain the activations.

    Each end is 0, 1, a few, or up to ``widest`` places away; a share ``mirrored`` is symmetric.
    """
    found = []
    for x in call.leaves:
        ends = []
        for sign in (-1, 1):
            reach = torch.tensor([0, 0, 1, 3, widest])
            most = reach[torch.randint(0, 5, x.shape, generator=g)]
            ends.append(
                shifted(x, sign * (torch.rand(x.shape, generator=g) * (most + 1)).long()).double()
            )
        lo, hi = ends
        mirror = torch.rand(x.shape, generator=g) < mirrored
        size = torch.maximum(lo.abs(), hi.abs())
        found.append(Interval(torch.where(mirror, -size, lo), torch.where(mirror, size, hi)))
    return tuple(found)


def corners(boxes: tuple[Interval, ...]) -> Iterator[tuple[Tensor, ...]]:
    """All lower, all upper, and their mixtures between the operands."""
    for ends in itertools.product(("lo", "hi"), repeat=len(boxes)):
        yield tuple(getattr(b, end) for b, end in zip(boxes, ends, strict=True))


# --- checks --------------------------------------------------------------------------------------


def check_ends(call: Call, found: tuple[Interval, ...], step: Step) -> None:
    """Finite numbers of the storage format, in order, of the output's shape."""
    for box, value in zip(found, call.run(), strict=True):
        assert box.shape == value.shape
        assert box.lo.dtype == box.hi.dtype == torch.float64
        assert is_number(box.lo, step.storage)
        assert is_number(box.hi, step.storage)
        assert bool((box.lo <= box.hi).all())


def check_inside(call: Call, found: tuple[Interval, ...], step: Step, at: tuple[Any, ...]) -> int:
    """The real kernel at ``at`` stays inside, except in samples that may overflow; their number."""
    leaves = tuple(laid_out(v.to(x.dtype), x) for v, x in zip(at, call.leaves, strict=True))
    alive = ~step.overflow
    for box, value in zip(found, call.run(leaves), strict=True):
        inside = box.contains(value)[alive]
        if not bool(inside.all()):
            first = tuple((~inside).nonzero()[0].tolist())
            lo, hi = (float(end[alive][first]).hex() for end in (box.lo, box.hi))
            raise AssertionError(
                f"{call.op.name}: {float(value[alive][first]).hex()} is outside [{lo}, {hi}]"
            )
    return int(alive.sum())


def check_isotone(inner: tuple[Interval, ...], outer: tuple[Interval, ...], alive: Tensor) -> None:
    """Smaller boxes give smaller intervals."""
    for a, b in zip(inner, outer, strict=True):
        assert bool((b.lo <= a.lo)[alive].all())
        assert bool((a.hi <= b.hi)[alive].all())
