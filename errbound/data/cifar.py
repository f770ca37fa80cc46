"""The CIFAR-10 test split in its binary layout.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. A record is
one byte of label and 3072 bytes of image: the red, green and blue plane, each 32 rows of 32 pixels.
"""

import os
from pathlib import Path

import numpy as np

from errbound.data._dataset import Dataset
from errbound.data._files import find_file, read_unpacked
from errbound.errors import InputError

_FILE, _MD5 = "test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"
_VARIABLE = "ERRBOUND_DATA"
_CHILDREN = ("", "cifar-10-batches-bin", "cifar10")
_IMAGE = (3, 32, 32)
_RECORD, _CLASSES = 3073, 10
_OFFICIAL = "87aebb356cabeca187c71f3cffefc9cfb69c92537dd8b61cc1e5823efa7bb5bf"  # Dataset.sha256


def load_cifar10(data_dir: Path | None) -> Dataset:
    """The CIFAR-10 test split: uint8 images (10000, 3, 32, 32) and labels 0 … 9.

    Args:
        data_dir: The folder with ``test_batch.bin`` (plain or ``.gz``), or the parent of that
            folder if it is called ``cifar-10-batches-bin`` or ``cifar10``; ``None`` for the folder
            that the environment variable ``ERRBOUND_DATA`` names. The file may hold any number of
            records; the ``note`` says so if they are not the official ones.

    Raises:
        InputError: If the file is missing, unreadable, empty, not a multiple of 3073 bytes long, or
            has a label above 9.
    """
    path = _locate(data_dir)
    content = read_unpacked(path)
    if not content or len(content) % _RECORD:
        raise InputError(
            f"{path}: {len(content)} bytes are not a whole number of records of {_RECORD}: "
            f"replace it with an intact {_FILE} (MD5 unpacked {_MD5})"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    images, labels = records[:, 1:].reshape(-1, *_IMAGE), records[:, 0]
    if labels.max() >= _CLASSES:
        first = int(np.argmax(labels >= _CLASSES))
        raise InputError(
            f"{path}: label {labels[first]} of record {first} is above {_CLASSES - 1}: "
            f"give the CIFAR-10 file {_FILE} (MD5 unpacked {_MD5})"
        )
    dataset = Dataset.from_arrays(images, labels, name="cifar10", source=str(path))
    return dataset.compared_with(_OFFICIAL)


def _locate(data_dir: Path | None) -> Path:
    wanted = f"{_FILE} or {_FILE}.gz (MD5 unpacked {_MD5})"
    variable = os.environ.get(_VARIABLE)
    if data_dir is None and not variable:
        raise InputError(
            f"cifar10 is not embedded: put {wanted} in a folder, "
            f"and name the folder with --data-dir or {_VARIABLE}"
        )
    folder = Path(variable or "") if data_dir is None else data_dir
    path = find_file([folder / child for child in _CHILDREN], _FILE)
    if path is None:
        named = _VARIABLE if data_dir is None else "--data-dir"
        raise InputError(f"{folder}: no CIFAR-10 in this folder ({named}): put {wanted} there")
    return path
