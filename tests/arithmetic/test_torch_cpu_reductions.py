"""What torch's CPU kernels execute for sums, means, softmax, cut-offs and other convolutions."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import dtype as Type
from torch.nn import functional

from errbound.arithmetic import TORCH_CPU
from errbound.ops.reduction import SPLIT

from .claims import (
    BATCHES,
    BRAIN,
    DTYPES,
    F32,
    FORMS,
    HALF,
    SINGLE,
    SIZES,
    Claim,
    layouts,
    raw,
    store,
    whole,
    wide,
)

SIXTEEN = pytest.mark.parametrize("dtype", [HALF, BRAIN], ids=str)
BETWEEN = 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40
"""Not the same when they are rounded to 16 bits at once as through binary32."""


@DTYPES
@pytest.mark.parametrize("slope", [0.01, 0.3, 0.0, 1 + 2.0**-11 + 2.0**-40])
def test_leaky_relu_uses_its_slope_in_binary32(claim: Claim, slope: float, dtype: Type) -> None:
    for size in (*SIZES, 1000):
        for x in layouts(dtype, size):
            v, narrow = raw(x), raw(store(F32([slope]), dtype))
            right = store(np.where(v > 0, v, v * F32(slope)), dtype)
            wrong = {}
            if slope in (0.01, 0.3) and dtype != SINGLE:
                wrong = {"stored": store(np.where(v > 0, v, v * narrow), dtype)}
            claim.holds(functional.leaky_relu(x, slope), right, **wrong)
            claim.holds(functional.leaky_relu(x.clone(), slope, inplace=True), right)


@DTYPES
@pytest.mark.parametrize("bounds", [(-0.1307, 0.3081), (0.0, 6.0), (2.0, -1.0), BETWEEN])
def test_cut_offs_round_their_bounds_to_storage(
    claim: Claim, bounds: tuple[float, float], dtype: Type
) -> None:
    """Through binary32; then numbers are only compared. The upper bound has the last word."""
    low, high = store(F32(bounds), dtype)
    for size in SIZES:
        for x in layouts(dtype, size):
            above = torch.where(x < low, low, x)
            both = torch.where(above > high, high, above)
            claim.holds(x.clamp(*bounds), both)
            claim.holds(torch.ops.aten.hardtanh(x, *bounds), both)
            claim.holds(x.clamp_min(bounds[0]), above)
            claim.holds(x.clone().clamp_(max=bounds[1]), torch.where(x > high, high, x))
            claim.holds(x.clamp(low, high), both)
            wide_bounds = torch.tensor(bounds, dtype=torch.float64)
            claim.holds(x.clamp(*wide_bounds), both)
        if bounds == (0.0, 6.0):
            claim.holds(functional.relu6(x), both)


def reductions(dtype: Type, size: int) -> list[tuple[Tensor, list[int]]]:
    """Integers and the dimensions to sum: inner, outer, several, strided, permuted."""

    def draw(*shape: int) -> Tensor:
        return whole(6, *shape).to(dtype)

    image = draw(3, 5, 4, size)
    return [
        (draw(5, size), [1]),
        (draw(5, 2 * size)[:, ::2], [1]),
        (draw(2, size, 9), [1]),
        (draw(2, size, 65), [1]),
        (image, [2, 3]),
        (image, [1, 3]),
        (image, [1, 2, 3]),
        (image.contiguous(memory_format=torch.channels_last), [2, 3]),
        (image.permute(0, 3, 1, 2), [1, 2]),
        (draw(2, 6, 8, 2 * size)[:, ::2, ::2, ::2], [1, 2, 3]),
        (draw(2, 3, 2, 5, 2, size), [1, 3, 5]),
    ]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@DTYPES
def test_sums_are_rounded_once_and_means_divided_first(
    claim: Claim, two_threads: None, dtype: Type
) -> None:
    """No partial sum of 16 bits, by any layout; the mean divides the binary32 sum."""
    for size in (*SIZES, 777):
        for x, dims in reductions(dtype, size):
            s = x.double().sum(dims).float()
            n, wrong = F32(x.numel() // s.numel()), {}
            if dtype != SINGLE and size == 777:
                wrong = {"stored": store(raw(store(s, dtype)) / n, dtype)}
            claim.holds(x.sum(dims), store(s, dtype))
            claim.holds(x.sum(dims, dtype=SINGLE), s)
            claim.holds(x.mean(dims), store(s / n, dtype), **wrong)


@SIXTEEN
def test_long_sums_of_whole_tensors_are_split(claim: Claim, two_threads: None, dtype: Type) -> None:
    """Why the record refuses them: with two threads, two partial sums are stored."""
    for length in [SPLIT - 1, SPLIT, 90000] * 16:
        x = torch.randint(0, 2, (1, length)).double()
        once = store(x.sum(1).float(), dtype)
        halves = [raw(store(h.sum(1).float(), dtype)) for h in x.tensor_split(2, 1)]
        split = [store(halves[0] + halves[1], dtype)] if length >= SPLIT else []
        claim.holds(x.to(dtype).sum(1), once, *split, **({"once": once} if split else {}))


@DTYPES
def test_sums_stay_within_the_bound_for_any_order(claim: Claim, dtype: Type) -> None:
    for size in (*SIZES, 777):
        for shape, dims in (((5, size), [1]), ((2, size, 9), [1]), ((3, 5, 4, size), [1, 3])):
            x = wide(dtype, *shape)
            v = x.double()
            s, magnitude = v.sum(dims), v.abs().sum(dims)
            n = x.numel() // s.numel()
            reach = ((n - 1) * 2.0**-24 + 2.0**-40) * magnitude
            lo, hi = ((s + sign * reach).float() for sign in (-1, 1))
            got = x.sum(dims)
            assert ((store(lo, dtype) <= got) & (got <= store(hi, dtype))).all()


# --- softmax -------------------------------------------------------------------------------------


def rows(dtype: Type, n: int) -> list[tuple[Tensor, int]]:
    """Inputs and the dimension to normalise over."""

    def draw(*shape: int) -> Tensor:
        return (torch.randn(shape) * 4).to(dtype)

    return [
        (draw(40, n), 1),
        (draw(5, 7, n), 2),
        (draw(20, 2 * n)[:, ::2], 1),
        (draw(n, 40).t(), 1),
        (draw(6, n, 9), 1),
        (draw(2, n, 65), 1),
        (draw(4, n, 1), 1),
        (draw(4, n, 3, 5).to(memory_format=torch.channels_last), 1),
        (draw(4, 3, 5, n).permute(0, 3, 1, 2), 1),
    ]


class Near:
    """Real numbers known up to the errors of exp, log and a sum of n terms in binary32."""

    def __init__(self, n: int) -> None:
        self.slack = 2.0**-21 + n * 2.0**-24

    def ends(self, value: Tensor, dtype: Type, absolute: Any = 0.0) -> tuple[Tensor, Tensor]:
        """``value``, in binary64, within relative and absolute errors, stored."""
        reach = value.abs() * self.slack + absolute + 2.0**-125
        return store((value - reach).float(), dtype), store((value + reach).float(), dtype)


def inside(got: Tensor, *ends: tuple[Tensor, Tensor]) -> Tensor:
    found = torch.zeros(got.shape, dtype=torch.bool)
    for lo, hi in ends:
        found |= (lo <= got) & (got <= hi)
    return found


@DTYPES
def test_softmax_divides_exponentials_by_their_sum(claim: Claim, dtype: Type) -> None:
    """x - max, exp, sum, quotient in binary32; inner dimensions of 16 bits may store exp."""
    refuted = {"stored, last": 0, "not stored, inner": 0}
    for n in (2, 3, 7, 10, 65, 1000):
        for x, dim in rows(dtype, n):
            d = (x.float() - x.float().amax(dim, keepdim=True)).double()
            e = torch.exp(d)
            s, near, got = e.sum(dim, keepdim=True), Near(n), torch.softmax(x, dim)
            assert got.dtype == dtype
            plain = near.ends(e / s, dtype)
            lo, hi = (t.double() / s for t in near.ends(e, dtype))
            stored = near.ends(lo, dtype)[0], near.ends(hi, dtype)[1]
            last = dim == x.dim() - 1
            admitted = (plain,) if last or dtype == SINGLE else (plain, stored)
            assert inside(got, *admitted).all(), (n, x.shape, x.stride())
            wrong, name = (stored, "stored, last") if last else (plain, "not stored, inner")
            refuted[name] += int((~inside(got, wrong)).sum())
    if dtype != SINGLE:
        assert all(refuted.values()), refuted


@DTYPES
def test_log_softmax_subtracts_the_logarithm_last(claim: Claim, dtype: Type) -> None:
    """(x - max) - log sum in binary32; the last dimension of 16 bits stores sum and logarithm."""
    refuted = {"not stored, last": 0, "stored, inner": 0}
    for n in (2, 3, 7, 10, 65, 1000):
        for x, dim in rows(dtype, n):
            d = (x.float() - x.float().amax(dim, keepdim=True)).double()
            s = torch.exp(d).sum(dim, keepdim=True)
            near, got = Near(n), torch.log_softmax(x, dim)
            plain = near.ends(d - s.log(), dtype, 2 * near.slack * (1 + s.log()))
            low, high = (t.double().log() for t in near.ends(s, dtype))
            logs = near.ends(low, dtype)[0].double(), near.ends(high, dtype)[1].double()
            stored = near.ends(d - logs[1], dtype)[0], near.ends(d - logs[0], dtype)[1]
            last = dim == x.dim() - 1 and dtype != SINGLE
            right, wrong = (stored, plain) if last else (plain, stored)
            assert inside(got, right).all(), (n, x.shape, x.stride())
            name = "not stored, last" if last else "stored, inner"
            refuted[name] += int((~inside(got, wrong)).sum())
    if dtype != SINGLE:
        assert all(refuted.values()), refuted


def test_exponential_and_logarithm_stay_within_their_profile(claim: Claim) -> None:
    """Also the exponential inside softmax; measured 1.1 u and 1.6 u, and 2^-150 absolute."""
    patterns = torch.arange(0x00000001, 0x7F800000, 40009, dtype=torch.int32).view(SINGLE)
    x = torch.cat([-patterns, *(torch.linspace(a, 0, 40013) for a in (-110, -20, -1))])
    exact = torch.exp(x.double())
    error = TORCH_CPU.functions["exp"]
    allowed = exact * error.relative + error.absolute
    for size in (*SIZES, len(x)):
        part = slice(None, None, 11 if size == 1 else 1)
        got = torch.cat([torch.exp(p.clone()) for p in x[part].split(size)])
        assert ((got.double() - exact[part]).abs() <= allowed[part]).all()
    pairs = torch.stack([torch.zeros_like(x), x], 1)
    for got in (pairs.softmax(1)[:, 1], pairs.t().contiguous().softmax(0)[1]):
        quotient = exact / (1 + exact)
        reach = quotient * (2 * error.relative) + 2 * error.absolute
        assert ((got.double() - quotient).abs() <= reach).all()
    y = torch.cat([patterns, torch.linspace(0.5, 2, 40013), torch.linspace(1, 1000, 40013)])
    error, exact = TORCH_CPU.functions["log"], torch.log(y.double())
    for size in (*SIZES, len(y)):
        part = slice(None, None, 11 if size == 1 else 1)
        got = torch.cat([torch.log(p.clone()) for p in y[part].split(size)])
        reach = exact[part].abs() * error.relative + error.absolute
        assert ((got.double() - exact[part]).abs() <= reach).all()


# --- convolutions --------------------------------------------------------------------------------


@DTYPES
def test_one_dimensional_convolutions_are_rounded_once(claim: Claim, dtype: Type) -> None:
    hows: list[tuple[int, int, int, dict[str, int]]] = [
        (4, 6, 3, {}), (8, 8, 5, {"stride": 2, "padding": 2}), (64, 32, 3, {"padding": 1}),
        (16, 16, 3, {"groups": 16}), (8, 4, 3, {"groups": 2, "dilation": 2}), (65, 9, 1, {}),
    ]  # fmt: skip
    for batch, (channels, out, k, how), length in product(BATCHES[:3], hows, (9, 33)):
        x, w = whole(5, batch, channels, length), whole(5, out, channels // how.get("groups", 1), k)
        b = whole(5, out) / 8
        once = store(functional.conv1d(x, w, b, **how).float(), dtype)
        sums = store(functional.conv1d(x, w, None, **how).float(), dtype)
        wrong = {}
        if dtype != SINGLE and channels == 64:
            wrong = {"bias late": store(raw(sums) + raw(b)[:, None], dtype)}
        x, w, b = x.to(dtype), w.to(dtype), b.to(dtype)
        claim.holds(functional.conv1d(x, w, b, **how), once, **wrong)
        turned = x.transpose(1, 2).contiguous().transpose(1, 2)
        claim.holds(functional.conv1d(turned, w, b, **how), once)
        claim.holds(functional.conv1d(x.repeat_interleave(2, 2)[..., ::2], w, None, **how), sums)


def tap_by_tap(
    x: Tensor, w: Tensor, b: Tensor, groups: int, how: dict[str, int], dtype: Type
) -> list[Tensor]:
    """Sums over channels stored, taps added in 16 bits: in order, in reverse; the bias first."""

    def fl(t: Tensor) -> Tensor:
        return store(t.float(), dtype).double()

    places = list(np.ndindex(*w.shape[2:]))
    parts = []
    for place in places:
        mask = torch.zeros(w.shape[2:], dtype=torch.float64)
        mask[place] = 1
        parts.append(fl(functional.conv_transpose2d(x, w * mask, None, groups=groups, **how)))
    shift = b[:, None, None]
    found = []
    for order, first in ((parts, False), (parts[::-1], False), (parts, True)):
        total = torch.zeros_like(parts[0]) + (shift if first else 0)
        for part in order:
            total = fl(total + part)
        found.append((total if first else fl(total + shift)).to(dtype))
    return found


@DTYPES
def test_transposed_convolutions(claim: Claim, dtype: Type) -> None:
    """binary32: any tree. 16 bits: one rounding, or tap by tap and the bias last."""
    hows: list[tuple[int, int, tuple[int, int], int, dict[str, int]]] = [
        (4, 6, (3, 3), 1, {}), (8, 8, (5, 4), 1, {"stride": 2, "padding": 2}),
        (64, 8, (3, 3), 1, {"padding": 1, "stride": 2, "output_padding": 1}),
        (16, 16, (3, 3), 16, {}), (8, 4, (3, 3), 2, {"dilation": 2}),
        (33, 9, (2, 2), 1, {"stride": 2}), (65, 9, (1, 1), 1, {}),
    ]  # fmt: skip
    for batch, (c, out, kernel, groups, how), form in product((1, 2, 9), hows, FORMS):
        x, w, b = whole(4, batch, c, 6, 7), whole(4, c, out // groups, *kernel), whole(5, out) / 8
        exact = functional.conv_transpose2d(x, w, b, groups=groups, **how)
        once = store(exact.float(), dtype)
        args = [t.to(dtype) for t in (x.contiguous(memory_format=form), w, b)]
        got = functional.conv_transpose2d(*args, groups=groups, **how)
        if dtype == SINGLE:
            claim.holds(got, once)
            continue
        forward, back, bias_first = tap_by_tap(x, w, b, groups, how, dtype)
        wrong = {"bias first": bias_first} if c == 64 else {}
        claim.holds(got, once, forward, back, **wrong)
        flat = [t[:, :, 0].contiguous() for t in args[:2]]
        line = functional.conv_transpose1d(*flat, args[2], groups=groups, **how)
        given = [t.double()[:, :, None] for t in flat]
        if kernel[0] == 1:
            exact = functional.conv_transpose2d(*given, b, groups=groups, **how)
            admitted = tap_by_tap(*given, b, groups, how, dtype)[:2]
            claim.holds(line[:, :, None], store(exact.float(), dtype), *admitted)
