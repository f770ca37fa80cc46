"""Bounds that come from going backwards, under attack: no execution is beyond any of them.

``pytest tests/adversary/test_backward.py -m slow -s`` is the full run and prints its counts.

Every program is enclosed at points and on boxes, and executed adversarially. Functionals of its
output and of inner nodes are bounded with the default slopes, with random slopes, after intervals
were narrowed, and with slopes that gradient steps changed; the exact extremes over all executions
are compared with each bound.
"""

from __future__ import annotations

import time
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from errbound.analysis import execute
from errbound.arithmetic import STRICT16, TORCH_CPU
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32, E4M3, NATIVE, TF32, Interval, nearest
from errbound.ops import Functionals
from errbound.program.export import program_of
from errbound.testing import values
from errbound.testing.blocks import Do
from errbound.testing.choices import Seeded
from errbound.testing.emulator import Adversary
from errbound.testing.programs import Network, build, seeded
from errbound.testing.refute import Refuter
from errbound.testing.sums import Plan

from .functionals import (
    Executions,
    Record,
    Seen,
    Target,
    Traced,
    centred,
    compare,
    contained,
    draw_target,
    follow,
    optimise,
    random_slopes,
)
from .test_arithmetics import CUDA

PROGRAMS = 150
REPEATS = 84  # of each of four samples, at points and on boxes: 672 executions of a program
WIDTHS = (0.0, 2.0**-8, 2.0**-5, 0.1)


def around(x, fmt, rng):
    """A box of numbers of the format about every sample."""
    width = rng.choice(WIDTHS[1:], x.shape[0]).reshape(-1, *[1] * (x.dim() - 1))
    exact = x.double()
    radius = torch.from_numpy(width * rng.random(x.shape)) * (exact.abs() + exact.abs().mean())
    top = fmt.max_finite
    ends = [nearest(end.clamp(-top, top), fmt) for end in (exact - radius, exact + radius)]
    return Interval(torch.minimum(ends[0], exact), torch.maximum(ends[1], exact))


def points(box, sample, x, fmt, rng):
    """A stored input a row, in the box of its sample: corners, faces and points between."""
    lo, hi = (end[sample].numpy() for end in (box.lo, box.hi))
    between = nearest(torch.from_numpy(lo + rng.random(lo.shape) * (hi - lo)), fmt).numpy()
    between = np.clip(between, lo, hi)
    share = rng.choice([0.0, 0.5, 1.0], (len(lo), *[1] * (lo.ndim - 1)))
    corner = np.where(rng.random(lo.shape) < 0.5, lo, hi)
    chosen = np.where(rng.random(lo.shape) < share, between, corner)
    return torch.from_numpy(chosen).to(x.dtype)


def attack(case, record, rng, repeats, *, boxes, arithmetic=TORCH_CPU, targets=10):
    """Enclose, execute and compare one case, at its inputs or on boxes about them."""
    program = program_of(case.module, case.inputs, case.format.dtype)
    if case.format.emulated:
        program = program.cast(case.format)
    x, samples = case.inputs, case.inputs.shape[0]
    story = f"{arithmetic.name}, {case.format.name}, {case.regime}, boxes={boxes}, {case.blocks}"
    sample = torch.arange(samples).repeat_interleave(repeats)
    if boxes:
        box = around(x, case.format, rng)
        rows = points(box, sample, x, case.format, rng)
    else:
        box, rows = Interval.point(x), x[sample]
    executions = Executions(program, arithmetic, rows, sample, rng)
    plain = Traced(program, arithmetic, box, refine=False, dtype=torch.float64)
    dtype = torch.float32 if rng.random() < 0.7 else torch.float64
    refined = Traced(program, arithmetic, box, refine=True, dtype=dtype)
    contained(plain, executions, Record(), story)
    contained(refined, executions, record, story)

    count = len(plain.trace.entries)
    open_ = [k for k in range(count) if not plain.trace.entries[k].value.is_point]
    seen = []
    for _ in range(targets if open_ else 0):
        k = count - 1 if rng.random() < 0.3 else int(rng.choice(open_))
        alive = (plain.alive(k) & refined.alive(k)).nonzero()[:, 0].numpy()
        shape = tuple(plain.trace.entries[k].value.shape[1:])
        if not len(alive) or not np.prod(shape):
            continue
        target = draw_target(rng, k, shape, alive)
        one = Seen(target, target.whole(shape))
        mine = executions.sample == target.sample
        one.update(
            executions.of(plain.trace, k)[mine].reshape(int(mine.sum()), -1),
            plain.trace.entries[k].name,
        )
        seen.append(one)

    kind = "boxes" if boxes else "points"
    compare(f"default, {kind}", plain, seen, record, story)
    for _ in range(2):
        random_slopes(plain, rng)
        compare(f"random slopes, {kind}", plain, seen, record, story)
    compare(f"refined, {kind}", refined, seen, record, story)
    optimise(f"optimised, {kind}", refined, seen, record, story)
    follow(program, arithmetic, box, refined, executions, rng, record, story)
    record.executions += len(rows)
    record.programs.add(program.digest)
    record.formats[case.format.name] += 1
    record.records.update({node.op.name for node in program.nodes})


def campaign(seeds, repeats, targets=10):
    """Attack the seeds' programs; the record of what was done, printed."""
    record, start = Record(), time.process_time()
    for seed in seeds:
        case, rng = seeded(seed), np.random.default_rng(seed)
        for boxes in (False, True):
            attack(case, record, rng, repeats, boxes=boxes, targets=targets)
    print(f"\n{record}\n{time.process_time() - start:.0f} s of processor time")
    for name, compared in record.compared.items():
        assert record.wide[name] > 0.15 * compared, name  # else the bounds say nothing
        assert record.better[name] > 0, name
        assert record.linked[name] > 0, name
        assert record.reach[name] > 0.2, name
    return record


def test_no_execution_is_beyond_a_backward_bound():
    record = campaign(range(12), 33, targets=6)
    assert record.executions >= 3000
    assert min(record.formats[fmt.name] for fmt in NATIVE) >= 4
    assert record.narrowed > 100
    assert record.leads > 0


@pytest.mark.slow
def test_a_hundred_thousand_executions():
    record = campaign(range(PROGRAMS), REPEATS)
    assert record.executions >= 100_000
    assert len(record.programs) >= 145
    assert record.narrowed > 10_000
    assert record.leads > 500


ROWS = [(STRICT16, BINARY16), (CUDA, BINARY16), (TORCH_CPU, TF32), (TORCH_CPU, E4M3)]


@pytest.mark.parametrize(("arithmetic", "fmt"), ROWS, ids=[f"{a.name}-{f.name}" for a, f in ROWS])
def test_other_arithmetics_and_formats(arithmetic, fmt):
    record, seed = Record(), 0
    while record.executions < 200:
        case, rng = build(Seeded(seed), fmt, size=(3, 6)), np.random.default_rng(seed)
        with suppress(InputError):
            attack(case, record, rng, 12, boxes=bool(seed % 2), arithmetic=arithmetic)
        seed += 1
        assert seed < 30
    print(f"\n{arithmetic.name}\n{record}")
    assert sum(record.better.values()) > 0


def test_nodes_of_one_number_a_sample():
    """A mean over all that a sample has is of shape (samples,)."""
    module = Do("x + mean", lambda s, x: x + x.mean(1).reshape(-1, 1)).eval()
    x, rng = torch.linspace(-1.0, 1.0, 8).reshape(2, 4), np.random.default_rng(0)
    case = Network(module, x, BINARY32, "unit", ("mean",), 0)
    record = Record()
    for boxes in (False, True):
        attack(case, record, rng, 20, boxes=boxes)
    assert sum(record.compared.values()) > 0


# How near to their bounds executions come -------------------------------------------------------

SHARES: dict[str, float] = {}


def share(name, low, least):
    """Of what a bound allows, how much an execution had; both relative to one centre, below 0."""
    assert Fraction(float(low)) <= least <= 0, name
    SHARES[name] = max(SHARES.get(name, 0.0), float(least / Fraction(float(low))))
    return SHARES[name]


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    print("\nlargest share of a bound that an execution reached")
    for name, found in sorted(SHARES.items()):
        print(f"  {name:60}{found:.4f}")


def traced(module, x, box, dtype, *, refine=False):
    program = program_of(module.eval(), x, dtype)
    return program, Traced(program, TORCH_CPU, box, refine=refine, dtype=torch.float64)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_the_noise_of_a_cell_is_reached(fmt):
    """fl(x) - x on twenty cells: slope 1 cancels x and leaves half an ulp, which a tie reaches."""
    module = Do("fl(x) - x", lambda s, x: x.to(fmt.dtype).float() - x)
    u = fmt.unit_roundoff
    box = Interval(*(torch.full((1, 1), end, dtype=torch.float64) for end in (1.0, 1.0 + 40 * u)))
    x = torch.tensor([[1.0 + k * u] for k in range(41)])
    program, found = traced(module, x[:1], box, torch.float32)
    output = found.found.output
    low, _ = found.trace.bounds(
        output, Functionals(torch.ones(1, 1).double(), torch.zeros(1).long())
    )
    values = execute(program, x).double() - output.ball.mid
    assert share(f"half an ulp, {fmt.name}", low, Fraction(float(values.min()))) > 0.99
    assert float(output.hi - output.lo) > 30 * u  # without the relation


@pytest.mark.parametrize("layers", [2, 3])
def test_errors_of_sums_are_reached_through_layers(layers):
    """binary32: every sum of every layer loses all that it can, to the side that counts.

    Neuron k is s_k (1 + u + ... + u), executed as s_k, and the next weights have the signs s_k, so
    that losses add up. A sum of 63 terms u and 1 errs by 63 u; the layers after it by less, for
    their terms are of one size.
    """
    m, h, u = 64, 16, 2.0**-24
    sign = torch.tensor([1.0, -1.0]).repeat(h // 2)
    first = torch.full((h, m), 2.0**-12)
    first[:, 0] = 1.0
    net = nn.Sequential(nn.Linear(m, h, bias=False))
    net[0].weight.data = first * sign[:, None]
    for _ in range(layers - 2):
        net.append(nn.Linear(h, h, bias=False))
        net[-1].weight.data = sign[:, None] * sign[None, :] / h
    net.append(nn.Linear(h, 2, bias=False))
    net[-1].weight.data = torch.stack([sign / h, torch.zeros(h)])
    x = torch.full((1, m), 2.0**-12)
    x[0, 0] = 1.0
    program, found = traced(net, x, Interval.point(x), torch.float32)
    output = found.found.output
    pair_ = Functionals(torch.tensor([[1.0, -1.0]]).double(), torch.tensor([0]))
    low, _ = found.trace.bounds(output, pair_)
    # u + ... + u is lost, term by term; any better order of the later sums is searched for.
    centre = Fraction(float(output.ball.mid[0, 0])) - Fraction(float(output.ball.mid[0, 1]))
    best = Fraction(0)
    for seed in range(40):
        plans = {
            node.name: Plan() if k == 0 else Plan.random(np.random.default_rng([seed, k]))
            for k, node in enumerate(program.nodes)
        }
        z = Adversary(program, np.random.default_rng(seed), fixed=plans).run(x, lambda *_: None)
        best = min(best, Fraction(float(z[0, 0])) - Fraction(float(z[0, 1])) - centre)
    assert best <= -Fraction(u) * (m - 1) * Fraction(99, 100)
    assert share(f"errors of sums through {layers} layers", low, best) > 0.5


def dense(rng, sizes, fmt):
    """Linear layers and relus, weights of the format."""
    net = nn.Sequential()
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        weight = torch.from_numpy(rng.normal(size=(outputs, inputs)) * inputs**-0.5)
        layer.weight.data = nearest(weight, fmt).float()
        layer.bias.data = nearest(torch.from_numpy(rng.normal(size=outputs) * 0.1), fmt).float()
        net += nn.Sequential(layer, nn.ReLU())
    return net[:-1]


def cube(rng, inputs, fmt, width):
    """A box about a random point, and its corners."""
    middle = torch.from_numpy(rng.normal(size=(1, inputs)))
    box = Interval(*(nearest(middle + s * width, fmt) for s in (-1.0, 1.0)))
    corners = [
        torch.where(torch.tensor(at), box.lo[0], box.hi[0])
        for at in product([True, False], repeat=inputs)
    ]
    return box, torch.stack(corners).to(fmt.dtype)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_pairs_and_refined_intervals_are_reached(fmt):
    """Small networks on boxes, executed at every corner."""
    narrowed = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        net = dense(rng, (6, 8, 8, 3), fmt)
        box, x = cube(rng, 6, fmt, float(rng.choice([0.05, 0.3])))
        program, plain = traced(net, x[:1], box, fmt.dtype)
        _, refined = traced(net, x[:1], box, fmt.dtype, refine=True)
        executions = Executions(program, TORCH_CPU, x, torch.zeros(len(x)).long(), rng)
        contained(refined, executions, Record(), "")
        k = len(plain.trace.entries) - 1
        g = torch.tensor([1.0, -1.0, 0.0])
        for name, found in (("with relu's triangle", plain), ("refined", refined)):
            entry = found.trace.entries[k]
            target = Target(k, 0, g)
            one = Seen(target, target.whole((3,)))
            one.update(executions.of(found.trace, k), "corner")
            low, _ = found.trace.bounds(entry.value, target.functionals(torch.float64))
            share(f"z_i - z_j on a box, {name}, {fmt.name}", low, one.low - centred(target, entry))
        for k, (old, new) in enumerate(
            zip(plain.trace.entries, refined.trace.entries, strict=True)
        ):
            less = (new.value.hi - new.value.lo)[0] < (old.value.hi - old.value.lo)[0]
            if bool(less.any()):
                v = executions.of(refined.trace, k)
                width = (new.value.hi - new.value.lo)[0][less]
                part = ((v.amax(dim=0) - v.amin(dim=0))[less] / width).nan_to_num(0.0)
                name = f"width of narrowed intervals, {fmt.name}"
                SHARES[name] = max(SHARES.get(name, 0.0), float(part.max()))
                narrowed += int(less.sum())
    assert narrowed > 20
    assert SHARES[f"z_i - z_j on a box, refined, {fmt.name}"] > 0.7
    assert SHARES[f"width of narrowed intervals, {fmt.name}"] > 0.7


# The search for another class ---------------------------------------------------------------------


def on_an_edge(fmt, m=64):
    """A layer whose second output is one of two neighbours, the first output being the lower."""
    rng = np.random.default_rng(0)
    x, w = values.edges(rng, m, fmt)
    while w[-1] * x[-1] != w[1] * x[1] or w[0] < 0 or w[1] < 0:
        x, w = values.edges(rng, m, fmt)
    layer = nn.Linear(m, 2)
    layer.weight.data = torch.from_numpy(np.stack([np.zeros(m), w])).float()
    lower = nearest(torch.tensor(x[0] * w[0], dtype=torch.float64), fmt)
    layer.bias.data = torch.stack([lower, torch.zeros(())]).float()
    return layer.eval(), torch.from_numpy(x).to(fmt.dtype)[None]


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_the_search_finds_another_class(fmt):
    layer, x = on_an_edge(fmt)
    program = program_of(layer, x, fmt.dtype)
    found = Refuter(program, np.random.default_rng(0))(x, 1, 0)
    assert found.answer == 0
    assert found.lead == 0.0  # a tie: the first of equals is the answer
    better = Refuter(program, np.random.default_rng(0))(x, 0, 1)
    assert better.answer == 1
    assert better.lead < 0.0


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
def test_what_the_search_finds_is_inside_every_bound(fmt):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        net = dense(rng, (40, 24, 24, 4), fmt)
        x = nearest(torch.from_numpy(rng.normal(size=(1, 40))), fmt).to(fmt.dtype)
        program, refined = traced(net, x, Interval.point(x), fmt.dtype, refine=True)
        i, j = rng.permutation(4)[:2].tolist()
        found = Refuter(program, rng, rows=8)(x, i, j, 5)
        for entry in refined.trace.entries[1:]:
            value = found.values[entry.name].double()
            assert bool(((entry.value.lo <= value) & (value <= entry.value.hi)).all()), entry.name
        k = len(refined.trace.entries) - 1
        g = torch.zeros(4)
        g[i], g[j] = 1.0, -1.0
        target = Target(k, 0, g)
        entry = refined.trace.entries[k]
        low, _ = refined.trace.bounds(entry.value, target.functionals(torch.float64))
        z = found.output.double().tolist()
        assert centred(target, entry) + Fraction(float(low)) <= Fraction(z[i]) - Fraction(z[j])
