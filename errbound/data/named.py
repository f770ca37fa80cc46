"""The data sets that are known by name: which files hold them, and how those are checked.

A new data set is one row of :data:`DATASETS`. Each checksum is that of the official files, MD5 of
the unpacked bytes; each ``sha256`` is ``Dataset.sha256`` of what they hold.

Sources: MNIST as in ``mnist/ATTRIBUTION.md``; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a
novel image dataset for benchmarking machine learning algorithms", 2017; A. Krizhevsky, "Learning
multiple layers of features from tiny images", 2009.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from errbound.data._dataset import Dataset
from errbound.data._files import find_file
from errbound.data.cifar import read_batches, read_records
from errbound.data.idx import read_pair
from errbound.errors import InputError

VARIABLE = "ERRBOUND_DATA"

_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """One way in which the files of a split are distributed.

    Attributes:
        read: Takes the paths of the files in their order; gives images, uint8 (N, C, H, W), and
            labels, uint8 (N,).
        files: MD5 of the unpacked bytes, by file name. A file may be gzip, with ``.gz`` behind its
            name.
    """

    read: Callable[[Sequence[Path]], tuple[_Bytes, _Bytes]]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Attributes:
        sha256: ``Dataset.sha256`` of the official content.
        layouts: The files, in one of these layouts.
        embedded: The folder in the package that holds them, if they are embedded.
    """

    sha256: str
    layouts: tuple[Layout, ...]
    embedded: Path | None = None


@dataclass(frozen=True)
class Row:
    """A data set known by name.

    Attributes:
        name: What the user types.
        folders: Where the files are looked for, relative to the given folder, in this order.
        splits: By name; the first is the default.
    """

    name: str
    folders: tuple[str, ...]
    splits: Mapping[str, Split]

    def split(self, name: str | None) -> tuple[str, Split]:
        """The split of that name, or the default, with its name.

        Raises:
            InputError: If there is no such split.
        """
        name = name or next(iter(self.splits))
        if name not in self.splits:
            raise InputError(
                f"{self.name} has no split {name!r}: choose --split {' or '.join(self.splits)}"
            )
        return name, self.splits[name]


def _idx(stem: str, images: str, labels: str) -> tuple[Layout, ...]:
    files = {f"{stem}-images-idx3-ubyte": images, f"{stem}-labels-idx1-ubyte": labels}
    return (Layout(read_pair, files),)


_ROWS = (
    Row(
        "mnist",
        ("mnist", "MNIST/raw", ""),
        {
            "test": Split(
                "43f04840a3a452473d488d1dcae5a71089116aff6fb1f07e3402092edfd9dac7",
                _idx(
                    "t10k", "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"
                ),
                embedded=Path(__file__).with_name("mnist"),
            ),
            "train": Split(
                "6cc8122a73186f7b0efd2821dee335e1f4ff439565a6f36f8c272eb246351431",
                _idx(
                    "train", "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"
                ),
            ),
        },
    ),
    Row(
        "fashion-mnist",
        ("fashion-mnist", "FashionMNIST/raw", ""),
        {
            "test": Split(
                "a312c04b3b5b70f0646e9d855f824b604d2226e53dba3c8b7885e098e837fb01",
                _idx(
                    "t10k", "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"
                ),
            ),
            "train": Split(
                "71fa44e48bee56f8ce7a8ec277e9a375fb3282b2fc5b1e1dbfde15615c619c20",
                _idx(
                    "train", "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9"
                ),
            ),
        },
    ),
    Row(
        "cifar10",
        ("cifar10", "cifar-10-batches-bin", "cifar-10-batches-py", ""),
        {
            "test": Split(
                "87aebb356cabeca187c71f3cffefc9cfb69c92537dd8b61cc1e5823efa7bb5bf",
                (
                    Layout(read_records, {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"}),
                    Layout(read_batches, {"test_batch": "40351d587109b95175f43aff81a1287e"}),
                ),
            ),
            "train": Split(
                "13b6d9b470d78cbd8d114f009b67d6bb1b34c83cd74a17d12776f463bfbf5b66",
                (
                    Layout(
                        read_records,
                        {
                            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
                            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
                            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
                            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
                            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
                        },
                    ),
                    Layout(
                        read_batches,
                        {
                            "data_batch_1": "c99cafc152244af753f735de768cd75f",
                            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                            "data_batch_4": "634d18415352ddfa80567beed471001a",
                            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                        },
                    ),
                ),
            ),
        },
    ),
)

DATASETS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})
"""The rows by name, in the order of listings."""


def load_named(row: Row, data_dir: Path | None, split: str | None) -> Dataset:
    """Load a split of a named data set.

    The files may hold any number of samples; the ``note`` says so if they are not the official
    ones. The first split is called as the row is, another one ``NAME-SPLIT``.

    Args:
        row: The data set.
        data_dir: The folder with the files, or its parent if the folder is called as
            ``row.folders`` says; ``None`` for the embedded copy, or, where there is none, the
            folder that the environment variable ``ERRBOUND_DATA`` names.
        split: A key of ``row.splits``; ``None`` for the first.

    Raises:
        InputError: If there is no such split, or files are missing or damaged: the message lists
            the official files with their checksums.
    """
    called, known = row.split(split)
    embedded = known.embedded if data_dir is None else None
    layout, paths = _found(row, called, known, data_dir)
    try:
        images, labels = layout.read(paths)
    except InputError as error:
        raise InputError(f"{error}; official: {wanted(layout.files)}") from None
    source = "embedded" if embedded else str(paths[0] if len(paths) == 1 else paths[0].parent)
    name = row.name if known is row.split(None)[1] else f"{row.name}-{called}"
    dataset = Dataset.from_arrays(images, labels, name=name, source=source)
    if dataset.sha256 == known.sha256:
        return dataset
    return dataset.with_note(f"the content is not that of the official {row.name} {called} split")


def wanted(files: Mapping[str, str]) -> str:
    """The files and their MD5 sums, for messages."""
    listed = ", ".join(f"{name} {md5}" for name, md5 in files.items())
    return f"{listed} (MD5 of the unpacked bytes)"


def _found(row: Row, called: str, split: Split, data_dir: Path | None) -> tuple[Layout, list[Path]]:
    """The first layout of which all files are in one folder, and their paths."""
    what = f"{row.name} {called} split"
    root, given = _root(what, split, data_dir)
    lacking = ""
    for folder in (root / child for child in row.folders):
        for layout in split.layouts:
            paths = {name: find_file([folder], name) for name in layout.files}
            present = [path for path in paths.values() if path is not None]
            if len(present) == len(paths):
                return layout, present
            if present and not lacking:
                absent = {name: md5 for name, md5 in layout.files.items() if paths[name] is None}
                lacking = f"{folder}: a part of the {what} is missing: put {wanted(absent)} there"
    if split.embedded:
        given += ", or leave it out to use the embedded copy"
    raise InputError(lacking or f"{root}: no {what} here: put {_any(split)} there ({given})")


def _root(what: str, split: Split, data_dir: Path | None) -> tuple[Path, str]:
    """Where to look, and who said so."""
    if data_dir is not None:
        return data_dir, "the folder is that of --data-dir"
    if split.embedded is not None:
        return split.embedded, "embedded"
    variable = os.environ.get(VARIABLE)
    if variable:
        return Path(variable), f"the folder is that of {VARIABLE}"
    raise InputError(
        f"the {what} is not embedded: put {_any(split)} in a folder, and name the folder with "
        f"--data-dir or {VARIABLE}"
    )


def _any(split: Split) -> str:
    layouts = " or else ".join(wanted(layout.files) for layout in split.layouts)
    return f"{layouts}, plain or as .gz,"
