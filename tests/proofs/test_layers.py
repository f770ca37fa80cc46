"""errbound's intervals of linear layers are accepted by the checker that is proved sound.

``Check.check_sum`` (its soundness: ``check_sum_sound``), extracted as an OCaml program, decides
whether the interval that ``LINEAR.enclose`` found contains what the rules of ``Statement.v`` admit:
for every output of random small layers, as stored, except in samples that errbound itself marks as
perhaps out of range.

Exceptions, kept out of the cases: in two places Python is tighter than the rule, and sound by
another theorem. A sum of so many terms that (m-1)u > 1/2 (E5M2 sums in E5M2, six terms) has the
first form, `FirstForm.first_form_products`; an arithmetic whose trees have a known height has the
height form, `Orders.height_form`. The checker has the binade bound alone, and refuses where
(m-1)u >= 1. Otherwise there is none: no refused interval is tolerated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from errbound.number import Accumulation, rounding, summation
from errbound.ops import Step, _shapes
from tests.proofs.agreement import Exact
from tests.proofs.extracted import Program
from tests.proofs.layers import KINDS, MACHINES, Case, Layer, layers
from tests.proofs.mutants import mutate

Patch = pytest.MonkeyPatch
CPU16, CPU_BFLOAT16, CPU32, STRICT, STRICT_BFLOAT16, STRICT8 = (m.name for m in MACHINES)


def accepted(case: Case, least: tuple[Exact, Exact]) -> bool:
    """Whether the rules admit an interval, and the case's contains it."""
    low, high = least
    found = [Fraction(end) for end in case.ends]
    return low is not None and high is not None and found[0] <= low and high <= found[1]


@dataclass(frozen=True)
class Checked:
    """All layers with, for every output, the checker's verdict and the least accepted interval."""

    layers: list[Layer]
    cases: list[list[Case]]
    verdicts: list[list[bool]]
    least: list[list[tuple[Exact, Exact]]]

    def refused(self, machine: str) -> Iterator[Case]:
        """What the rules do not admit of the layers as they are enclosed now."""
        for layer, least in zip(self.layers, self.least, strict=True):
            if layer.machine.name == machine:
                for case, interval in zip(layer.cases(), least, strict=True):
                    if not case.overflow and not accepted(case, interval):
                        yield case


@pytest.fixture(scope="module")
def checked(program: Program) -> Checked:
    every = layers(each=10)
    cases = [list(layer.cases()) for layer in every]
    answers = iter(program([case.line for found in cases for case in found]))
    rows = [[next(answers) for _ in found] for found in cases]
    return Checked(
        every,
        cases,
        [[row[0] == 1 for row in found] for found in rows],
        [[(row[1], row[2]) for row in found] for found in rows],
    )


def test_every_interval_is_accepted(checked: Checked) -> None:
    accepted_by: Counter[str] = Counter()
    same: Counter[str] = Counter()
    every = zip(checked.cases, checked.verdicts, checked.least, strict=True)
    for found, verdicts, intervals in every:
        for case, verdict, least in zip(found, verdicts, intervals, strict=True):
            # So that faults below need no further run of the program.
            assert verdict == accepted(case, least)
            if case.overflow:
                continue
            assert verdict, f"{case}; the rules admit {[v and float(v) for v in least]}"
            for name in (case.layer.machine.name, case.layer.kind):
                accepted_by[name] += 1
                same[name] += tuple(map(Fraction, case.ends)) == least
    print()
    for name, count in accepted_by.items():
        print(f"{name}: {count} intervals accepted, {same[name]} of them the least")
    assert sum(accepted_by[machine.name] for machine in MACHINES) >= 2_000
    assert min(accepted_by[name] for name in [m.name for m in MACHINES] + list(KINDS)) >= 100
    assert min(same[name] for name in accepted_by) >= 10  # so that a smaller one is refused


def test_points_and_intervals_with_and_without_bias_are_drawn(checked: Checked) -> None:
    drawn: Counter[tuple[bool, bool, bool]] = Counter()
    for layer in checked.layers:
        point = bool((layer.x.lo == layer.x.hi).all())
        drawn[point, layer.bias is not None, layer.narrow] += 1
    assert len(drawn) == 8
    assert {layer.x.shape[1] for layer in checked.layers} == set(range(1, 13))
    assert any(case.overflow for found in checked.cases for case in found)


# --- the checker bites ---------------------------------------------------------------------------


def text(old: str, new: str, name: str = "contract") -> Callable[[Patch], None]:
    return lambda patch: mutate(patch, _shapes, name, old, new)


def row(**changes: float) -> Callable[[Patch], None]:
    """Another accumulation."""
    right: Callable[[Step], Accumulation] = Step.sums.fget
    wrong = property(lambda step: replace(right(step), **changes))
    return lambda patch: patch.setattr(Step, "sums", wrong)


def one_addition_fewer(patch: Patch) -> None:
    mutate(patch, summation, "sum_error", "(count - 1.0)", "(count - 2.0)")
    patch.setattr(_shapes, "sum_error", summation.sum_error)


def half_ufp(patch: Patch) -> None:
    patch.setattr(summation, "ufp_", lambda x: rounding.ufp_(x).mul_(0.5))


FAULTS = {
    "bias not counted": (text("(0 if bias is None else 1)", "0"), CPU32),
    "bias not counted, binary16": (text("(0 if bias is None else 1)", "0"), STRICT),
    "bias not in S": (text("sums = apply(reach, w, b)", "sums = apply(reach, w, None)"), CPU32),
    "spread not in |s|": (text("total.add_(spread)", "pass"), STRICT),
    "no flushed operands": (text("absolute=flushed,", ""), CPU_BFLOAT16),
    "no flushed weights": (text("largest * many", "0.0 * largest"), CPU_BFLOAT16),
    "no flushed partial sums": (row(addition_absolute=0.0), CPU_BFLOAT16),
    "no flushed products": (row(product_absolute=0.0), CPU_BFLOAT16),
    "no underflow of products": (row(product_absolute=0.0), STRICT),
    "exact products": (row(product=0.0), CPU32),
    "half of u": (row(addition=2.0**-25), CPU32),
    "half of ufp": (half_ufp, STRICT_BFLOAT16),
    "one addition fewer": (one_addition_fewer, STRICT8),
    "no partial sum is out of range": (
        text("step.overflow |= ~(most(sums) < limit)", "pass", "_check_partials"),
        STRICT,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused(name: str, checked: Checked, monkeypatch: Patch) -> None:
    fault, machine = FAULTS[name]
    fault(monkeypatch)
    some = next(checked.refused(machine), None) is not None
    assert some, f"{name}: not refused"
