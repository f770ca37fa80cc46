"""Data sets: samples, their labels and the digest of both.

A new data set is one row of :data:`DATASETS`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from errbound.data._dataset import Dataset as Dataset
from errbound.data._dataset import Preprocess as Preprocess
from errbound.data.cifar import load_cifar10 as load_cifar10
from errbound.data.idx import load_mnist as load_mnist
from errbound.data.idx import read_idx as read_idx
from errbound.data.npz import load_npz as load_npz
from errbound.errors import InputError

__all__ = [
    "DATASETS",
    "Dataset",
    "Preprocess",
    "Row",
    "load_cifar10",
    "load_mnist",
    "load_npz",
    "open_dataset",
    "read_idx",
]


@dataclass(frozen=True)
class Row:
    """A data set known by name.

    Attributes:
        name: What the user types.
        summary: One line for listings.
        load: Takes the folder of ``--data-dir`` or ``None``; raises :class:`InputError`.
    """

    name: str
    summary: str
    load: Callable[[Path | None], Dataset]


_ROWS = (
    Row("mnist", "MNIST test split, 10,000 grey images 1×28×28; embedded", load_mnist),
    Row(
        "cifar10", "CIFAR-10 test split, 10,000 colour images 3×32×32; from a folder", load_cifar10
    ),
)

DATASETS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})
"""The rows by name, in the order of listings."""


def open_dataset(spec: str, *, data_dir: Path | None = None) -> Dataset:
    """Open a data set by name, or a ``.npz`` file by path.

    Args:
        spec: A name of :data:`DATASETS` (names win: write ``./mnist`` for a file called ``mnist``),
            or the path of a file that is ``.npz`` by content, whatever its name.
        data_dir: Where a named data set looks for its files; ``None`` for its default place.

    Returns:
        The whole set: inputs uint8 or float32 of shape (N, ...), labels int64 (N,) or ``None``.

    Raises:
        InputError: If there is no such name or file, ``data_dir`` is given with a file, or the
            loader (:func:`load_mnist`, :func:`load_cifar10`, :func:`load_npz`) refuses the data.
    """
    if spec in DATASETS:
        return DATASETS[spec].load(data_dir)
    if not os.path.isfile(spec):
        raise InputError(
            f"{spec!r} is neither a data set nor a file: "
            f"give {', '.join(DATASETS)} or the path of a .npz file"
        )
    if data_dir is not None:
        raise InputError(f"{spec}: --data-dir does not apply to a file: leave it out")
    return load_npz(Path(spec))
