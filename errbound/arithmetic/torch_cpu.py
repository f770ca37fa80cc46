"""``torch-cpu``: the kernels of torch 2.13 on x86-64, as read off them and tested.

Each sentence of ``assumptions`` is falsified bit by bit in ``tests/arithmetic``.
"""

from __future__ import annotations

from typing import Any

import torch

from errbound.arithmetic._arithmetic import Arithmetic, FunctionError
from errbound.number import BFLOAT16, BINARY32, FORMATS, accumulation


def _broken() -> str:
    """Settings under which torch's CPU kernels are not sums of binary32 products."""
    onednn: Any = torch.backends.mkldnn
    if not onednn.enabled or not onednn.is_available():
        return "oneDNN is off, so binary32 convolutions may use Winograd or FFT kernels (NNPACK)"
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # torch.backends.fp32_precision was set instead
        precision = "unknown"
    if precision != "highest":
        return "torch.set_float32_matmul_precision is not 'highest', so binary32 may be narrowed"
    for part in (onednn, getattr(onednn, "conv", None), getattr(onednn, "matmul", None)):
        if getattr(part, "fp32_precision", "none") not in ("none", "ieee"):
            return "torch.backends.mkldnn fp32_precision narrows binary32"
    return ""


TORCH_CPU = Arithmetic(
    name="torch-cpu",
    summary="torch on x86-64 CPUs: binary32 accumulation in any order, one rounding on store",
    assumptions=(
        "sums are trees of binary32 additions to nearest in any order, with or without FMA; "
        "no Winograd, no FFT, no 16-bit partial sums (oneDNN on, binary32 not narrowed: checked)",
        "exceptions in 16 bits: a transposed convolution may store the sum over channels of each "
        "tap, add the taps in 16 bits and the bias last; softmax over inner dimensions may store "
        "its exponentials, log-softmax over the last one its sum and the logarithm",
        "a sum of products is rounded to storage once, after the bias; a linear layer on an input "
        "of three or more dimensions may add the bias after that rounding, with another one",
        "binary16 and binary32 keep subnormals; bfloat16 sums of products may flush "
        "subnormal operands, products and partial sums to zero (oneDNN on AMX)",
        "formats without kernels of their own (TF32, E4M3, E5M2) are emulated: binary32 kernels on "
        "stored numbers, every result rounded to storage",
        "elementwise arithmetic is computed in binary32 and rounded to storage",
        "sigmoid and tanh of 16-bit values are those of this machine's kernels (exhaustive "
        "tables); in binary32 their error is the measured profile",
        "softmax subtracts the largest entry; its exponential and logarithm err within their "
        "profile, which allows 32 units in the last place for a fast exponential",
    ),
    intermediate=BINARY32,
    sums={f.name: accumulation(f, BINARY32, flush=f is BFLOAT16) for f in FORMATS},
    functions={
        "sigmoid": FunctionError(relative=2.0**-21, absolute=2.0**-125),
        "tanh": FunctionError(relative=2.0**-21, absolute=2.0**-125),
        # of softmax: torch has an exponential of 20 ulp, zero below 2^-126, for AVX-512
        "exp": FunctionError(relative=2.0**-18, absolute=2.0**-125),
        "log": FunctionError(relative=2.0**-21, absolute=2.0**-125),
    },
    broken=_broken,
    tables=True,
    partials16=True,
)
