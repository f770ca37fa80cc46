"""Numbers that hurt: mixtures for weights, biases, constants and inputs of a format."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from errbound.number import Format, nearest
from errbound.testing.rounding import Array

KINDS = (
    "normal",
    "powers",  # powers of two and their neighbours
    "ties",  # sums of these fall on midpoints of storage and of binary32
    "grid",  # few bits: sums are exact, stores are not
    "subnormal",
    "zeros",
    "pairs",  # neighbours cancel, exactly or but for an ulp
    "wide",  # every magnitude
)
WEIGHTS = (*["normal"] * 6, *KINDS, "pairs", "ties")
REGIMES = (*["unit"] * 8, *["edge"] * 4, *["tiny", "border"] * 2, "thin", "thin", "light", "big")
"""Size of activations: about 1; the same with a first sum from ``edges``; at the smallest normal
number, from the start or after a first sum of tiny products; a first sum of subnormal operands
with huge weights, or of huge operands with subnormal weights; near overflow."""


def draw(
    rng: np.random.Generator, shape: tuple[int, ...], fmt: Format, kind: str, scale: float = 1.0
) -> Array:
    """Binary64 array of numbers of ``fmt``, finite, of about the size of ``scale``."""
    n = int(np.prod(shape))
    x: Array
    sign = rng.choice([-1.0, 1.0], n)
    near = 2.0 ** np.floor(np.log2(scale))
    if kind == "normal":
        x = rng.normal(size=n) * scale
    elif kind == "powers":
        neighbour = 1.0 + rng.integers(-1, 2, n) * 2.0 ** (1 - fmt.precision)
        x = sign * near * 2.0 ** rng.integers(-3, 3, n) * neighbour
    elif kind == "ties":
        u, v = 2.0**-fmt.precision, 2.0**-24
        x = sign * near * rng.choice([1.0, 1.0 + 2 * u, u, u / 2, v, 0.5, v**0.5, 1 - u], n)
    elif kind == "grid":
        x = near * rng.integers(-8, 9, n) / 4
    elif kind == "subnormal":
        x = sign * rng.integers(0, 2**fmt.precision, n) * (2.0 * fmt.eta)
    elif kind == "zeros":
        x = np.where(rng.random(n) < 0.2, rng.normal(size=n) * scale, sign * 0.0)
    elif kind == "pairs":
        x = rng.normal(size=n) * scale
        off = 1.0 + rng.integers(-1, 2, n // 2) * 2.0 ** (1 - fmt.precision)
        x[1::2] = -x[: 2 * (n // 2) : 2] * off
    else:
        x = sign * scale * 2.0 ** -rng.integers(0, 3 * fmt.precision, n)
    top = 2.0 ** (fmt.emax - 1)
    x = nearest(torch.from_numpy(np.clip(x, -top, top)), fmt).numpy()
    return np.where(x == 0, sign * 0.0, x).reshape(shape)


def mixed(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    fmt: Format,
    scale: float = 1.0,
    kinds: Sequence[str] = KINDS,
) -> Array:
    """Like ``draw``, every entry of another kind."""
    kind = rng.integers(0, len(kinds), shape)
    x = np.zeros(shape)
    for k, name in enumerate(kinds):
        x = np.where(kind == k, draw(rng, shape, fmt, name, scale), x)
    return x


def _factors(fmt: Format, up: bool) -> tuple[float, float]:
    """Two numbers of ``fmt`` whose product a store or a binary32 rounding moves by half an ulp.

    16 bits: a midpoint of storage that ties to the neighbour below (above). binary32: 1 + 2^-24,
    which is 673 * 24929, or 1 - 2^-25, which is 1801 * 18631: rounded to 1 both.
    """
    if fmt.precision == 24:
        return (1801 * 2.0**-11, 18631 * 2.0**-14) if up else (673 * 2.0**-10, 24929 * 2.0**-14)
    if fmt.precision == 11:
        return 1.5, 683 / 1024
    return (7 / 8, 37 / 32) if up else (9 / 8, 29 / 32)


def edges(rng: np.random.Generator, m: int, fmt: Format) -> tuple[Array, Array]:
    """(x, w) of m products whose sum errs by nearly its bound in some order, where it shows.

    One product near 1 and m - 1 of 2^-24, each lost when it is added to a partial sum of 1; the
    sum stands on the edge of a cell, or a last term cancels it and the loss is all that remains.
    """
    x, w = np.full(m, 2.0**-12), np.full(m, 2.0**-12)
    if m > 1 and rng.random() < 0.5:
        if fmt.precision == 24:
            (x[0], w[0]), (x[-1], w[-1]) = _factors(fmt, False), _factors(fmt, True)
        else:
            x[0] = w[0] = x[-1] = w[-1] = 1.0
        w[-1] *= -1
    else:
        up = fmt.precision == 8 and rng.random() < 0.5
        x[0], w[0] = _factors(fmt, up)
        w[1:] *= -1 if up else 1  # a tie that goes up: what is lost would have brought it down
    return x, w * rng.choice([-1.0, 1.0])


def unit_of(regime: str, fmt: Format) -> float:
    """The size of activations, biases and added constants in a regime."""
    if regime in ("tiny", "border"):
        return 2.0 ** (fmt.emin + 3)
    if regime in ("thin", "light"):
        return 2.0 ** (fmt.emin // 4)
    return 2.0 ** (fmt.emax - 3) if regime == "big" else 1.0


def inputs(
    rng: np.random.Generator, samples: int, shape: tuple[int, ...], fmt: Format, regime: str
) -> Tensor:
    """A batch of inputs in the format's dtype: every sample of another kind."""
    scale = {
        "border": 2.0 ** (fmt.emin // 2 + 1),
        "thin": 2.0 ** (fmt.emin - 1),
        "light": 2.0 ** (-3 * fmt.emin // 4),
    }.get(regime, unit_of(regime, fmt))
    rows = []
    for k in range(samples):
        if k == samples - 1:
            x = mixed(rng, shape, fmt, scale)
        else:
            kind = "normal" if rng.random() < 0.4 else str(rng.choice(KINDS))
            x = draw(rng, shape, fmt, kind, scale)
        if rng.random() < 0.3:  # equal neighbours, for weights that cancel in pairs
            flat = x.reshape(-1)
            flat[1::2] = flat[: 2 * (flat.size // 2) : 2]
        rows.append(x)
    return torch.from_numpy(np.stack(rows)).to(fmt.dtype)


def sharpen(net: nn.Module, x: Tensor, rng: np.random.Generator, fmt: Format) -> None:
    """Give the first sum of a network operands from ``edges``, half of the samples' too."""
    first = next(m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    with torch.no_grad():
        operands, weights = edges(rng, first.weight[0].numel(), fmt)
        for k, weight in enumerate(first.weight):
            if k == 0 or rng.random() < 0.6:
                weight.copy_(torch.from_numpy(weights).reshape(weight.shape))
        if first.bias is not None:
            lost = weights[min(1, len(weights) - 1)]
            first.bias.fill_(float(np.copysign(2.0**-24, lost)))  # one more term to be lost
        for sample in x[::2]:
            if isinstance(first, nn.Conv2d):  # the window at the corner
                c, (h, w) = first.weight.shape[1], first.kernel_size
                sample[:] = 2.0**-12
                sample[:c, :h, :w] = torch.from_numpy(operands).reshape(c, h, w).to(x.dtype)
            else:
                sample[:] = torch.from_numpy(operands).to(x.dtype)


def fill(net: nn.Module, rng: np.random.Generator, fmt: Format, regime: str) -> None:
    """Draw every weight, bias and statistic of a network, in place."""
    first = True
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                fan_in = module.weight[0].numel()
                scale = fan_in**-0.5 if regime != "big" else 0.5 / fan_in
                if first:
                    factors = {
                        "border": fmt.emin // 2 + 1,
                        "thin": -3 * fmt.emin // 4,
                        "light": fmt.emin,
                    }
                    scale *= 2.0 ** factors.get(regime, 0)
                first = False
                _set(module.weight, rng, fmt, scale, WEIGHTS)
                if module.bias is not None:
                    _set(module.bias, rng, fmt, 0.3 * unit_of(regime, fmt), KINDS)
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                n = module.running_mean.shape
                unit = unit_of(regime, fmt)
                _put(module.running_mean, draw(rng, n, fmt, "normal", unit))
                _put(module.running_var, np.abs(draw(rng, n, fmt, "normal")) + 0.05)
                if module.affine:
                    _set(module.weight, rng, fmt, 1.0, ("normal", "powers", "ties"))
                    _set(module.bias, rng, fmt, unit, KINDS)


def _set(
    parameter: Tensor, rng: np.random.Generator, fmt: Format, scale: float, kinds: Sequence[str]
) -> None:
    if rng.random() < 0.25:
        x = mixed(rng, tuple(parameter.shape), fmt, scale)
    else:
        x = draw(rng, tuple(parameter.shape), fmt, str(rng.choice(kinds)), scale)
    _put(parameter, x)


def _put(tensor: Tensor, array: Array) -> None:
    tensor.copy_(torch.from_numpy(array))
