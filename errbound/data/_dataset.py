"""A labelled set of samples, kept compact and turned into binary32 tensors batch by batch."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from errbound.errors import InputError
from errbound.number import down, up

Inputs = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

_HASHED_ROWS = 64  # samples hashed at a time: bounds the copy made of a strided array


@dataclass(frozen=True, eq=False)
class Dataset:
    """N samples in the order in which their indexes 0 … N − 1 are reported.

    Make one with :meth:`from_arrays`, which checks the arrays and computes the digest.

    Attributes:
        name: What reports call it.
        source: The path it was read from, or ``"embedded"``.
        sha256: Hexadecimal digest of the content (:meth:`from_arrays` says of which bytes).
        inputs: Read-only array of shape (N, ...), uint8 or float32, images as (N, C, H, W).
        labels: Read-only int64 array of shape (N,), class indexes from 0, or ``None``.
        note: What a reader of a report must know about these data; empty if nothing.
    """

    name: str
    source: str
    sha256: str
    inputs: Inputs = field(repr=False)
    labels: Labels | None = field(repr=False)
    note: str = ""

    @classmethod
    def from_arrays(
        cls,
        inputs: npt.NDArray[Any],
        labels: npt.NDArray[Any] | None = None,
        *,
        name: str = "arrays",
        source: str = "memory",
    ) -> "Dataset":
        """Check and wrap arrays, which must not be written to afterwards.

        uint8 and native float32 arrays are kept without a copy; other floating types are
        converted to float32, rounded to nearest even where they are wider (``note`` says so).
        NaN and infinities are kept: they are a matter for the verdict.

        The digest is SHA-256 over, for ``inputs`` and then ``labels`` (if any), the ASCII line
        ``<dtype> <shape>\\n``, e.g. ``|u1 (10000, 1, 28, 28)``, and the values in C order,
        little-endian.

        Args:
            inputs: Shape (N, ...), not empty, uint8 or floating.
            labels: Shape (N,), any integer type, values in 0 … 2^63 − 1.
            name: What reports call it.
            source: Where it comes from, for reports and messages.

        Raises:
            InputError: For an empty array, another dtype or shape, or a label out of range.
        """
        if inputs.ndim == 0 or inputs.size == 0:
            raise InputError(
                f"{source}: inputs of shape {inputs.shape} hold no samples: give an array (N, ...)"
            )
        kept, note = _compact(inputs, source)
        kept = _read_only(kept)
        if labels is not None:
            labels = _read_only(_class_indexes(labels, len(kept), source))
        return cls(name, source, _digest(kept, labels), kept, labels, note)

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def batch(self, start: int, stop: int) -> torch.Tensor:
        """Samples ``start`` … ``stop − 1`` as a new contiguous float32 CPU tensor (n, ...).

        uint8 values v become v / 255, divided in binary32 (``x.float() / 255``), in [0, 1];
        float32 values are unchanged. Only these n samples are ever held as float32.

        Raises:
            InputError: Unless 0 ≤ start < stop ≤ N.
        """
        if not 0 <= start < stop <= len(self):
            raise InputError(
                f"{self.name}: no batch from {start} to {stop}: it has samples 0 to {len(self) - 1}"
            )
        chunk = torch.from_numpy(self.inputs[start:stop].astype(np.float32, order="C"))
        return chunk / 255 if self.inputs.dtype == np.uint8 else chunk

    def window(self, offset: int = 0, limit: int | None = None) -> range:
        """Indexes of at most ``limit`` samples from ``offset`` on (``None``: all of them).

        The range is never empty and never leaves 0 … N − 1.

        Raises:
            InputError: If ``offset`` is not an index of a sample, or ``limit`` is below 1.
        """
        if not 0 <= offset < len(self):
            raise InputError(
                f"{self.name}: no sample at offset {offset}: choose one from 0 to {len(self) - 1}"
            )
        if limit is None:
            return range(offset, len(self))
        if limit < 1:
            raise InputError(f"{self.name}: a limit of {limit} leaves no samples: choose 1 or more")
        return range(offset, min(offset + limit, len(self)))

    def with_note(self, note: str) -> "Dataset":
        """The same data with another ``note``."""
        return replace(self, note=note)


@dataclass(frozen=True)
class Preprocess:
    """``(x − mean) / std`` per channel, two binary32 operations outside the analysed program.

    Both take one value for all channels or one per channel. The values are rounded to binary32
    first; the difference and the quotient are each rounded to nearest even. The default is the
    identity.

    Raises:
        InputError: For no values, a mean or std that is not finite in binary32, or std ≤ 0 there.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for option, values in (("mean", self.mean), ("std", self.std)):
            stored = torch.tensor(values, dtype=torch.float32)
            if not values or not bool(stored.isfinite().all()):
                raise InputError(
                    f"{option} {_listed(values)}: give one or more finite numbers of binary32"
                )
            if option == "std" and not bool((stored > 0).all()):
                raise InputError(f"std {_listed(values)}: each value must be above 0 in binary32")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply to a float32 tensor (n, C, ...); the result has its shape and dtype.

        Raises:
            InputError: If ``mean`` or ``std`` has neither 1 nor C values (C = 1 for shape (n,)).
        """
        mean, std = self._per_channel("mean", self.mean, x), self._per_channel("std", self.std, x)
        return (x - mean) / std

    def ends(self, x: torch.Tensor, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Smallest and largest preprocessed input of the ball of a radius around each sample.

        The ball around a sample: every tensor of binary32 numbers x' with |x'_k - x_k| <= R in
        every place k, R the decimal that was written for ``radius`` or the binary64 number itself.
        The ends returned have l_k <= self(x')_k <= h_k for all of them:

        - R <= r, the binary64 number after ``radius``: a decimal is read to nearest.
        - x + r, rounded to nearest in binary64, lies at most half a step below; the next binary64
          number is not below x + r. Taken to binary32 it is rounded to nearest; where that goes
          down, the next binary32 number is taken. So x' <= x + R <= h' for the end h' before
          preprocessing, and l' <= x' likewise.
        - x -> fl(x - mean) and y -> fl(y / std), std > 0, are nondecreasing: exact difference and
          quotient are, and so is rounding to nearest. Both take the same values everywhere, for
          they are single IEEE 754 operations. So self(l')_k <= self(x')_k <= self(h')_k.

        Args:
            x: float32 (n, C, ...), before preprocessing.
            radius: in the units of x, 0 <= radius < infinity.

        Returns:
            Two tensors shaped as x, float32; infinite where the range of binary32 is left.
        """
        r = math.nextafter(radius, math.inf)
        low, high = down(x.double() - r), up(x.double() + r)
        lo, hi = low.float(), high.float()
        beyond = torch.full_like(lo, torch.inf)
        lo = torch.where(lo.double() > low, torch.nextafter(lo, -beyond), lo)
        hi = torch.where(hi.double() < high, torch.nextafter(hi, beyond), hi)
        return self(lo), self(hi)

    @staticmethod
    def _per_channel(option: str, values: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1] if x.ndim > 1 else 1
        if len(values) not in (1, channels):
            raise InputError(
                f"{option} {_listed(values)}: {len(values)} values for samples of shape "
                f"{tuple(x.shape[1:])}: give 1 or {channels}"
            )
        stored = torch.tensor(values, dtype=torch.float32, device=x.device)
        return stored.reshape(-1, *[1] * max(x.ndim - 2, 0))


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values)) or "(empty)"


def _compact(inputs: npt.NDArray[Any], source: str) -> tuple[Inputs, str]:
    """The array as native uint8 or float32, of any strides, and a note on what was lost."""
    if inputs.dtype == np.uint8:
        return inputs, ""
    if inputs.dtype.kind != "f":
        raise InputError(
            f"{source}: inputs have dtype {inputs.dtype.name}: "
            "save them as float32, or as uint8 to have them divided by 255"
        )
    with np.errstate(all="ignore"):
        kept = inputs.astype(np.float32, copy=False)
    if np.can_cast(inputs.dtype, np.float32):
        return kept, ""
    note = f"inputs were rounded from {inputs.dtype.name} to float32"
    overflowed = int(np.isinf(kept).sum()) - int(np.isinf(inputs).sum())
    return kept, f"{note}; {overflowed} finite values became infinite" if overflowed else note


def _class_indexes(labels: npt.NDArray[Any], count: int, source: str) -> Labels:
    """The labels as int64 (count,); values beyond int64 wrap, so are refused as negative."""
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{source}: labels have dtype {labels.dtype.name}: save class indexes as int64"
        )
    if labels.shape != (count,):
        raise InputError(
            f"{source}: labels have shape {labels.shape}, inputs hold {count} samples: "
            f"give one class index per sample, shape ({count},)"
        )
    indexes = labels.astype(np.int64)
    if bool((indexes < 0).any()):
        first = int(np.argmax(indexes < 0))
        raise InputError(
            f"{source}: label {labels[first]} of sample {first} is no class index: "
            "count classes from 0"
        )
    return indexes


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def _digest(*arrays: npt.NDArray[Any] | None) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            continue
        stored = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{stored.dtype.str} {stored.shape}\n".encode())
        for start in range(0, len(stored), _HASHED_ROWS):
            rows = np.ascontiguousarray(stored[start : start + _HASHED_ROWS])
            digest.update(rows.reshape(-1).data)
    return digest.hexdigest()
