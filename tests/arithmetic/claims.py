"""Claims about kernels: formulas, and the numbers that tell them from wrong ones."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import dtype as Type

SIZES = (1, 7, 64, 65)
BATCHES = (1, 2, 8, 65)  # kernels are chosen by batch size
HALF, BRAIN, SINGLE = torch.float16, torch.bfloat16, torch.float32
F32, F64 = np.float32, np.float64
FORMS = (torch.contiguous_format, torch.channels_last)
DTYPES = pytest.mark.parametrize("dtype", [HALF, BRAIN, SINGLE], ids=str)
Kernel = Callable[..., Tensor]


class Claim:
    """Compares kernels with formulas; counts where the wrong ones were refuted."""

    def __init__(self) -> None:
        self.refuted: Counter[str] = Counter()

    def holds(self, got: Tensor, *admitted: Tensor, **wrong: Tensor) -> None:
        """Every entry of ``got`` is one of the admitted values (zeros of either sign)."""
        fits = torch.zeros(got.shape, dtype=torch.bool)
        for value in admitted:
            assert value.dtype == got.dtype
            fits |= got == value
        assert fits.all(), (got[~fits][:5], [v.expand(got.shape)[~fits][:5] for v in admitted])
        self.refuted.update({name: int((got != value).sum()) for name, value in wrong.items()})


def store(values: np.ndarray | Tensor, dtype: Type) -> Tensor:
    """Binary32 numbers, rounded once to storage (``test_store_...``)."""
    assert values.dtype in (SINGLE, F32)
    return torch.as_tensor(values).to(dtype)


def raw(x: Tensor) -> np.ndarray:
    """A stored tensor as binary32 numbers (exact)."""
    return x.float().numpy()


def fma(term: np.ndarray, addend: np.ndarray) -> np.ndarray:
    """fl32(term + addend) for a product that binary64 holds: to odd by two-sum, then nearest."""
    p, c = np.broadcast_arrays(np.asarray(term, F64), np.asarray(addend, F64))
    s = p + c
    t = s - p
    error = (p - (s - t)) + (c - t)
    bits = s.view(np.int64)
    step = np.where((error > 0) == (s > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0), bits + step, bits).view(F64).astype(F32)


def wide(dtype: Type, *shape: int) -> Tensor:
    """Numbers of both signs over some binades, none near the subnormals."""
    x = torch.randn(shape) * torch.exp2(torch.randint(-3, 4, shape))
    return torch.where(x.abs() < 2.0**-6, 0.75, x).to(dtype)


def whole(bits: int, *shape: int) -> Tensor:
    """Binary64 integers below 2^bits: their products and sums are exact in any order."""
    return torch.randint(1 - 2**bits, 2**bits, shape).double()


def layouts(dtype: Type, size: int) -> Iterator[Tensor]:
    """Vector paths and scalar tails: contiguous, strided, channels last, transposed."""
    yield wide(dtype, size)
    yield wide(dtype, 2 * size)[::2]
    yield wide(dtype, 2, size, 3, 2).to(memory_format=torch.channels_last)
    yield wide(dtype, size, 3).t()
