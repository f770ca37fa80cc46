"""Putting a fault into the package: its source is edited, compiled, and its functions changed.

The function objects stay the same and receive new code, so that every module that has imported
them executes the fault, as if the line had been written so.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import pytest


@dataclass(frozen=True)
class Edit:
    """In ``module``, the text ``old``, which occurs once, is replaced by ``new``; then the rest."""

    module: str
    old: str
    new: str
    rest: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Execute the edited code inside the block."""
        module = import_module(self.module)
        source = inspect.getsource(module)
        for old, new in ((self.old, self.new), *self.rest):
            found = source.count(old)
            assert found == 1, f"{self.module} has {found} times: {old}"
            source = source.replace(old, new)
        edited = types.ModuleType(module.__name__)
        edited.__file__, edited.__package__ = module.__file__, module.__package__
        exec(compile(source, "sabotage", "exec"), vars(edited))
        changed = []
        theirs = dict(_functions(edited))
        for name, function in _functions(module):
            code = theirs[name].__code__
            if _text(code) != _text(function.__code__):
                changed.append((function, function.__code__))
                function.__code__ = code
        assert changed, "the edit changes no function"
        try:
            yield
        finally:
            for function, code in changed:
                function.__code__ = code


@dataclass(frozen=True)
class Row:
    """An entry of a mapping that holds data, replaced."""

    mapping: Any
    key: str
    value: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the other data inside the block."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(self.mapping, self.key, self.value)
            yield


@dataclass(frozen=True)
class Attribute:
    """A field of a frozen row of data, replaced."""

    row: Any
    name: str
    value: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the other value inside the block."""
        before = getattr(self.row, self.name)
        object.__setattr__(self.row, self.name, self.value)
        try:
            yield
        finally:
            object.__setattr__(self.row, self.name, before)


Fault = Edit | Row | Attribute


@contextmanager
def applied(faults: tuple[Fault, ...]) -> Iterator[None]:
    """All faults of one sabotage."""
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault.applied())
        yield


def _functions(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    """All functions and methods that a module defines, by qualified name."""
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            yield name, value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for inner, member in vars(value).items():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                member = member.func if isinstance(member, cached_property) else member
                if isinstance(member, types.FunctionType):
                    yield f"{name}.{inner}", member


def _text(code: types.CodeType) -> tuple[Any, ...]:
    """What a function does, wherever it stands."""
    constants = [_text(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return code.co_code, code.co_names, repr(constants)
