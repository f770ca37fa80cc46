"""Running checks under a fault, and the table of which check was first to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.number.test_sabotage import FAULTS

from . import backward, rows, sabotages, witnesses
from .editing import applied

Rows = list[tuple[str, str, str]]

SABOTAGES = {**sabotages.SABOTAGES, **rows.SABOTAGES, **backward.SABOTAGES}
WITNESSES = (*witnesses.WITNESSES, *rows.WITNESSES, *backward.WITNESSES)


def first_failure(checks: Iterable[Callable[[], None]]) -> tuple[str, str] | None:
    """Name of the first check that fails, and what it says; an error is no answer."""
    for check in checks:
        try:
            check()
        except AssertionError as error:
            return check.__name__, str(error).splitlines()[0]
    return None


def package_table() -> Rows:
    """Every sabotage of the package's source and the witness that catches it."""
    found = []
    for name, faults in SABOTAGES.items():
        with applied(faults):
            check, how = first_failure(WITNESSES) or ("NOT CAUGHT", "")
        found.append((name, check, how))
    return found


def number_table() -> Rows:
    """The faults of ``tests/number/test_sabotage.py``, likewise."""
    found = []
    for name, (put_in, checks) in FAULTS.items():
        with pytest.MonkeyPatch.context() as patch:
            put_in(patch)
            check, how = first_failure(checks) or ("NOT CAUGHT", "")
        found.append((f"number: {name}", check, how))
    return found


def show(table: Rows) -> str:
    """Aligned columns."""
    lines = [("sabotage", "caught by", "how"), *table]
    widths = [max(len(line[i]) for line in lines) for i in range(2)]
    return "\n".join(f"{a:{widths[0]}} | {b:{widths[1]}} | {c[:90]}" for a, b, c in lines)
