"""What an arithmetic is: a row that says which executions a machine may produce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from errbound.number import Accumulation, Format


@dataclass(frozen=True)
class FunctionError:
    """|computed - exact| <= relative * |exact| + absolute, in the intermediate format."""

    relative: float
    absolute: float


@dataclass(frozen=True)
class Arithmetic:
    """An execution model: a *set* of executions, not one result.

    Attributes:
        name: what ``--arithmetic`` takes.
        summary: one line.
        assumptions: sentences printed with every certificate; each is falsified by a test.
        intermediate: format in which a kernel computes before it rounds to storage.
        sums: per storage format (by name), how sums of products are formed.
        functions: per elementary function, its error where no exhaustive table is possible.
        broken: what in this process contradicts the assumptions, in words; "" if nothing does.
    """

    name: str
    summary: str
    assumptions: tuple[str, ...]
    intermediate: Format
    sums: Mapping[str, Accumulation]
    functions: Mapping[str, FunctionError]
    broken: Callable[[], str]
