"""The tests are tested: every sabotage makes a check fail, by a value outside an interval or by an
exact law. ``pytest -s tests/sabotage`` or ``python -m tests.sabotage`` prints which.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .editing import Edit, applied
from .table import SABOTAGES, WITNESSES, Rows, first_failure, number_table, show

ROWS: Rows = []
IDLE = {w.__name__ for w in WITNESSES}


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda w: w.__name__)
def test_without_sabotage_the_check_passes(witness: Callable[[], None]) -> None:
    witness()


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_is_caught(name: str) -> None:
    with applied(SABOTAGES[name]):
        failures = {w.__name__: first_failure((w,)) for w in WITNESSES}
    caught = [found for found in failures.values() if found is not None]
    assert caught, f"no check notices: {name}"
    IDLE.difference_update(check for check, _ in caught)
    ROWS.append((name, *caught[0]))


def test_the_package_is_whole_again() -> None:
    assert first_failure(WITNESSES) is None


def test_an_edit_that_no_longer_applies_says_so() -> None:
    with (
        pytest.raises(AssertionError, match="has 0 times"),
        applied((Edit("errbound.number.rounding", "no such line", ""),)),
    ):
        pass


def test_every_fault_of_the_number_suite_is_caught() -> None:
    rows = number_table()
    assert not [row for row in rows if row[1] == "NOT CAUGHT"]
    ROWS.extend(rows)


def test_no_check_is_idle_and_the_table_is_printed() -> None:
    """Each check fails under some sabotage, if this process has run them all."""
    print("\n" + show(ROWS))
    if {name for name, *_ in ROWS} >= SABOTAGES.keys():
        assert not IDLE
