"""Enclosures of whole programs: what is contained, what overflows, what does not disturb what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import Enclosed, Encloser, execute
from errbound.arithmetic import TORCH_CPU
from errbound.errors import InputError
from errbound.number import BY_DTYPE, NATIVE, Format, Interval, nearest
from errbound.program import Node, Program, program_of
from tests.program.zoo import ROW, ZOO, Does, build, frozen, inputs

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
names = pytest.mark.parametrize("name", ZOO)


def program(
    function: Any, dtype: torch.dtype, shape: tuple[int, ...] = ROW, **buffers: Tensor
) -> Program:
    module = Does(lambda m, x: function(m, x), **buffers).eval()
    return program_of(module, inputs(shape, 2), dtype)


def enclose(p: Program, x: Tensor) -> tuple[Enclosed, dict[str, list[Interval]], dict[str, Tensor]]:
    """The enclosure, every node's interval(s), and which samples were alive there."""
    boxes: dict[str, list[Interval]] = {}
    lives: dict[str, Tensor] = {}

    def visit(node: Node, value: Any, alive: Tensor) -> None:
        boxes[node.name] = value if isinstance(value, list) else [value]
        lives[node.name] = alive.clone()

    return Encloser(p, TORCH_CPU)(x, visit), boxes, lives


def same(a: Interval, b: Interval) -> bool:
    return torch.equal(a.lo, b.lo) and torch.equal(a.hi, b.hi)


@names
@dtypes
def test_every_node_of_a_run_lies_in_its_interval(name: str, dtype: torch.dtype) -> None:
    """At several batch sizes, by which kernels choose. Ends are numbers of the node's format."""
    p = frozen(name, dtype)
    for batch in (1, 2, 7, 64):
        x = inputs(p.input_shape, batch, seed=5).to(dtype)
        found, boxes, _ = enclose(p, x)
        assert found.overflow.tolist() == [-1] * batch
        assert not bool(found.certain.any())
        values: dict[str, Any] = {}
        output = execute(p, x, lambda node, value, v=values: v.__setitem__(node.name, value))
        assert bool(found.output.contains(output).all())
        assert boxes
        for node, intervals in boxes.items():
            several = isinstance(values[node], list | tuple)
            for box, v in zip(intervals, values[node] if several else [values[node]], strict=True):
                assert box.shape == v.shape
                assert bool(box.contains(v).all()), node
                for end in (box.lo, box.hi):
                    assert torch.equal(nearest(end, BY_DTYPE[v.dtype]), end)


# --- overflow ------------------------------------------------------------------------------------


def test_the_first_node_that_may_overflow_is_named() -> None:
    p = program(lambda m, x: F.relu(x * 2 + 1) * 1000 - x * 30000, torch.float16)
    assert [n.op.name for n in p.nodes] == ["mul", "add", "relu", "mul", "mul", "sub"]
    x = torch.zeros(6, 12).half()
    x[1, 3], x[2, 0], x[3, 11], x[4, 5], x[5] = 40000, 40, -40, 2.0, torch.tensor(33.0)
    found, _, lives = enclose(p, x)
    assert found.overflow.tolist() == [-1, 1, 4, 5, -1, 4]
    assert found.certain.tolist() == [False, True, True, True, False, True]
    dead = found.overflow
    for index, node in enumerate(p.nodes, start=1):
        assert torch.equal(lives[node.name], (dead < 0) | (dead > index))


def test_an_input_beyond_the_format_is_node_0() -> None:
    """70,000 is finite in binary32, infinite in binary16; 65,519 rounds to the largest number."""
    x = torch.tensor([[70000.0], [65519.0], [65520.0], [1.0], [float("nan")], [float("inf")]])
    p = program(lambda m, x: F.relu(x) * 0.5, torch.float16, (1,))
    found, _, lives = enclose(p, x.half())
    assert found.overflow.tolist() == [0, -1, 0, -1, 0, 0]
    assert found.certain.tolist() == [True, False, True, False, True, True]
    assert all(
        alive.tolist() == [False, True, False, True, False, False] for alive in lives.values()
    )
    assert found.output.lo[1].tolist() == [32752.0]
    wide = program(lambda m, x: F.relu(x) * 0.5, torch.float32, (1,))
    assert enclose(wide, x)[0].overflow.tolist() == [-1, -1, -1, -1, 0, 0]


@dtypes
def test_a_division_by_an_interval_that_contains_zero_ends_the_sample(dtype: torch.dtype) -> None:
    """x - x is an interval around 0 only if x has width; x * 3 - 1 is a point unless it is zero."""
    p = program(lambda m, x: 1 / (x * 3 - 1.5) + m.k / (x - x + 1), dtype, (2,), k=torch.ones(2))
    x = torch.tensor([[1.0, 2.0], [0.5, 1.0], [0.0, 0.25]]).to(dtype)
    found, boxes, _ = enclose(p, x)
    divided = 1 + next(i for i, n in enumerate(p.nodes) if n.op.name == "reciprocal")
    assert found.overflow.tolist() == [-1, divided, -1]
    for box in (b for bs in boxes.values() for b in bs):
        assert bool(torch.isfinite(box.lo).all())
        assert bool(torch.isfinite(box.hi).all())


def test_a_possible_overflow_is_not_certain() -> None:
    """A box of width: one end beyond the range, then both."""
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0**-11, 2.0**-20]]))
    p = program_of(nn.Sequential(layer).eval(), inputs((3,), 2), torch.float16)
    x = torch.tensor([[65504.0, 32760.0, 4096.0], [65504.0, 60000.0, 0.0], [60000.0, 1.0, 1.0]])
    found, _, _ = enclose(p, x.half())
    assert found.overflow.tolist() == [1, 1, -1]
    assert found.certain.tolist() == [False, True, False]


@dtypes
def test_samples_that_overflow_do_not_disturb_others(dtype: torch.dtype) -> None:
    top = torch.finfo(dtype).max
    for name in ("convolutions", "residual", "perceptron", "norms", "average pools", "arithmetic"):
        p = frozen(name, dtype)
        x = inputs(p.input_shape, 6).to(dtype)
        calm = x.clone()
        x[1], x[4] = top, float("nan")
        x[3].view(-1)[::2], x[3].view(-1)[1::2] = top, -top
        wild, boxes, _ = enclose(p, x)
        _, others, _ = enclose(p, calm)
        assert wild.overflow[4] == 0
        assert wild.overflow[[0, 2, 5]].tolist() == [-1, -1, -1]
        rows = torch.tensor([0, 2, 5])
        for node, found in boxes.items():
            for a, b in zip(found, others[node], strict=True):
                assert same(Interval(a.lo[rows], a.hi[rows]), Interval(b.lo[rows], b.hi[rows])), (
                    node
                )
                assert bool(torch.isfinite(a.lo).all())
                assert bool(torch.isfinite(a.hi).all())


# --- chunks --------------------------------------------------------------------------------------


def chunked(p: Program, x: Tensor, sizes: list[int]) -> list[list[Interval]]:
    """The intervals of all nodes, rows enclosed in chunks and put together again."""
    encloser, found = Encloser(p, TORCH_CPU), []
    for part in x.split(sizes):
        boxes: list[Interval] = []
        encloser(part, lambda n, v, _, b=boxes: b.extend(v if isinstance(v, list) else [v]))
        found.append(boxes)
    return found


@names
@dtypes
def test_rows_enclosed_separately_or_together_are_bit_identical(
    name: str, dtype: torch.dtype
) -> None:
    p = frozen(name, dtype)
    x = inputs(p.input_shape, 33).to(dtype)
    (whole,) = chunked(p, x, [33])
    for sizes in ([1] * 33, [7, 7, 7, 7, 5], [32, 1], [16, 17]):
        parts = chunked(p, x, sizes)
        for k, box in enumerate(whole):
            lo, hi = (torch.cat([getattr(b[k], end) for b in parts]) for end in ("lo", "hi"))
            assert same(box, Interval(lo, hi))


@pytest.mark.parametrize("fan_in", [16, 64, 129, 392])
def test_cancelling_sums_do_not_depend_on_the_chunk(fan_in: int) -> None:
    """The ends of a sum that cancels show the last bit of binary64: BLAS must not reorder it."""
    torch.manual_seed(0)
    layer = nn.Linear(2 * fan_in, 33, bias=False).eval()
    with torch.no_grad():
        layer.weight[:, fan_in:] = -layer.weight[:, :fan_in]
    p = program_of(layer, torch.zeros(2, 2 * fan_in), torch.float32)
    half = torch.randn(64, fan_in)
    x = torch.cat([half, half], dim=1)
    (whole,) = chunked(p, x, [64])
    for sizes in ([1] * 64, [2] * 32, [7] * 9 + [1], [63, 1], [20, 44]):
        parts = chunked(p, x, sizes)
        for k, box in enumerate(whole):
            lo, hi = (torch.cat([getattr(b[k], end) for b in parts]) for end in ("lo", "hi"))
            assert same(box, Interval(lo, hi))


def test_another_batch_size_is_no_memory_of_the_first() -> None:
    """What a program computes from the batch size is computed again."""
    p = frozen("batch arithmetic", torch.float32)
    encloser = Encloser(p, TORCH_CPU)
    for batch in (4, 1, 9):
        x = inputs(p.input_shape, batch)
        found = encloser(x).output
        assert found.shape[0] == batch
        assert bool(found.contains(execute(p, x)).all())


# --- constants -----------------------------------------------------------------------------------


@dtypes
def test_constants_are_folded_as_the_kernel_computes_them(dtype: torch.dtype) -> None:
    """Weights transposed, reshaped, scaled in forward: not visited, and exactly the kernel's."""
    p = frozen("weights computed from weights", dtype)
    x = inputs(p.input_shape, 5).to(dtype)
    found, boxes, _ = enclose(p, x)
    assert bool(found.output.contains(execute(p, x)).all())
    assert {n.op.name for n in p.nodes if n.name in boxes} == {"linear", "add"}
    assert {n.op.name for n in p.nodes if n.name not in boxes} >= {"transpose", "reshape", "mul"}


def test_sums_of_weights_are_refused() -> None:
    """Their order is free, so they are not one constant."""
    w = torch.randn(12, 12)
    for function in (
        lambda m, x: F.linear(x, F.linear(m.w, m.w)),
        lambda m, x: x * F.avg_pool2d(m.w[None, None], 12).reshape(1),
        lambda m, x: x + F.batch_norm(m.w, m.w[0], m.w[0] * m.w[0])[0],
    ):
        p = program(function, torch.float32, w=w)
        with pytest.raises(InputError, match="computed from weights by a sum") as caught:
            Encloser(p, TORCH_CPU)(inputs(ROW, 2))
        assert "\n" not in str(caught.value)


def test_an_output_that_is_a_constant_or_the_input() -> None:
    p = program(lambda m, x: (x, m.k * 2), torch.float32, k=torch.ones(1, 3))
    x = inputs(ROW, 4)
    found = Encloser(p, TORCH_CPU)(x)
    assert same(found.output, Interval.point(x))
    constant = Encloser(p.select("1"), TORCH_CPU)(x)
    assert constant.output.lo.tolist() == [[2.0] * 3] * 4
    assert constant.overflow.tolist() == [-1] * 4


# --- the machine ---------------------------------------------------------------------------------


def test_flushed_subnormals_are_refused_when_an_encloser_is_made() -> None:
    p = frozen("rebound", torch.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        with pytest.raises(RuntimeError, match="flushes subnormal"):
            Encloser(p, TORCH_CPU)
    finally:
        torch.set_flush_denormal(False)
    Encloser(p, TORCH_CPU)


@pytest.mark.filterwarnings("ignore:TF32")
def test_settings_that_narrow_binary32_are_refused() -> None:
    p = frozen("rebound", torch.float32)
    with torch.backends.mkldnn.flags(enabled=False), pytest.raises(InputError, match="oneDNN"):
        Encloser(p, TORCH_CPU)
    Encloser(p, TORCH_CPU)


def test_an_encloser_can_be_used_again() -> None:
    """It gives the same intervals again, whatever it has enclosed meanwhile."""
    module, shape = build("convolutions")
    p = program_of(module, inputs(shape, 2), torch.float16)
    encloser = Encloser(p, TORCH_CPU)
    x, y = inputs(shape, 3).half(), inputs(shape, 3, seed=9).half()
    first = encloser(x)
    encloser(y)
    again = encloser(x)
    assert same(first.output, again.output)
    assert not same(first.output, encloser(y).output)


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_exact_operators_determine_every_cell(fmt: Format) -> None:
    """relu, max-pool, layout: points stay points, to the bit."""
    p = program(
        lambda m, x: F.max_pool2d(F.relu(x), 2).flatten(1)[:, 1:].neg(), fmt.dtype, (2, 4, 4)
    )
    x = inputs((2, 4, 4), 5).to(fmt.dtype)
    found, _, _ = enclose(p, x)
    assert same(found.output, Interval.point(execute(p, x)))
