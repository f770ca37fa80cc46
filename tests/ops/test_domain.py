"""What records refuse, and what leaves the range."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Format, Interval
from errbound.ops import OPS, BatchMoved, Constant, Step

NAMED = {op.name: op for op in OPS}
X = torch.randn(3, 4, 5)
IMAGE = torch.randn(2, 3, 8, 8)
STATS = (torch.zeros(3), torch.ones(3))
NORM = (0.1, 1e-5, False)

REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("dropout", (X, 0.5, True), {}, "training mode"),
    ("batch_norm", (IMAGE, None, None, *STATS, True, *NORM), {}, "training mode"),
    ("batch_norm", (IMAGE, None, None, None, None, False, *NORM), {}, "no running statistics"),
    (
        "batch_norm",
        (IMAGE.transpose(2, 3), None, None, *STATS, False, *NORM),
        {},
        "not contiguous",
    ),
    ("add", (X, X), {"alpha": 2}, "alpha"),
    ("add", (X, 1.0, 2), {}, "alpha"),
    ("sub", (X, X), {"alpha": 0.5}, "alpha"),
    ("rsub", (X, 1.0, 3), {}, "alpha"),
    ("pad", (X, [1, 1], "constant", 0.1), {}, "rounded differently"),
    ("pad", (X, [1, 1], "constant", 1 + 2.0**-10), {}, "rounded differently"),
    ("pad", (X, [1, 1], "constant", 70000.0), {}, "rounded differently"),
    ("pad", (X, [1, 1], "constant", float("-inf")), {}, "not finite"),
    ("pad", (X, [1, 1], "constant", float("nan")), {}, "not finite"),
    ("constant_pad", (X, [1, 1], 0.1), {}, "rounded differently"),
    ("conv2d", (IMAGE[0], torch.randn(4, 3, 1, 1)), {}, "dimensions"),
    ("linear", (torch.randn(3), torch.randn(4, 3), None), {}, "one dimension"),
    ("cat", ([X, torch.ones(3, 4, 5, dtype=torch.int64)], 1), {}, "integers"),
    ("leaky_relu", (X, -0.1), {}, "slope"),
    ("leaky_relu", (X, math.nan), {}, "slope"),
    ("leaky_relu", (X, math.inf), {}, "slope"),
    ("clamp", (X,), {}, "no bound"),
    ("clamp", (X, math.nan), {}, "bound is nan"),
    ("clamp", (X, None, -math.inf), {}, "bound is -inf"),
    ("clamp_min", (X, math.inf), {}, "bound is inf"),
    ("clamp_max", (X, math.nan), {}, "bound is nan"),
    ("hardtanh", (X, math.nan, 1.0), {}, "bound is nan"),
    ("sum", (X, [1]), {"dtype": torch.float64}, "converted"),
    ("mean", (X, [1]), {"dtype": torch.float16}, "converted"),
    ("sum", (torch.ones(2, 2**15).half(), [1]), {}, "split"),
    ("sum", (torch.ones(2, 2**8, 2**8).bfloat16(), [1, 2]), {}, "split"),
    ("softmax", (X, 1, torch.float64), {}, "converted"),
    ("log_softmax", (X, 1), {"dtype": torch.bfloat16}, "converted"),
    ("conv1d", (IMAGE, torch.randn(4, 3, 1)), {}, "dimensions"),
    ("conv1d", (X, torch.randn(4, 4, 2), None, [1], "same"), {}, "even kernel"),
    ("conv_transpose1d", (X[0], torch.randn(4, 3, 1)), {}, "dimensions"),
    ("conv_transpose2d", (X, torch.randn(3, 4, 1, 1)), {}, "dimensions"),
]

BATCH: list[tuple[str, tuple[Any, ...]]] = [
    ("permute", (X, [1, 0, 2])),
    ("permute", (X, [-1, 0, 1])),
    ("transpose", (X, 0, 1)),
    ("transpose", (X, 2, -3)),
    ("flatten", (X,)),
    ("flatten", (X, 0, 1)),
    ("flatten", (X, -3, -1)),
    ("cat", ([X, X],)),
    ("cat", ([X, X], -3)),
    ("select", (X, 0, 1)),
    ("select", (X, -3, 1)),
    ("slice", (X, 0, 1, 2)),
    ("slice", (X, 0, 0, 2**63 - 1, 2)),
    ("unflatten", (X, 0, [1, 3])),
    ("chunk", (X, 2)),
    ("split", (X, 1)),
    ("squeeze", (X[:1], 0)),
    ("squeeze", (X[:1], [1, 0])),
    ("unsqueeze", (X, 0)),
    ("unsqueeze", (X, -4)),
    ("pad", (X, [0, 0, 0, 0, 1, -1])),
    ("constant_pad", (X, [0, 0, 0, 0, 0, 1])),
    ("sum", (X,)),
    ("sum", (X, [])),
    ("sum", (X, [0, 1])),
    ("mean", (X, [-3])),
    ("mean", (X,)),
    ("softmax", (X, 0)),
    ("log_softmax", (X, -3)),
    ("softmax", (torch.randn(3), -1)),
]

ALLOWED: list[tuple[str, tuple[Any, ...]]] = [
    ("permute", (X, [0, 2, 1])),
    ("permute", (X, [-3, 2, 1])),
    ("transpose", (X, 1, -1)),
    ("flatten", (X, 1)),
    ("flatten", (X, 1, -1)),
    ("flatten", (torch.randn(3),)),
    ("cat", ([X, X], 1)),
    ("select", (X, 1, 0)),
    ("slice", (X, 0, 0, 2**63 - 1)),
    ("slice", (X, 1, 1, 3)),
    ("unsqueeze", (X, -1)),
    ("dropout", (X, 0.5, False)),
    ("dropout", (X, 0.0, True)),
    ("batch_norm", (IMAGE, None, None, *STATS, False, *NORM)),
    (
        "batch_norm",
        (IMAGE.to(memory_format=torch.channels_last), None, None, *STATS, False, *NORM),
    ),
    ("add", (X, X)),
    ("pad", (X, [1, 1], "constant", 1.5)),
    ("pad", (X, [1, 1], "constant", None)),
    ("pad", (X, [0, 0, 1, 1, 0, 0], "constant", 0.0)),
    ("constant_pad", (X, [1, 1])),
    ("conv2d", (IMAGE, torch.randn(4, 3, 1, 1))),
    ("leaky_relu", (X,)),
    ("leaky_relu", (X, 0)),
    ("clamp", (X, -math.inf, 1.0)),
    ("clamp", (X, X, torch.ones(()))),
    ("hardtanh", (X,)),
    ("sum", (X, [1])),
    ("sum", (torch.ones(2, 2**15 - 1).half(), [1])),
    ("sum", (torch.ones(2, 2, 2**15).half(), [2])),
    ("sum", (torch.ones(2, 2**15), [1])),
    ("mean", (torch.ones(2, 2**15).half(), [1])),
    ("softmax", (X.half(), -1, torch.float32)),
    ("log_softmax", (X, 1)),
    ("conv1d", (X, torch.randn(4, 4, 3), None, [1], "same")),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "words"), REFUSED)
def test_refused(name: str, args: Any, kwargs: Any, words: str) -> None:
    check = NAMED[name].check
    assert check is not None
    with pytest.raises(ValueError, match=words) as caught:
        check(*args, **kwargs)
    assert not isinstance(caught.value, BatchMoved)


@pytest.mark.parametrize(("name", "args"), BATCH)
def test_operators_that_touch_the_batch_are_refused(name: str, args: Any) -> None:
    check = NAMED[name].check
    assert check is not None
    with pytest.raises(BatchMoved):
        check(*args)


@pytest.mark.parametrize(("name", "args"), ALLOWED)
def test_allowed(name: str, args: Any) -> None:
    check = NAMED[name].check
    assert check is not None
    check(*args)


def test_batch_norm_refuses_another_layout_when_it_runs() -> None:
    with pytest.raises(ValueError, match="not contiguous"):
        NAMED["batch_norm"].call(IMAGE.transpose(2, 3), None, None, *STATS, False, *NORM)


def test_same_padding_of_an_even_kernel_is_refused() -> None:
    """torch pads one side more than the other; a window of our own would be another one."""
    step = Step(TORCH_CPU, BINARY32, 2)
    weight = Constant(torch.randn(4, 3, 2, 3))
    box = Interval.point(IMAGE)
    with pytest.raises(ValueError, match="even kernel"):
        NAMED["conv2d"].enclose(step, box, weight, None, [1, 1], "same")


# --- leaving the range ---------------------------------------------------------------------------


def ends(*pairs: tuple[float, float]) -> Interval:
    lo, hi = (torch.tensor(e, dtype=torch.float64)[:, None] for e in zip(*pairs, strict=True))
    return Interval(lo, hi)


@pytest.mark.parametrize("name", ["div", "reciprocal"])
@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_a_divisor_that_may_be_zero_leaves_the_range(name: str, fmt: Format) -> None:
    tiny = 2.0 ** (fmt.emin + 4)
    box = ends((1, 2), (0, 1), (-1, 0), (-1, 1), (0, 0), (-2, -1), (tiny, 1))
    step = Step(TORCH_CPU, fmt, 7)
    before = (ends(*[(1.0, 1.0)] * 7),) if name == "div" else ()
    found = NAMED[name].enclose(step, *before, box)
    assert step.overflow.tolist() == [False, True, True, True, True, False, False]
    assert bool(torch.isfinite(found.lo).all())
    assert bool(torch.isfinite(found.hi).all())
    assert (float(found.lo[0]), float(found.hi[0])) == (0.5, 1.0)
    assert (float(found.lo[6]), float(found.hi[6])) == (1.0, 1 / tiny)


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_the_overflow_threshold_is_exact(fmt: Format) -> None:
    """The largest product below Omega + ulp/2 stays, the threshold itself goes."""
    top = fmt.max_finite
    edge = fmt.overflow_threshold
    below = math.nextafter(edge, 0)
    box = ends((top, below), (-below, -top), (-top, top), (0, edge), (-edge, 0), (edge, edge))
    step = Step(TORCH_CPU, fmt, 6)
    box = step.store_(box.lo, box.hi)
    assert step.overflow.tolist() == [False, False, False, True, True, True]
    assert step.certain.tolist() == [False] * 5 + [True]
    assert box.hi[:3, 0].tolist() == [top, -top, top]
    assert bool(torch.isfinite(box.lo).all())
    assert bool(torch.isfinite(box.hi).all())


@pytest.mark.parametrize(("name", "other"), [("mul", 2.0), ("add", 60000.0), ("sub", -60000.0)])
def test_arithmetic_that_overflows_marks_its_sample_only(name: str, other: float) -> None:
    step = Step(TORCH_CPU, BINARY16, 3)
    box = ends((1, 2), (1, 60000), (3, 4))
    found = NAMED[name].enclose(step, box, other)
    assert step.overflow.tolist() == [False, True, False]
    alone = Step(TORCH_CPU, BINARY16, 1)
    for row in (0, 2):
        single = NAMED[name].enclose(alone, box.rows(row, row + 1), other)
        assert torch.equal(single.lo, found.lo[row : row + 1])
        assert torch.equal(single.hi, found.hi[row : row + 1])


def test_a_sum_whose_partials_may_overflow_is_marked() -> None:
    """the total is small, but an order exists in which a partial sum leaves binary32."""
    big = 2.0**127
    x = torch.tensor([[big, big, -big, -big], [1.0, 1.0, 1.0, 1.0]])
    for fmt in (BINARY32, BFLOAT16):
        step = Step(TORCH_CPU, fmt, 2)
        weight = Constant(torch.ones(1, 4, dtype=fmt.dtype))
        NAMED["linear"].enclose(step, Interval.point(x.to(fmt.dtype)), weight, None)
        assert step.overflow.tolist() == [True, False]


def test_weights_that_are_infinite_leave_the_range() -> None:
    step = Step(TORCH_CPU, BINARY16, 2)
    weight = Constant(torch.tensor([[float("inf"), 1.0]], dtype=torch.float16))
    x = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float16)
    NAMED["linear"].enclose(step, Interval.point(x), weight, None)
    assert step.overflow.tolist() == [True, True]
