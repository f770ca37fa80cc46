"""What one-line messages are made of; much of it comes from files that nobody trusts."""

import json
import shlex
from collections.abc import Iterable
from pathlib import Path


def plain(text: object) -> str:
    """The text on one line, with ``?`` for characters that a terminal might act on."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def listed(items: Iterable[str], most: int = 4) -> str:
    """The first few items and how many more there are."""
    every = [plain(item) for item in items]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def reason(error: BaseException, line: int = 0) -> str:
    """The error's type and one line of its message, the first or the one asked for, shortened."""
    lines = str(error).strip().splitlines() or [""]
    return plain(f"{type(error).__name__}: {lines[line]}")[:200]


def python_command(code: str) -> str:
    """The shell command that runs the Python code."""
    return f"python -c {shlex.quote(code)}"


def quoted(path: str, ending: str | None = None) -> str:
    """A path as a Python string in double quotes; with an ending, that of a file beside it."""
    return json.dumps(path if ending is None else str(Path(path).with_suffix(ending)))
