"""The bounds that errbound is compared with, against the same formulas by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from mpmath import mp, mpf
from torch import Tensor, nn

from benchmarks._bounds import Errors, NormBound, Rounding, intervals, wins
from errbound.analysis import execute
from errbound.arithmetic import STRICT16, TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, Format, Interval
from errbound.verdict import pair_of

X = [3, 4]
LAYERS = [
    ([[1, 1], [1, -1]], [3, 4]),
    ([[2, 2], [-2, 2]], [0, 1]),
    ([[3, 0], [3, 4]], [1, -2]),
]
"""Norms by hand, of W, |W| and b: sqrt 2, 2, 5; 2 sqrt 2, 4, 1; twice sqrt(17 + sqrt 145), sqrt 5.
||x|| = 5. Of the last W, rows have norms 3 and 5, their difference 4, the sum of their magnitudes
sqrt 52."""

READINGS = [
    pytest.param(Rounding(BINARY32, BINARY32), id="M32"),
    *(
        pytest.param(Rounding(sums, fmt), id=f"{fmt.alias}, sums in {sums.alias}")
        for fmt in (BINARY16, BFLOAT16)
        for sums in (fmt, BINARY32)
    ),
]


def tiny() -> nn.Module:
    linear = [nn.Linear(2, 2) for _ in LAYERS]
    with torch.no_grad():
        for layer, (w, b) in zip(linear, LAYERS, strict=True):
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
    return nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2]).eval()


def deep() -> nn.Module:
    torch.manual_seed(3)
    layers = [nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)]
    return nn.Sequential(*layers).eval()


def powers(rounding: Rounding) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """u of the sums, u of storage, what an output of two products and what a store may underflow.

    From the definitions of the formats: 2^-p, and half the smallest subnormal 2^(emin - p).
    """
    facts = {"binary16": (11, -14), "bfloat16": (8, -126), "binary32": (24, -126)}
    (p, emin), (q, least) = (facts[f.alias] for f in (rounding.sums, rounding.storage))
    late = Fraction(2) ** (least - q) if (p, emin) != (q, least) else Fraction(0)
    return Fraction(1, 2**p), Fraction(1, 2**q), 2 * Fraction(2) ** (emin - p), late


@pytest.mark.parametrize("rounding", READINGS)
def test_norms_by_hand(rounding: Rounding) -> None:
    with mp.workdps(50):
        us, u, products, late = (mpf(f.numerator) / f.denominator for f in powers(rounding))
        gamma = (1 + us) ** 2 - 1
        kappa = gamma + u * (1 + gamma)
        under = products + late
        root = mp.sqrt(2)
        d1 = kappa * 2 * 5 + u * 5 + root * under
        r1 = root * 5 + 5
        d2 = (2 * root + kappa * 4) * d1 + kappa * 4 * r1 + u * 1 + root * under
        r2 = 2 * root * r1 + 1
        rows = [
            3 * d2 + kappa * 3 * (r2 + d2) + u * 1 + under,
            5 * d2 + kappa * 5 * (r2 + d2) + u * 2 + under,
        ]
        pair = 4 * d2 + kappa * mp.sqrt(52) * (r2 + d2) + u * 3 + 2 * under
        last = mp.sqrt(17 + mp.sqrt(145))
        d3 = (last + kappa * last) * d2 + kappa * last * r2 + u * mp.sqrt(5) + root * under
        assert pair <= root * d3
        assert all(e <= d3 for e in rows)
        found = NormBound(pair_of(tiny(), (2,), BINARY16).m32, rounding)(torch.tensor([X]).float())
        assert found.output[0].tolist() == pytest.approx([float(e) for e in rows], rel=1e-12)
        assert float(found.pair[0, 0, 1]) == pytest.approx(float(pair), rel=1e-12)
        assert float(found.pair[0, 1, 0]) == pytest.approx(float(pair), rel=1e-12)


@pytest.mark.parametrize("rounding", READINGS)
def test_intervals_by_hand(rounding: Rounding) -> None:
    us, u, products, late = powers(rounding)
    gamma = (1 + us) ** 3 - 1
    box = [(Fraction(x), Fraction(x)) for x in X]
    for layer, (w, b) in enumerate(LAYERS):
        outputs = []
        for row, shift in zip(w, b, strict=True):
            lo = shift + sum(k * (e[0] if k > 0 else e[1]) for k, e in zip(row, box, strict=True))
            hi = shift + sum(k * (e[1] if k > 0 else e[0]) for k, e in zip(row, box, strict=True))
            largest = [max(abs(e[0]), abs(e[1])) for e in box]
            terms = abs(shift) + sum(abs(k) * x for k, x in zip(row, largest, strict=True))
            error = gamma * terms + products
            lo, hi = lo - error, hi + error
            if late:
                lo, hi = lo - (u * abs(lo) + late), hi + (u * abs(hi) + late)
            outputs.append((max(lo, Fraction(0)), max(hi, Fraction(0))) if layer < 2 else (lo, hi))
        box = outputs
    found = intervals(
        pair_of(tiny(), (2,), BINARY16).m32, torch.tensor([X], dtype=torch.float32), rounding
    )
    assert found.lo[0].tolist() == pytest.approx([float(lo) for lo, _ in box], rel=1e-13)
    assert found.hi[0].tolist() == pytest.approx([float(hi) for _, hi in box], rel=1e-13)


def test_a_convolution_is_a_sum_of_products() -> None:
    torch.manual_seed(1)
    dense = nn.Linear(12, 5).eval()
    conv = nn.Conv2d(3, 5, 2).eval()
    with torch.no_grad():
        conv.weight.copy_(dense.weight.reshape(5, 3, 2, 2))
        conv.bias.copy_(dense.bias)
    x = torch.randn(4, 3, 2, 2)
    rounding = Rounding(BINARY32, BINARY16)
    boxes = [
        intervals(
            pair_of(nn.Sequential(*layers).eval(), (3, 2, 2), BINARY16).m16, x.half(), rounding
        )
        for layers in ((nn.Flatten(), dense), (conv, nn.Flatten()))
    ]
    torch.testing.assert_close(boxes[0].lo, boxes[1].lo, rtol=1e-14, atol=0)
    torch.testing.assert_close(boxes[0].hi, boxes[1].hi, rtol=1e-14, atol=0)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16])
@pytest.mark.parametrize("sixteen", [True, False], ids=["16-bit sums", "32-bit sums"])
def test_runs_are_inside(fmt: Format, sixteen: bool) -> None:
    """The competitors' bounds hold for the executions that they are about."""
    program = pair_of(deep(), (20,), fmt).m16
    torch.manual_seed(5)
    x = program.stored(torch.randn(50, 20))
    rounding = Rounding(fmt if sixteen else BINARY32, fmt)
    run = execute(program, x, arithmetic=STRICT16 if sixteen else TORCH_CPU).double()
    box = intervals(program, x, rounding)
    assert bool(box.contains(run).all())
    errors = NormBound(program, rounding)(x)
    off = run - _exact(program.constants, x.double())
    assert bool((off.abs() <= errors.output).all())
    assert bool(((off[:, :, None] - off[:, None]).abs() <= errors.pair).all())
    assert bool((off.abs() > 0).any())


def _exact(constants: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network in binary64, with these weights."""
    tensors = [t.double() for t in constants.values()]
    for index in range(0, len(tensors), 2):
        x = nn.functional.linear(x, tensors[index], tensors[index + 1])
        x = x if index + 2 == len(tensors) else x.relu()
    return x


def test_a_class_wins_by_more_than_both_errors() -> None:
    y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    half = torch.full((4, 2, 2), 0.5, dtype=torch.float64)
    half[1] = math.nextafter(0.5, 0.0)
    assert wins(y, Errors(torch.zeros(4, 2), half)).tolist() == [-1, 0, 1, -1]
    assert wins(y, Errors(torch.zeros(4, 2), torch.full((4, 2, 2), math.inf))).tolist() == [-1] * 4


def test_other_networks_are_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()).eval()
    program = pair_of(module, (3,), BINARY16).m32
    with pytest.raises(ValueError, match="sigmoid"):
        NormBound(program, Rounding(BINARY32, BINARY32))
    with pytest.raises(ValueError, match="sigmoid"):
        intervals(program, torch.zeros(1, 3), Rounding(BINARY32, BINARY32))


def test_a_wider_format_gives_a_smaller_bound() -> None:
    program = pair_of(deep(), (20,), BINARY16).m16
    x = torch.ones(1, 20).half()

    def width(box: Interval) -> float:
        return float((box.hi - box.lo).max())

    widths = [
        width(intervals(program, x, Rounding(sums, storage)))
        for sums, storage in (
            (BINARY32, BINARY32),
            (BINARY32, BINARY16),
            (BINARY16, BINARY16),
            (BFLOAT16, BFLOAT16),
        )
    ]
    assert widths == sorted(widths)
