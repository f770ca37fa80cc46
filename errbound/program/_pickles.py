"""Reading pickles: without running code from them, or, where the user says so, with it."""

import io
import pickle
import pickletools
import re
from typing import Any

import torch

from errbound.program._text import plain, reason


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
        raise NeedsCode(plain(name)) from None
    except Exception as error:
        raise Unreadable(reason(error)) from None


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
        raise Unreadable(reason(error)) from None


def first_class(data: bytes) -> str:
    """The first class or function that a pickle names, read without unpickling it."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                return plain(str(argument).replace(" ", "."))
            if opcode.name == "STACK_GLOBAL":
                return plain(".".join(strings[-2:]))
            if isinstance(argument, str):
                strings.append(argument)
    except Exception:  # pickletools raises what it likes on damaged bytes
        return "an unknown class"
    return "no class"
