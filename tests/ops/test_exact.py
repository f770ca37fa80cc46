"""The exact meaning of a record against its enclosure, in rational and in Arb arithmetic.

An execution that happens to make no error before it stores belongs to every arithmetic here, so
the exact value, rounded as an execution rounds, lies inside; before the store it lies inside the
real interval that the enclosure rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from flint import arb, ctx, fmpq
from torch import Tensor

from errbound.number import BINARY32, NATIVE, Format, Interval, next_down, next_up
from errbound.ops import OPS, Op, Step
from tests.number.exact import round_fraction

from . import contract

formats = pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
sizes = pytest.mark.parametrize(
    "size", [1, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (64, 65))]
)
SUMS = [op for op in OPS if op.terms is not None]
SMOOTH = [op for op in contract.ROUNDING if op.lemma.startswith("measured")]
PLAIN = [op for op in contract.ROUNDING if op.terms is None and op not in SMOOTH]


def rational(x: Any) -> Any:
    """Arrays of exact rationals from tensors and arrays; other arguments as they are."""
    if isinstance(x, Tensor):
        x = x.double().numpy()
    if isinstance(x, np.ndarray) and x.dtype != object:
        return np.vectorize(lambda v: fmpq(*float(v).as_integer_ratio()), otypes=[object])(x)
    return x


def fraction(x: fmpq | arb) -> Fraction:
    """An exact number: a rational, or an end of a ball."""
    if isinstance(x, arb):
        mantissa, exponent = x.man_exp()
        return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return Fraction(int(x.p), int(x.q))


class Spy(Step):
    """Keeps the real intervals that are rounded to storage."""

    def store_(self, lo: Tensor, hi: Tensor) -> Interval:
        self.__dict__.setdefault("stored", []).append((lo.clone(), hi.clone()))
        return super().store_(lo, hi)


def inside(y: np.ndarray, box: Interval) -> None:
    """Exact numbers in an interval of binary64 numbers."""
    lo, hi = (end.expand(y.shape).reshape(-1).tolist() for end in (box.lo, box.hi))
    for v, a, b in zip(y.reshape(-1), lo, hi, strict=True):
        assert Fraction(a) <= v <= Fraction(b), f"{float(v)!r} is outside [{a!r}, {b!r}]"


def stored(y: np.ndarray, fmt: Format, divisors: tuple[Any, ...] = ()) -> np.ndarray:
    """Rounded as a kernel does: to binary32, divided in binary32, then to storage."""
    single = np.vectorize(lambda v: round_fraction(v, BINARY32), otypes=[object])
    y = single(y)
    for n in divisors:
        y = single(y / np.vectorize(Fraction, otypes=[object])(n))
    return np.vectorize(lambda v: round_fraction(v, fmt), otypes=[object])(y)


def points(op: Op, fmt: Format, size: int) -> Iterator[tuple[contract.Call, Any, Any, Spy]]:
    """Each call with intervals and a point of each; samples that may overflow do not occur."""
    g = torch.Generator().manual_seed(5)
    for plain in contract.all_calls(op, fmt, size):
        for variant, widest in (("plain", 0), ("mixed", 0), ("plain", 9)):
            if variant == "mixed" and contract.divides(op):
                continue
            call = contract.varied(plain, variant, g)
            boxes = contract.boxes_around(call, g, widest, 0.0) if widest else None
            boxes = boxes or tuple(map(Interval.point, call.leaves))
            at = tuple(
                contract.between(b, g, fmt).to(x.dtype)
                for b, x in zip(boxes, call.leaves, strict=True)
            )
            step = call.step(Spy)
            found = call.enclose(boxes, step)
            assert not bool(step.overflow.any())
            yield call, at, found[0], step


@pytest.mark.parametrize("op", SUMS, ids=lambda op: op.name)
@formats
@sizes
def test_exact_sums_lie_inside_before_and_after_the_store(op: Op, fmt: Format, size: int) -> None:
    assert op.terms is not None
    for call, at, found, step in points(op, fmt, size):
        args = [a.double().numpy() if isinstance(a, Tensor) else a for a in call.build(at)]
        terms = op.terms(*args, **call.kwargs)
        total = (rational(terms.left) * rational(terms.right)).sum(axis=-1)
        if terms.bias is not None:
            total = total + rational(terms.bias)
        total = np.vectorize(fraction, otypes=[object])(total)
        inside(stored(total, call.storage, terms.divisors), found)
        if op.name in ("linear", "conv2d"):
            once = step.__dict__["stored"][0]
            inside(total, Interval(*once))


@pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.name)
@formats
@sizes
def test_exact_arithmetic_rounded_twice_lies_inside(op: Op, fmt: Format, size: int) -> None:

    def operand(value: Any, place: int) -> Any:
        """Scalars and other dtypes as the record says; integers of one entry as scalars."""
        if value is None or isinstance(value, torch.dtype):
            return value
        if not isinstance(value, Tensor):
            value = torch.tensor(float(value), dtype=torch.float64)
        scalar = value.dim() == 0 and value.dtype != fmt.dtype
        if scalar or not value.is_floating_point():
            wide = op.name in ("mul", "div", "leaky_relu") and place == 1 and value.numel() == 1
            to = BINARY32 if wide else fmt
            value = value.double().to(to.dtype)
        return rational(value)

    for call, at, found, _ in points(op, fmt, size):
        args = [operand(a, place) for place, a in enumerate(call.build(at))]
        exact = np.asarray(op.exact(*args, **call.kwargs), dtype=object)
        y = np.vectorize(fraction, otypes=[object])(exact)
        inside(stored(y, call.storage), found)


@pytest.mark.parametrize("op", SMOOTH, ids=lambda op: op.name)
@formats
def test_functions_lie_inside_their_intervals(op: Op, fmt: Format) -> None:
    """binary32: the rounded exact value; 16 bits, where a kernel's table or partial results of 16
    bits decide: its hull with the neighbours of the ends.
    """
    ctx.prec = 200
    for size in contract.SIZES:
        for call, at, found, _ in points(op, fmt, size):
            numbers = np.vectorize(arb, otypes=[object])(at[0].double().numpy())
            rest = call.build(at)[1:]
            if (
                op.name == "log_softmax"
                and fmt is not BINARY32
                and rest[0] in (-1, numbers.ndim - 1)
            ):
                continue  # its sum is stored in 16 bits: see test_softmax
            exact = op.exact(numbers, *rest)
            lo, hi = found.lo, found.hi
            if fmt is not BINARY32:
                lo, hi = next_down(lo, fmt), next_up(hi, fmt)
            for v, a, b in zip(
                exact.reshape(-1), lo.reshape(-1).tolist(), hi.reshape(-1).tolist(), strict=True
            ):
                for end in (v.lower(), v.upper()):
                    y = fraction(end)
                    y = round_fraction(y, BINARY32) if fmt is BINARY32 else y
                    assert Fraction(a) <= y <= Fraction(b)


@pytest.mark.parametrize("op", [op for op in contract.WITH_CASES if op.moves], ids=lambda o: o.name)
def test_moving_records_move_exact_numbers_as_the_kernel_does(op: Op) -> None:
    for call in contract.all_calls(op, BINARY32, 7):
        args = [
            [rational(v) for v in a]
            if isinstance(a, list) and isinstance(a[0], Tensor)
            else rational(a)
            for a in call.build(call.leaves)
        ]
        moved = op.exact(*args, **call.kwargs)
        moved = moved if isinstance(moved, list) else [moved]
        for y, value in zip(moved, call.run(), strict=True):
            assert y.shape == value.shape
            assert np.array_equal(np.vectorize(float)(np.vectorize(fraction)(y)), value.numpy())


@pytest.mark.parametrize("op", contract.ROUNDING, ids=lambda op: op.name)
def test_the_exact_meaning_is_what_torch_computes_in_binary64(op: Op) -> None:
    """A check of ``exact`` itself, not of any bound: hence approximately."""

    def number(x: Any) -> Any:
        wide = x.double().numpy() if isinstance(x, Tensor) else x
        return np.vectorize(arb, otypes=[object])(wide) if isinstance(x, Tensor) else x

    g = torch.Generator().manual_seed(6)
    for case in op.cases(g, torch.float32, 7):
        args = [a.double() if isinstance(a, Tensor) else a for a in case.args]
        value = op.call(*args, **case.kwargs)
        exact = op.exact(*map(number, args), **case.kwargs)
        found = torch.tensor(np.vectorize(lambda v: float(arb(v)))(exact))
        assert found.shape == value.shape
        torch.testing.assert_close(found.double(), value.double(), rtol=1e-9, atol=1e-9)
