"""Data sets: samples, their labels and the digest of both.

A new data set is one row of :data:`DATASETS`, in ``named.py``.
"""

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from errbound.data._dataset import Dataset as Dataset
from errbound.data._dataset import Preprocess as Preprocess
from errbound.data.download import fetch as fetch
from errbound.data.folder import load_folder as load_folder
from errbound.data.folder import parse_size as parse_size
from errbound.data.idx import read_idx as read_idx
from errbound.data.named import DATASETS as DATASETS
from errbound.data.named import Row as Row
from errbound.data.named import load_named as load_named
from errbound.data.npz import load_npz as load_npz
from errbound.errors import InputError

__all__ = [
    "DATASETS",
    "DataSpec",
    "Dataset",
    "Preprocess",
    "Row",
    "fetch",
    "load_folder",
    "load_named",
    "load_npz",
    "open_dataset",
    "parse_size",
    "read_idx",
]


@dataclass(frozen=True)
class DataSpec:
    """How a data set was asked for: plain text, so that a run can record it and reopen it.

    ``dataclasses.asdict`` gives what JSON can hold, ``DataSpec(**recorded)`` reads it.

    Attributes:
        data: A name of :data:`DATASETS`, or the path of a folder or file.
        data_dir: The folder of ``--data-dir``; ``~`` is the home folder.
        split: The split of a named data set.
        size: "H,W" or "N", in pixels, for a folder of images.
    """

    data: str
    data_dir: str | None = None
    split: str | None = None
    size: str | None = None

    @property
    def folder(self) -> Path | None:
        """``data_dir`` as a path, or ``None``."""
        return None if self.data_dir is None else Path(self.data_dir).expanduser()

    def open(self) -> Dataset:
        """The data set.

        Raises:
            InputError: As :func:`open_dataset` and :func:`parse_size` do.
        """
        size = None if self.size is None else parse_size(self.size)
        return open_dataset(self.data, data_dir=self.folder, split=self.split, size=size)

    def __str__(self) -> str:
        """The options of the command line that ask for it."""
        given = ((f"--{k.replace('_', '-')}", v) for k, v in asdict(self).items() if v is not None)
        return shlex.join(word for pair in given for word in pair)


def open_dataset(
    spec: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    size: tuple[int, int] | None = None,
) -> Dataset:
    """Open a data set by name, a folder of images or a ``.npz`` file by path.

    Args:
        spec: A name of :data:`DATASETS` (names win: write ``./mnist`` for a file called ``mnist``),
            or the path of a folder, or of a file that is ``.npz`` by content, whatever its name.
        data_dir: Where a named data set looks for its files; ``None`` for its default place.
        split: The split of a named data set, ``"test"`` or ``"train"``; ``None`` for ``"test"``.
        size: Height and width in pixels, to which images of a folder are resized.

    Returns:
        The whole set: inputs uint8 or float32 of shape (N, ...), labels int64 (N,) or ``None``.

    Raises:
        InputError: If there is no such name, folder or file, an argument is given that does not
            apply, or the loader (:func:`load_named`, :func:`load_folder`, :func:`load_npz`) refuses
            the data.
    """
    named, folder = spec in DATASETS, os.path.isdir(spec)
    if not (named or folder or os.path.isfile(spec)):
        raise InputError(
            f"{spec!r} is neither a data set nor a folder nor a file: "
            f"give {', '.join(DATASETS)}, a folder of images or the path of a .npz file"
        )
    for option, value, applies in (
        ("--data-dir", data_dir, named),
        ("--split", split, named),
        ("--size", size, folder and not named),
    ):
        if value is not None and not applies:
            kind = "a named data set" if named else "a folder of images" if folder else "a file"
            raise InputError(f"{spec}: {option} does not apply to {kind}: leave it out")
    if named:
        return load_named(DATASETS[spec], None if data_dir is None else Path(data_dir), split)
    return load_folder(Path(spec), size) if folder else load_npz(Path(spec))
