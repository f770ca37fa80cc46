"""What the tests of data sets share: official digests, small files, the one-line check."""

import hashlib
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errbound import data
from errbound.errors import InputError

REPOSITORY = Path(__file__).parents[2]
EMBEDDED = Path(data.__file__).with_name("mnist")
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
KNOWN = {  # bytes, MD5, SHA-256 of the official files, uncompressed
    IMAGES: (
        7_840_016,
        "2646ac647ad5339dbf082846283269ea",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    LABELS: (
        10_008,
        "27ae3e4e09519cfbb04c329615203637",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
OFFICIAL_GZ_MD5 = {
    IMAGES: "9fb629c4189551a2d022fa330f9573f3",
    LABELS: "ec29112dd5afa0611ce80d1b7f02629c",
}
CIFAR_MD5 = "803d5f7f4d78ea53de84dbe85f74fb6d"


def refused(act: Callable[[], object], *parts: object) -> None:
    """``act`` raises an InputError of one line that has all parts and quotes no traceback."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            act()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert not re.search(r"Traceback|File \"|Error\b", message), message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for part in parts:
        assert str(part) in message, message


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(array: np.ndarray, *, code: int = 8) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, code, array.ndim)) + sizes + array.tobytes()


def mnist_folder(folder: Path, images: bytes, labels: bytes) -> Path:
    (folder / IMAGES).write_bytes(images)
    (folder / LABELS).write_bytes(labels)
    return folder


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path


GREY = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)
DIGITS = np.array([7, 2, 1], dtype=np.uint8)
RECORDS = np.arange(4 * 3073, dtype=np.uint64).astype(np.uint8).reshape(4, 3073)
RECORDS[:, 0] = [3, 9, 0, 8]
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
