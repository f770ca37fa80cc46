"""How near to its bound an execution comes: constructed worst cases, per record and format.

The share is |computed sum before the store - exact sum| / (errbound's own bound for that sum), on
operands that are single numbers, so that nothing but the summation is in the bound. An adversary
that stays far below every bound is a broken test: so would be a bound that nothing can approach.

The worst case. A partial sum that is 1 or just above loses any t <= 2^-24 that is added to it: a
tie, which goes to the even neighbour 1. So the chain 1 + t + ... + t (m - 1 times t = 2^-24 = u)
returns 1 and errs by (m-1)u, while Q = 1 + (m-1)u and the bound is (m-1)uQ/(1 - (m-1)u). Products
of binary32 numbers are rounded besides: the leading one is chosen to lose u too. Flushed
sums stay near half of their bound: it pays for a flush of every product and of every addition, and
a term that was flushed as a product has nothing left to lose in an addition.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, Interval
from errbound.ops import BY_TARGET, Constant
from errbound.testing.rounding import round32
from errbound.testing.sums import Plan, accumulate

from .harness import Spy

SIZES = (2, 3, 8, 64, 784)
TABLE: dict[tuple[str, str], list[tuple[int, float]]] = {}


def reached(op, args, fmt, plan):
    """Largest share of the pre-store bound of ``op`` that an execution under ``plan`` has."""
    spy = Spy(TORCH_CPU, fmt, args[0].shape[0])
    op.enclose(
        spy,
        Interval.point(args[0]),
        *(Constant(a) if isinstance(a, torch.Tensor) else a for a in args[1:]),
    )
    assert not spy.overflow.any()
    arrays = [a.double().numpy() if isinstance(a, torch.Tensor) else a for a in args]
    terms = op.terms(*arrays)
    found = accumulate(terms.left, terms.right, terms.bias, plan, np.random.default_rng(1))
    shares = []
    left, right = np.broadcast_arrays(terms.left, terms.right)
    bias = 0 if terms.bias is None else np.broadcast_to(terms.bias, found.shape)
    divisor = np.prod(np.broadcast_arrays(*terms.divisors, np.ones(found.shape)), axis=0)
    for at in np.ndindex(found.shape):
        exact = sum(Fraction(a) * Fraction(b) for a, b in zip(left[at], right[at], strict=True))
        exact += Fraction(float(bias[at])) if terms.bias is not None else 0
        n = Fraction(float(divisor[at]))
        lo, hi = (Fraction(float(end[at])) for end in spy.offered)
        error = (Fraction(float(found[at])) - exact) / n
        bound = (hi - exact / n) if error > 0 else (exact / n - lo)
        assert lo <= Fraction(float(found[at])) / n <= hi
        shares.append(float(abs(error) / bound))
    return max(shares)


def note(name, fmt, m, share):
    TABLE.setdefault((name, fmt.name), []).append((m, share))
    return share


def worst(m, fmt):
    """(x, w) of m products: one near 1 and m - 1 of 2^-24, the leading one rounded in binary32."""
    tiny = 2.0**-12
    x, w = np.full(m, tiny), np.full(m, tiny)
    # binary32: (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 is a tie and loses 2^-24.
    x[0] = w[0] = 1.0 if fmt is not BINARY32 else 1.0 + tiny
    return torch.from_numpy(x).to(fmt.dtype), torch.from_numpy(w).to(fmt.dtype)


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
@pytest.mark.parametrize("m", SIZES)
def test_linear_reaches_its_bound(m, fmt):
    op = BY_TARGET["aten.linear.default"]
    x, w = worst(m, fmt)
    assert note("linear", fmt, m, reached(op, (x[None], w[None]), fmt, Plan())) >= 0.9
    # The same with the bias as the large term, the one that no product rounds.
    one = torch.ones(1, dtype=fmt.dtype)
    tiny = torch.full((1, m - 1), 2.0**-12, dtype=fmt.dtype)
    share = note("linear, bias", fmt, m, reached(op, (tiny, tiny, one), fmt, Plan()))
    # A bias of binary32 loses nothing as a leaf: one error of the m + (m - 1) in the bound is lost.
    assert share >= (0.9 if fmt is not BINARY32 else 0.9 * (m - 1) / m)
    # And with a greedy search instead of the construction.
    assert reached(op, (x[None], w[None]), fmt, Plan(shape="greedy down")) >= 0.9


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
@pytest.mark.parametrize("m", SIZES)
def test_convolution_reaches_its_bound(m, fmt):
    op = BY_TARGET["aten.conv2d.default"]
    kernel = {2: (2, 1, 1), 3: (1, 3, 1), 8: (2, 2, 2), 64: (4, 4, 4), 784: (16, 7, 7)}[m]
    x, w = (t.reshape(1, *kernel) for t in worst(m, fmt))
    assert note("conv2d", fmt, m, reached(op, (x, w), fmt, Plan())) >= 0.9
    # Padding is no term: a window half outside has the bound of the terms inside.
    if kernel[1:] == (4, 4):
        args = (x, w, None, [1, 1], [2, 2])
        assert reached(op, args, fmt, Plan()) >= 0.9


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
@pytest.mark.parametrize("side", [2, 3, 7])
def test_average_pools_reach_their_bound(side, fmt):
    x = torch.full((1, 1, side, side), 2.0**-24, dtype=fmt.dtype)
    x[0, 0, 0, 0] = 1.0
    m = side * side
    average, adaptive = (
        BY_TARGET[f"aten.{name}.default"] for name in ("avg_pool2d", "adaptive_avg_pool2d")
    )
    assert note("avg_pool2d", fmt, m, reached(average, (x, [side, side]), fmt, Plan())) >= 0.9
    assert note("adaptive_avg_pool2d", fmt, m, reached(adaptive, (x, [1, 1]), fmt, Plan())) >= 0.9


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_batch_norm_reaches_its_bound(fmt):
    """x alpha + beta with a product that is rounded: a tie just above a power of two."""
    op = BY_TARGET["aten.batch_norm.default"]
    rng = np.random.default_rng(1)
    mean, rest = torch.zeros(1, dtype=fmt.dtype), (False, 0.1, 1e-5, False)
    best, lost = None, 0.0
    for v in np.linspace(0.1, 3.9, 40):
        var = torch.tensor([v], dtype=fmt.dtype)
        x = torch.from_numpy(1 + rng.random((2000, 1))).to(fmt.dtype)
        terms = op.terms(
            x.double().numpy(), None, None, mean.double().numpy(), var.double().numpy(), *rest
        )
        product = (terms.left * terms.right).reshape(-1)
        share = np.abs(round32(product) - product) / np.abs(product)
        k = int(share.argmax())
        if share[k] > lost:
            best, lost = (x[k : k + 1], None, None, mean, var, *rest), share[k]
    assert note("batch_norm", fmt, 2, reached(op, best, fmt, Plan())) >= 0.9


def test_flushed_sums_reach_their_bound():
    """bfloat16: every product flushed, just below the smallest normal number."""
    op = BY_TARGET["aten.linear.default"]
    for m in SIZES:
        x = torch.full((1, m), 2.0**-63, dtype=torch.bfloat16)
        w = torch.full((1, m), 2.0**-63 * (1 - 2.0**-8), dtype=torch.bfloat16)
        share = reached(op, (x, w), BFLOAT16, Plan(flush=1.0))
        # The bound pays for m products and m - 1 additions; no execution loses both everywhere.
        assert note("linear, flushed", BFLOAT16, m, share) >= 0.45


def test_binary16_subnormal_products_are_exact():
    op = BY_TARGET["aten.linear.default"]
    x = torch.full((1, 2), 2.0**-24, dtype=torch.float16)
    spy = Spy(TORCH_CPU, BINARY16, 1)
    op.enclose(spy, Interval.point(x), Constant(x))
    assert spy.offered[0] <= 2.0**-47 <= spy.offered[1]
    assert float(spy.offered[1] - spy.offered[0]) < 2.0**-47 * 2.0**-22


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    print("\nlargest share of the bound that an execution reached, by number of terms")
    for (name, fmt), found in sorted(TABLE.items()):
        cells = "  ".join(f"{m}: {share:.4f}" for m, share in sorted(found))
        print(f"  {name:22}{fmt:10}{cells}")
