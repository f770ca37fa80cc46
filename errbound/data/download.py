"""Fetching the files of a named data set from a place that the user names, and checking them.

Nothing is fetched unless asked for, and no address is known here. A file gets its name only after
its unpacked bytes had the official MD5; before that it is a temporary file, which never stays.
"""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from errbound.data._files import find_file, md5_unpacked, unpacking
from errbound.data._transfer import NotFound, Progress, check_url, last_part, open_url, receive
from errbound.data.named import DATASETS, VARIABLE, Layout
from errbound.errors import InputError

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_LARGEST, _EXPANDED = 1 << 26, 1 << 29  # most bytes, unpacked, of a file and of an archive


def fetch(
    name: str,
    url: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Fetch the files of a data set that are missing.

    Args:
        name: A key of :data:`errbound.data.DATASETS`.
        url: ``http``, ``https`` or ``file``: a folder with the files under their official names,
            plain or as ``.gz``; or one of these files; or a ``.tar.gz``, ``.tgz`` or ``.tar`` with
            some of them in it.
        data_dir: Where the files go, made if need be; ``None`` for the folder called as the data
            set within the one that the environment variable ``ERRBOUND_DATA`` names.
        split: As :func:`errbound.data.open_dataset` takes it.
        progress: Called with the name, the bytes fetched so far and, if known, their number.

    Returns:
        The files that were written; none if nothing was missing.

    Raises:
        InputError: If the data set is unknown or embedded, there is no folder for it, a file is
            there already with other content, or the address, the transfer or a checksum fails.
            Files that were verified before that are kept, nothing else.
    """
    if name not in DATASETS:
        raise InputError(f"{name}: --download applies to {', '.join(DATASETS)}: leave it out")
    check_url(url)
    row, root = DATASETS[name], os.environ.get(VARIABLE)
    called, known = row.split(split)
    if data_dir is None and known.embedded is not None:
        raise InputError(f"the {name} {called} split is embedded: leave out --download")
    if data_dir is None and not root:
        raise InputError(f"--download needs a folder: name it with --data-dir or {VARIABLE}")
    target = Path(root or "", row.folders[0]) if data_dir is None else Path(data_dir)
    places = [target] if data_dir is None else [target / child for child in row.folders]
    if not all(_missing(place, layout) for place in places for layout in known.layouts):
        return ()
    lacking = sorted((_missing(target, layout) for layout in known.layouts), key=len)
    everything = {file: md5 for missing in lacking for file, md5 in missing.items()}
    site, last = _Site(url, target, progress or (lambda name, done, total: None)), last_part(url)
    try:
        if last.endswith(_ARCHIVES):
            return site.archive(everything)
        if (file := last.removesuffix(".gz")) in everything:
            return (site.file(url, file, everything[file]),)
        return site.folder(lacking)
    except NotFound as absent:
        raise InputError(f"{absent}: not found: give another address") from None
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror}): name another folder"
        ) from None


def _missing(folder: Path, layout: Layout) -> dict[str, str]:
    """The files of the layout that are not in the folder; refuses one with other content."""
    missing = {}
    for name, md5 in layout.files.items():
        path = find_file([folder], name)
        if path is None:
            missing[name] = md5
        elif md5_unpacked(path, _LARGEST) != md5:
            raise InputError(
                f"{path}: is not the official file (MD5 unpacked {md5}): move it away, or leave "
                "out --download to use it"
            )
    return missing


@dataclass(frozen=True)
class _Site:
    """An address, and the folder that takes what comes from it."""

    url: str
    target: Path
    progress: Progress

    def folder(self, layouts: Iterable[Mapping[str, str]]) -> tuple[Path, ...]:
        """All files of the first layout that the address, a folder, has."""
        absent = []
        for files in layouts:
            try:
                return tuple(self._either(name, md5) for name, md5 in files.items())
            except NotFound as error:
                absent.append(str(error))
        raise NotFound(" and ".join(absent))

    def _either(self, name: str, md5: str) -> Path:
        url = f"{self.url.rstrip('/')}/{name}"
        with suppress(NotFound):
            return self.file(f"{url}.gz", name, md5)
        return self.file(url, name, md5)

    def file(self, url: str, name: str, md5: str) -> Path:
        """One file, plain or gzip by content."""
        with open_url(url) as answer, self._temporary() as path:
            receive(answer, url, path, self.progress)
            return self._keep(path, url, name, md5)

    def archive(self, files: Mapping[str, str]) -> tuple[Path, ...]:
        """The files that are in an archive, in whatever folder of it."""
        kept = []
        with open_url(self.url) as answer, self._temporary() as path:
            receive(answer, self.url, path, self.progress)
            try:
                for name, content in _members(path):
                    if name in files:
                        with self._temporary() as part:
                            with part.open("wb") as file:
                                shutil.copyfileobj(content, file)
                            source = f"{self.url}: {name}"
                            kept.append(self._keep(part, source, name, files[name]))
            except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error):
                raise InputError(
                    f"{self.url}: is a damaged archive: give another address"
                ) from None
        if not kept:
            raise InputError(f"{self.url}: holds none of {', '.join(files)}: give another address")
        return tuple(kept)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new file in the target; it is gone afterwards, unless it was renamed."""
        made = not self.target.exists()
        self.target.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".errbound-", dir=self.target)
        try:
            os.close(handle)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
            if made:
                with suppress(OSError):  # it is not empty
                    self.target.rmdir()

    def _keep(self, path: Path, source: str, name: str, md5: str) -> Path:
        """Verify a temporary file and give it its name."""
        try:
            found = md5_unpacked(path, _LARGEST)
        except InputError:
            found = "none: damaged gzip"
        if found != md5:
            raise InputError(
                f"{source}: wrong checksum (MD5 unpacked {found}, not {md5}): it was not kept: "
                "give another address"
            )
        with path.open("rb") as file:
            end = ".gz" if isinstance(unpacking(file), gzip.GzipFile) else ""
        path.chmod(0o644)
        return path.replace(self.target / (name + end))


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Last part of the name, and content, of each file in a tar archive, in bounded memory."""
    with path.open("rb") as file:
        bounded = cast(IO[bytes], _Bounded(unpacking(file)))
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield member.name.rpartition("/")[2], content


class _Bounded:
    """Reads no more than an archive of a data set can hold."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._file, self._left = file, _EXPANDED

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError
        return content
