"""Checks of ``contract``: what executions compute from points of a box stays in the ends.

Executions are those of ``Machine``: exact integers, every order for few terms, random ones beyond.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from errbound.arithmetic import TORCH_CPU
from errbound.number import BINARY32, Accumulation, Ball, Format, Interval
from errbound.number.rounding import nearest as correctly_rounded
from errbound.ops import _shapes
from errbound.ops._op import Constant, Step

from .exact import Machine, Overflow, ratio, round_fraction
from .summation_checks import Share

ERRORLESS = Accumulation(BINARY32, 0.0, 0.0, 0.0)
"""A machine that makes no error: what remains is the analysis' own binary64 error."""


@dataclass(frozen=True)
class Boxes:
    """Inputs of a linear layer: an interval (samples, fan-in), weights, bias; exact numbers."""

    storage: Format
    x: Interval
    weight: Tensor
    bias: Tensor | None

    @property
    def scale(self) -> int:
        """Products are integers times 2^-scale."""
        return 2 * (self.storage.precision - 1 - self.storage.emin)


def ends(boxes: Boxes, acc: Accumulation) -> tuple[Tensor, Tensor, Tensor]:
    """(lo, hi, overflow) of ``contract`` before rounding to storage."""
    step = Step(TORCH_CPU, BINARY32, boxes.x.shape[0])
    weight = constant(boxes.weight, boxes.storage)
    bias = None if boxes.bias is None else constant(boxes.bias, boxes.storage)
    fan_in = boxes.weight.shape[1]

    def count(mask: Tensor) -> Tensor:
        return mask.sum(dim=-1, keepdim=True)

    ball = Ball.enclosing(boxes.x)
    sums = _shapes.contract(step, ball, weight, bias, functional.linear, fan_in, count, acc)
    return *sums.ends(), step.overflow


def constant(value: Tensor, storage: Format) -> Constant:
    """A constant; for formats without a dtype, ``has_subnormal`` is told."""
    made = Constant(value.to(storage.dtype))
    assert bool((made.exact == value.double()).all())
    if storage.dtype is torch.float64:
        size = value.abs()
        made.__dict__["has_subnormal"] = bool(((size > 0) & (size < storage.min_normal)).any())
    return made


def check_boxes(
    boxes: Boxes,
    acc: Accumulation,
    machine: Machine | None,
    *,
    points: int = 4,
    trees: int = 0,
    seed: int = 0,
) -> Share:
    """Every execution from corner and random points of the box lies in [lo, hi].

    Args:
        boxes: the inputs.
        acc: the row under test.
        machine: how executions round; None: they do not (the exact sum).
        points: random points per sample, besides corners.
        trees: random trees per point; 0: all orders.
        seed: of the random points and trees.
    """
    rng = random.Random(seed)
    lo, hi, overflow = ends(boxes, acc)
    scale, share = boxes.scale, Share()
    subnormal = 0 if machine is None or not machine.flush else boxes.storage.min_normal
    weights = boxes.weight.tolist()
    biases = [None] * len(weights) if boxes.bias is None else boxes.bias.tolist()
    for n in range(boxes.x.shape[0]):
        for x in sample_points(boxes, n, points, rng):
            for o, (row, bias) in enumerate(zip(weights, biases, strict=True)):
                terms = [options(a, w, scale, subnormal) for a, w in zip(x, row, strict=True)]
                products = len(terms)
                if bias is not None:
                    terms.append((ratio(bias, scale),))
                try:
                    results = execute(machine, terms, products, trees, rng)
                except Overflow:
                    assert overflow[n], f"a partial sum overflows unannounced: {x}, {row}, {bias}"
                    continue
                if not overflow[n]:
                    box = exact_ends(lo[n, o], hi[n, o])
                    see(share, box, results, scale, (x, row, bias))
    return share


def exact_ends(lo: Tensor, hi: Tensor) -> tuple[Fraction, Fraction]:
    """Two binary64 numbers as rationals."""
    return Fraction(float(lo)), Fraction(float(hi))


def see(
    share: Share, box: tuple[Fraction, Fraction], results: set[int], scale: int, where: object
) -> None:
    """Raise if a result is outside [lo, hi]; note how much of the radius was used."""
    lo, hi = box
    low, high = Fraction(min(results), 1 << scale), Fraction(max(results), 1 << scale)
    assert lo <= low, f"{float(low)!r} below {float(lo)!r} for {where}"
    assert high <= hi, f"{float(high)!r} above {float(hi)!r} for {where}"
    centre = (lo + hi) / 2
    share.see(max(high - centre, centre - low), (hi - lo) / 2, where)


def execute(
    machine: Machine | None,
    terms: Sequence[tuple[int, ...]],
    products: int,
    trees: int,
    rng: random.Random,
) -> set[int]:
    """Results of all orders, or of some."""
    if machine is None:
        return {sum(t[0] for t in terms)}
    if trees:
        return {machine.random_sum(terms, products, rng) for _ in range(trees)}
    return machine.all_sums(terms, products)


def options(x: float, w: float, scale: int, subnormal: float) -> tuple[int, ...]:
    """The exact product; besides 0 if an operand may be flushed when it is read."""
    exact = ratio(x, scale // 2) * ratio(w, scale // 2)
    flushed = exact and min(abs(x), abs(w)) < subnormal
    return (exact, 0) if flushed else (exact,)


def sample_points(boxes: Boxes, n: int, count: int, rng: random.Random) -> Iterator[list[float]]:
    """Corners of a sample's box (all for few inputs, else the extremal ones) and random points."""
    lo, hi = boxes.x.lo[n].tolist(), boxes.x.hi[n].tolist()
    seen: set[tuple[float, ...]] = set()
    corners: list[Sequence[float]] = []
    if len(lo) <= 2:
        corners += itertools.product(*zip(lo, hi, strict=True))
    for row in boxes.weight.tolist():
        corners.append([h if w > 0 else a for a, h, w in zip(lo, hi, row, strict=True)])
        corners.append([a if w > 0 else h for a, h, w in zip(lo, hi, row, strict=True)])
    for _ in range(count):
        corners.append([inside(a, h, rng, boxes.storage) for a, h in zip(lo, hi, strict=True)])
    for point in corners:
        if tuple(point) not in seen:
            seen.add(tuple(point))
            yield list(point)


def inside(lo: float, hi: float, rng: random.Random, storage: Format) -> float:
    """A number of the storage format in [lo, hi]."""
    t = rng.choice((0.0, 1.0, rng.random(), rng.random()))
    exact = Fraction(lo) + Fraction(t) * (Fraction(hi) - Fraction(lo))
    return min(max(float(round_fraction(exact, storage)), lo), hi)


# --- random boxes --------------------------------------------------------------------------------

KINDS = ("ordinary", "wide", "ties", "cancelling", "subnormal", "tiny products")


def draw(storage: Format, kind: str, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Random numbers of a format in binary64; ``kind`` is where they are drawn."""
    p, emin, emax = storage.precision, storage.emin, storage.emax
    sign = 1.0 - 2.0 * torch.randint(0, 2, shape, generator=g).double()
    part = 1.0 + torch.rand(shape, generator=g, dtype=torch.float64)

    def power(low: int, high: int) -> Tensor:
        return 2.0 ** torch.randint(low, high + 1, shape, generator=g).double()

    if kind == "ordinary":
        value = torch.randn(shape, generator=g, dtype=torch.float64)
    elif kind == "wide":
        value = sign * part * power(max(emin - p, -500), emax // 2 - 4)
    elif kind == "ties":
        few = torch.randint(1, 8, shape, generator=g).double()
        value = sign * few * torch.where(part > 1.7, 1.0, power(-14, -9))
    elif kind == "cancelling":
        few = 1.0 + torch.randint(0, 4, shape, generator=g).double() * 2.0 ** (1 - p)
        value = sign * few
    elif kind == "subnormal":
        value = sign * part * power(emin - p, emin + 1)
    else:  # two of them multiply to about the underflow threshold of binary32
        value = sign * part * power(max(-80, emin - p), max(-60, emin))
    return correctly_rounded(value, storage)


def random_boxes(
    storage: Format, kind: str, samples: int, fan_in: int, outputs: int, seed: int
) -> Boxes:
    """Degenerate, narrow, wide, one-sided, zero and sign-crossing intervals; zero weights."""
    g = torch.Generator().manual_seed(seed)
    shape = (samples, fan_in)
    other = "ordinary" if kind in ("subnormal",) and seed % 2 else kind
    a, b = draw(storage, kind, shape, g), draw(storage, kind, shape, g)
    weight = draw(storage, other, (outputs, fan_in), g)
    weight[torch.rand(weight.shape, generator=g) < 0.15] = 0.0
    form = torch.rand(shape, generator=g)
    few = torch.randint(1, 6, shape, generator=g).double()
    near = correctly_rounded(a * (1.0 + few * 2.0 ** (1 - storage.precision)), storage)
    b = torch.where(form < 0.35, a, b)
    b = torch.where((form >= 0.35) & (form < 0.6), near, b)
    b = torch.where((form >= 0.6) & (form < 0.7), -a, b)
    a = torch.where(form > 0.9, torch.zeros_like(a), a)
    both_zero = form > 0.95
    b = torch.where(both_zero, torch.zeros_like(b), b)
    x = Interval(torch.minimum(a, b), torch.maximum(a, b))
    bias = (None, torch.zeros(outputs).double(), draw(storage, kind, (outputs,), g))[seed % 3]
    return Boxes(storage, x, weight, bias)


def point(storage: Format, x: Sequence[float], w: Sequence[float], bias: float | None) -> Boxes:
    """One sample, one output, no width."""
    at = torch.tensor([list(x)], dtype=torch.float64)
    b = None if bias is None else torch.tensor([bias], dtype=torch.float64)
    return Boxes(storage, Interval(at, at.clone()), torch.tensor([list(w)], dtype=torch.float64), b)
