"""``shadow.csv``: errors against the program over the reals, one row per sample and node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields

from errbound.report.decimals import upper
from errbound.report.tables import csv_line
from errbound.verdict import Shadowed

SHADOW = "shadow.csv"
SHADOW_COLUMNS = ("sample", *(f.name for f in fields(Shadowed)))


def shadow_csv(samples: Iterable[tuple[int, list[Shadowed]]]) -> Iterator[bytes]:
    """The content of shadow.csv; numbers are rounded up, NaN where M16 has no such node.

    Args:
        samples: index in the data set, and its nodes in program order.
    """
    yield csv_line(SHADOW_COLUMNS)
    for index, nodes in samples:
        for node in nodes:
            name, operator, where, *numbers = astuple(node)
            cells = ("nan" if math.isnan(x) else upper(x) for x in numbers)
            yield csv_line((str(index), name, operator, where, *cells))
