"""The members of a ZIP file in memory, each verified: torch itself checks no checksum."""

import io
import struct
import zipfile
import zlib

from errbound.errors import InputError

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # PKWARE APPNOTE 4.3.7
_ENCRYPTED = 0x1
_AGAIN = "copy or download the file again"


def open_zip(data: bytes, path: str) -> zipfile.ZipFile:
    """The directory of a ZIP file; no member is read yet.

    Args:
        data: The whole file.
        path: What messages call it.

    Raises:
        InputError: If there is no complete directory, as in a truncated file.
    """
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError):
        raise InputError(f"{path}: truncated or damaged ZIP file: {_AGAIN}") from None


def verified_members(archive: zipfile.ZipFile, data: bytes, path: str) -> dict[str, memoryview]:
    """The members by name, as views of ``data``, after these checks.

    Each member is stored as it is (torch never compresses, so nothing can expand), lies between its
    neighbours without overlap, is called the same in both its headers, matches its CRC-32, and is
    there once; the first one begins the file.

    Args:
        archive: The directory, from :func:`open_zip` of the same ``data``.
        data: The whole file.
        path: What messages call it.

    Raises:
        InputError: If a check fails; the message names the member.
    """
    members: dict[str, memoryview] = {}
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        member = f"{path}: member {info.orig_filename!r}"
        if info.orig_filename in members:
            raise InputError(f"{member} is there twice, which torch never writes: {_AGAIN}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise InputError(f"{member} is compressed, which torch never does: save the model anew")
        if info.flag_bits & _ENCRYPTED:
            raise InputError(f"{member} is encrypted: save the model anew")
        begin = _begin_of_content(info, data)
        stop = -1 if begin is None else begin + info.file_size
        first_is_later = end == 0 and info.header_offset > 0
        if begin is None or first_is_later or info.header_offset < end or stop > archive.start_dir:
            raise InputError(f"{member} is not where the directory says: {_AGAIN}")
        content = memoryview(data)[begin:stop]
        if zlib.crc32(content) != info.CRC:
            raise InputError(f"{member} is damaged (its checksum does not match): {_AGAIN}")
        members[info.orig_filename] = content
        end = stop
    return members


def _begin_of_content(info: zipfile.ZipInfo, data: bytes) -> int | None:
    """Where the member's bytes begin; ``None`` if its local header contradicts the directory."""
    start = info.header_offset + _LOCAL_HEADER.size
    if info.header_offset < 0 or start > len(data):
        return None
    signature, _, flags, method, *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(
        data, info.header_offset
    )
    encoding = "utf-8" if flags & 0x800 else "cp437"
    name = data[start : start + name_length]
    agrees = (
        signature == b"PK\x03\x04"
        and method == info.compress_type
        and flags == info.flag_bits
        and name == info.orig_filename.encode(encoding, "replace")
    )
    return start + name_length + extra_length if agrees else None
