"""The IDX format, and the MNIST test split that is distributed in it.

Source of the format and of the data: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits" (``mnist/ATTRIBUTION.md``). An IDX file is two zero bytes, a type code (8:
uint8), the number of dimensions, each size as a big-endian 32-bit integer, then the values in C
order.
"""

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errbound.data._dataset import Dataset
from errbound.data._files import find_file, read_unpacked
from errbound.errors import InputError

_UINT8 = 8
_EMBEDDED = Path(__file__).with_name("mnist")
_IMAGES, _LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_MD5 = {
    _IMAGES: "2646ac647ad5339dbf082846283269ea",
    _LABELS: "27ae3e4e09519cfbb04c329615203637",
}
_OFFICIAL = "43f04840a3a452473d488d1dcae5a71089116aff6fb1f07e3402092edfd9dac7"  # Dataset.sha256


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


def load_mnist(data_dir: Path | None) -> Dataset:
    """The MNIST test split: uint8 images (10000, 1, 28, 28) and labels 0 … 9.

    Args:
        data_dir: ``None`` for the embedded copy, or a folder with ``t10k-images-idx3-ubyte`` and
            ``t10k-labels-idx1-ubyte`` (each plain or ``.gz``), which may hold any number of images
            of any size; the ``note`` says so if they are not the official ones.

    Raises:
        InputError: If a file is missing or is not as :func:`read_idx` asks, or the counts differ.
    """
    folder = _EMBEDDED if data_dir is None else data_dir
    images, labels = (
        read_idx(_mnist_file(folder, _IMAGES), 3),
        read_idx(_mnist_file(folder, _LABELS), 1),
    )
    if len(images) != len(labels):
        raise InputError(
            f"{folder}: {len(images)} images in {_IMAGES} but {len(labels)} labels in {_LABELS}: "
            "take both files from the same distribution"
        )
    source = "embedded" if data_dir is None else str(data_dir)
    dataset = Dataset.from_arrays(images[:, np.newaxis], labels, name="mnist", source=source)
    return dataset.compared_with(_OFFICIAL)


def _mnist_file(folder: Path, name: str) -> Path:
    path = find_file([folder], name)
    if path is None:
        raise InputError(
            f"{folder}: no file {name} or {name}.gz: put it there (MD5 unpacked {_MD5[name]}), "
            "or leave out --data-dir to use the embedded copy"
        )
    return path
