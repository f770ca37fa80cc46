"""``torch-cuda-assumed``: what is assumed of torch's CUDA kernels, without having probed them.

Sources: PyTorch documentation, "CUDA semantics" and "Numerical accuracy" (TF32 and reduced
precision reductions, both off here); NVIDIA CUDA C++ Programming Guide, "Mathematical functions"
(a few units in the last place of binary32 for the functions used).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from errbound.arithmetic._arithmetic import Arithmetic, FunctionError
from errbound.arithmetic.torch_cpu import TORCH_CPU
from errbound.number import BINARY32


def _broken() -> str:
    return "" if torch.cuda.is_available() else "torch finds no CUDA device"


@contextmanager
def _settings() -> Iterator[None]:
    """Binary32 products, full-precision partial sums and one kernel per shape; then as before."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    places = [
        (matmul, "allow_tf32"),
        (matmul, "allow_fp16_accumulation"),
        (matmul, "allow_fp16_reduced_precision_reduction"),
        (matmul, "allow_bf16_reduced_precision_reduction"),
        (cudnn, "allow_tf32"),
        (cudnn, "benchmark"),
    ]
    before = [getattr(owner, name) for owner, name in places]
    try:
        for owner, name in places:
            setattr(owner, name, False)
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            setattr(owner, name, value)


TORCH_CUDA_ASSUMED = Arithmetic(
    name="torch-cuda-assumed",
    summary="torch on CUDA devices, assumed, not probed: the sums of torch-cpu in any order",
    assumptions=(
        "assumed, not probed: no sentence below was tested on the device",
        "sums are trees of binary32 additions to nearest in any order, with or without FMA; no "
        "Winograd, no FFT, no 16-bit partial sums (TF32, reduced-precision reductions and cuDNN "
        "benchmarking are switched off)",
        "a bias may be added before the sum is stored, or after it with a rounding of its own",
        "bfloat16 sums of products may flush subnormal operands, products and partial sums to zero",
        "elementwise arithmetic is computed in binary32 and rounded to storage; a Python scalar "
        "may be rounded to storage first, a division by one may be a product with its reciprocal, "
        "bounds of clamps are rounded to storage; pooling divides as torch-cpu does",
        "elementary functions err by at most 2^-20 relative and 2^-125 absolute in binary32",
    ),
    sums=TORCH_CPU.sums,
    functions=dict.fromkeys(TORCH_CPU.functions, FunctionError(2.0**-20, 2.0**-125)),
    intermediate=BINARY32,
    broken=_broken,
    late_bias=True,
    device="cuda",
    settings=_settings,
    probed=False,
)
