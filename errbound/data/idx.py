"""The IDX format, in which MNIST and Fashion-MNIST are distributed.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"
(``mnist/ATTRIBUTION.md``). An IDX file is two zero bytes, a type code (8: uint8), the number of
dimensions, each size as a big-endian 32-bit integer, then the values in C order.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errbound.data._files import read_unpacked
from errbound.errors import InputError

_UINT8 = 8


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip.

    Args:
        path: The file.
        ndim: The number of dimensions it must have: 3 for images, 1 for labels.

    Returns:
        A read-only uint8 array with the sizes that the file states, none of them 0.

    Raises:
        InputError: For an unreadable file, another magic number, type or number of dimensions, a
            size of 0, and more or fewer bytes than the sizes ask for.
    """
    content = read_unpacked(path)
    start = 4 + 4 * ndim
    magic = bytes((0, 0, _UINT8, ndim))
    if content[:4] != magic:
        raise InputError(
            f"{path}: starts with {content[:4].hex() or 'nothing'}, not with {magic.hex()}: "
            f"give an IDX file of unsigned bytes in {ndim} dimension{'s' if ndim > 1 else ''}"
        )
    if len(content) < start:
        raise InputError(f"{path}: truncated in its header: replace it with an intact copy")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    expected, found = math.prod(shape), len(content) - start
    if expected == 0:
        raise InputError(f"{path}: holds no data (sizes {shape}): give a file with samples")
    if found != expected:
        problem = "truncated" if found < expected else "trailing bytes"
        raise InputError(
            f"{path}: {problem}: {found} bytes of data where sizes {shape} ask for {expected}: "
            "replace it with an intact copy"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_pair(paths: Sequence[Path]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Grey images, uint8 (N, 1, H, W), and labels, uint8 (N,), from the two files in this order.

    Raises:
        InputError: If a file is not as :func:`read_idx` asks, or the counts differ.
    """
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if len(images) != len(labels):
        raise InputError(
            f"{paths[0].parent}: {len(images)} images in {paths[0].name} but {len(labels)} labels "
            f"in {paths[1].name}: take both files from the same distribution"
        )
    return images[:, np.newaxis], labels
