"""Python and Coq agree: the formulas of the bounds, on more than 200,000 random and edge cases.

``proofs/Compute.v`` has the formulas on rationals, proved to be the real ones; ``Extract.v`` makes
them an OCaml program on Coq's own integers, which reads all cases once. Compared exactly:

* equal: ``nearest``, ``ulp``, ``ufp_`` and the rows that ``accumulation`` makes;
* Python at or above Coq (outward), but not absurdly: ``_master``, ``_first_form``,
  ``_height_form`` (``any_order`` takes one of them), ``sum_error`` in binary64 and binary32, with
  and without absolute terms, at the edges of what it promises (``edges.py``); the ends of the
  staircase's noise, Python's outside of Coq's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    DOUBLE,
    E4M3,
    E5M2,
    FORMATS,
    SINGLE,
    any_order,
    rounding,
    summation,
)
from tests.proofs.agreement import ROWS, Exact, Family
from tests.proofs.cases import (
    first_form_cases,
    height_cases,
    least_of_forms_cases,
    master_cases,
    nearest_cases,
    noise_cases,
    relative_cases,
    row_cases,
    sum_error_cases,
    ufp_cases,
    ulp_cases,
)
from tests.proofs.edges import edges
from tests.proofs.extracted import Program
from tests.proofs.mutants import mutate

# --- the cases -----------------------------------------------------------------------------------


def families() -> Iterator[Family]:
    rng = np.random.default_rng(29)
    for fmt in FORMATS:
        yield nearest_cases(fmt, rng)
        yield ulp_cases(fmt, rng)
    for work in (DOUBLE, SINGLE):
        yield ufp_cases(work, rng)
    yield row_cases()
    for row in ROWS:
        yield master_cases(row, rng)
        for relative, absolute in ((0.0, 0.0), (2.0**-43, 2.0**-126)):
            for work in (DOUBLE, SINGLE):
                yield sum_error_cases(row, rng, work, relative, absolute)
        for height in (3, 64):
            yield height_cases(row, rng, height)
            yield least_of_forms_cases(row, rng, height)
        if not row.flush:
            yield first_form_cases(row, rng)
            yield least_of_forms_cases(row, rng, None)
        if row.accumulator is BINARY32:
            for work in (DOUBLE, SINGLE):
                yield relative_cases(row, rng, work)
    yield from edges(rng)
    for fmt in (BINARY16, BFLOAT16, E4M3, E5M2):
        for slope in (0.0, 1.0, 0.5, 77 / 256):
            for dtype in (torch.float64, torch.float32):
                yield noise_cases(fmt, rng, slope, dtype)


@dataclass(frozen=True)
class Answered:
    """All families with the answers of the extracted program, by name."""

    families: dict[str, Family]
    answers: dict[str, list[list[Exact]]]

    def check(self, name: str) -> int:
        return self.families[name].check(self.answers[name])


@pytest.fixture(scope="module")
def answered(program: Program) -> Answered:
    every = list(families())
    found = {family.name: family for family in every}
    assert len(found) == len(every)
    lines = program([line for family in every for line in family.lines])
    at, answers = 0, {}
    for name, family in found.items():
        answers[name] = lines[at : at + len(family.lines)]
        at += len(family.lines)
    return Answered(found, answers)


def test_python_and_coq_agree(answered: Answered) -> None:
    counts: Counter[str] = Counter()
    for name in answered.families:
        counts[name.split(",")[0]] += answered.check(name)
    print()
    for name, count in counts.items():
        print(f"{name}: {count} cases")
    print(f"all: {sum(counts.values())} cases")
    assert sum(counts.values()) >= 200_000


def test_any_order_is_one_of_the_forms() -> None:
    """Which are compared with Coq: master, first, height."""
    m = torch.cat([torch.arange(200), 2 ** torch.arange(8, 31)])
    for row in ROWS:
        for height in (None, 3, 64):
            acc = replace(row.acc, height=height)
            count = m.double()
            forms = [summation._master(count, acc), summation._first_form(count, acc)]
            if height is not None:
                forms.append(summation._height_form(count, height, acc))
            found = any_order(m, acc)
            same = [
                (found.magnitude == f.magnitude) & (found.signed == f.signed)
                & (found.absolute == f.absolute) for f in forms
            ]  # fmt: skip
            assert bool(torch.stack(same).any(dim=0).all())
            # The master form holds for (m-1)u < 1 only.
            few = (count - 1.0) * acc.addition <= 0.5
            assert bool((few | ~same[0] | torch.stack(same[1:]).any(dim=0)).all())


def test_subnormals_have_no_ufp() -> None:
    """In the working format; ``sum_error`` adds what they may be."""
    for work in (DOUBLE, SINGLE):
        x = torch.tensor([work.min_normal], dtype=work.dtype)
        assert rounding.ufp_(x * 0.75).tolist() == [0.0]


# --- the comparison bites ------------------------------------------------------------------------


def fails(answered: Answered, name: str) -> bool:
    try:
        answered.check(name)
    except AssertionError:
        return True
    return False


def test_a_smaller_bound_is_detected(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of ufp, no inflation, a term less, torch's own rounding: Python leaves Coq's bound."""
    sums = "sum_error, torch.float64, float16 in float32, absolute 0.0"
    master, near = "master form, float16 in float32", "nearest, float16"
    half = "noise, float16, slope 1.0, torch.float64"
    assert not any(fails(answered, name) for name in (sums, master, near, half))
    with monkeypatch.context() as patch:
        patch.setattr(summation, "ufp_", lambda x: rounding.ufp_(x).mul_(0.5))
        assert fails(answered, sums)
    with monkeypatch.context() as patch:
        patch.setattr(summation, "inflate", lambda roundings: 1.0)
        assert fails(answered, master)
    with monkeypatch.context() as patch:
        right = summation._master
        patch.setattr(summation, "_master", lambda count, acc: right(count - 1.0, acc))
        assert fails(answered, master)
    with monkeypatch.context() as patch:
        patch.setattr(rounding, "nearest", lambda x, fmt: x.to(fmt.dtype).double())
        assert fails(answered, near)


RELATIVE, SUM = "_relative_error crossing", "sum_error crossing"
IN_SINGLE, IN_DOUBLE = "torch.float32, float16 in float32", "torch.float64, float16 in float32"
PRODUCTS = "torch.float64, float32 in float32"
LARGE = f"relative {2.0**-12}"
FAULTS = [
    # function, its text, the fault, which family notices
    (
        "_relative_error", "/ (1.0 - kappa))", ")",
        f"{RELATIVE}, 4000 terms, {IN_DOUBLE}, relative 0.0, roundings 0",
    ),
    (
        "_relative_error", "alpha=1.0 + 2.0 * (acc.product + relative))", "alpha=1.0)",
        f"{RELATIVE}, 3 terms, {IN_DOUBLE}, {LARGE}, roundings 0",
    ),
    (
        "_relative_error", "2.0 * (acc.product + relative)", "2.0 * relative",
        f"{RELATIVE}, 3 terms, {PRODUCTS}, relative 0.0, roundings 0",
    ),
    (
        "_relative_error", "inflate(roundings + 12)", "inflate(12)",
        f"{RELATIVE}, 3 terms, {IN_SINGLE}, relative 0.0, roundings 1000",
    ),
    (
        "_relative_error", "inflate(roundings + 12)", "inflate(12)",
        f"{RELATIVE}, 3 terms, {PRODUCTS}, relative 0.0, roundings 1000",
    ),
    ("sum_error", "kappa * work.min_normal + work.tiny", "0.0", f"sum_error tiny, {IN_DOUBLE}"),
    ("sum_error", "kappa * work.min_normal + work.tiny", "0.0", f"sum_error tiny, {IN_SINGLE}"),
    ("sum_error", "kappa * work.min_normal +", "", f"sum_error tiny, {IN_SINGLE}"),
    ("sum_error", "min_normal + work.tiny", "min_normal", f"sum_error tiny, {IN_DOUBLE}"),
    (
        "sum_error", "inflate(roundings + 8)", "inflate(8)",
        f"{SUM}, {IN_DOUBLE}, relative 0.0, roundings 1000",
    ),
    (
        "sum_error", "(0.5 + acc.product + relative)", "(0.5 + acc.product)",
        f"{SUM}, {IN_SINGLE}, {LARGE}, roundings 1000",
    ),
    (
        "sum_error", "(0.5 + acc.product + relative)", "(0.5 + relative)",
        f"{SUM}, {PRODUCTS}, relative 0.0, roundings 0",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "family"), FAULTS)
def test_a_part_of_the_bound_left_out_is_detected(
    answered: Answered, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str, family: str
) -> None:
    assert not fails(answered, family)
    mutate(monkeypatch, summation, name, old, new)
    assert fails(answered, family)


def test_one_bound_one_step_too_small_is_detected(answered: Answered) -> None:
    """The largest binary64 number below Coq's bound, and an infinite one."""
    name = "sum_error, torch.float64, float16 in float32, absolute 0.0"
    family, answers = answered.families[name], answered.answers[name]
    exact = family.expected(answers)
    k = next(k for k, value in enumerate(exact) if value)
    for wrong in (Fraction(math.nextafter(float(exact[k] or 0), 0.0)), None):
        values = family.found()
        values[k] = wrong
        spoiled = replace(family, found=lambda values=values: values)
        with pytest.raises(AssertionError, match=f"case {k}"):
            spoiled.check(answers)
