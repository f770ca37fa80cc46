"""The emulator itself: correctly rounded, and every sum it makes is one the arithmetic allows."""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from errbound.number import BFLOAT16, BINARY16, BINARY32, NATIVE, nearest
from errbound.ops import BY_TARGET
from errbound.testing.emulator import execute_sum, extents, fold, store
from errbound.testing.rounding import MIN_NORMAL, add, round32, sum_to_odd
from errbound.testing.sums import ORDERS, SHAPES, Plan, accumulate


def fl(x, p, emin, emax):
    """Fraction ``x`` rounded to nearest even by its definition; +-inf beyond the range."""
    if x == 0 or abs(x) == float("inf"):
        return x
    e = max(x.numerator.bit_length() - x.denominator.bit_length(), emin)
    while abs(x) < Fraction(2) ** e and e > emin:
        e -= 1
    while abs(x) >= Fraction(2) ** (e + 1):
        e += 1
    quantum = Fraction(2) ** (e - p + 1)
    rounded = round(x / quantum) * quantum  # Python rounds ties to even
    top = (2 - Fraction(2) ** (1 - p)) * Fraction(2) ** emax
    return rounded if abs(rounded) <= top else float("inf") * (1 if x > 0 else -1)


def fl32(x):
    return fl(x, 24, -126, 127)


def hard(rng, n, fmt):
    """Numbers of a format of every exponent, near powers of two, subnormal, few bits or many."""
    p, span = fmt.precision, fmt.emax - fmt.emin
    e = (
        rng.integers(fmt.emin - p, fmt.emax + 1, n)
        if rng.random() < 0.5
        else rng.integers(-min(30, span), 12, n)
    )
    m = rng.integers(0, 2**p, n)
    kind = rng.integers(0, 4, n)
    m = np.select([kind == 0, kind == 1, kind == 2], [2 ** (p - 1), 2 ** (p - 1) + 1, 2**p - 1], m)
    x = np.ldexp(m.astype(float) * rng.choice([-1, 1], n), e - p + 1)
    return nearest(torch.from_numpy(x), fmt).nan_to_num_(posinf=1.0, neginf=-1.0).numpy()


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_fused_and_separate_additions_are_correctly_rounded(fmt):
    rng = np.random.default_rng(1)
    checked = 0
    for _ in range(40):
        a, b, c = (hard(rng, 200, fmt) for _ in range(3))
        c = np.where(
            rng.random(200) < 0.3, -round32(a * b) * (1 + rng.integers(-1, 2, 200) * 2**-23), c
        )
        c = round32(c)
        ok = np.isfinite(c) & np.isfinite(round32(a * b))
        a, b, c = a[ok], b[ok], c[ok]
        fused = add(a * b, c, wide=True)[1]
        separate = add(round32(a * b), c, wide=False)[1]
        for x, y, z, f, s in zip(a, b, c, fused, separate, strict=True):
            xy = Fraction(x) * Fraction(y)
            assert f == fl32(xy + Fraction(z))
            assert s == fl32(fl32(xy) + Fraction(z))
            checked += 2
    assert checked > 5000


def test_round_to_odd_ties_and_cancellation():
    one, u = 1.0, 2.0**-24
    a = np.array([one + u, one + u, one + 3 * u, -(one + u), u, 2.0**-149 * 1.5])
    b = np.array([2.0**-80, -(2.0**-80), 2.0**-80, -(2.0**-80), one, 2.0**-149 * 0])
    found = round32(sum_to_odd(a, b))
    assert [fl32(Fraction(x) + Fraction(y)) for x, y in zip(a, b, strict=True)] == found.tolist()


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_store_is_the_correct_rounding(fmt):
    rng = np.random.default_rng(2)
    x = np.concatenate([hard(rng, 4000, BINARY32) for _ in range(6)])
    stored = hard(rng, 4000, fmt)
    half = 0.5 * np.ldexp(1.0, np.maximum(np.frexp(stored)[1] - 1, fmt.emin) - fmt.precision + 1)
    ties = round32(np.concatenate([stored + half, stored - half]))
    x = np.concatenate(
        [x, ties, np.nextafter(ties.astype(np.float32), np.float32(9)).astype(float)]
    )
    x = x[np.isfinite(x)]
    found = store(x, fmt)
    assert found.dtype is fmt.dtype
    # torch converts binary32 to 16 bits in hardware or by its own table: one rounding.
    direct = torch.from_numpy(x.astype(np.float32)).to(fmt.dtype)
    assert torch.equal(found, direct)
    assert torch.equal(found.signbit(), direct.signbit())
    for value, result in list(zip(x, found.double().tolist(), strict=True))[::7]:
        assert result == fl(Fraction(value), fmt.precision, fmt.emin, fmt.emax)


def every_execution(pairs, bias, flush):
    """All results of a sum, by definition: any tree, FMA or not, any subset of flushes."""
    tiny = Fraction(2) ** -126

    def read(x):
        return {x, Fraction(0)} if flush and abs(x) < tiny else {x}

    def rounded(x):
        return {fl32(x), Fraction(0)} if flush and abs(x) < tiny else {fl32(x)}

    exact = [{a * b for a, b in product(read(x), read(w))} for x, w in pairs]

    @cache
    def results(members):
        """Stored values of a tree over ``members``; a leaf that is a product is rounded."""
        if len(members) == 1:
            (k,) = members
            return read(bias) if k == len(pairs) else set().union(*(map(rounded, exact[k])))
        found = set()
        order = sorted(members)
        for bits in range(1, 2 ** len(order) - 1):
            one = frozenset(k for i, k in enumerate(order) if bits >> i & 1)
            two = members - one
            for b in results(two):
                # Either both sides are stored, or the first is a product that is fused.
                fused = len(one) == 1 and next(iter(one)) < len(pairs)
                for a in results(one) | (exact[next(iter(one))] if fused else set()):
                    found |= rounded(a + b)
        return found

    names = frozenset(range(len(pairs) + (bias is not None)))
    return results(names) if names else {Fraction(0)}


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_every_emulated_sum_is_an_execution_and_all_are_met(fmt):
    rng = np.random.default_rng(3)
    flushing = fmt is BFLOAT16
    met = possible = 0
    for trial in range(24):
        m = 4 if trial % 3 == 1 else int(rng.integers(1, 5))
        x, w = hard(rng, m, fmt), hard(rng, m, fmt)
        if trial % 3 == 0:  # the border where products, sums and operands are subnormal
            scale = 2.0 ** (fmt.emin // 2 - rng.choice([1, 2, 3, 11]))
            x, w = (np.array(v) * scale for v in (rng.integers(1, 9, m), rng.integers(-9, 9, m)))
        elif trial % 3 == 1:  # every addition rounds: one large term, the others near its half ulp
            x = 1 + rng.integers(0, 2**7, m) / 2**7
            w = rng.choice([1.0, 1.0, -1.0], m) * rng.integers(1, 8, m) * 2.0**-25
            w[0] = 1.0
            if fmt is BINARY16:  # 2^-25 is no binary16 number
                x, w = x * 0.25, w * 4
        x, w = (nearest(torch.from_numpy(v), fmt).numpy() for v in (x, w))
        b = None
        if trial % 2 or trial % 3 == 1:
            b = float(rng.integers(1, 6)) * (2.0 * fmt.eta if trial % 3 == 0 else 2.0**-25)
            b = float(nearest(torch.tensor([b], dtype=torch.float64), fmt))
        allowed = every_execution(
            tuple((Fraction(p), Fraction(q)) for p, q in zip(x, w, strict=True)),
            None if b is None else Fraction(b),
            flushing,
        )
        if any(abs(v) == float("inf") for v in allowed):
            continue
        seen = set()
        for _ in range(100):
            plan = Plan.random(rng)
            plan = plan if flushing else replace(plan, flush=0.0)
            left = np.broadcast_to(x, (16, m))
            sums = accumulate(left, w, None if b is None else np.array(b), plan, rng)
            assert (round32(sums) == sums).all()
            seen |= set(map(Fraction, sums.tolist()))
        assert seen <= allowed, (x, w, b, seen - allowed)
        met += len(seen)
        possible += len(allowed)
    print(f"\n{fmt.name}: {met} of {possible} possible results met")
    assert met >= 0.9 * possible


def test_flush_means_subnormals_only():
    rng = np.random.default_rng(4)
    x = np.array([[MIN_NORMAL, 1.0], [MIN_NORMAL / 2, 1.0]])
    w = np.array([1.0, 2.0**-130])
    assert accumulate(x, w, None, Plan(flush=1.0), rng).tolist() == [MIN_NORMAL, 0.0]
    assert accumulate(x, w, None, Plan(), rng)[1] == MIN_NORMAL / 2 + 2.0**-130


def test_the_sum_of_nothing_is_the_bias():
    empty = np.zeros((3, 0))
    rng = np.random.default_rng(5)
    assert accumulate(empty, empty, np.array(2.0), Plan(), rng).tolist() == [2.0] * 3
    assert accumulate(empty, empty, None, Plan(), rng).tolist() == [0.0] * 3


@pytest.mark.parametrize("fmt", NATIVE, ids=lambda f: f.name)
def test_batch_norm_folds_as_the_record_says(fmt):
    op = BY_TARGET["aten.batch_norm.default"]
    rng = np.random.default_rng(6)
    x, weight, bias, mean = (
        torch.from_numpy(rng.normal(size=s)).to(fmt.dtype) for s in ((4, 5, 3), 5, 5, 5)
    )
    var = torch.from_numpy(rng.random(5) * 3).to(fmt.dtype)
    arrays = [t.double().numpy() for t in (x, weight, bias, mean, var)]
    terms = op.terms(*arrays, False, 0.1, 1e-5, False)
    scale, fused = fold(*arrays[1:], 1e-5, True)
    separate = fold(*arrays[1:], 1e-5, False)[1]
    assert (terms.right.reshape(-1) == scale).all()
    assert (terms.bias.reshape(-1) <= np.minimum(fused, separate)).all()
    rest = (False, 0.1, 1e-5, False)
    once, _ = execute_sum(op, (x, weight, bias, mean, var, *rest), {}, fmt, Plan(fused=1.0), rng)
    assert torch.equal(once, op.call(x, weight, bias, mean, var, *rest))  # bit for bit, here


def test_adaptive_extents_multiply_to_the_area():
    op = BY_TARGET["aten.adaptive_avg_pool2d.default"]
    for shape, size in (((1, 1, 7, 5), [3, 2]), ((1, 2, 4, 9), [4, 4]), ((1, 1, 3, 3), [1, 1])):
        tall, wide = extents(shape, size)
        assert (op.terms(np.ones(shape), size).divisors[0] == tall * wide).all()


def test_real_kernels_sum_binary16_in_some_order():
    """The witness of issue 2: torch returns 1.0, which only an ascending order would not."""
    a = torch.tensor([[1.5] + [2.0**-24] * 7], dtype=torch.float16)
    w = torch.tensor([[683 / 1024] + [1.0] * 7], dtype=torch.float16)
    op = BY_TARGET["aten.linear.default"]
    rng = np.random.default_rng(7)
    results = {
        float(execute_sum(op, (a, w), {}, BINARY16, Plan(order, shape=shape), rng)[0])
        for order in ORDERS
        for shape in SHAPES
    }
    assert float(op.call(a, w)) in results
