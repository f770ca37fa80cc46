"""strict16 is what it says; the reals enclose the reals; the CUDA row sets and restores."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from errbound.analysis import Encloser, Shadow, execute, reals
from errbound.arithmetic import (
    ARITHMETICS,
    EXACT,
    STRICT16,
    TORCH_CPU,
    TORCH_CUDA_ASSUMED,
    arithmetic_named,
)
from errbound.errors import InputError
from errbound.number import BINARY16, FORMATS, Format, Interval, stored
from errbound.ops import OPS, Step, perform
from errbound.program import Node, Program, program_of
from tests.number.exact import round_fraction

LINEAR = next(op for op in OPS if op.name == "linear")


class Net(nn.Module):
    """One of each kind: scalars, conv, batch norm, relu, pooling, linear, tanh."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.norm.running_mean.uniform_(-0.3, 0.3)
        self.norm.running_var.uniform_(0.5, 2.0)
        self.linear = nn.Linear(36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv((x - 0.1307) / 0.3081))
        x = nn.functional.max_pool2d(torch.relu(x), 2)
        return torch.tanh(self.linear(x.flatten(1))) * 0.7 + 1.3


@pytest.fixture(scope="module")
def m32() -> Program:
    return program_of(Net().eval(), torch.zeros(2, 2, 6, 6), torch.float32)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(4))


def in_order(x: list[Fraction], w: list[Fraction], b: Fraction, fmt: Format) -> Fraction:
    total = None
    for a, c in zip(x, w, strict=True):
        product = round_fraction(a * c, fmt)
        total = product if total is None else round_fraction(total + product, fmt)
    assert total is not None
    return round_fraction(total + b, fmt)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_strict16_rounds_every_operation_in_the_stated_order(fmt: Format) -> None:
    g = torch.Generator().manual_seed(5)
    draw = [torch.randn(s, generator=g) for s in ((3, 17), (4, 17), (4,))]
    x, w, b = ((t.double() * 2**-3).to(torch.float32) for t in draw)
    program = program_of(nn.Linear(17, 4).eval(), torch.zeros(2, 17), torch.float32)
    x, w, b = (program.stored(t) if fmt.name == "float32" else stored(t, fmt) for t in (x, w, b))
    found = perform(LINEAR, STRICT16, fmt, (x, w, b), {}).double()
    exact = [np.vectorize(Fraction, otypes=[object])(t.double().numpy()) for t in (x, w, b)]
    for i in range(3):
        for j in range(4):
            want = in_order(exact[0][i], exact[1][j], exact[2][j], fmt)
            assert Fraction(float(found[i, j])) == want
    if fmt is BINARY16:
        assert not torch.equal(found, nn.functional.linear(x, w, b).double())


def test_strict16_never_runs_a_kernel_in_sixteen_bits(m32: Program, x: torch.Tensor) -> None:
    m16, called = m32.cast(BINARY16), []

    def spied(node: Node) -> Node:
        def call(*args: Any, **kwargs: Any) -> Any:
            assert all(a.dtype is torch.float64 for a in args if isinstance(a, torch.Tensor))
            called.append(node.op.name)
            return node.op.call(*args, **kwargs)

        return node if node.op.moves else replace(node, op=replace(node.op, call=call))

    found = execute(replace(m16, nodes=tuple(map(spied, m16.nodes))), m16.stored(x), None, STRICT16)
    assert found.dtype is torch.float16
    assert set(called) == {"sub", "div", "tanh", "mul", "add"}


def test_strict16_rounds_a_default_slope_too() -> None:
    """leaky_relu without its slope: 0.01 is rounded to storage before the product is."""
    leaky = next(op for op in OPS if op.name == "leaky_relu")
    x = -torch.arange(1, 400, dtype=torch.float16).reshape(1, -1)
    box = leaky.enclose(Step(STRICT16, BINARY16, 1), Interval.point(x))
    assert bool(box.contains(perform(leaky, STRICT16, BINARY16, (x,), {})).all())
    slope = round_fraction(Fraction(0.01), BINARY16)
    want = [float(round_fraction(-k * slope, BINARY16)) for k in range(1, 400)]
    assert box.lo.reshape(-1).tolist() == want == box.hi.reshape(-1).tolist()


def test_strict16_is_wider_than_torch(m32: Program, x: torch.Tensor) -> None:
    m16 = m32.cast(BINARY16)
    widths = []
    for arithmetic in (TORCH_CPU, STRICT16):
        box = Encloser(m16, arithmetic)(m16.stored(x)).output
        widths.append(float((box.hi - box.lo).mean()))
    assert widths[1] > 10 * widths[0]


def test_the_reals_are_enclosed_within_a_few_roundings(m32: Program, x: torch.Tensor) -> None:
    boxes: dict[str, Interval] = {}

    def keep(node, value, alive):  # type: ignore[no-untyped-def]
        boxes[node.name] = value

    found = Encloser(m32.exact(), EXACT)(x[:1], keep).output
    assert float((found.hi - found.lo).max()) < 1e-12
    with reals("arb", 60) as numbers:

        def check(node, value):  # type: ignore[no-untyped-def]
            box = boxes[node.name]
            ends = [numbers.ends(v) for v in value.reshape(-1)]
            lo, hi = box.lo.reshape(-1).tolist(), box.hi.reshape(-1).tolist()
            for (low, high), a, b in zip(ends, lo, hi, strict=True):
                assert a <= low <= high <= b, node.name

        Shadow(m32, numbers)(x[:1], check)


def test_batch_norm_of_other_machines_is_covered(x: torch.Tensor) -> None:
    """((x - mean) inverse) w + b and the folded form, both in binary32, in the CUDA row."""
    row = replace(TORCH_CUDA_ASSUMED, broken=lambda: "", device="cpu", settings=TORCH_CPU.settings)
    norm = Net().eval().norm
    program = program_of(norm, torch.zeros(2, 4, 3, 3), torch.float32)
    g = torch.Generator().manual_seed(6)
    for scale in (1.0, 1e-3, 1e4):
        y = torch.randn(64, 4, 3, 3, generator=g) * scale
        box = Encloser(program, row)(y).output
        mean, var = (t.reshape(-1, 1, 1) for t in (norm.running_mean, norm.running_var))
        w, b = (t.detach().reshape(-1, 1, 1) for t in (norm.weight, norm.bias))
        inverse = torch.rsqrt(var + norm.eps)
        for value in (
            ((y - mean) * inverse) * w + b,
            (y - mean) * (inverse * w) + b,
            y * (inverse * w) + (b - mean * (inverse * w)),
            norm(y).detach(),
        ):
            assert bool(box.contains(value).all())


def test_the_cuda_row_needs_a_device_and_restores_settings() -> None:
    if torch.cuda.is_available():
        assert TORCH_CUDA_ASSUMED.broken() == ""
    else:
        assert "no CUDA device" in TORCH_CUDA_ASSUMED.broken()
        with pytest.raises(InputError, match="no CUDA device"):
            Encloser(
                program_of(nn.Linear(3, 2).eval(), torch.zeros(2, 3), torch.float32),
                TORCH_CUDA_ASSUMED,
            )
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_fp16_reduced_precision_reduction, cudnn.allow_tf32, cudnn.benchmark)
    with TORCH_CUDA_ASSUMED.settings():
        assert not matmul.allow_tf32
        assert not matmul.allow_fp16_reduced_precision_reduction
        assert not matmul.allow_bf16_reduced_precision_reduction
        assert not cudnn.allow_tf32
        assert not cudnn.benchmark
    after = (matmul.allow_fp16_reduced_precision_reduction, cudnn.allow_tf32, cudnn.benchmark)
    assert after == before
    assert not TORCH_CUDA_ASSUMED.probed
    assert "not probed" in TORCH_CUDA_ASSUMED.summary


def test_rows() -> None:
    names = [a.name for a in ARITHMETICS]
    assert names == ["torch-cpu", "torch-cuda-assumed", "strict16"]
    assert all(arithmetic_named(n).name == n for n in names)
    assert all(set(a.sums) == {f.name for f in FORMATS} for a in ARITHMETICS)
    with pytest.raises(KeyError, match="strict16"):
        arithmetic_named("exact")
