"""What kind of model file some bytes are, by their content alone, and the way on for the others."""

import shlex
from collections.abc import Iterable
from enum import Enum

from errbound.errors import InputError
from errbound.program._text import python_command, quoted


class Kind(Enum):
    """The kinds of model file that errbound loads."""

    ARCHIVE = "torch.export archive"
    CHECKPOINT = "file of torch.save"
    SAFETENSORS = "safetensors file"
    PICKLE = "file of pickle.dump"


_PYTORCH_MAGIC = b"\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # torch.save before 1.6
_ONNX_FIELDS = frozenset({*range(1, 9), 14, 20, 25, 26})  # onnx.proto: ModelProto
_LONGEST_HEADER = 100_000_000  # of a safetensors file

_UNPACK = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
_FOREIGN = {
    b"\x89HDF": "an HDF5 file (Keras?)",
    b"\x93NUMPY": "a NumPy array",
}
_EXPORT = (
    "import torch; from my_model import build; "
    "torch.export.save(torch.export.export(build().eval(), (torch.zeros(2, 1, 28, 28),), "
    'dynamic_shapes=({0: torch.export.Dim.AUTO},)), "model.pt2")'
)


def recognise(data: bytes, path: str) -> Kind:
    """The kind of a file that is no ZIP file.

    Args:
        data: The whole file.
        path: What messages call it.

    Raises:
        InputError: If errbound does not load that kind; the message is the way on.
    """
    if not data:
        raise InputError(f"{path}: the file is empty: copy or download it again")
    if _PYTORCH_MAGIC in data[:64]:
        return Kind.CHECKPOINT
    if data[:1] == b"\x80" and data[1:2] in b"\2\3\4\5":
        return Kind.PICKLE
    if data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= _LONGEST_HEADER:
        return Kind.SAFETENSORS
    if _is_onnx(data):
        code = (
            "import torch, onnx2torch; torch.export.save(torch.export.export("
            f"onnx2torch.convert({quoted(path)}).eval(), (torch.zeros(INPUT_SHAPE),)), "
            f"{quoted(path, '.pt2')})"
        )
        raise InputError(
            f"{path}: ONNX is not read yet: convert it with pip install onnx2torch && "
            f"{python_command(code)}"
        )
    if data.startswith(b"\x7fELF"):
        raise _compiled(path)
    if data[257:262] == b"ustar":
        raise InputError(f"{path}: a tar archive: unpack it with tar -xf {shlex.quote(path)}")
    for magic, (name, command) in _UNPACK.items():
        if data.startswith(magic):
            unpack = f"{command} {shlex.quote(path)}"
            raise InputError(f"{path}: compressed with {name}: unpack it with {unpack}")
    found = next((name for magic, name in _FOREIGN.items() if data.startswith(magic)), None)
    raise _unknown(path, found or "no model file that errbound knows")


def recognise_zip(names: Iterable[str], path: str) -> Kind:
    """The kind of a ZIP file.

    Args:
        names: Of its members.
        path: What messages call it.

    Raises:
        InputError: If errbound does not load that kind; the message is the way on.
    """
    names = tuple(names)
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("data/aotinductor/") for name in inner):
        raise _compiled(path)
    if "archive_format" in inner:
        return Kind.ARCHIVE
    if "serialized_exported_program.json" in names:
        code = (
            "import torch; torch.export.save("
            f"torch.export.load({quoted(path)}), {quoted(path, '.new.pt2')})"
        )
        raise InputError(
            f"{path}: serialized_exported_program.json: an export of torch 2.7 or older, whose "
            f"weights are pickles: if you trust the file, convert it with {python_command(code)}"
        )
    if "constants.pkl" in inner or "model.json" in inner:
        code = (
            f"import torch; torch.save(torch.jit.load({quoted(path)}, map_location="
            f'"cpu").state_dict(), {quoted(path, ".state.pt")})'
        )
        raise InputError(
            f"{path}: TorchScript holds no program that torch.export reads: take its weights with "
            f"{python_command(code)} and load them with --arch file.py:callable"
        )
    if "data.pkl" in inner:
        return Kind.CHECKPOINT
    raise _unknown(path, "a ZIP file without a model of PyTorch")


def _compiled(path: str) -> InputError:
    return InputError(
        f"{path}: AOTInductor's machine code cannot be analysed: export the model it was "
        f"compiled from, for example with {python_command(_EXPORT)}"
    )


def _unknown(path: str, what: str) -> InputError:
    return InputError(
        f"{path}: {what}: give a torch.export archive, a state_dict (.pt, .pth, .safetensors) with "
        f"--arch file.py:callable, or export the model with {python_command(_EXPORT)}"
    )


def _is_onnx(data: bytes) -> bool:
    """Whether the bytes read as protobuf with the fields of ONNX's ModelProto, a graph included."""
    position, fields = 0, set()
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if number not in _ONNX_FIELDS or wire not in (0, 2):
            return False
        length, position = _varint(data, position)
        position += length if wire == 2 else 0
        fields.add(number)
    return {1, 7} <= fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A protobuf integer and the position after it; 0 where the data end."""
    value = shift = 0
    for byte in data[position : position + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if byte < 0x80:
            break
    return value, position
