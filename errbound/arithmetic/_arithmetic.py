"""What an arithmetic is: a row that says which executions a machine may produce."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from errbound.number import Accumulation, Format


@dataclass(frozen=True)
class FunctionError:
    """|computed - exact| <= relative * |exact| + absolute, in the intermediate format."""

    relative: float
    absolute: float


class Faultless(Mapping[str, FunctionError]):
    """Elementary functions without an error of their own: exact, then rounded."""

    def __getitem__(self, name: str) -> FunctionError:
        return FunctionError(0.0, 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def nothing_broken() -> str:
    """For arithmetics that no setting of the process can contradict."""
    return ""


@dataclass(frozen=True)
class Arithmetic:
    """An execution model: a *set* of executions, not one result.

    Attributes:
        name: what ``--arithmetic`` takes.
        summary: one line.
        assumptions: sentences printed with every certificate; where ``probed``, a
            test of each would fail if a kernel did something else.
        sums: per storage format (by name), how sums of products are formed.
        functions: per elementary function, its error where no exhaustive table is used.
        intermediate: format in which a kernel computes before it rounds to storage; None: every
            single operation rounds to storage.
        broken: what in this process contradicts the assumptions, in words; "" if nothing does.
        tables: 16-bit elementary functions are this machine's kernels, known by their tables.
        partials16: some 16-bit kernels round partial results to 16 bits (ops/conv_transpose.py,
            ops/softmax.py say which).
        late_bias: a bias may be added after the sum was stored, with a rounding of its own.
        device: where torch runs the programs.
        settings: a context in which they run, for settings that the assumptions need.
        emulated: if not empty, observed runs are emulated instead, in the order that it states.
        probed: tests have confronted the assumptions with the machine's kernels.
        exact: nothing is rounded; intervals are those of the reals, moved outward.
    """

    name: str
    summary: str
    assumptions: tuple[str, ...]
    sums: Mapping[str, Accumulation]
    functions: Mapping[str, FunctionError]
    intermediate: Format | None = None
    broken: Callable[[], str] = nothing_broken
    tables: bool = False
    partials16: bool = False
    late_bias: bool = False
    device: str = "cpu"
    settings: Callable[[], AbstractContextManager[None]] = nullcontext
    emulated: str = ""
    probed: bool = True
    exact: bool = False


def with_tree_height(row: Arithmetic, height: int) -> Arithmetic:
    """The executions of ``row`` whose sums of products are trees of at most this height.

    Nobody has probed that a machine's are: the row says so. Sums without products (means, pooling,
    softmax) stay free. Raises ``ValueError`` if ``height`` < 1.
    """
    if height < 1:
        raise ValueError(f"a sum has a tree of height 1 or more, not {height}")
    return replace(
        row,
        name=f"{row.name}, trees of height <= {height}",
        summary=f"{row.summary}; no term through more than {height} additions (assumed)",
        assumptions=(
            *row.assumptions,
            f"assumed, not probed: in a sum of products no term goes through more than {height} "
            "additions; the height of a kernel's trees grows with the number of terms",
        ),
        sums={name: replace(acc, height=height) for name, acc in row.sums.items()},
        probed=False,
    )
