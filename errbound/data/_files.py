"""Finding, reading and checking data files, plain or gzip."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from errbound.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def find_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file called ``name`` or ``name.gz`` in the folders, in their order, or ``None``."""
    candidates = (folder / (name + end) for folder in folders for end in ("", ".gz"))
    return next((path for path in candidates if os.path.isfile(path)), None)


def read_unpacked(path: Path) -> bytes:
    """All bytes of a file, unpacked if its content (not its name) says gzip.

    Raises:
        InputError: If the file cannot be read or is damaged.
    """
    with _readable(path):
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content


def md5_unpacked(path: Path, limit: int) -> str:
    """Hexadecimal MD5 of the bytes that :func:`read_unpacked` returns, in bounded memory.

    MD5 is what the publishers of data sets state; runs record a SHA-256 (``Dataset.sha256``).

    Args:
        path: The file.
        limit: Bytes, unpacked. What is longer is not read to its end, and has another digest.

    Raises:
        InputError: If the file cannot be read or is damaged.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with _readable(path), path.open("rb") as file:
        content, length = unpacking(file), 0
        while length <= limit and (chunk := content.read(_CHUNK)):
            digest.update(chunk)
            length += len(chunk)
    return digest.hexdigest()


def unpacking(file: BinaryIO) -> BinaryIO | gzip.GzipFile:
    """The file itself, or what unpacks it if its content says gzip."""
    packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: damaged gzip file: replace it with an intact copy") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from None
