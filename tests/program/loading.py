"""What the tests of loading share."""

import shlex
from pathlib import Path

import pytest

from errbound.errors import InputError
from errbound.program.load import load_model

from . import hostile


def stored(folder: Path, content: object, name: str = "model.bin") -> Path:
    """A file with these bytes, or with what torch.save writes; its name says nothing about it."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else hostile.saved(content))
    return path


def refusal(path: object, *, arch: str | None = None, trust_pickle: bool = False) -> str:
    """The one line with which load_model refuses the file."""
    with pytest.raises(InputError) as caught:
        load_model(path, arch=arch, trust_pickle=trust_pickle)  # type: ignore[arg-type]
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def run_command(message: str) -> None:
    """Run the Python code of the first ``python -c`` command in a message."""
    words = shlex.split(message[message.index("python -c") :])
    exec(words[2], {})
