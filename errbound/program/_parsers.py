"""Parsers of decoded JSON, and the combinators that build them.

A parser takes a value and its place and returns a *new* value made only of what it recognised;
anything else is a :class:`Refusal`.
"""

from collections.abc import Callable
from typing import Any

Parser = Callable[[object, str], Any]


class Refusal(Exception):
    """A part of a file that is not let through: the message says where and why."""


def refuse(where: str, why: str) -> Refusal:
    """The refusal of the value at ``where`` (``models/model.json:.graph_module.graph``)."""
    return Refusal(f"{where.replace(':.', ': ')} {why}")


def words(several: str) -> frozenset[str]:
    """The words of a string, for long lists of names."""
    return frozenset(several.split())


def typed(*types: type) -> Parser:
    """A value of exactly one of the types (``True`` is no ``int``)."""

    def parse(value: object, where: str) -> object:
        if type(value) not in types:
            raise refuse(where, f"is {_shown(value)}, not {types[0].__name__}")
        return value

    return parse


def text(accepts: Callable[[str], object], kind: str) -> Parser:
    """A string that ``accepts`` says yes to."""

    def parse(value: object, where: str) -> object:
        if not isinstance(value, str) or not accepts(value):
            raise refuse(where, f"is {_shown(value)}, not {kind}")
        return value

    return parse


def one_of(*values: object) -> Parser:
    """One of the values, of the same type."""

    def parse(value: object, where: str) -> object:
        if not any(type(value) is type(known) and value == known for known in values):
            raise refuse(where, f"is {_shown(value)}, not {' or '.join(map(repr, values))}")
        return value

    return parse


def optional(inner: Parser) -> Parser:
    """``null`` or what ``inner`` takes."""
    return lambda value, where: None if value is None else inner(value, where)


def many(item: Parser) -> Parser:
    """A list of what ``item`` takes."""

    def parse(value: object, where: str) -> object:
        if not isinstance(value, list):
            raise refuse(where, f"is {_shown(value)}, not a list")
        return [item(element, f"{where}[{i}]") for i, element in enumerate(value)]

    return parse


def mapping(key: Parser, item: Parser) -> Parser:
    """An object with any number of keys."""

    def parse(value: object, where: str) -> object:
        entries = _entries(value, where).items()
        return {key(name, where): item(element, f"{where}.{name}") for name, element in entries}

    return parse


def record(**fields: Parser) -> Parser:
    """An object with some of these keys and no others; torch itself says which it needs."""

    def parse(value: object, where: str) -> object:
        entries = _entries(value, where)
        for name in entries:
            if name not in fields:
                raise refuse(f"{where}.{name}", "is not allowed")
        return {name: fields[name](element, f"{where}.{name}") for name, element in entries.items()}

    return parse


def complete(**fields: Parser) -> Parser:
    """An object with exactly these keys."""
    some = record(**fields)

    def parse(value: object, where: str) -> object:
        for name in fields:
            if name not in _entries(value, where):
                raise refuse(f"{where}.{name}", "is missing")
        return some(value, where)

    return parse


def union(**alternatives: Parser) -> Parser:
    """An object with exactly one of these keys."""
    alternative = record(**alternatives)

    def parse(value: object, where: str) -> object:
        if len(_entries(value, where)) != 1:
            raise refuse(where, f"is {_shown(value)}, not an object with one key")
        return alternative(value, where)

    return parse


def only(**fields: Parser) -> Parser:
    """These keys of an object; all others are dropped."""
    kept = record(**fields)

    def parse(value: object, where: str) -> object:
        entries = _entries(value, where)
        return kept({name: entries[name] for name in entries if name in fields}, where)

    return parse


def _entries(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise refuse(where, f"is {_shown(value)}, not an object")
    return value


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."
