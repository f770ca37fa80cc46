"""A pickle of Python 2 with one NumPy array in it, read without running code from it.

Source of the format: the comments of ``pickletools`` (Python's library), protocols 0 to 2.
"""

import io
import pickle
import pickletools
from typing import Any

_PLAIN = (
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 STRING BINSTRING "
    "SHORT_BINSTRING BINUNICODE EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT "
    "GLOBAL REDUCE BUILD"
)
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_MOST = 1 << 20  # opcodes and memo indexes: either could ask for memory far beyond the file's size


class Refused(Exception):
    """The pickle is not of the expected kind; the message says why."""


class Pickled:
    """What the pickle would have made with NumPy: remembered, not made.

    Attributes:
        args: What NumPy would have been called with.
        state: What it would have been given afterwards, or ``None``.
    """

    __slots__ = ("args", "state")

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Array(Pickled):
    """Stands for a call of NumPy's array constructor; ``state`` ends with dtype, order, bytes."""

    __slots__ = ()


class DType(Pickled):
    """Stands for a call of ``numpy.dtype``; ``args`` begin with the type code as bytes."""

    __slots__ = ()


_KNOWN: dict[tuple[str, str], type[Pickled] | None] = {
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy", "dtype"): DType,
    ("numpy", "ndarray"): None,
}


class _Unpickler(pickle.Unpickler):
    """Knows three names and calls none of them: NumPy never sees the pickle."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise Refused(f"it asks for {f'{module}.{name}'[:80]!r}, which could run code")
        return _KNOWN[module, name]


def unpickle(content: bytes) -> Any:
    """The object: dict, list, tuple, bytes, str, int, bool, ``None``, Array and DType.

    Every opcode is recognised by an allow-list before anything is unpickled. Strings of Python 2
    become bytes.

    Args:
        content: The whole pickle, and nothing after it.

    Raises:
        Refused: For anything else, and for damaged bytes.
    """
    try:
        plain, end = set(_PLAIN.split()), 0
        for count, (opcode, argument, position) in enumerate(pickletools.genops(content)):
            if opcode.name not in plain:
                raise Refused(f"it has the opcode {opcode.name}")
            if count >= _MOST or (opcode.name in _PUTS and not 0 <= int(argument or 0) < _MOST):
                raise Refused("it asks for too much memory")
            end = (position or 0) + 1
        if end != len(content):
            raise Refused("bytes follow its end")
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Refused:
        raise
    except Exception:  # what the two readers raise for damaged bytes is a long, open list
        raise Refused("its bytes are damaged") from None
