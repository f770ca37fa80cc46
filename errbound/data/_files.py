"""Finding and reading data files, plain or gzip."""

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from errbound.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"


def find_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file called ``name`` or ``name.gz`` in the folders, in their order, or ``None``."""
    candidates = (folder / (name + end) for folder in folders for end in ("", ".gz"))
    return next((path for path in candidates if os.path.isfile(path)), None)


def read_unpacked(path: Path) -> bytes:
    """All bytes of a file, unpacked if its content (not its name) says gzip.

    Raises:
        InputError: If the file cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: damaged gzip file: replace it with an intact copy") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from None
