"""Faults put into a function on purpose, by a change of its text."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest


def mutate(patch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str) -> None:
    """Replace ``old``, which occurs once, in a function; its callers in the module see that."""
    text = inspect.getsource(getattr(module, name))
    assert text.count(old) == 1, f"{name} has no longer: {old}"
    made: dict[str, object] = {}
    exec(compile(text.replace(old, new), f"<{name}, changed>", "exec"), vars(module), made)
    patch.setattr(module, name, made[name])
