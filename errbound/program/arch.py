"""Architectures: the Python code that builds the module for a state_dict (``--arch``)."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from errbound.errors import InputError
from errbound.program._text import reason

_FORM = "give module:callable or file.py:callable, for example my_model.py:build"


def load_arch(spec: str) -> Callable[[], Any]:
    """The callable that ``--arch`` names. It runs the user's own code, by the user's wish.

    Args:
        spec: ``module:callable`` (importable, also from the working directory) or
            ``file.py:callable``; the callable may be dotted (``Nets.small``).

    Returns:
        The callable; it takes no arguments and returns the ``nn.Module`` in binary32.

    Raises:
        InputError: If the spec has another form, the code cannot be found or fails, or nothing
            callable has that name.
    """
    source, colon, name = spec.rpartition(":")
    if not colon or not source or not name:
        raise InputError(f"--arch {spec}: {_FORM}")
    found: Any = _module(source, spec)
    for part in name.split("."):
        if not hasattr(found, part):
            defined = [
                key
                for key, value in getattr(found, "__dict__", {}).items()
                if _is_local(found, key, value)
            ]
            names = ", ".join(defined[:5]) or "nothing"
            raise InputError(f"--arch {spec}: {source} has no {name}; it defines {names}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"--arch {spec}: {name} is {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


def build(spec: str) -> nn.Module:
    """The module that ``--arch`` builds: the callable is called with no arguments.

    Raises:
        InputError: As :func:`load_arch`, or if the call fails or returns something else.
    """
    callable_ = load_arch(spec)
    try:
        module = callable_()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--arch {spec}: the call with no arguments fails ({reason(error)}): "
            "name a function that needs none and returns the nn.Module"
        ) from None
    if not isinstance(module, nn.Module):
        raise InputError(
            f"--arch {spec}: returns {type(module).__name__}: name a function that takes no "
            "arguments and returns the nn.Module"
        )
    return module


def _module(source: str, spec: str) -> ModuleType:
    path = Path(source)
    try:
        if source.endswith(".py"):
            if not path.is_file():
                raise InputError(f"--arch {spec}: there is no file {source}: check the path")
            return _module_of_file(path)
        with _importing_from(Path.cwd()):
            return importlib.import_module(source)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--arch {spec}: importing {source} fails ({reason(error)}): {_FORM}"
        ) from None


def _module_of_file(path: Path) -> ModuleType:
    name = f"_errbound_arch_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None  # since the name ends in .py
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look it up
    with _importing_from(path.resolve().parent):
        found.loader.exec_module(module)
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let imports find modules in the folder, as for a script that lies there."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))


def _is_local(module: Any, name: str, value: object) -> bool:
    return callable(value) and getattr(value, "__module__", "") == getattr(module, "__name__", None)
