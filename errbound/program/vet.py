"""Vetting torch.export archives, before torch sees them.

``torch.export.load`` (torch 2.13) runs code from the file in many ways: sample inputs,
``use_pickle`` weights and opaque constants are unpickled, symbolic sizes go to ``sympy.sympify``
(``eval``), guards to ``exec``, node and argument names into source that torch.fx executes, tree
specifications to ``importlib``, operator names to ``getattr``. It checks no checksum.

So the archive is read here. Every member is verified (``_members.py``), every JSON value recognised
by an allow-list (``_schema.py``), the sample inputs unpickled as plain tensors. What was recognised
is written to a new archive in memory, and torch reads that one.
"""

import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from errbound.errors import InputError
from errbound.program._parsers import Parser, Refusal, refuse
from errbound.program._pickles import NeedsCode, Unreadable, load_plain
from errbound.program._schema import ITEM_SIZES, PROGRAM, decode, payloads, sample_inputs
from errbound.program._text import plain

_NAME = r"[\w.-]+"
_ALLOWED = re.compile(
    r"archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id|extra/.*"
    rf"|models/{_NAME}\.json|data/sample_inputs/{_NAME}\.pt"
    rf"|data/weights/(weight_\d+|{_NAME}_weights_config\.json)"
    rf"|data/constants/(tensor_\d+|{_NAME}_constants_config\.json)",
    re.ASCII,
)
_PICKLED = re.compile(r"data/(weights|constants)/(.*\.pt|(custom|opaque)_obj_.*)")


def vet_archive(members: Mapping[str, memoryview], path: str) -> tuple[str, bytes]:
    """Rebuild an archive of ``torch.export.save`` from what is known to be harmless in it.

    Args:
        members: The verified members of the file, by name.
        path: What messages call the file.

    Returns:
        The program's name in the archive, and the bytes of a new archive with that one program:
        weights and constants unchanged, sample inputs saved anew, of the nodes' metadata only the
        stack trace and the module stack. Reading it with torch runs no code from the file.

    Raises:
        InputError: If anything in the archive is not on the allow-list; the message names the
            member and the place in it.
    """
    try:
        return _rebuilt(_without_root(members))
    except Refusal as refusal:
        raise InputError(
            f"{path}: refused before torch reads it: {plain(refusal)}: "
            "export the model again with torch.export.save"
        ) from None


def _rebuilt(members: Mapping[str, memoryview]) -> tuple[str, bytes]:
    for member in members:
        if _PICKLED.fullmatch(member):
            raise refuse(member, "is a pickled object, which can run code")
        if not _ALLOWED.fullmatch(member):
            raise refuse(member, "is no member of a torch.export archive")
    for member, value in (("archive_format", b"pt2"), ("archive_version", b"0")):
        if _read(members, member) != value:
            raise refuse(member, f"is {_read(members, member)[:20]!r}, not {value!r}")
    if _read(members, "byteorder") != sys.byteorder.encode():
        raise refuse("byteorder", "is not that of this machine")

    programs = [match[1] for name in members if (match := re.match(r"models/(.*)\.json", name))]
    if len(programs) != 1:
        raise refuse("models/", f"holds {len(programs)} programs, not one")
    name = programs[0]
    contents: dict[str, bytes | memoryview] = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": sys.byteorder.encode(),
        ".data/version": b"6\n",
        f"models/{name}.json": _json(members, f"models/{name}.json", PROGRAM)[1],
        f"data/sample_inputs/{name}.pt": _sample_inputs(members, f"data/sample_inputs/{name}.pt"),
    }
    for folder, prefix in (("weights", "weight_"), ("constants", "tensor_")):
        config = f"data/{folder}/{name}_{folder}_config.json"
        entries, contents[config] = _json(members, config, payloads(prefix))
        contents |= _payloads(members, f"data/{folder}", entries["config"], config)
    return name, _packed(contents)


def _without_root(members: Mapping[str, memoryview]) -> dict[str, memoryview]:
    """The members without the folder that torch puts them all in."""
    roots = {name.partition("/")[0] for name in members}
    if len(roots) != 1:
        raise refuse("the archive", "has more than one top folder")
    return {name.partition("/")[2]: content for name, content in members.items()}


def _read(members: Mapping[str, memoryview], member: str) -> bytes:
    if member not in members:
        raise refuse(member, "is missing")
    return bytes(members[member])


def _json(members: Mapping[str, memoryview], member: str, parser: Parser) -> tuple[Any, bytes]:
    """What the parser made of a JSON member: the value, and the JSON text to write for it."""
    try:
        written = _read(members, member).decode("utf-8")
        parsed = parser(decode(written, f"{member}:"), f"{member}:")
        return parsed, json.dumps(parsed).encode()
    except (UnicodeDecodeError, RecursionError):
        raise refuse(member, "is not JSON") from None


def _sample_inputs(members: Mapping[str, memoryview], member: str) -> bytes:
    """The sample inputs, unpickled as plain tensors and pickled again."""
    pickled = _read(members, member)
    if not pickled:
        return b""
    try:
        inputs = sample_inputs(load_plain(pickled), f"{member}:")
    except NeedsCode as error:
        raise refuse(member, f"is a pickle that asks for {error}, which can run code") from None
    except Unreadable as error:
        raise refuse(member, f"cannot be read ({error})") from None
    buffer = io.BytesIO()
    torch.save(inputs, buffer)
    return buffer.getvalue()


def _payloads(
    members: Mapping[str, memoryview], folder: str, entries: Mapping[str, Any], config: str
) -> dict[str, memoryview]:
    """The raw members that the entries name, each long enough for all its tensors."""
    used: dict[str, memoryview] = {}
    dtypes: dict[str, int] = {}
    for name, entry in entries.items():
        member = f"{folder}/{entry['path_name']}"
        meta = entry["tensor_meta"]
        if member not in members:
            raise refuse(f"{config}: {name}", f"names {member}, which is missing")
        used[member] = members[member]
        if dtypes.setdefault(member, meta["dtype"]) != meta["dtype"]:
            raise refuse(f"{config}: {name}", f"shares {member} with a tensor of another dtype")
        if not _fits(meta, used[member].nbytes):
            raise refuse(f"{config}: {name}", f"does not fit into {member}")
    return used


def _fits(meta: Mapping[str, Any], available: int) -> bool:
    """Whether a strided tensor lies within a payload of so many bytes."""
    sizes = [size["as_int"] for size in meta["sizes"]]
    strides = [stride["as_int"] for stride in meta["strides"]]
    if len(sizes) != len(strides):
        return False
    if 0 in sizes:
        return True
    steps = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    last = int(meta["storage_offset"]["as_int"]) + steps
    item = ITEM_SIZES[meta["dtype"]]
    return available % item == 0 and last < available // item


def _packed(contents: Mapping[str, bytes | memoryview]) -> bytes:
    """A ZIP file of the members, as torch reads it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in contents.items():
            archive.writestr(f"archive/{member}", content)
    return buffer.getvalue()
