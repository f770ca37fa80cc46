"""The journal of a run: a header, then one record per finished batch, each on a checked line.

A line is ``<16 hexadecimal digits of BLAKE2b> <JSON>``. A line whose digest is wrong (the end of a
file that was being written when the process was killed) and all that follows it do not count.
Floats are written by ``repr`` and so read back exactly; NaN and infinities as JSON's dialect of
Python has them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from errbound.errors import InputError
from errbound.report.files import disk, write_whole

Record = dict[str, Any]


class Records(Protocol):
    """What a run's results are made of: in memory or in a file."""

    @property
    def header(self) -> Record:
        """Facts about the run, and its nodes."""

    def __iter__(self) -> Iterator[Record]:
        """One record per finished batch, in order."""

    def append(self, record: Record) -> None:
        """Keep the record of the next batch."""


class Memory:
    """Records in memory, for runs without a directory."""

    def __init__(self, header: Record) -> None:
        self.header = header
        self._records: list[Record] = []

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def append(self, record: Record) -> None:
        """Keep the record of the next batch."""
        self._records.append(record)


class Journal:
    """Records in a file, read as often as wanted, appended to by one process.

    Args:
        path: of an existing journal (:meth:`create` makes one).

    Raises:
        InputError: the file cannot be read or has no valid header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        with disk(path, "read"), open(path, "rb") as file:
            first = _parsed(file.readline())
        if first is None:
            raise InputError(f"{path}: is not the journal of a run: use --overwrite")
        self.header = first

    @classmethod
    def create(cls, path: Path, header: Record) -> Journal:
        """Start a journal; it exists with its whole header or not at all."""
        write_whole(path, [_line(header)])
        return cls(path)

    def __iter__(self) -> Iterator[Record]:
        with disk(self.path, "read"), open(self.path, "rb") as file:
            for line in file:
                record = _parsed(line)
                if record is None:
                    return
                if "header" not in record:
                    yield record

    def __enter__(self) -> Journal:
        """Open for appending: drop a torn end, refuse a second writer."""
        with disk(self.path):
            self._file = open(self.path, "r+b")
            lock(self._file, self.path)
            end = 0
            for line in self._file:
                if _parsed(line) is None:
                    break
                end += len(line)
            self._file.seek(end)
            self._file.truncate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, record: Record) -> None:
        """Write the record and wait until it is on disk.

        Raises:
            InputError: the disk refuses.
        """
        with disk(self.path):
            self._file.write(_line(record))
            self._file.flush()
            os.fsync(self._file.fileno())


def _line(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return _digest(text) + b" " + text + b"\n"


def _parsed(line: bytes) -> Record | None:
    digest, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or digest != _digest(text[:-1]):
        return None
    found: Record = json.loads(text)
    return found


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def lock(file: Any, path: Path) -> None:
    """Hold the journal alone until it is closed, where the system has advisory locks.

    Raises:
        InputError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path.parent}: another errbound is writing to this run") from None
