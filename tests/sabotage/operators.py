"""Witnesses for reductions, softmax, slopes and transposed convolutions, as in ``witnesses``."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch

from errbound.arithmetic import STRICT16, TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Interval
from errbound.ops import BY_TARGET, Constant, Op, Step
from tests.number.exact import round_fraction
from tests.ops import test_softmax as softmax

TRANSPOSED = BY_TARGET["aten.conv_transpose2d.input"]


def kernel_inside(op: Op, x: torch.Tensor, *args: object) -> None:
    """What this machine's kernel returns is inside."""
    step = Step(TORCH_CPU, {f.dtype: f for f in NATIVE}[x.dtype], x.shape[0])
    box = op.enclose(step, Interval.point(x), *args)
    value = op.call(x, *args)
    outside = ~box.contains(value)
    assert not bool(outside.any()), f"{op.name}: {float(value[outside][0])} is outside"


def softmax_over_the_last_dimension() -> None:
    """Every exponential errs by its profile, against all the others; points and boxes."""
    for op in (softmax.SOFTMAX, softmax.LOG_SOFTMAX):
        for fmt in (BINARY32, BFLOAT16):
            for widest in (0.0, 0.25):
                softmax.attack(op, TORCH_CPU, fmt, 3, widest, False, 8)


def softmax_over_an_inner_dimension() -> None:
    """16 bits: exponentials may be stored before they are divided."""
    for fmt in (BINARY16, BFLOAT16):
        softmax.attack(softmax.SOFTMAX, TORCH_CPU, fmt, 3, 0.0, True, 4)


def softmax_in_which_every_operation_rounds() -> None:
    """x - max far from zero: its rounding is a factor of the exponential."""
    for op in (softmax.SOFTMAX, softmax.LOG_SOFTMAX):
        softmax.attack(op, STRICT16, BINARY16, 3, 1.0, False, 16)


def means_of_some_dimensions() -> None:
    """The kernel divides by the number of terms."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, 5, generator=g)
    for dims in ([1], [2], [1, 2]):
        kernel_inside(BY_TARGET["aten.mean.dim"], x, dims)


def sums_lose_small_terms() -> None:
    """1 + u + ... + u is 1 in binary32, and a mean divides it."""
    m = 9
    x = torch.full((1, m), 2.0**-24)
    x[0, 0] = 1.0
    for name, value in (("sum.dim_IntList", Fraction(1)), ("mean.dim", Fraction(1, m))):
        step = Step(TORCH_CPU, BINARY32, 1)
        box = BY_TARGET[f"aten.{name}"].enclose(step, Interval.point(x), [1])
        stored = round_fraction(value, BINARY32)
        assert Fraction(float(box.lo)) <= stored <= Fraction(float(box.hi)), (
            f"{name}: {float(stored).hex()} is outside [{float(box.lo).hex()}, ...]"
        )


def slopes_are_not_stored() -> None:
    """x 0.3 with 0.3 in binary32."""
    g = torch.Generator().manual_seed(2)
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.randn(1, 200, generator=g).to(dtype)
        kernel_inside(BY_TARGET["aten.leaky_relu.default"], x, 0.3)


def channels_that_meet_in_one_pixel() -> None:
    """m channels, 1 + u + ... + u, each product of 2^-12 by itself, in binary32."""
    m = 64
    x, w = torch.full((1, m, 1, 1), 2.0**-12), torch.full((m, 1, 1, 1), 2.0**-12)
    x[0, 0] = w[0] = 1.0
    step = Step(TORCH_CPU, BINARY32, 1)
    box = TRANSPOSED.enclose(step, Interval.point(x), Constant(w))
    assert bool((box.lo <= 1.0).all()), f"the sum 1 is outside [{float(box.lo).hex()}, ...]"


def taps_that_meet_in_one_pixel() -> None:
    """16 bits: 1 + u + u is 1 where every addition is stored."""
    for fmt in (BINARY16, BFLOAT16):
        x = torch.ones(1, 1, 1, 3, dtype=fmt.dtype)
        w = torch.full((1, 1, 1, 3), fmt.unit_roundoff, dtype=fmt.dtype)
        w[..., 0] = 1.0
        step = Step(TORCH_CPU, fmt, 1)
        box = TRANSPOSED.enclose(step, Interval.point(x), Constant(w))
        low = float(box.lo[0, 0, 0, 2])
        assert low <= 1.0, f"the sum 1 is outside [{low.hex()}, ...]"


def partial_sums_of_a_transposed_convolution_overflow() -> None:
    """Each input's weights are small, but eight inputs meet in one output."""
    x, w = torch.full((1, 8, 1, 1), 2.0**125), torch.ones(8, 1, 1, 1)
    x[:, 4:] *= -1
    step = Step(TORCH_CPU, BINARY32, 1)
    TRANSPOSED.enclose(step, Interval.point(x), Constant(w))
    assert step.overflow.tolist() == [True], "a partial sum of 2^127 and more is not noticed"


OPERATORS: tuple[Callable[[], None], ...] = (
    softmax_over_the_last_dimension,
    softmax_over_an_inner_dimension,
    softmax_in_which_every_operation_rounds,
    means_of_some_dimensions,
    sums_lose_small_terms,
    slopes_are_not_stored,
    channels_that_meet_in_one_pixel,
    taps_that_meet_in_one_pixel,
    partial_sums_of_a_transposed_convolution_overflow,
)
