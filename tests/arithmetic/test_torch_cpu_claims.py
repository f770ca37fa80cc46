"""Each sentence of the arithmetic ``torch-cpu``, falsified bit by bit on this machine's kernels.

A claim is a formula, or a set of formulas of which every entry must follow one: any bracketing of
a sum, a product fused or rounded, a flush to zero in bfloat16 (oneDNN on AMX). Formulas are
evaluated in steps that are exact or correctly rounded: NumPy binary32 +, -, *, /, sqrt; binary64
where 53 bits hold the result; ``fma``, itself checked against rationals. Every test also names
*wrong* formulas and fails if its data cannot tell them from the claim. Nothing of errbound is
imported: these are facts about torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

SIZES = (1, 7, 64, 65)
BATCHES = (1, 2, 8, 65)  # kernels are chosen by batch size
F32 = np.float32
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=lambda d: str(d)[6:]
)
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def g() -> torch.Generator:
    return torch.Generator().manual_seed(2026)


class Claim:
    """Compares kernels with formulas; ``wrong`` ones have to be refuted somewhere."""

    def __init__(self) -> None:
        self.power: dict[str, int] = {}

    def holds(self, got: Tensor, *admitted: Tensor, **wrong: Tensor) -> None:
        """Every entry of ``got`` is one of the admitted values, bit for bit (zeros by value)."""
        fits = torch.zeros(got.shape, dtype=torch.bool)
        for value in admitted:
            assert value.dtype == got.dtype
            fits |= (got == value) | (got.isnan() & value.isnan())
        assert fits.all(), (got[~fits][:5], [v.expand(got.shape)[~fits][:5] for v in admitted])
        for name, value in wrong.items():
            self.power[name] = self.power.get(name, 0) + int((got != value).sum())

    def tells_apart(self) -> None:
        """Fail if some wrong formula agreed everywhere: then the test shows nothing."""
        assert all(self.power.values()), self.power


def store(values: np.ndarray | Tensor, dtype: torch.dtype) -> Tensor:
    """Binary32 numbers, rounded once to storage."""
    tensor = (
        torch.from_numpy(np.ascontiguousarray(values))
        if isinstance(values, np.ndarray)
        else (values)
    )
    assert tensor.dtype == torch.float32
    return tensor.to(dtype)


def raw(x: Tensor) -> np.ndarray:
    """A stored tensor as binary32 numbers (exact)."""
    return x.float().numpy()


def fma(product: np.ndarray, addend: np.ndarray) -> np.ndarray:
    """fl32(product + addend), one rounding; ``product`` exact in binary64.

    The binary64 sum is rounded to odd with the error that two-sum leaves, then to binary32.
    """
    p, c = np.broadcast_arrays(np.asarray(product, np.float64), np.asarray(addend, np.float64))
    s = p + c
    t = s - p
    error = (p - (s - t)) + (c - t)
    bits = s.view(np.int64)
    step = np.where((error > 0) == (s > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0), bits + step, bits).view(np.float64).astype(F32)


def wide(g: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    """Numbers of both signs over some binades, none near the subnormals."""
    x = torch.randn(shape, generator=g) * torch.exp2(torch.randint(-3, 4, shape, generator=g))
    return torch.where(x.abs() < 2.0**-6, 0.75, x).to(dtype)


def whole(g: torch.Generator, bits: int, *shape: int) -> Tensor:
    """Integers below 2^bits, as binary64: their products and sums are exact in any order."""
    return torch.randint(1 - 2**bits, 2**bits, shape, generator=g).double()


def layouts(make: Callable[..., Tensor], size: int) -> Iterator[Tensor]:
    """The same numbers for vector paths and scalar tails: contiguous, strided, NHWC, transposed."""
    yield make(size)
    yield make(2 * size)[::2]
    yield make(2, size, 3, 2).to(memory_format=torch.channels_last)
    yield make(size, 3).t()


# --- the oracles themselves ---------------------------------------------------------------------


def test_the_emulated_fma_is_one_rounding(g: torch.Generator) -> None:
    a, b = (raw(wide(g, torch.float32, 2000)).astype(np.float64) for _ in range(2))
    c = raw(torch.randn(2000, generator=g) * torch.exp2(torch.randint(-60, 60, (2000,))))
    c[::3] = -(a * b)[::3].astype(F32)  # cancellation
    for x, y, z, got in zip(a, b, c, fma(a * b, c), strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(got)) - exact)
        for side in (-np.inf, np.inf):
            other = abs(Fraction(float(np.nextafter(got, F32(side)))) - exact)
            assert error < other or (error == other and got.view(np.int32) % 2 == 0)


def test_store_rounds_binary32_to_nearest_even() -> None:
    claim = Claim()
    patterns = np.arange(-(2**31), 2**31, 9973, dtype=np.int64).astype(np.int32)
    edges = (np.arange(0x3F7E, 0x4002, dtype=np.int64) << 16).astype(np.int32)
    patterns = np.concatenate([patterns, edges + 0x8000, edges + 0x7FFF, edges + 0x8001])
    x = patterns.view(F32)
    x = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        claim.holds(torch.from_numpy(x).half(), torch.from_numpy(x.astype(np.float16)))
    bits = x.view(np.int32).astype(np.int64) & 0xFFFFFFFF
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    cut = torch.from_numpy((bits >> 16).astype(np.uint16)).view(torch.bfloat16)
    rounded = torch.from_numpy(kept.astype(np.uint16)).view(torch.bfloat16)
    claim.holds(torch.from_numpy(x).bfloat16(), rounded, truncated=cut)
    claim.tells_apart()


# --- sums of products ---------------------------------------------------------------------------


def bracketings(products: list[np.ndarray], bias: np.ndarray | None) -> list[np.ndarray]:
    """All binary32 results of a sum, every tree, each product fused or rounded first."""
    leaves = [*products] if bias is None else [*products, bias.astype(np.float64)]

    @cache
    def results(terms: tuple[int, ...]) -> list[np.ndarray]:
        if len(terms) == 1:
            return [leaves[terms[0]].astype(F32)]
        found = []
        for r in range(1, len(terms)):
            for left in itertools.combinations(terms, r):
                right = tuple(t for t in terms if t not in left)
                if r == 1:
                    found += [fma(leaves[left[0]], b) for b in results(right)]
                if left < right:
                    found += [a + b for a in results(left) for b in results(right)]
        return found

    return results(tuple(range(len(leaves))))


@DTYPES
@pytest.mark.parametrize("terms", [1, 2, 3])
def test_tiny_sums_are_one_of_all_bracketings(
    terms: int, dtype: torch.dtype, g: torch.Generator
) -> None:
    """Binary32 additions to nearest, fused or not, one rounding on store, after the bias."""
    claim = Claim()
    for batch, biased in itertools.product(BATCHES, (False, True)):
        x, w = wide(g, dtype, batch, terms), wide(g, dtype, 33, terms)
        b = wide(g, dtype, 33) if biased else None
        exact = raw(x)[:, None].astype(np.float64) * raw(w)[None]
        parts = [exact[..., k] for k in range(terms)]
        sums = bracketings(parts, raw(b) if biased else None)
        admitted = [store(s, dtype) for s in sums]
        partial = store(parts[0].astype(F32), dtype)
        for p in [*parts[1:], *([raw(b)] if biased else [])]:
            partial = store(raw(partial) + p.astype(F32), dtype)
        wrong = {} if len(sums) == 1 or dtype == torch.float32 else {"partial": partial}
        cut = store(sums[0], dtype).view(torch.int16 if dtype != torch.float32 else torch.int32) - 1
        wrong["ulp"] = cut.view(dtype)
        claim.holds(functional.linear(x, w, b), *admitted, **wrong)
        spread = torch.stack([x, x], 1).flatten(1)[:, ::2] if terms > 1 else x
        claim.holds(functional.linear(spread, w, b), *admitted)
        image, kernel = x.reshape(batch, terms, 1, 1), w.reshape(33, terms, 1, 1)
        row, along = x.reshape(batch, 1, 1, terms), w.reshape(33, 1, 1, terms)
        for pixels, taps in ((image, kernel), (row, along)):
            claim.holds(functional.conv2d(pixels, taps, b).flatten(1), *admitted)
            nhwc = [t.contiguous(memory_format=torch.channels_last) for t in (pixels, taps)]
            claim.holds(functional.conv2d(*nhwc, b).flatten(1), *admitted)
    claim.tells_apart()


CONVOLUTIONS = {
    "3x3": ((8, 8, 3), {"padding": 1}),
    "1x1": ((65, 9, 1), {}),
    "strided": ((3, 8, 5), {"stride": 2, "padding": 2}),
    "groups": ((8, 4, 3), {"groups": 2}),
    "depthwise": ((16, 16, 3), {"groups": 16, "padding": 1}),
    "dilated": ((8, 8, 3), {"dilation": 2}),
    "deep": ((64, 64, 3), {"padding": 1}),
}


@DTYPES
def test_linear_sums_exactly_and_rounds_once_after_the_bias(
    dtype: torch.dtype, g: torch.Generator
) -> None:
    """Integers: any tree of binary32 additions is exact; a 16-bit partial sum is not.

    Three or more dimensions: the bias may also follow the store, with a second rounding.
    """
    claim = Claim()
    bits, rest = (5, 2.0**-3) if dtype != torch.float32 else (6, 1.0)
    for size, batch in itertools.product((*SIZES, 1000), BATCHES):
        w, b = whole(g, bits, 33, size), whole(g, bits, 33) * rest
        weight, bias = w.to(dtype), b.to(dtype)
        for x in (whole(g, bits, batch, size), whole(g, bits, batch, 2 * size)[:, ::2]):
            s = x @ w.T
            once = store((s + b).float(), dtype)
            twice = store(raw(store(s.float(), dtype)) + raw(bias), dtype)
            wrong = {} if dtype == torch.float32 else {"twice": twice}
            claim.holds(functional.linear(x.to(dtype), weight, bias), once, **wrong)
            claim.holds(functional.linear(x.to(dtype), weight), store(s.float(), dtype))
            if batch < 65:
                deep = torch.stack([x, -x], 1)
                for y in (deep.to(dtype), deep.to(dtype).mT.contiguous().mT):
                    s3 = deep @ w.T
                    twice = store(raw(store(s3.float(), dtype)) + raw(bias), dtype)
                    once = store((s3 + b).float(), dtype)
                    claim.holds(functional.linear(y, weight, bias), once, twice)
    claim.tells_apart()


@DTYPES
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv2d_sums_exactly_and_rounds_once_after_the_bias(
    name: str, dtype: torch.dtype, g: torch.Generator
) -> None:
    """Winograd and FFT are not exact on integers; a bias after the store rounds twice."""
    claim = Claim()
    (channels, out, k), how = CONVOLUTIONS[name]
    bits, rest = (4, 2.0**-4) if dtype != torch.float32 else (6, 1.0)
    for batch, nhwc in itertools.product((1, 3, 16), (False, True)):
        x = whole(g, bits, batch, channels, 10, 11)
        w = whole(g, bits, out, channels // how.get("groups", 1), k, k)
        b = whole(g, bits, out) * rest
        s = functional.conv2d(x, w, None, **how)
        form = torch.channels_last if nhwc else torch.contiguous_format
        given = [t.to(dtype).contiguous(memory_format=form) for t in (x, w)]
        once = store((s + b[:, None, None]).float(), dtype)
        twice = store(raw(store(s.float(), dtype)) + raw(b.to(dtype))[:, None, None], dtype)
        wrong = {} if dtype == torch.float32 else {"twice": twice}
        claim.holds(functional.conv2d(*given, b.to(dtype), **how), once, **wrong)
        claim.holds(functional.conv2d(*given, None, **how), store(s.float(), dtype))
    claim.tells_apart()


@DTYPES
def test_long_sums_stay_within_the_bound_for_any_order(
    dtype: torch.dtype, g: torch.Generator
) -> None:
    """(m - 1) u S for products that binary32 holds, m u S for those it rounds; cancelling sums."""

    def within(got: Tensor, apply: Callable[..., Tensor], x: Tensor, w: Tensor, b: Tensor) -> None:
        s, size = apply(x, w, b), apply(x.abs(), w.abs(), b.abs())
        m = w[0].numel() + (dtype == torch.float32)
        reach = (m * 2.0**-24 + 2.0**-40) * size  # 2^-40: the binary64 sums here
        assert (got >= store((s - reach).float(), dtype)).all()
        assert (got <= store((s + reach).float(), dtype)).all()

    for size, batch in itertools.product((*SIZES, 777), BATCHES):
        x, w, b = wide(g, dtype, batch, 2 * size), wide(g, dtype, 33, size), wide(g, dtype, 33)
        x = torch.cat([x[:, :size], x[:, :size]], 1)
        w = torch.cat([w, -w.roll(1, 0)], 1)
        exact = [t.double() for t in (x, w, b)]
        within(functional.linear(x, w, b), functional.linear, *exact)
    for (channels, out, k), how in CONVOLUTIONS.values():
        x = wide(g, dtype, 3, channels, 10, 11)
        w, b = wide(g, dtype, out, channels // how.get("groups", 1), k, k), wide(g, dtype, out)

        def apply(x: Tensor, w: Tensor, b: Tensor, how: dict[str, int] = how) -> Tensor:
            return functional.conv2d(x, w, b, **how)

        for form in (torch.contiguous_format, torch.channels_last):
            y = apply(*(t.contiguous(memory_format=form) for t in (x, w)), b)
            within(y, apply, x.double(), w.double(), b.double())


SUBNORMAL = {
    torch.float16: [([2.0**-24], [2.0**10]), ([2.0**-12], [2.0**-12]), ([2.0**-14, 2.0**-15], [1.0, -1.0])],
    torch.bfloat16: [([2.0**-127], [2.0**100]), ([2.0**-64], [1.5 * 2.0**-64]), ([1.5 * 2.0**-126, 2.0**-126], [1.0, -1.0])],
    torch.float32: [([2.0**-149], [2.0**100]), ([2.0**-64], [1.5 * 2.0**-64]), ([1.5 * 2.0**-126, 2.0**-126], [1.0, -1.0])],
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("batch", BATCHES)
def test_subnormal_operands_products_and_sums_are_kept(batch: int, dtype: torch.dtype) -> None:
    """bfloat16 may flush any of them to zero (oneDNN on AMX), and nothing else may happen."""
    for values, weights in SUBNORMAL[dtype]:
        x = torch.tensor([values], dtype=dtype).repeat(batch, 1)
        w = torch.tensor([weights], dtype=dtype)
        exact = (x.double() @ w.double().T).to(dtype)
        assert (exact.double() == x.double() @ w.double().T).all()
        admitted = [exact, torch.zeros_like(exact)] if dtype == torch.bfloat16 else [exact]
        Claim().holds(functional.linear(x, w), *admitted)
        got = functional.conv2d(x[:, :, None, None], w[:, :, None, None])
        Claim().holds(got.flatten(1), *admitted)


# --- elementwise --------------------------------------------------------------------------------

BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
}
SCALARS = (0.1307, 0.3081, -1 / 3, 3, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40)


@DTYPES
@pytest.mark.parametrize("name", BINARY)
def test_tensor_arithmetic_is_binary32_then_stored(
    name: str, dtype: torch.dtype, g: torch.Generator
) -> None:
    """Same shapes, a broadcast channel, a number of no dimensions in the same dtype, in place."""
    claim, f = Claim(), BINARY[name]
    op, in_place = getattr(torch, name), getattr(Tensor, f"{name}_")
    for size in SIZES:
        for x in layouts(lambda *s: wide(g, dtype, *s), size):
            channel = [1, x.shape[1]] + [1] * (x.dim() - 2) if x.dim() > 1 else [1]
            for y in (wide(g, dtype, *x.shape), wide(g, dtype, *channel), wide(g, dtype)):
                right = store(f(raw(x), raw(y)), dtype)
                near = store(f(raw(x), raw(y) * F32(1 + 2.0**-7)), dtype)
                claim.holds(op(x, y), right, near=near)
                claim.holds(in_place(x.clone(), y), right)
                if y.dim() == 0:
                    claim.holds(op(y, x), store(f(raw(y), raw(x)), dtype))
    claim.tells_apart()


@DTYPES
@pytest.mark.parametrize("scalar", SCALARS)
def test_python_scalars(scalar: float, dtype: torch.dtype, g: torch.Generator) -> None:
    """Add and subtract round the scalar to storage, through binary32; multiply and divide use it
    in binary32, and divide by it; scalar / tensor is a stored reciprocal, then a product.
    """
    c32 = F32(scalar)
    c16 = raw(torch.tensor(c32).to(dtype))
    claims = {name: Claim() for name in ("sum", "product", "quotient", "over")}
    for size in (*SIZES, 1000):
        for x in layouts(lambda *s: wide(g, dtype, *s), size):
            v = raw(x)
            number = torch.tensor(float(scalar), dtype=torch.float64)  # also of no dimensions
            for c in (scalar, number):
                claims["sum"].holds(x + c, store(v + c16, dtype), exact=store(v + c32, dtype))
                claims["sum"].holds(x - c, store(v - c16, dtype), exact=store(v - c32, dtype))
                claims["sum"].holds(c - x, store(c16 - v, dtype))
                claims["product"].holds(x * c, store(v * c32, dtype), cut=store(v * c16, dtype))
                inverse = store(v * (F32(1) / c32), dtype)
                quotient = store(v / c32, dtype)
                claims["quotient"].holds(
                    x / c, quotient, cut=store(v / c16, dtype), inverse=inverse
                )
            claims["sum"].holds(x.clone().add_(scalar), store(v + c16, dtype))
            claims["sum"].holds(torch.rsub(x, scalar), store(c16 - v, dtype))
            claims["product"].holds(scalar * x, store(v * c32, dtype))
            claims["product"].holds(x.clone().mul_(scalar), store(v * c32, dtype))
            claims["quotient"].holds(x.clone().sub_(0.1).div_(scalar), (x - 0.1) / scalar)
            reciprocal = store(F32(1) / v, dtype)
            claims["over"].holds(torch.reciprocal(x), reciprocal)
            over = store(raw(reciprocal) * c32, dtype)
            claims["over"].holds(scalar / x, over, divided=store(c32 / v, dtype))
    if dtype != torch.float32 and c16 != c32:
        assert all(claims["sum"].power.values())
        assert claims["product"].power["cut"]
        assert claims["quotient"].power["cut"]
    if scalar in (0.1307, 0.3081, -1 / 3):
        claims["over"].tells_apart()
        assert dtype == torch.bfloat16 or claims["quotient"].power["inverse"]


# --- batch norm ---------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_two_terms(affine: bool, dtype: torch.dtype, g: torch.Generator) -> None:
    """fma(x, alpha, beta) or its two operations, alpha and beta in binary32, beta fused or not.

    Which one depends on the dtype of the parameters and on the machine's vector extension.
    Dense inputs only: others run a formula that rounds every step to storage, which is refused.
    """
    claim = Claim()
    shapes = [(3, n) for n in SIZES] + [(2, n, 3, 5) for n in SIZES] + [(2, 3, n) for n in SIZES]
    for shape, nhwc, eps in itertools.product(shapes, (False, True), (1e-5, 1e-3)):
        if nhwc and len(shape) != 4:
            continue
        x = wide(g, dtype, *shape)
        x = x.to(memory_format=torch.channels_last) if nhwc else x
        w, b, mean = (wide(g, dtype, shape[1]) for _ in range(3))
        var = (torch.rand(shape[1], generator=g) * 4 + 1e-3).to(dtype)
        got = functional.batch_norm(x, mean, var, *((w, b) if affine else (None, None)), eps=eps)
        per = [1, -1] + [1] * (len(shape) - 2)
        w32, b32, m32, v32 = (raw(t).reshape(per) for t in (w, b, mean, var))
        if not affine:
            w32, b32 = np.ones_like(w32), np.zeros_like(b32)
        inverse = F32(1) / np.sqrt(v32 + F32(eps))
        alpha = inverse * w32
        scaled = raw(x).astype(np.float64) * alpha
        betas = (fma(-m32.astype(np.float64) * alpha, b32), b32 - m32 * alpha)
        admitted = [store(fma(scaled, beta), dtype) for beta in betas]
        admitted += [store(scaled.astype(F32) + beta, dtype) for beta in betas]
        centred = store((raw(x) - m32) * inverse * w32 + b32, dtype)
        rounded = raw(store(alpha, dtype)), raw(store(betas[0], dtype))
        short = store(fma(raw(x).astype(np.float64) * rounded[0], rounded[1]), dtype)
        late = F32(1) / (np.sqrt(v32) + F32(eps)) * w32
        other = store(fma((raw(x) - m32).astype(np.float64) * late, b32), dtype)
        wrong = {"eps_late": other}
        wrong |= {"centred": centred} if dtype == torch.float32 else {"folded_to_storage": short}
        claim.holds(got, *admitted, **wrong)
    claim.tells_apart()


# --- averages -----------------------------------------------------------------------------------


def near_ties(g: torch.Generator, count: int, n: int, dtype: torch.dtype) -> Tensor:
    """(count, n) windows whose sums are exact in any order and whose means lie next to a tie.

    Nonnegative integers below 2^24 in total, times a power of two: sum = n * midpoint + {-1, 0, 1}.
    """
    p = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 12}[dtype]
    midpoint = 2 * torch.randint(2 ** (p - 1), 2**p, (count,), generator=g) + 1
    shift = 23 - torch.ceil(torch.log2((n * midpoint).double())).long()
    rest = n * (midpoint << shift) + torch.randint(-1, 2, (count,), generator=g)
    window = torch.zeros(count, n, dtype=torch.int64)
    for place in range(min(n, 5)):
        top = torch.floor(torch.log2(rest.clamp(min=1).double())).long()
        unit = torch.ones_like(rest) << (top - p + 1).clamp(min=0)
        window[:, place] = rest // unit * unit
        rest = rest - window[:, place]
    assert (rest == 0).all()
    scale = 2.0**-9 if dtype == torch.float16 else 1.0
    found = (window.double() * scale).to(dtype)
    assert (found.double() == window * scale).all()
    order = torch.argsort(torch.rand(count, n, generator=g), 1)
    return found.gather(1, order)


@DTYPES
@pytest.mark.parametrize("window", [(1, 2), (1, 3), (3, 3), (3, 5), (5, 5)])
def test_averages_divide_the_binary32_sum_once(
    window: tuple[int, int], dtype: torch.dtype, g: torch.Generator
) -> None:
    """mean, avg_pool2d, adaptive to 1x1: s / n. Larger adaptive outputs: or (s / height) / width.

    Windows of two and three entries are also free of exactness: all bracketings are admitted.
    """
    claim = Claim()
    (kh, kw), n = window, window[0] * window[1]
    for channels, form in itertools.product(SIZES, (torch.contiguous_format, torch.channels_last)):
        count = 5 * channels
        x = near_ties(g, count, n, dtype) if n > 3 else wide(g, dtype, count, n)
        terms = [raw(x)[:, i].astype(np.float64) for i in range(n)]
        sums = bracketings(terms, None) if n < 4 else [raw(x).astype(np.float64).sum(1).astype(F32)]
        image = x.reshape(5, channels, kh, kw).contiguous(memory_format=form)
        whole_ = [store(s / F32(n), dtype) for s in sums]
        steps = [store(s / F32(kh) / F32(kw), dtype) for s in sums]
        wrong = {"inverse": store(sums[0] * (F32(1) / F32(n)), dtype)} if n == 15 else {}
        if n > 3 and dtype == torch.float32:
            wrong["steps"] = steps[0]
        elif n > 3:
            wrong["partial"] = store(raw(store(sums[0], dtype)) / F32(n), dtype)
        claim.holds(functional.avg_pool2d(image, window).flatten(), *whole_, **wrong)
        claim.holds(functional.adaptive_avg_pool2d(image, 1).flatten(), *whole_, **wrong)
        claim.holds(image.mean((2, 3)).flatten(), *whole_, **wrong)
        claim.holds(image.flatten(2).mean(-1).flatten(), *whole_, **wrong)
        claim.holds(image.sum((2, 3)).flatten(), *(store(s, dtype) for s in sums))
        tiled = image.repeat(1, 1, 2, 3).contiguous(memory_format=form)
        adaptive = functional.adaptive_avg_pool2d(tiled, (2, 3))
        claim.holds(adaptive.flatten(2), *(v.reshape(5, channels, 1) for v in (*whole_, *steps)))
    claim.tells_apart()


@DTYPES
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_avg_pool2d_divides_by_the_window_it_counts(
    padded: bool, ceil: bool, dtype: torch.dtype, g: torch.Generator
) -> None:
    """Padding counts or not; what a ceiling adds beyond the padding never does."""
    claim = Claim()
    for size, k, stride in itertools.product(SIZES, (2, 3), (1, 2)):
        x = whole(g, 6, 2, size, 7, 8)
        s = functional.avg_pool2d(x, k, stride, 1, ceil, divisor_override=1)
        ones = functional.pad(torch.ones_like(x), (1, 1, 1, 1), value=float(padded))
        n = functional.avg_pool2d(ones, k, stride, 0, ceil, divisor_override=1).numpy()
        for y in (x, x.to(memory_format=torch.channels_last)):
            got = functional.avg_pool2d(y.to(dtype), k, stride, 1, ceil, padded)
            right, sums = store(s.float().numpy() / n.astype(F32), dtype), s.float().numpy()
            claim.holds(got, right, whole_window=store(sums / F32(k * k), dtype)) if not (
                padded
            ) else claim.holds(got, right)
            seven = functional.avg_pool2d(y.to(dtype), k, stride, 1, ceil, padded, 7)
            claim.holds(seven, store(sums / F32(7), dtype))
    claim.tells_apart()


# --- selections and functions -------------------------------------------------------------------


@DTYPES
def test_relu_and_max_pool2d_never_round(dtype: torch.dtype, g: torch.Generator) -> None:
    for size in SIZES:
        for x in layouts(lambda *s: wide(g, dtype, *s), size):
            expected = torch.from_numpy(np.maximum(raw(x), 0)).to(dtype)
            Claim().holds(torch.relu(x), expected)
            Claim().holds(torch.relu_(x.clone()), expected)
        image = wide(g, dtype, 2, size, 9, 8)
        for x in (image, image.to(memory_format=torch.channels_last)):
            framed = functional.pad(image.double(), (1, 1, 1, 1), value=-torch.inf)
            expected = framed.unfold(2, 3, 2).unfold(3, 3, 2).amax((-2, -1)).to(dtype)
            Claim().holds(functional.max_pool2d(x, 3, 2, 1), expected)


@HALVES
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_functions_of_16_bits_are_one_monotone_table(name: str, dtype: torch.dtype) -> None:
    """All finite inputs: the same result at every size, layout and in place; nondecreasing."""
    f = getattr(torch, name)
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    x = every[every.isfinite()]
    x = x[torch.argsort(x.float(), stable=True)]
    table = f(x)
    assert (table.float().diff() >= 0).all()
    for size in SIZES[1:]:
        got = torch.cat([f(part.clone()) for part in x.split(size)])
        Claim().holds(got, table)
    Claim().holds(torch.cat([f(part.clone()) for part in x[::7].split(1)]), table[::7])
    Claim().holds(f(torch.stack([x, x], 1)[:, 0]), table)
    Claim().holds(getattr(torch, f"{name}_")(x.clone()), table)
    image = x[: x.numel() // 24 * 24].reshape(-1, 2, 3, 4)
    nhwc = f(image.to(memory_format=torch.channels_last))
    Claim().holds(nhwc.flatten(), table[: image.numel()])
    exact = f(x.double())
    neighbours = torch.stack([exact * (1 - 2.0**-7), exact * (1 + 2.0**-7)])
    assert (table.double() >= neighbours.amin(0) - 2.0**-24).all()
    assert (table.double() <= neighbours.amax(0) + 2.0**-24).all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_functions_of_binary32_stay_within_their_profile(name: str) -> None:
    """|computed - exact| <= 2^-21 |exact| + 2^-125, on every path; measured 2.5 u and 2^-128."""
    f = getattr(torch, name)
    patterns = torch.arange(0, 0x7F800000, 40009, dtype=torch.int32).view(torch.float32)
    around = [torch.linspace(a, b, 20011) for a, b in ((-110, -80), (-20, 20), (-1, 1))]
    x = torch.cat([patterns, -patterns, *around])
    v = x.double()
    tail = torch.exp(-v.abs())
    exact = torch.tanh(v) if name == "tanh" else torch.where(v > 0, 1.0, tail) / (1 + tail)
    reach = exact.abs() * 2.0**-21 + 2.0**-125
    strided = f(torch.stack([x, x], 1)[:, 0])
    pieces = [torch.cat([f(part.clone()) for part in x.split(size)]) for size in SIZES[1:]]
    single = torch.cat([f(part.clone()) for part in x[::29].split(1)])
    for got in (f(x), strided, *pieces):
        assert ((got.double() - exact).abs() <= reach).all()
        assert ((got.double() - exact).abs() > 2.0**-24 * exact.abs()).any() or name == "tanh"
    assert ((single.double() - exact[::29]).abs() <= reach[::29]).all()
