"""Sabotages of the other rows - strict16, assumed CUDA, emulated formats, the reals - and witnesses
for them, as in ``sabotages`` and ``witnesses``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import torch
from torch import nn

from errbound.analysis import Encloser
from errbound.arithmetic import EXACT, STRICT16, TORCH_CPU, TORCH_CUDA_ASSUMED
from errbound.number import BINARY16, BINARY32, BINARY64, E4M3, TF32, Interval, nearest
from errbound.ops import BY_TARGET, Constant, Step, perform
from errbound.program import program_of
from tests.number.exact import round_fraction

from .editing import Attribute, Edit, Fault, Row

CUDA = replace(TORCH_CUDA_ASSUMED, broken=lambda: "", device="cpu", settings=TORCH_CPU.settings)
LINEAR, MUL = BY_TARGET["aten.linear.default"], BY_TARGET["aten.mul.Tensor"]
POOL, DIV = BY_TARGET["aten.avg_pool2d.default"], BY_TARGET["aten.div.Tensor"]
OP, PERFORM, NORM = "errbound.ops._op", "errbound.ops._perform", "errbound.ops.norm"

SABOTAGES: dict[str, tuple[Fault, ...]] = {
    "strict16: sums in binary32": (Row(STRICT16.sums, "float16", TORCH_CPU.sums["float16"]),),
    "strict16: sums of stored numbers in binary32": (
        Attribute(STRICT16, "intermediate", BINARY32),
    ),
    "strict16: scalars not rounded first": (
        Edit(OP, "        if self.arithmetic.emulated:\n", "        if False:\n"),
    ),
    "strict16: the emulation adds without rounding": (
        Edit(PERFORM, "nearest(total + product, fmt)", "total + product"),
    ),
    "CUDA: the bias is never late": (Attribute(CUDA, "late_bias", False),),
    "CUDA: batch norm with too few roundings": (
        Edit(NORM, "size * (16.0 * u)", "size * (0.5 * u)"),
    ),
    "E4M3: the code of NaN is a number": (Attribute(E4M3, "reserved", 0),),
    "emulated storage is not rounded": (
        Edit(
            PERFORM, "return stored(value, storage) if storage.emulated else value", "return value"
        ),
    ),
    "the reals are not moved outward": (
        Edit(OP, "return Interval(down(lo), up(hi))", "return Interval(lo, hi)"),
    ),
}


def _inside(value: float | Fraction, box: Interval) -> None:
    lo, hi = Fraction(float(box.lo.min())), Fraction(float(box.hi.max()))
    assert lo <= Fraction(value) <= hi, f"{float(value)!r} outside [{float(lo)!r}, {float(hi)!r}]"


def strict16_rounds_partial_sums() -> None:
    """2048 + 1 + 1 + 1, each tie to even: 2048 in binary16; and its mean, 512."""
    x = torch.tensor([[2048.0, 1.0, 1.0, 1.0]]).half()
    ones = torch.ones(1, 4).half()
    step = Step(STRICT16, BINARY16, 1)
    found = LINEAR.enclose(step, Interval.point(x), Constant(ones))
    value = perform(LINEAR, STRICT16, BINARY16, (x, ones), {})
    assert float(value) == 2048.0, f"the emulation gives {float(value)}"
    _inside(2048.0, found)


def strict16_rounds_sums_in_pools() -> None:
    """The mean of 2048, 1, 1, 1 is 512 where partial sums are binary16 numbers."""
    x = torch.tensor([2048.0, 1.0, 1.0, 1.0]).half().reshape(1, 1, 2, 2)
    step = Step(STRICT16, BINARY16, 1)
    _inside(512.0, POOL.enclose(step, Interval.point(x), [2, 2]))


def strict16_rounds_scalars_first() -> None:
    """fl(x fl(c)) is not fl(x c): in TF32, whose numbers are held in binary32."""
    x = torch.tensor([[1.0 + 2.0**-9]])
    for c in (0.1, 0.3, 0.7):
        scalar = round_fraction(Fraction(c), TF32)
        assert isinstance(scalar, Fraction)
        right = round_fraction(Fraction(float(x)) * scalar, TF32)
        assert isinstance(right, Fraction)
        _inside(right, MUL.enclose(Step(STRICT16, TF32, 1), Interval.point(x), c))
        assert Fraction(float(perform(MUL, STRICT16, TF32, (x, c), {}))) == right


def a_late_bias_is_inside() -> None:
    """1.5 * 683/1024 = 1 + 2^-11 is stored as 1; then 2^-12 is lost."""
    x, w = torch.tensor([[1.5]]).half(), torch.tensor([[683 / 1024]]).half()
    b = torch.tensor([2.0**-12]).half()
    found = LINEAR.enclose(Step(CUDA, BINARY16, 1), Interval.point(x), Constant(w), Constant(b))
    _inside(1.0, found)
    _inside(1.0 + 2.0**-10, found)


def batch_norm_in_another_order_is_inside() -> None:
    """((x - mean) inverse) w + b, every operation in binary32, far from the mean and at it."""
    g = torch.Generator().manual_seed(6)
    norm = nn.BatchNorm1d(8).eval()
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.copy_(torch.randn(8, generator=g))
    norm.running_var.copy_(torch.rand(8, generator=g) + 0.1)
    x = torch.randn(512, 8, generator=g) * 3
    box = Encloser(program_of(norm, x[:2], torch.float32), CUDA)(x).output
    inverse = torch.rsqrt(norm.running_var + norm.eps)
    with torch.inference_mode():
        value = ((x - norm.running_mean) * inverse) * norm.weight + norm.bias
    inside = box.contains(value)
    assert bool(inside.all()), f"{int((~inside).sum())} values are outside"


def e4m3_ends_at_448() -> None:
    x = torch.tensor([464.0, 470.0], dtype=torch.float64)
    found = nearest(x, E4M3)
    assert float(found[0]) == 448.0, f"464 is {float(found[0])}"
    assert bool(found[1].isnan()), f"470 is {float(found[1])}"


def emulated_results_are_numbers_of_the_format() -> None:
    x = torch.tensor([[1.0 + 2.0**-10]])
    value = perform(MUL, TORCH_CPU, TF32, (x, x), {})
    box = MUL.enclose(Step(TORCH_CPU, TF32, 1), Interval.point(x), Constant(x[0]))
    _inside(float(value), box)


def a_third_is_inside_the_reals() -> None:
    step = Step(EXACT, BINARY64, 1)
    found = DIV.enclose(step, Interval.point(torch.ones(1, 1)), 3.0)
    _inside(Fraction(1, 3), found)


WITNESSES: tuple[Callable[[], None], ...] = (
    strict16_rounds_partial_sums,
    strict16_rounds_sums_in_pools,
    strict16_rounds_scalars_first,
    a_late_bias_is_inside,
    batch_norm_in_another_order_is_inside,
    e4m3_ends_at_448,
    emulated_results_are_numbers_of_the_format,
    a_third_is_inside_the_reals,
)
