"""``python -m tests.sabotage``: print the table; status 1 if a sabotage is not caught."""

import sys

from .table import number_table, package_table, show

rows = [*package_table(), *number_table()]
print(show(rows))
missed = [name for name, check, _ in rows if check == "NOT CAUGHT"]
print(f"{len(rows) - len(missed)} of {len(rows)} sabotages are caught")
sys.exit(1 if missed else 0)
