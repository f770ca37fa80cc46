"""Samples from a NumPy ``.npz`` archive; nothing in it is ever unpickled.

Source of the format: the NumPy manual, ``numpy.savez`` and ``numpy.lib.format``.
"""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from errbound.data._dataset import Dataset
from errbound.errors import InputError

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: an archive without members
_INPUTS = ("x", "inputs", "images")
_LABELS = ("y", "labels")
_SHOWN = 8  # names of arrays listed in a message


def load_npz(path: Path) -> Dataset:
    """Read inputs ``x`` (or ``inputs``, ``images``) and, if there, labels ``y`` (or ``labels``).

    Inputs have shape (N, ...), uint8 or floating (images: (N, C, H, W)), labels shape (N,),
    integer; :meth:`Dataset.from_arrays` says how they are converted. The file is known by its
    content, not by its name.

    Raises:
        InputError: If the file cannot be read, is no ``.npz`` or damaged, has no inputs or two
            arrays for one role, holds Python objects there, or has arrays that ``from_arrays``
            refuses.
    """
    try:
        with path.open("rb") as file:
            inputs, labels, names = _read(path, file)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from None
    if inputs is None:
        held = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
        raise InputError(
            f"{path}: no array {' or '.join(_INPUTS)} (it holds {held or 'nothing'}): "
            "write one with numpy.savez(file, x=..., y=...)"
        )
    return Dataset.from_arrays(inputs, labels, name=path.name, source=str(path))


def _read(
    path: Path, file: BinaryIO
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None, list[str]]:
    """The inputs, the labels and the names of all arrays."""
    if file.read(4) not in _ZIP_MAGICS:
        raise InputError(f"{path}: not a .npz file: write one with numpy.savez(file, x=..., y=...)")
    file.seek(0)
    try:
        # A damaged header can make numpy stop before the end of a member, where its checksum is.
        if zipfile.ZipFile(file).testzip() is not None:
            raise zipfile.BadZipFile
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            inputs, labels = _member(path, archive, _INPUTS), _member(path, archive, _LABELS)
            return inputs, labels, list(archive.files)
    except InputError:
        raise
    except Exception:  # what zipfile, zlib and numpy raise for damaged bytes is a long, open list
        raise InputError(
            f"{path}: not readable as .npz (damaged, encrypted or larger than memory): "
            "write it again with numpy.savez"
        ) from None


def _member(
    path: Path, archive: "np.lib.npyio.NpzFile", names: tuple[str, ...]
) -> npt.NDArray[Any] | None:
    """The one array that has one of the names, or ``None``."""
    present = [name for name in names if name in archive.files]
    if not present:
        return None
    if len(present) > 1:
        raise InputError(f"{path}: has both {' and '.join(present)}: keep one of them")
    name = present[0]
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(
            f"{path}: array {name} holds pickled Python objects, which are never loaded: "
            "save it as a plain numeric array"
        ) from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: member {name} is no NumPy array: write it with numpy.savez")
    return array
