"""Numbers that hurt: mixtures for weights, biases, constants and inputs of a format."""

from __future__ import annotations

import numpy as np
import torch

from errbound.number import nearest

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
REGIMES = (*["unit"] * 10, "tiny", "tiny", "border", "border", "big")


def draw(rng, shape, fmt, kind, scale=1.0):
    """Binary64 array of numbers of ``fmt``, finite, of about the size of ``scale``."""
    n = int(np.prod(shape))
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


def mixed(rng, shape, fmt, scale=1.0, kinds=KINDS):
    """Like ``draw``, every entry of another kind."""
    kind = rng.integers(0, len(kinds), shape)
    x = np.zeros(shape)
    for k, name in enumerate(kinds):
        x = np.where(kind == k, draw(rng, shape, fmt, name, scale), x)
    return x


def unit_of(regime, fmt):
    """The size of activations, biases and added constants in a regime."""
    if regime in ("tiny", "border"):
        return 2.0 ** (fmt.emin + 3)
    return 2.0 ** (fmt.emax - 4) if regime == "big" else 1.0


def inputs(rng, samples, shape, fmt, regime):
    """A batch of inputs in the format's dtype: every sample of another kind."""
    scale = 2.0 ** (fmt.emin // 2 + 1) if regime == "border" else unit_of(regime, fmt)
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


def fill(net, rng, fmt, regime):
    """Draw every weight, bias and statistic of a network, in place."""
    first = True
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                fan_in = module.weight[0].numel()
                scale = fan_in**-0.5 if regime != "big" else 0.5 / fan_in
                if regime == "border" and first:
                    scale *= 2.0 ** (fmt.emin // 2 + 1)
                first = False
                _set(module.weight, rng, fmt, scale, WEIGHTS)
                if module.bias is not None:
                    _set(module.bias, rng, fmt, 0.3 * unit_of(regime, fmt), KINDS)
            elif isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                n = module.running_mean.shape
                unit = unit_of(regime, fmt)
                _put(module.running_mean, draw(rng, n, fmt, "normal", unit))
                _put(module.running_var, np.abs(draw(rng, n, fmt, "normal")) + 0.05)
                if module.affine:
                    _set(module.weight, rng, fmt, 1.0, ("normal", "powers", "ties"))
                    _set(module.bias, rng, fmt, unit, KINDS)


def _set(parameter, rng, fmt, scale, kinds):
    if rng.random() < 0.25:
        x = mixed(rng, tuple(parameter.shape), fmt, scale)
    else:
        x = draw(rng, tuple(parameter.shape), fmt, str(rng.choice(kinds)), scale)
    _put(parameter, x)


def _put(tensor, array):
    tensor.copy_(torch.from_numpy(array))
