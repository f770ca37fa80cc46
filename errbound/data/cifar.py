"""CIFAR-10 in its two layouts: binary records, and pickled batches of Python.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. An image is
3072 bytes: the red, green and blue plane, each 32 rows of 32 pixels. A binary record is one byte of
label and an image. A batch of ``cifar-10-batches-py`` is a pickled dict of Python 2: ``data`` is an
array (N, 3072), ``labels`` a list of N integers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errbound.data._files import read_unpacked
from errbound.data._unpickle import Array, DType, Refused, unpickle
from errbound.errors import InputError

_Bytes = npt.NDArray[np.uint8]

_IMAGE, _PIXELS, _CLASSES = (3, 32, 32), 3072, 10
_INTACT = "replace it with an intact copy"


def read_records(paths: Sequence[Path]) -> tuple[_Bytes, _Bytes]:
    """Images, uint8 (N, 3, 32, 32), and labels, uint8 (N,), of files of binary records.

    Raises:
        InputError: If a file is unreadable, empty, not a multiple of 3073 bytes long, or has a
            label above 9.
    """
    return _joined(paths, _records)


def read_batches(paths: Sequence[Path]) -> tuple[_Bytes, _Bytes]:
    """Images, uint8 (N, 3, 32, 32), and labels, uint8 (N,), of files of ``cifar-10-batches-py``.

    No code from a file is run: :func:`errbound.data._unpickle.unpickle` says how.

    Raises:
        InputError: If a file is unreadable, asks for anything but plain values and a NumPy array,
            or does not hold as many labels 0 … 9 as images of 3072 unsigned bytes.
    """
    return _joined(paths, _batch)


def _joined(
    paths: Sequence[Path], read: Callable[[Path], tuple[_Bytes, _Bytes]]
) -> tuple[_Bytes, _Bytes]:
    images, labels = zip(*map(read, paths), strict=True)
    if len(paths) == 1:
        return images[0], labels[0]
    return np.concatenate(images), np.concatenate(labels)


def _records(path: Path) -> tuple[_Bytes, _Bytes]:
    content = read_unpacked(path)
    size = _PIXELS + 1
    if not content or len(content) % size:
        raise InputError(
            f"{path}: {len(content)} bytes are not a whole number of records of {size}: {_INTACT}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    images, labels = records[:, 1:].reshape(-1, *_IMAGE), records[:, 0]
    if labels.max() >= _CLASSES:
        first = int(np.argmax(labels >= _CLASSES))
        raise InputError(
            f"{path}: label {labels[first]} of record {first} is above {_CLASSES - 1}: {_INTACT}"
        )
    return images, labels


def _batch(path: Path) -> tuple[_Bytes, _Bytes]:
    try:
        batch = unpickle(read_unpacked(path))
        if type(batch) is not dict:
            raise Refused(f"it holds a {type(batch).__name__}, not a dict")
        pixels, labels = _pixels(batch.get(b"data")), batch.get(b"labels")
        if type(labels) is not list or len(labels) != len(pixels):
            raise Refused(f"labels is not a list of {len(pixels)} integers, one per image")
        for index, label in enumerate(labels):
            if type(label) is not int or not 0 <= label < _CLASSES:
                raise Refused(f"label {index} is not an integer from 0 to {_CLASSES - 1}")
    except Refused as problem:
        raise InputError(
            f"{path}: refused as a batch of cifar-10-batches-py: {problem}: {_INTACT}"
        ) from None
    return pixels.reshape(-1, *_IMAGE), np.array(labels, np.uint8)


def _pixels(array: object) -> _Bytes:
    """The array that the pickle describes, made from its bytes alone."""
    if type(array) is not Array or type(array.state) is not tuple or len(array.state) != 5:
        raise Refused("data is no NumPy array")
    _, shape, dtype, fortran, content = array.state
    if type(dtype) is not DType or dtype.args[:1] != (b"u1",):
        raise Refused("data is no array of unsigned bytes")
    if type(shape) is not tuple or len(shape) != 2 or any(type(n) is not int for n in shape):
        raise Refused("data has no two dimensions")
    if shape[0] < 1 or shape[1] != _PIXELS:
        raise Refused(f"data has shape {shape}, not (N, {_PIXELS})")
    if fortran is not False or type(content) is not bytes or len(content) != shape[0] * _PIXELS:
        raise Refused(f"data does not hold {shape[0]} x {_PIXELS} bytes in C order")
    return np.frombuffer(content, np.uint8).reshape(shape)
