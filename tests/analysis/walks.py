"""Small programs whose nodes are followed backwards, executed in many ways; exact comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import Encloser, Trace, execute
from errbound.arithmetic import Arithmetic
from errbound.number import Format, Interval, nearest, ulp
from errbound.ops import Functionals
from errbound.program import Program, program_of
from errbound.testing.emulator import Adversary
from tests.ops.relations import SCALE, integers
from tests.program.zoo import Does

IMAGE, ROW = (2, 6, 5), (6,)


def _conv(inputs: int, outputs: int, *rest: Any, bias: bool = True, groups: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, *rest, bias=bias, groups=groups)


def _norm(channels: int) -> nn.Module:
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for value in (layer.weight, layer.bias, layer.running_mean):
            value.copy_(torch.randn(channels))
        layer.running_var.copy_(torch.rand(channels) + 0.2)
    return layer


def _block(m: Any, x: Tensor) -> Tensor:
    """A residual block with a strided shortcut, then another without."""
    a, b, norm, short, c = m.layers
    y = F.relu(norm(a(x)))
    y = F.relu(b(y) + short(x))
    return F.relu(c(y) + y)


def _apart(m: Any, x: Tensor) -> Tensor:
    """Two paths of different strides meet."""
    return F.relu(m.layers[2](F.relu(m.layers[0](x) + m.layers[1](x))))


def _gates(m: Any, x: Tensor) -> Tensor:
    a, b = m.layers[0](x).chunk(2, dim=1)
    gate = torch.sigmoid(a) * torch.tanh(b)
    return torch.cat([gate, a, F.pad(b, (1, 1)), gate], 1).clamp(-0.5, 0.75)


def _sums(m: Any, x: Tensor) -> Tensor:
    y = m.layers[0](x)
    z = y + y
    return F.relu(z - y) + F.leaky_relu(y - x, 0.1) - (x * y) * 0.3 + z * z


def _pools(m: Any, x: Tensor) -> Tensor:
    y = F.max_pool2d(F.relu(m.layers[0](x)), 3, 2, 1)
    z = F.adaptive_avg_pool2d(y, (4, 5)) + F.avg_pool2d(m.layers[1](x), 3, 1, 1).mean((2, 3), True)
    return m.layers[2](F.relu6(z).flatten(1))


def _ended(m: Any, x: Tensor) -> Tensor:
    """A node without a relation between others."""
    return m.layers[1](F.relu(m.layers[0](x)).clamp_min(1.0).reciprocal()) + x


PROGRAMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual block": (
        lambda: Does(
            _block,
            _conv(2, 4, 3, 2, 1),
            _conv(4, 4, 3, 1, 1),
            _norm(4),
            _conv(2, 4, 1, 2, bias=False),
            _conv(4, 4, (3, 1), 1, (2, 0), (2, 1), groups=2),
        ),
        IMAGE,
    ),
    "strides apart": (
        lambda: Does(
            _apart, _conv(2, 2, 3, 2, 1), _conv(2, 2, (4, 3)), _conv(2, 2, (1, 2), 1, (1, 1))
        ),
        (2, 6, 5),
    ),
    "gates": (lambda: Does(_gates, nn.Linear(6, 8)), ROW),
    "sums": (lambda: Does(_sums, nn.Linear(6, 6)), ROW),
    "pools": (
        lambda: Does(_pools, _conv(2, 2, 2), _conv(2, 2, 3, 1, 2, 2, groups=2), nn.Linear(40, 3)),
        IMAGE,
    ),
    "ended": (lambda: Does(_ended, nn.Linear(6, 5), nn.Linear(5, 6)), ROW),
    "one number a sample": (
        lambda: Does(
            lambda m, x: F.relu(m.layers[0](x).mean(1)).reshape(-1, 1) - x, nn.Linear(6, 6)
        ),
        ROW,
    ),
    "softmax": (
        lambda: Does(
            lambda m, x: torch.softmax(F.relu(m.layers[0](x)), 1) + torch.log_softmax(x, 1),
            nn.Linear(6, 6),
        ),
        ROW,
    ),
}


def program(name: str, fmt: Format, seed: int = 0) -> Program:
    """One of ``PROGRAMS``, with random weights."""
    torch.manual_seed(seed)
    make, shape = PROGRAMS[name]
    found = program_of(make().eval(), torch.randn(2, *shape), fmt.dtype)
    return found.cast(fmt) if fmt.emulated else found


def around(x: Tensor, fmt: Format, steps: int, g: torch.Generator) -> Interval:
    """A box of numbers of ``fmt``: up to so many units in the last place to either side."""
    exact = nearest(x.double(), fmt)
    lo, hi = (
        nearest(
            exact + s * torch.randint(0, steps + 1, x.shape, generator=g) * ulp(exact, fmt), fmt
        )
        for s in (-1, 1)
    )
    return Interval(lo, hi) if steps else Interval(exact, exact)


@dataclass
class Walk:
    """A traced program and executions: per node its trace entries and (runs, samples, ...) values.

    Attributes:
        program, arithmetic, box: what was enclosed.
        refine: whether intervals were narrowed on the way.
    """

    program: Program
    arithmetic: Arithmetic
    box: Interval
    refine: bool = False
    dtype: torch.dtype = torch.float32
    trace: Trace = field(init=False)
    values: list[list[Tensor]] = field(init=False)
    alive: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.trace = Trace(self.program, refine=self.refine, dtype=self.dtype)
        found = Encloser(self.program, self.arithmetic)(self.box, tracer=self.trace)
        self.output, self.alive = found.output, found.overflow < 0
        self.values = [[] for _ in self.trace.entries]

    def run(self, rng: np.random.Generator, g: torch.Generator, repeats: int) -> None:
        """Kernels at ends and points of the box, then free orders; every node's value is kept."""
        fmt = self.program.storage(self.program.input_dtype)
        assert fmt is not None
        lo, hi = self.box.lo, self.box.hi
        for k in range(repeats):
            share = torch.rand(lo.shape, generator=g, dtype=torch.float64)
            pick = torch.rand(lo.shape, generator=g) < 0.5
            inner = nearest(lo + share * (hi - lo), fmt).clamp(lo, hi)
            ends = torch.where(pick, lo, hi)
            mixed = torch.where(torch.rand(lo.shape, generator=g) < 0.5, inner, ends)
            x = (lo, hi, ends, mixed)[k % 4]
            x = x.to(self.program.input_dtype)
            seen: dict[str, list[Tensor]] = {"input": [x]}

            def visit(node: Any, value: Any, *_: Any, seen: Any = seen) -> None:
                seen[node.name] = list(value) if isinstance(value, list | tuple) else [value]

            execute(self.program, x, visit, self.arithmetic)
            self._keep(seen)
            Adversary(self.program, rng, arithmetic=self.arithmetic).run(x, visit)
            self._keep(seen)

    def _keep(self, seen: dict[str, list[Tensor]]) -> None:
        taken: dict[str, int] = {}
        for entry, kept in zip(self.trace.entries, self.values, strict=True):
            part = taken.get(entry.name, 0)
            taken[entry.name] = part + 1
            kept.append(seen[entry.name][part].double())

    def contained(self) -> int:
        """All values lie in their intervals, narrowed or not; how many."""
        checked = 0
        for entry, values in zip(self.trace.entries, self.values, strict=True):
            for value in values:
                inside = entry.value.contains(value)[self.alive]
                assert bool(inside.all()), f"{entry.name}: {int((~inside).sum())} values outside"
                checked += inside.numel()
        return checked

    def bounded(self, k: int, g: Functionals) -> int:
        """g . (v - c) is between its bounds for every execution of entry ``k``; how many."""
        entry, values = self.trace.entries[k], self.values[k]
        with torch.no_grad():
            low, high = self.trace.bounds(entry.value, g)
        whole = integers(_flat(g.whole(entry.value.shape[1:]).value))
        centre = integers(_flat(entry.value.ball.mid))
        ends = [[_end(v) for v in end.tolist()] for end in (low, high)]
        checked = 0
        for value in values:
            away = integers(_flat(value)) - centre
            for p, n in enumerate(g.rows.tolist()):
                if not bool(self.alive[n]):
                    continue
                found = int(whole[p].dot(away[n]))
                assert ends[0][p] <= found <= ends[1][p], (
                    f"{entry.name} ({k}), functional {p}: {found / 4**SCALE!r} is outside "
                    f"[{float(low[p])!r}, {float(high[p])!r}]"
                )
                checked += 1
        return checked


def _flat(x: Tensor) -> Tensor:
    """(N, all the rest)."""
    return x.reshape(x.shape[0], -1)


def _end(value: float) -> float | int:
    """As integers that stand for multiples of 2^(-2 SCALE); infinities stay."""
    if value in (float("inf"), -float("inf")):
        return value
    n, d = value.as_integer_ratio()
    return (n << 2 * SCALE) // d


def functionals(
    shape: torch.Size, dtype: torch.dtype, g: torch.Generator, count: int = 4
) -> Functionals:
    """Random functionals of random samples: dense, sparse with cancelling entries, units."""
    rows = torch.randint(0, shape[0], (3 * count,), generator=g)
    value = torch.randn(3 * count, *shape[1:], generator=g, dtype=torch.float64)
    sparse = torch.randint(-1, 2, value.shape, generator=g).double()
    value[count : 2 * count] = sparse[count : 2 * count]
    flat = _flat(value)
    at = torch.randint(0, flat.shape[1], (count,), generator=g)
    flat[2 * count :] = 0.0
    flat[2 * count + torch.arange(count), at] = 1.0
    return Functionals(flat.reshape(value.shape).to(dtype), rows)
