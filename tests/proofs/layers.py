"""Small linear layers: errbound's own intervals of them, as cases for the checker of ``Check.v``.

A case is one output: an arithmetic, the terms (operand's interval and weight), the bias if there is
one, and the interval that ``LINEAR.enclose`` found.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.arithmetic import STRICT16, TORCH_CPU, Arithmetic
from errbound.number import BFLOAT16, BINARY16, BINARY32, E4M3, Format, Interval, Narrow, nearest
from errbound.ops import Constant, Step
from errbound.ops.linear import LINEAR
from tests.proofs.agreement import Row, number

WIDEST = 12


@dataclass(frozen=True)
class Machine:
    """A row of an arithmetic; ``widest``: the largest fan-in that is drawn."""

    arithmetic: Arithmetic
    row: Row
    widest: int = WIDEST

    @property
    def name(self) -> str:
        return f"{self.arithmetic.name}, {self.row.name}"


MACHINES = [
    Machine(TORCH_CPU, Row(BINARY16, BINARY32, False)),
    Machine(TORCH_CPU, Row(BFLOAT16, BINARY32, True)),
    Machine(TORCH_CPU, Row(BINARY32, BINARY32, False)),
    Machine(STRICT16, Row(BINARY16, BINARY16, False)),
    Machine(STRICT16, Row(BFLOAT16, BFLOAT16, False)),
    Machine(STRICT16, Row(E4M3, E4M3, False), widest=8),
]
"""The widest E4M3 layer has nine terms with its bias: (m-1)u = 1/2."""


# --- numbers -------------------------------------------------------------------------------------


def power(g: torch.Generator, low: int, high: int, shape: tuple[int, ...]) -> Tensor:
    return 2.0 ** torch.randint(low, high + 1, shape, generator=g).double()


def drawn(fmt: Format, kind: str, shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Numbers of a format, in binary64."""
    p, emin, emax = fmt.precision, fmt.emin, fmt.emax
    sign = 1.0 - 2.0 * torch.randint(0, 2, shape, generator=g).double()
    part = 1.0 + torch.rand(shape, generator=g, dtype=torch.float64)
    if kind == "ordinary":
        value = sign * part * power(g, -2, 1, shape)
    elif kind == "wide":
        value = sign * part * power(g, max(emin, -40), min(emax // 2, 40), shape)
    elif kind == "powers":  # sums at ties and powers of two
        value = sign * power(g, max(emin, -p), 2, shape)
    elif kind == "subnormal":
        value = sign * part * power(g, emin - p, emin + 1, shape)
    elif kind == "tiny":  # two of them multiply to about the smallest normal number of binary32
        value = sign * part * power(g, max(-64, emin - p), max(-61, emin), shape)
    else:  # "large": a sum of products may leave the range, or nearly so
        value = sign * part * power(g, emax // 2 - 2, emax // 2, shape)
    value = torch.where(torch.rand(shape, generator=g) < 0.12, 0.0, value)
    return nearest(value, fmt)


KINDS = {
    # operands, weights, bias
    "ordinary": ("ordinary", "ordinary", "ordinary"),
    "wide": ("wide", "wide", "wide"),
    "powers": ("powers", "powers", "powers"),
    "subnormal operands": ("subnormal", "ordinary", "subnormal"),
    "subnormal weights": ("ordinary", "subnormal", "subnormal"),
    "tiny": ("tiny", "tiny", "subnormal"),
    "large": ("large", "large", "wide"),
    "large bias": ("ordinary", "wide", "large"),
}


# --- layers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """Operands (samples, fan-in), weights (outputs, fan-in), bias (outputs) or None: numbers of the
    storage format, in binary64. ``narrow``: the operands are given in binary32."""

    machine: Machine
    kind: str
    x: Interval
    weight: Tensor
    bias: Tensor | None
    narrow: bool

    def enclosed(self) -> tuple[Interval, Tensor]:
        """errbound's interval, (samples, outputs), and which samples may overflow."""
        storage = self.machine.row.storage
        step = Step(self.machine.arithmetic, storage, self.x.shape[0])
        x = Narrow(self.x.lo.float(), self.x.hi.float()) if self.narrow else self.x
        weight = Constant(self.weight.to(storage.dtype))
        bias = None if self.bias is None else Constant(self.bias.to(storage.dtype))
        with torch.inference_mode():
            return LINEAR.enclose(step, x, weight, bias), step.overflow

    def terms(self, sample: int, output: int) -> str:
        """The operands' intervals, the weights and the bias of one output, as text."""
        columns = (self.x.lo[sample], self.x.hi[sample], self.weight[output])
        rows = list(zip(*(c.tolist() for c in columns), strict=True))
        parts = [str(len(rows)), *(number(v) for row in rows for v in row)]
        biases = [] if self.bias is None else [number(float(self.bias[output]))]
        return " ".join([*parts, str(len(biases)), *biases])

    def cases(self) -> Iterator[Case]:
        """All outputs."""
        box, overflow = self.enclosed()
        lows, highs, over = box.lo.tolist(), box.hi.tolist(), overflow.tolist()
        for n, o in itertools.product(range(len(lows)), range(self.weight.shape[0])):
            yield Case(self, n, o, (lows[n][o], highs[n][o]), over[n])


@dataclass(frozen=True)
class Case:
    """One output and its interval; ``overflow``: of the sample, so that it says nothing."""

    layer: Layer
    sample: int
    output: int
    ends: tuple[float, float]
    overflow: bool

    def __str__(self) -> str:
        layer = self.layer
        lo, hi = (end[self.sample].tolist() for end in (layer.x.lo, layer.x.hi))
        bias = None if layer.bias is None else float(layer.bias[self.output])
        return (
            f"{layer.machine.name}, {layer.kind}: operands in {list(zip(lo, hi, strict=True))}, "
            f"weights {layer.weight[self.output].tolist()}, bias {bias}, found {self.ends}"
        )

    @property
    def line(self) -> str:
        terms = self.layer.terms(self.sample, self.output)
        ends = " ".join(map(number, self.ends))
        return f"check_sum {self.layer.machine.row} {terms} {ends}"


def layer(machine: Machine, kind: str, seed: int) -> Layer:
    """Three samples, three outputs: all points, narrow, wide, one-sided or zero intervals."""
    g = torch.Generator().manual_seed(seed)
    fmt, samples, outputs = machine.row.storage, 3, 3
    fan_in = 1 + int(torch.randint(0, machine.widest, (), generator=g))
    operands, weights, biases = KINDS[kind]
    shape = (samples, fan_in)
    a = drawn(fmt, operands, shape, g)
    step = torch.randint(1, 6, shape, generator=g).double() * 2.0 ** (1 - fmt.precision)
    near = nearest(a * (1.0 + step), fmt)
    near = torch.where(torch.isfinite(near), near, a)
    form = torch.rand(shape, generator=g)
    if seed % 3 == 0:
        b = a.clone()
    else:
        b = torch.where(form < 0.6, near, drawn(fmt, operands, shape, g))
        b = torch.where(form < 0.2, a, b)
        b = torch.where(form > 0.9, 0.0, b)
    x = Interval(torch.minimum(a, b), torch.maximum(a, b))
    bias = drawn(fmt, biases, (outputs,), g) if seed % 2 else None
    return Layer(machine, kind, x, drawn(fmt, weights, (outputs, fan_in), g), bias, seed % 5 < 3)


def layers(each: int) -> list[Layer]:
    """``each`` layers of every machine and kind."""
    return [
        layer(machine, kind, 1000 * i + 100 * j + k)
        for i, machine in enumerate(MACHINES)
        for j, kind in enumerate(KINDS)
        for k in range(each)
    ]
