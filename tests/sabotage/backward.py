"""Sabotages of the backward pass - noise, relations, own roundings - and witnesses for them, as in
``sabotages`` and ``witnesses``."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import Encloser, Trace
from errbound.arithmetic import EXACT, TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, Format, Interval
from errbound.ops import OPS, Case, Centred, Functionals, Op, _smooth
from errbound.program import Program, program_of
from tests.analysis import test_staircase as staircase
from tests.analysis import walks
from tests.ops import contract, relations
from tests.program.zoo import Does

from .editing import Edit, Fault, Row

TRACE, RELATION = "errbound.analysis.relaxation", "errbound.ops._relation"
LINEAR, POOL = "errbound.ops.linear", "errbound.ops.pool"

SABOTAGES: dict[str, tuple[Fault, ...]] = {
    "backward: wrong sign of the noise": (
        Edit(TRACE, "part = g.dot(noise.middle).double()", "part = -g.dot(noise.middle).double()"),
    ),
    "backward: noise symmetric around 0": (
        Edit(TRACE, "near.to(dtype), radius.to(dtype)", "near.to(dtype) * 0, radius.to(dtype)"),
    ),
    "backward: noise of slope 1 for all slopes": (
        Edit(
            TRACE,
            "lo, hi = rest * lo + slope * low, rest * hi + slope * high",
            "lo, hi = low, high",
        ),
    ),
    "backward: gap of the rounding left out": (
        Edit(
            TRACE,
            "low, high = _beyond(relation.offset, relation.gap)",
            "low, high = _beyond(relation.offset, None)",
        ),
    ),
    "backward: coefficients taken as exact": (
        Edit(
            TRACE,
            "own = relation.spread * slope * self._own(relation, dtype)",
            "own = relation.spread * slope * 0.0",
        ),
    ),
    "backward: length of the forward sum": (
        Edit(LINEAR, "length=weight.shape[0] + 1", "length=weight.shape[1] + 1"),
    ),
    "backward: size of a window for the number of windows": (
        Edit(
            POOL,
            "int(torch.bincount(places, minlength=height * width + 1)[:-1].max())",
            "index.shape[-1]",
        ),
    ),
    "backward: centres move when intervals are narrowed": (
        Edit(
            TRACE,
            "        entry.made.clear()\n        self.narrowed",
            "        entry.made.clear()\n"
            "        object.__setattr__(x, 'ball', Centred.around(x).ball)\n"
            "        self.narrowed",
        ),
    ),
    "backward: intervals narrowed without the spread": (
        Edit(
            TRACE,
            "low = down(relation.offset.lo - relation.spread)",
            "low = down(relation.offset.lo - 0.0 * relation.spread)",
        ),
    ),
    "backward: a chord without its offset": (
        Edit(
            RELATION,
            "Interval(lo + shift - own, hi + shift + own)",
            "Interval(shift - own, shift + own)",
        ),
    ),
    "backward: roundings of a far centre left out": (
        Edit(RELATION, "(size + shift.abs()) * (16.0", "size * (16.0"),
    ),
    "backward: other entries of a window left out": (
        Edit(
            POOL,
            "excess = torch.where(excess > 0, excess * inflate(2), 0.0)",
            "excess = torch.where(excess > 0, excess * 0.0, 0.0)",
        ),
    ),
    "backward: the kernel's error of a tabulated function left out": (
        Row(vars(_smooth), "_worst", lambda *_: (0.0, 0.0)),
    ),
    "backward: roundings relative to ends that cancelled": (
        Edit(
            TRACE,
            "size = rest * size + slope * torch.maximum(low.abs(), high.abs())",
            "size = torch.maximum(lo.abs(), hi.abs())",
        ),
    ),
    "backward: radius rounded to nearest in binary32": (
        Edit(TRACE, "radius = torch.where(radius > 0, above, single)", "radius = single"),
    ),
    "backward: product with a slope underflows": (
        Edit(
            TRACE,
            "reach += _largest_sum(",
            "reach += 0.0 * _largest_sum(",
        ),
    ),
    "backward: what lies beyond the image is not dropped": (
        Edit(
            RELATION,
            "factors = self.of(factors).to(self.value.dtype)",
            "factors = self.of(factors) + (self.of(torch.ones_like(factors)) == 0)",
        ),
    ),
}


OUTPUTS = 2**11


# --- noise ---------------------------------------------------------------------------------------


def noise_holds_the_staircase() -> None:
    """Cells of binary16 that simpler noise misses: centres apart, slopes between 0 and 1."""
    for name in staircase.SIMPLER:
        staircase.test_counterexamples(name)


def noise_holds_its_own_roundings() -> None:
    """Ends that cancel, and radii that are subnormal in binary32."""
    for scale in (1.0, 2.0**-140):
        staircase.test_own_roundings_of_the_noise(scale)


@cache
def _program(kind: str) -> Program:
    torch.manual_seed(2)
    if kind == "layers":
        a, b, c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        module = Does(lambda m, x: m.layers[2](m.layers[1](F.relu(m.layers[0](x)))), a, b, c)
        return program_of(module.eval(), torch.randn(2, 3), torch.float16)
    if kind == "borders":
        convs = [nn.Conv2d(1, 1, 3, 1, 1, bias=False) for _ in range(2)]
        with torch.no_grad():
            for conv in convs:
                conv.weight.fill_(1.0)
            convs[1].weight[..., 0, :] = convs[1].weight[..., 0] = -1.0
        return program_of(nn.Sequential(*convs).eval(), torch.randn(2, 1, 4, 4), torch.float16)
    if kind == "centres":
        module = Does(lambda m, x: (F.relu(x) - x * 0.5) * 2.0)
        return program_of(module.eval(), torch.randn(2, 1), torch.float16)
    weights = {
        "cancel": [[2.0**26], [1.0], [-(2.0**26)]],
        "swallow": [[1.0]] * OUTPUTS,
        "huge": [[2.0**100]],
    }[kind]
    layer = nn.Linear(1, len(weights), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return program_of(layer.eval(), torch.randn(2, 1), torch.float32)


def _walk(kind: str, steps: int) -> walks.Walk:
    program = _program(kind)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(3, *program.input_shape, generator=g)
    made = walks.Walk(program, TORCH_CPU, walks.around(x, BINARY16, steps, g))
    made.run(np.random.default_rng(1), g, 4)
    return made


def functionals_of_layers() -> None:
    """Executions in many orders, from a box."""
    g = torch.Generator().manual_seed(3)
    made = _walk("layers", 60)
    for k, entry in enumerate(made.trace.entries):
        made.bounded(k, walks.functionals(entry.value.shape, torch.float64, g, 8))


def narrowed_intervals_of_layers() -> None:
    """All nodes are narrowed, one after the other; values and functionals stay inside."""
    g = torch.Generator().manual_seed(4)
    made = _walk("layers", 200)
    for entry in made.trace.entries:
        made.trace.narrow(entry.value, torch.ones_like(entry.value.lo, dtype=torch.bool))
    made.contained()
    for k, entry in enumerate(made.trace.entries):
        made.bounded(k, walks.functionals(entry.value.shape, torch.float64, g, 8))


def centres_that_are_not_in_the_middle() -> None:
    """relu(x) - x/2 lies in [0, 1/2], narrowed from [-1/2, 3/2], of which the middle was 1/2."""
    ends = (torch.full((1, 1), v, dtype=torch.float64) for v in (-1.0, 1.0))
    made = walks.Walk(_program("centres"), TORCH_CPU, Interval(*ends))
    made.run(np.random.default_rng(1), torch.Generator().manual_seed(1), 16)
    for entry in made.trace.entries:
        made.trace.narrow(entry.value, torch.ones_like(entry.value.lo, dtype=torch.bool))
    unit = Functionals(torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.int64))
    made.bounded(len(made.trace.entries) - 1, unit)


def windows_at_the_borders() -> None:
    """Two convolutions with padding. What a window of the first sees beyond its image - five
    weights of -1, against four of 1 inside - counts for nothing.
    """
    lo = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    hi = lo.clone()
    hi[..., 0, 0] = 1.0
    made = walks.Walk(_program("borders"), TORCH_CPU, Interval(lo, hi))
    made.run(np.random.default_rng(1), torch.Generator().manual_seed(1), 2)
    unit = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    corner = torch.zeros(1, 2, dtype=torch.int64)
    made.bounded(len(made.trace.entries) - 1, Functionals(unit, corner[:, 0], corner))


# --- own roundings of coefficients ---------------------------------------------------------------


def _linear_map(kind: str, value: Tensor, slope: float | None = None) -> tuple[Fraction, float]:
    """Of a machine that rounds nothing: the largest g . W x for |x| <= 1, and its bound."""
    program = _program(kind).exact()
    box = Interval(-torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    trace = Trace(program, refine=False, dtype=value.dtype)
    Encloser(program, EXACT)(box, tracer=trace)
    if slope is not None:
        for s in trace.free_slopes():
            s.data.fill_(slope)
        trace.changed([])
    g = Functionals(value[None], torch.zeros(1, dtype=torch.int64))
    with torch.no_grad():
        high = float(trace.bounds(trace.entries[-1].value, g)[1])
    (weight,) = (t for t in program.constants.values() if t.is_floating_point())
    products = zip(value.tolist(), weight.flatten().tolist(), strict=True)
    return abs(sum((Fraction(a) * Fraction(b) for a, b in products), Fraction(0))), high


def coefficients_that_cancel() -> None:
    """2^26 + 1 - 2^26 is 0 in binary32, and 1."""
    most, high = _linear_map("cancel", torch.ones(3))
    assert most <= Fraction(high), f"{float(most)} is beyond {high}"


def coefficients_that_swallow_others() -> None:
    """1 and many times 2^-24, in a sum over the outputs; each output has one product."""
    value = torch.full((OUTPUTS,), 2.0**-24)
    value[0] = 1.0
    most, high = _linear_map("swallow", value)
    assert most <= Fraction(high), f"{float(most)!r} is beyond {high!r}"


def coefficients_that_underflow() -> None:
    """Half of 2^-149 is 0 in binary32; times 2^100 it is not."""
    most, high = _linear_map("huge", torch.tensor([2.0**-149]), 0.5)
    assert most <= Fraction(high), f"{float(most)!r} is beyond {high!r}"


# --- relations -----------------------------------------------------------------------------------


def _related(name: str, fmt: Format, x: Tensor, box: Centred, *rest: object) -> None:
    """The relation of a record at ends of a box, and between."""
    op: Op = next(op for op in OPS if op.name == name)
    call = next(contract.calls(op, Case((x, *rest))))
    made = relations.related(call, (box,), TORCH_CPU, fmt)
    maps = relations.maps_of(made, 0)
    g, rng = torch.Generator().manual_seed(5), np.random.default_rng(5)
    relations.check_coefficients(made, 0, maps, g)
    for at in relations.points(made, maps, g, fmt):
        for values in relations.executions(made, rng, at):
            relations.check_executions(made, 0, maps, at, values[0])


def relus_that_may_be_on_or_off() -> None:
    """Ends on both sides of 0."""
    x = torch.linspace(-1.0, 1.0, 9, dtype=torch.float16)[None]
    _related("relu", BINARY16, x, Centred.around(Interval((x - 1).double(), (x + 0.5).double())))


def relus_far_from_their_centres() -> None:
    """[-2^-149, 2^-148], of which the centre was a third."""
    x = torch.zeros(1, 1)
    end = torch.full((1, 1), float(torch.tensor(2.0 / 3.0)), dtype=torch.float64)
    box = Centred.around(Interval(torch.zeros_like(end), end))
    box.lo.fill_(-(2.0**-149))
    box.hi.fill_(2.0**-148)
    _related("relu", BINARY32, x, box)


def windows_whose_largest_entry_is_open() -> None:
    """Max-pooling of intervals that overlap."""
    g = torch.Generator().manual_seed(6)
    x = torch.randn(1, 1, 4, 4, generator=g).half()
    box = Centred.around(Interval((x - 1).double(), (x + 1).double()))
    _related("max_pool2d", BINARY16, x, box, [2, 2], [1, 1])


def more_windows_than_pixels() -> None:
    """Adaptive pooling of 3 x 2 pixels to 19 x 13: many windows hold each pixel."""
    x = torch.randn(1, 1, 3, 2, generator=torch.Generator().manual_seed(7))
    _related("adaptive_avg_pool2d", BINARY32, x, Centred.around(Interval.point(x)), [19, 13])


def kernels_of_smooth_functions() -> None:
    """Sigmoid and tanh of 16-bit numbers, as stored."""
    for fmt in (BINARY16, BFLOAT16):
        x = torch.linspace(-3.0, 3.0, 24)[None].to(fmt.dtype)
        for name in ("sigmoid", "tanh"):
            _related(name, fmt, x, Centred.around(Interval.point(x)))


WITNESSES: tuple[Callable[[], None], ...] = (
    noise_holds_the_staircase,
    noise_holds_its_own_roundings,
    functionals_of_layers,
    narrowed_intervals_of_layers,
    centres_that_are_not_in_the_middle,
    windows_at_the_borders,
    coefficients_that_cancel,
    coefficients_that_swallow_others,
    coefficients_that_underflow,
    relus_that_may_be_on_or_off,
    relus_far_from_their_centres,
    windows_whose_largest_entry_is_open,
    more_windows_than_pixels,
    kernels_of_smooth_functions,
)
