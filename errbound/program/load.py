"""Loading models: from the bytes of a file to a module or an exported program, or one clear line.

The file's content decides what it is, never its name. No code from the file runs unless the user
trusts it explicitly; torch.export archives are vetted first (:mod:`errbound.program.vet`).
"""

import hashlib
import io
import logging
import os
import stat
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2

from errbound.errors import InputError
from errbound.program._members import open_zip, verified_members
from errbound.program._pickles import (
    NeedsCode,
    Unreadable,
    first_class,
    load_plain,
    load_trusted,
)
from errbound.program._recognise import Kind, recognise, recognise_zip
from errbound.program._text import python_command, quoted, reason
from errbound.program._weights import as_binary32, check_finite, describe, fill, find_weights
from errbound.program.arch import build
from errbound.program.arch import load_arch as load_arch
from errbound.program.vet import vet_archive

__all__ = ["LoadedModel", "load_arch", "load_model"]

_LARGEST = 8 << 30


@dataclass(frozen=True)
class LoadedModel:
    """A model read from a file.

    Attributes:
        kind: ``"exported"`` (torch.export archive), ``"state_dict"`` (weights in a module that
            ``--arch`` built) or ``"pickle"`` (a pickled module).
        module: The module in evaluation mode and binary32; ``None`` if exported.
        exported: The program as exported; ``None`` otherwise.
        sha256: Of the file's bytes, in hexadecimal.
        notes: What was unwrapped, renamed, rounded or left aside, one sentence each.
    """

    kind: str
    module: nn.Module | None
    exported: ExportedProgram | None
    sha256: str
    notes: tuple[str, ...]

    @property
    def content(self) -> nn.Module | ExportedProgram:
        """The module or the program, whichever there is."""
        found = self.exported if self.module is None else self.module
        assert found is not None
        return found


def load_model(
    path: str | os.PathLike[str], *, arch: str | None = None, trust_pickle: bool = False
) -> LoadedModel:
    """Read a model; run no code from its file unless ``trust_pickle``.

    Args:
        path: A torch.export archive, a state_dict (torch.save or safetensors) or a pickled module.
        arch: ``module:callable`` or ``file.py:callable``, which builds the module for a
            state_dict when called with no arguments.
        trust_pickle: Whether objects in a file of torch.save may be unpickled, which runs any code
            that the file's author put there. Archives are vetted all the same.

    Returns:
        The model, its weights finite: float32 in a module, as exported in a program.

    Raises:
        InputError: If the file cannot be read, is damaged, is of a kind that is not loaded or
            needs trust or an architecture; one line that says what to do.
    """
    name = _shown(path)
    data = _read(path, name)
    with _quiet():
        if data.startswith(b"PK"):
            archive = open_zip(data, name)
            kind = recognise_zip(archive.namelist(), name)
            members = verified_members(archive, data, name)
        else:
            kind, members = recognise(data, name), {}
        if kind is Kind.ARCHIVE:
            _refuse_arch(arch, name, "a torch.export archive")
            return _exported(data, *vet_archive(members, name), name)
        found = _unpacked(data, kind, name, trust_pickle)
        if isinstance(found, nn.Module):
            _refuse_arch(arch, name, "a pickled module")
            return _pickled(data, found, name)
        return _from_weights(data, found, name, arch)


def _exported(data: bytes, program: str, vetted: bytes, path: str) -> LoadedModel:
    try:
        exported = load_pt2(io.BytesIO(vetted)).exported_programs[program]
    except Exception as error:  # whatever torch finds inconsistent
        raise InputError(
            f"{path}: torch {torch.__version__} cannot read the program ({reason(error, -1)}): "
            "export the model again with this version"
        ) from None
    for name, tensor in exported.state_dict.items():
        check_finite(name, tensor, path)
    return LoadedModel("exported", None, exported, _sha256(data), ())


def _from_weights(data: bytes, found: object, path: str, arch: str | None) -> LoadedModel:
    notes: list[str] = []
    weights = as_binary32(find_weights(found, path, notes), path, notes)
    if arch is None:
        raise InputError(
            f"{path}: a state_dict holds weights only ({describe(weights)}): add "
            "--arch file.py:callable, a function that takes no arguments and returns the nn.Module"
        )
    module = fill(build(arch), weights, path, arch, notes)
    return LoadedModel("state_dict", module, None, _sha256(data), tuple(notes))


def _pickled(data: bytes, module: nn.Module, path: str) -> LoadedModel:
    notes: list[str] = []
    if isinstance(module, nn.DataParallel):
        notes.append("nn.DataParallel unwrapped")
        module = module.module
    tensors = OrderedDict((*module.named_parameters(), *module.named_buffers()))
    as_binary32(tensors, path, notes)
    return LoadedModel("pickle", module.float().eval(), None, _sha256(data), tuple(notes))


def _unpacked(data: bytes, kind: Kind, path: str, trust: bool) -> object:
    """The object in a file that is no archive."""
    again = "copy or download it again"
    try:
        if kind is Kind.SAFETENSORS:
            return safetensors.torch.load(data)
        if trust:
            again = f"run errbound where its classes can be imported, or {_resave(kind, path)}"
            return load_trusted(data, by_torch=kind is Kind.CHECKPOINT)
        if kind is Kind.PICKLE:
            raise NeedsCode(first_class(data))
        return load_plain(data)
    except NeedsCode as error:
        raise InputError(
            f"{path}: holds pickled objects ({error}), and unpickling runs code from the file: "
            f"add --trust-pickle if you trust it, or {_resave(kind, path)}"
        ) from None
    except Unreadable as error:
        raise InputError(f"{path}: the {kind.value} cannot be read ({error}): {again}") from None
    except safetensors.SafetensorError as error:
        cause = reason(error)
        raise InputError(f"{path}: the {kind.value} cannot be read ({cause}): {again}") from None


def _resave(kind: Kind, path: str) -> str:
    """The advice to keep only the weights, with the command."""
    torch_load = f'torch.load({quoted(path)}, map_location="cpu", weights_only=False)'
    load = torch_load if kind is Kind.CHECKPOINT else f'pickle.load(open({quoted(path)}, "rb"))'
    code = (
        f"import pickle, torch; m = {load}; torch.save(m.state_dict() "
        f'if hasattr(m, "state_dict") else m.get("state_dict", m), {quoted(path, ".state.pt")})'
    )
    return f"save its state_dict where the file was made: {python_command(code)}"


def _read(path: str | os.PathLike[str], name: str) -> bytes:
    """All bytes of a regular file, read once."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name}: is no regular file: give a model file")
            if status.st_size > _LARGEST:
                raise InputError(
                    f"{name}: has {status.st_size >> 30} GiB, more than the 8 GiB that errbound "
                    "reads: give a smaller model"
                )
            return file.read(status.st_size)
    except IsADirectoryError:
        raise InputError(f"{name}: is a directory: give a file in it{_example(path)}") from None
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file: check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: cannot be read ({reason(error)}): check the path and its permissions"
        ) from None


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _example(folder: str | os.PathLike[str]) -> str:
    endings = {".pt2", ".safetensors", ".pt", ".pth", ".th"}
    try:
        found = sorted(path for path in Path(folder).iterdir() if path.suffix in endings)
    except OSError:
        found = []
    return f", such as {_shown(found[0])}" if found else ""


def _refuse_arch(arch: str | None, path: str, what: str) -> None:
    if arch is not None:
        raise InputError(f"{path}: {what} brings its own architecture: leave --arch out")


def _shown(path: str | os.PathLike[str]) -> str:
    written = os.fspath(path)
    return written if written.isprintable() else repr(written)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the logging and the warnings of torch off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
