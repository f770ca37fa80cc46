"""Files that are whole or absent: written beside, flushed to disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from errbound.errors import InputError


@contextmanager
def disk(path: Path, action: str = "written") -> Iterator[None]:
    """Turn an ``OSError`` (no space, no permission, ...) into one line that names ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be {action} ({error.strerror or error}): free space, change the "
            "permissions or choose another place"
        ) from error


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Replace ``path`` by the concatenated ``chunks``, or leave it as it was.

    Raises:
        InputError: the disk refuses.
    """
    beside = path.with_name(f".{path.name}.tmp")
    with disk(path):
        try:
            with open(beside, "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in ``folder`` survive a loss of power, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
