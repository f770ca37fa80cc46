"""Each sentence of the arithmetic ``torch-cpu``, falsified bit by bit on this machine's kernels.

A claim is a formula or a set of them, of which every entry must follow one (any bracketing, fused
or not, flushed or not). The emulation takes exact or correctly rounded steps only. A test names
*wrong* formulas too and fails if its data cannot tell them from the claim.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import dtype as Type
from torch.nn import functional

from .claims import (
    BATCHES,
    BRAIN,
    DTYPES,
    F32,
    F64,
    FORMS,
    HALF,
    SINGLE,
    SIZES,
    Claim,
    Kernel,
    fma,
    layouts,
    raw,
    store,
    whole,
    wide,
)

FUNCTIONS = pytest.mark.parametrize("name", ["sigmoid", "tanh"])


def test_the_emulated_fma_is_one_rounding_to_nearest_even(claim: Claim) -> None:
    a, b = (raw(wide(SINGLE, 2000)).astype(F64) for _ in range(2))
    c = raw(wide(SINGLE, 2000)) * np.exp2(np.arange(-1000, 1000) // 20).astype(F32)
    c[::3] = -(a * b)[::3].astype(F32)  # cancellation
    a[1::3] = b[1::3] = 1 + np.arange(1, 1334, 2) * 2.0**-12  # squares are ties of binary32:
    c[1::3] = (np.arange(667) % 3 - 1) * 2.0**-60  # moved by less than binary64 shows
    for x, y, z, got in zip(a, b, c, fma(a * b, c), strict=True):
        exact = Fraction(x) * Fraction(y) + Fraction(float(z))
        around = got, np.nextafter(got, F32(-np.inf)), np.nextafter(got, F32(np.inf))
        error, *others = (abs(Fraction(float(t)) - exact) for t in around)
        assert error < min(others) or (error == min(others) and got.view(np.int32) % 2 == 0)


def test_store_rounds_binary32_to_nearest_even(claim: Claim) -> None:
    edges = np.arange(0x0001, 0x7F7F, dtype=np.int64) << 16  # subnormal to near the largest
    bits = np.concatenate([edges + 0x8000, edges + 0x7FFF, edges + 0x8001, edges + 0x1000])
    x = bits.astype(np.int32).view(F32)
    with np.errstate(over="ignore"):
        claim.holds(store(x, HALF), torch.from_numpy(x.astype(np.float16)))
    even, away = bits + 0x7FFF + ((bits >> 16) & 1), bits + 0x8000
    found, other = (torch.from_numpy((t >> 16).astype(np.int16)).view(BRAIN) for t in (even, away))
    claim.holds(store(x, BRAIN), found, ties_away=other)


def bracketings(terms: list[np.ndarray]) -> list[np.ndarray]:
    """All binary32 sums of binary64 terms: every tree, each term fused or rounded first."""

    @cache
    def results(part: tuple[int, ...]) -> list[np.ndarray]:
        if len(part) == 1:
            return [terms[part[0]].astype(F32)]
        found = []
        for r in range(1, len(part)):
            for left in combinations(part, r):
                right = tuple(t for t in part if t not in left)
                if r == 1:
                    found += [fma(terms[left[0]], b) for b in results(right)]
                if left < right:
                    found += [a + b for a in results(left) for b in results(right)]
        return found

    return results(tuple(range(len(terms))))


@DTYPES
@pytest.mark.parametrize("m", [1, 2, 3])
def test_tiny_sums_are_one_of_all_bracketings(claim: Claim, m: int, dtype: Type) -> None:
    """Binary32 additions to nearest, fused or not, one rounding on store, after the bias."""
    for batch, biased, outs in product(BATCHES, (False, True), SIZES):
        x, w = wide(dtype, batch, m), wide(dtype, outs, m)
        b = wide(dtype, outs) if biased else None
        products = raw(x)[:, None].astype(F64) * raw(w)[None]
        terms = [products[..., k] for k in range(m)]
        terms += [np.broadcast_to(raw(b).astype(F64), terms[0].shape)] if biased else []
        admitted = [store(s, dtype) for s in bracketings(terms)]
        stored = store(terms[0].astype(F32), dtype)
        for t in terms[1:]:
            stored = store(raw(stored) + t.astype(F32), dtype)
        wrong = {"stored": stored} if len(terms) > 1 and dtype != SINGLE else {}
        claim.holds(functional.linear(x, w, b), *admitted, **wrong)
        claim.holds(functional.linear(torch.stack([x, x], 2).flatten(1)[:, ::2], w, b), *admitted)
        for shape, form in product(((m, 1, 1), (1, 1, m)), FORMS):
            given = [t.reshape(-1, *shape).contiguous(memory_format=form) for t in (x, w)]
            claim.holds(functional.conv2d(*given, b).flatten(1), *admitted)


CONVOLUTIONS: tuple[tuple[int, int, int, dict[str, int]], ...] = (  # channels in, out; kernel
    (8, 8, 3, {}), (65, 9, 1, {}), (3, 8, 5, {"stride": 2, "padding": 2}), (8, 4, 3, {"groups": 2}),
    (16, 16, 3, {"groups": 16}), (8, 8, 3, {"dilation": 2}), (64, 64, 3, {"padding": 1}),
)  # fmt: skip


def contractions(draw: Kernel) -> Iterator[tuple[str, Kernel, list[Tensor]]]:
    """Linear layers and convolutions: name, function, operands."""
    for size, batch in product((*SIZES, 777), BATCHES):
        w, b = draw(33, size), draw(33) / 8
        yield "linear", functional.linear, [draw(batch, size), w, b]
        yield "linear", functional.linear, [draw(batch, 2 * size)[:, ::2], w, b]
        yield "stack", functional.linear, [draw(batch, 2, size), w, b]
        yield "stack", functional.linear, [draw(batch, size, 2).mT, w, b]
    for (channels, out, k, how), form, batch in product(CONVOLUTIONS, FORMS, (1, 3, 16)):
        x, w = draw(batch, channels, 10, 11), draw(out, channels // how.get("groups", 1), k, k)
        given = [t.contiguous(memory_format=form) for t in (x, w)]
        yield f"{channels} {k} {how}", partial(functional.conv2d, **how), [*given, draw(out) / 8]


@DTYPES
def test_integer_sums_are_exact_and_rounded_once(claim: Claim, dtype: Type) -> None:
    """Exact by any tree of binary32 additions: not by Winograd, FFT or 16-bit partial sums.

    One rounding, after the bias; a linear layer on a stack may also add it after the store.
    """
    for name, apply, given in contractions(lambda *s: whole(6, *s).to(dtype)):
        x, w, b = (t.double() for t in given)
        assert (apply(x.abs(), w.abs(), b.abs()) < 2.0**21).all()  # multiples of 1/8: 24 bits
        s = store(apply(x, w, None).float(), dtype)
        once = store(apply(x, w, b).float(), dtype)
        bias = b.float() if name in ("linear", "stack") else b.float()[:, None, None]
        twice = store(s.float() + bias, dtype)
        claim.holds(apply(*given[:2], None), s)
        wrong = {name: twice} if name != "stack" and dtype != SINGLE else {}
        claim.holds(apply(*given), once, *([twice] if name == "stack" else []), **wrong)


@DTYPES
def test_sums_stay_within_the_bound_for_any_order(claim: Claim, dtype: Type) -> None:
    """(m - 1) u S for products that binary32 holds, m u S for those it rounds, then the store."""
    for name, apply, (x16, w16, bias) in contractions(partial(wide, dtype)):
        given = x16, w16, bias * (name != "stack")  # whose bias may round once more
        x, w, b = (t.double() for t in given)
        s, size = apply(x, w, b), apply(x.abs(), w.abs(), b.abs())
        m = w[0].numel() + (dtype == SINGLE)
        reach = (m * 2.0**-24 + 2.0**-40) * size  # 2^-40: the binary64 sums of this line
        lo, hi = (store(end.float(), dtype) for end in (s - reach, s + reach))
        assert ((lo <= apply(*given)) & (apply(*given) <= hi)).all()


@DTYPES
def test_subnormal_operands_products_and_sums_are_kept(claim: Claim, dtype: Type) -> None:
    """bfloat16 may flush any of them to zero (oneDNN on AMX); nothing else may happen."""
    tiny, root = torch.finfo(dtype).smallest_normal, 2.0**-12 if dtype == HALF else 2.0**-64
    cases = [([tiny / 8], [1024.0]), ([root], [1.5 * root]), ([1.5 * tiny, tiny], [1.0, -1.0])]
    for batch, (values, weights) in product(BATCHES, cases):
        x, w = (torch.tensor([t], dtype=dtype) for t in (values, weights))
        exact = (x.double() @ w.double().T).float().to(dtype)
        admitted = [exact, torch.zeros_like(exact)] if dtype == BRAIN else [exact]
        assert exact.all()
        x = x.repeat(batch, 1)
        claim.holds(functional.linear(x, w), *admitted)
        claim.holds(functional.conv2d(x[..., None, None], w[..., None, None])[..., 0, 0], *admitted)


@DTYPES
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_tensor_arithmetic_is_binary32_then_stored(claim: Claim, name: str, dtype: Type) -> None:
    """Same shapes, a broadcast channel, one number in the same dtype, in place."""
    f, op = getattr(np, name), getattr(torch, name)
    for size in SIZES:
        for x in layouts(dtype, size):
            channel = [1, x.shape[1], 1, 1][: x.dim()] if x.dim() > 1 else [1]
            for y in (wide(dtype, *x.shape), wide(dtype, *channel), wide(dtype)):
                right = store(f(raw(x), raw(y)), dtype)
                claim.holds(op(x, y), right, swapped=store(f(raw(y), -raw(x)), dtype))
                claim.holds(getattr(x.clone(), f"{name}_")(y), right)
                claim.holds(op(y, x), store(f(raw(y), raw(x)), dtype))


@DTYPES
@pytest.mark.parametrize("c", [0.1307, 0.3, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40])
def test_python_scalars(claim: Claim, c: float, dtype: Type) -> None:
    """Sums round the scalar to storage, through binary32; products and quotients use it in
    binary32 and divide by it; scalar / tensor is a stored reciprocal, then a product.
    """
    c32, c16 = F32(c), raw(store(F32(c), dtype))
    for size in (*SIZES, 1000):
        for x in layouts(dtype, size):
            v, once = raw(x), store(F32(1) / raw(x), dtype)
            wrong = {"inverse": v * (F32(1) / c32)} if c == 0.3 else {}
            if c < 1 and dtype != SINGLE:
                wrong |= {"sum": v + c32, "product": v * c16, "quotient": v / c16, "over": c32 / v}
            near = {k: {k: store(t, dtype)} for k, t in wrong.items()}
            for s in (c, torch.tensor(c, dtype=torch.float64)):  # also a number of another dtype
                for got, value, name in (
                    (x + s, v + c16, "sum"), (x - s, v - c16, ""), (s - x, c16 - v, ""),
                    (x * s, v * c32, "product"), (x / s, v / c32, "quotient"),
                    (torch.rsub(x, s), c16 - v, ""), (x.clone().div_(s), v / c32, "inverse"),
                ):  # fmt: skip
                    claim.holds(got, store(value, dtype), **near.get(name, {}))
            claim.holds(torch.reciprocal(x), once)
            claim.holds(c / x, store(raw(once) * c32, dtype), **near.get("over", {}))
            claim.holds(x.clone().sub_(c).mul_(c), store(raw(x - c) * c32, dtype))


@DTYPES
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_two_terms(claim: Claim, affine: bool, dtype: Type) -> None:
    """fma(x, alpha, beta) or its two operations, alpha and beta in binary32, beta fused or not:
    by parameters' dtype and vector extension. Dense inputs; for others see ``ops/norm.py``.
    """
    shapes = [s for n in SIZES for s in ((3, n), (2, n, 3, 5), (2, 3, n), (3, 1, n, 1))]
    for shape, form, eps in product(shapes, FORMS, (1e-5, 1e-3)):
        x = wide(dtype, *shape)
        x = x.contiguous(memory_format=form) if x.dim() == 4 else x
        w, b, mean = wide(dtype, shape[1]), wide(dtype, shape[1]) / 64, wide(dtype, shape[1])
        x[0] = mean.reshape(-1, *[1] * (x.dim() - 2))  # cancels: shows the error of beta
        var = (torch.rand(shape[1]) * 4 + 1e-3).to(dtype)
        got = functional.batch_norm(x, mean, var, *((w, b) if affine else (None, None)), eps=eps)
        per = (1, -1, 1, 1)[: len(shape)]
        v, m, w, b = raw(x), *(raw(t).reshape(per) for t in (mean, w, b))
        w, b = (w, b) if affine else (np.ones_like(w), np.zeros_like(b))
        alpha = F32(1) / np.sqrt(raw(var).reshape(per) + F32(eps)) * w
        scaled, betas = v.astype(F64) * alpha, (fma(-m.astype(F64) * alpha, b), b - m * alpha)
        sums = [f(t, beta) for beta in betas for f, t in ((fma, scaled), (np.add, v * alpha))]
        rounded = raw(store(v * raw(store(alpha, dtype)), dtype)) + betas[0]
        wrong = (v - m) * alpha + b if dtype == SINGLE else rounded
        claim.holds(got, *(store(s, dtype) for s in sums), wrong=store(wrong, dtype))


def windows(dtype: Type, count: int, n: int) -> Tensor:
    """(count, n) with exact sums. 16 bits: the mean lies next to a tie (or on it), by 1 / n."""
    found, p = torch.zeros(count, n, dtype=dtype), 7 if dtype == BRAIN else 10
    tie = n * (2.0 * torch.randint(1 << p, 2 << p, (count,)).double() + 1)
    rest = tie * torch.exp2(23 - torch.ceil(torch.log2(tie)))
    rest += whole(12 if dtype == SINGLE else 1, count)
    for place in range(4):
        found[:, place] = (rest * 2.0**-9).float().to(dtype)
        rest = rest - found[:, place].double() * 2.0**9
    assert not rest.any()
    return found


@DTYPES
@pytest.mark.parametrize("window", [(1, 2), (1, 3), (3, 3), (3, 5)])
def test_averages_divide_once(claim: Claim, window: tuple[int, int], dtype: Type) -> None:
    """mean, avg_pool2d, adaptive to 1x1: s / n; adaptive to more: or (s / height) / width."""
    (kh, kw), n = window, window[0] * window[1]
    for channels, form in product(SIZES, FORMS):
        x = windows(dtype, 5 * channels, n) if n > 3 else wide(dtype, 5 * channels, n)
        terms = [raw(x)[:, i].astype(F64) for i in range(n)]
        sums = bracketings(terms) if n < 4 else [sum(terms[1:], terms[0]).astype(F32)]  # exact
        once = [store(s / F32(n), dtype) for s in sums]
        steps = [store(s / F32(kh) / F32(kw), dtype) for s in sums]
        wrong = {"inverse": store(sums[0] * (F32(1) / F32(n)), dtype)} if n == 15 else {}
        other = steps[0] if dtype == SINGLE else store(raw(store(sums[0], dtype)) / F32(n), dtype)
        wrong |= {"other": other} if n > 3 else {}
        image = x.reshape(5, channels, kh, kw).contiguous(memory_format=form)
        claim.holds(functional.avg_pool2d(image, window).flatten(), *once, **wrong)
        claim.holds(functional.adaptive_avg_pool2d(image, 1).flatten(), *once, **wrong)
        claim.holds(image.mean((2, 3)).flatten(), *once, **wrong)
        claim.holds(x.mean(-1), *once, **wrong)
        claim.holds(image.sum((2, 3)).flatten(), *(store(s, dtype) for s in sums))
        tiled = image.repeat(1, 1, 2, 3).contiguous(memory_format=form)
        got = functional.adaptive_avg_pool2d(tiled, (2, 3)).flatten(2)
        claim.holds(got, *(s.reshape(5, channels, 1) for s in (*once, *steps)))


@DTYPES
def test_avg_pool2d_counts_its_window(claim: Claim, dtype: Type) -> None:
    """Padding counts or not; what a ceiling adds beyond the padding never does."""
    flags = (False, True)
    for size, k, stride, ceil, padded, form in product(SIZES, (2, 3), (1, 2), flags, flags, FORMS):
        x = whole(6, 2, size, 7, 8).contiguous(memory_format=form)
        s = raw(functional.avg_pool2d(x, k, stride, 1, ceil, divisor_override=1))
        ones = functional.pad(torch.ones_like(x), (1, 1, 1, 1), value=float(padded))
        n = raw(functional.avg_pool2d(ones, k, stride, 0, ceil, divisor_override=1))
        n = n[..., : s.shape[2], : s.shape[3]]
        wrong = {} if padded else {"full": store(s / F32(k * k), dtype)}
        how = (k, stride, 1, ceil, padded)
        claim.holds(functional.avg_pool2d(x.to(dtype), *how), store(s / n, dtype), **wrong)
        claim.holds(functional.avg_pool2d(x.to(dtype), *how, 7), store(s / F32(7), dtype))


@DTYPES
def test_relu_and_max_pool2d_never_round(claim: Claim, dtype: Type) -> None:
    for size in SIZES:
        for x in layouts(dtype, size):
            claim.holds(torch.relu(x), store(np.maximum(raw(x), 0), dtype))
            claim.holds(torch.relu_(x.clone()), torch.relu(x))
        x = wide(dtype, 2, size, 9, 8)
        framed = functional.pad(x.double(), (1, 1, 1, 1), value=-torch.inf)
        largest = framed.unfold(2, 3, 2).unfold(3, 3, 2).amax((-2, -1)).to(dtype)
        for form in FORMS:
            got = functional.max_pool2d(x.contiguous(memory_format=form), 3, 2, 1)
            claim.holds(got, largest)


def every_path(name: str, x: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """A function by size, layout and in place; the entries of ``x`` that were computed."""
    f = getattr(torch, name)
    for size in SIZES:
        part = slice(None, None, 11) if size == 1 else slice(None)
        yield torch.cat([f(p.clone()) for p in x[part].split(size)]), part
    image = x[: x.numel() // 24 * 24].reshape(-1, 2, 3, 4)
    yield f(image.to(memory_format=torch.channels_last)).flatten(), slice(image.numel())
    yield f(torch.stack([x, x], 1)[:, 0]), slice(None)
    yield getattr(x.clone(), f"{name}_")(), slice(None)


@FUNCTIONS
@pytest.mark.parametrize("dtype", [HALF, BRAIN], ids=str)
def test_functions_of_16_bits_are_one_monotone_table(claim: Claim, name: str, dtype: Type) -> None:
    """All finite inputs: the same result on every path; nondecreasing."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    x = every[every.isfinite()].sort().values
    table = getattr(torch, name)(x)
    assert (table.float().diff() >= 0).all()
    for got, part in every_path(name, x):
        claim.holds(got, table[part])


@FUNCTIONS
def test_functions_of_binary32_stay_within_their_profile(claim: Claim, name: str) -> None:
    """|computed - exact| <= 2^-21 |exact| + 2^-125 on every path; measured 2.5 u and 2^-128."""
    patterns = torch.arange(0, 0x7F800000, 40009, dtype=torch.int32).view(SINGLE)
    around = [torch.linspace(a, b, 20011) for a, b in ((-110, -80), (-20, 20), (-1, 1))]
    x = torch.cat([patterns, -patterns, *around])
    v, tail = x.double(), torch.exp(-x.double().abs())
    exact = torch.tanh(v) if name == "tanh" else torch.where(v > 0, 1.0, tail) / (1 + tail)
    for got, part in every_path(name, x):
        error = (got.double() - exact[part]).abs()
        assert (error <= exact[part].abs() * 2.0**-21 + 2.0**-125).all()
