"""Reading pickles: without running code from them, or, where the user says so, with it."""

import io
import pickle
import pickletools
import re
from typing import Any

import torch


class NeedsCode(Exception):
    """Unpickling would run code; the message names what it asks for first."""


class Unreadable(Exception):
    """Nothing can be unpickled; the message is the reason that Python or torch gives."""


def load_plain(data: bytes) -> Any:
    """The object that torch.save wrote, on the CPU, made of tensors and plain values.

    Args:
        data: The whole file, ZIP or the older format.

    Raises:
        NeedsCode: If unpickling would call anything but torch's own list of constructors
            (``torch.load(weights_only=True)``).
        Unreadable: If torch cannot read the bytes.
    """
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)|but got <?([\w. ']+)", str(error))
        name = next(filter(None, asked.groups())) if asked else "something other than tensors"
        raise NeedsCode(name) from None
    except Exception as error:
        raise Unreadable(one_line(error)) from None


def load_trusted(data: bytes, *, by_torch: bool) -> Any:
    """The pickled object, on the CPU; runs whatever code the file asks for.

    Args:
        data: The whole file.
        by_torch: Whether torch.save wrote it, not ``pickle.dump``.

    Raises:
        Unreadable: If that fails in any way.
    """
    try:
        if by_torch:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
        return pickle.loads(data)
    except Exception as error:
        raise Unreadable(one_line(error)) from None


def first_class(data: bytes) -> str:
    """The first class or function that a pickle names, read without unpickling it."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(strings[-2:])
            if isinstance(argument, str):
                strings.append(argument)
    except Exception:  # pickletools raises what it likes on damaged bytes
        return "an unknown class"
    return "no class"


def one_line(error: BaseException, which: int = 0) -> str:
    """The error's type and one line of its message, the first or the one asked for, shortened."""
    if isinstance(error, Unreadable):
        return str(error)
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[which].strip()[:200]}"
