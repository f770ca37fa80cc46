"""Checks of ``errbound.number.summation``: no execution leaves the bound, by enumeration.

For a multiset of terms every bracketing and permutation is evaluated (``Machine.reachable``), in
small formats, with integers; the bound is compared exactly: binary64 coefficients are rationals.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from errbound.number import DOUBLE, SINGLE, Accumulation, Format, Working, summation

from .exact import Machine, round_fraction, tiny

Multiset = tuple[int, ...]


@dataclass
class Share:
    """The largest part of a bound that an execution reached, and where."""

    value: float = 0.0
    where: object = None
    cases: int = 0

    def see(self, error: Fraction, bound: Fraction, where: object) -> None:
        """One case: raise if the bound is left."""
        assert error <= bound, f"error {float(error):.9g} > bound {float(bound):.9g} for {where}"
        self.cases += 1
        if bound and float(error / bound) > self.value:
            self.value, self.where = float(error / bound), where


def coefficients(m: int, acc: Accumulation) -> tuple[Fraction, Fraction, Fraction] | None:
    """``any_order`` exactly; None where it declares that it has no bound."""
    c = summation.any_order(torch.tensor(m), acc)
    if float(c.absolute) == float("inf"):
        return None
    return Fraction(float(c.magnitude)), Fraction(float(c.signed)), Fraction(float(c.absolute))


def limits(
    sums: Sequence[tuple[int, int]], m: int, acc: Accumulation, scale: int, work: Working = DOUBLE
) -> list[float]:
    """``sum_error`` of sums (S, |s|) in units of 2^-scale, which are numbers of ``work``."""
    magnitude, total = (
        torch.tensor([pair[k] * 2.0**-scale for pair in sums], dtype=torch.float64) for k in (0, 1)
    )
    assert bool((magnitude.to(work.dtype) == magnitude).all())
    found = summation.sum_error(
        torch.tensor([m]), magnitude.to(work.dtype), total.to(work.dtype), acc, work=work
    )
    return found.tolist()  # type: ignore[no-any-return]


def check_sums(
    machine: Machine,
    acc: Accumulation,
    multisets: Iterable[Multiset],
    products: int | None = None,
    fma: bool = True,
) -> Share:
    """Every order of every multiset stays within ``sum_error`` and ``any_order``.

    Returns the largest share of ``sum_error``. Args:
        machine: how additions round.
        acc: the row under test.
        multisets: exact terms.
        products: how many of the leading terms are products (None: all).
        fma: whether products may be fused into additions.
    """
    share = Share()
    by_length: dict[int, list[Multiset]] = {}
    for terms in multisets:
        by_length.setdefault(len(terms), []).append(terms)
    unit = Fraction(1, 1 << machine.scale)
    for m, group in by_length.items():
        linear = coefficients(m, acc)
        if linear is None:
            continue
        sums = [(sum(map(abs, terms)), abs(sum(terms))) for terms in group]
        wide, narrow = (limits(sums, m, acc, machine.scale, w) for w in (DOUBLE, SINGLE))
        leading = m if products is None else products
        for terms, (magnitude, total), least, single in zip(group, sums, wide, narrow, strict=True):
            exact = sum(terms)
            results = machine.all_sums([(t,) for t in terms], leading, fma)
            error = max(max(results) - exact, exact - min(results)) * unit
            general = (linear[0] * magnitude + linear[1] * total) * unit + linear[2]
            assert error <= general, f"{float(error)} > {float(general)} for {terms}"
            # Never worse, up to the roundings of the two evaluations.
            assert least <= float(general) * (1 + 2.0**-40) + 2.0**-900, (
                f"{least} > {float(general)}, the linear bound, for {terms}"
            )
            assert error <= Fraction(single), f"{float(error)} > {single} for {terms}"
            share.see(error, Fraction(least), terms)
    return share


# --- alphabets -----------------------------------------------------------------------------------


def numbers(precision: int, binades: int) -> list[int]:
    """All p-bit significands times 2^0 .. 2^(binades - 1), both signs."""
    top = range(2 ** (precision - 1), 2**precision)
    return sorted({s * k << e for k in top for e in range(binades) for s in (1, -1)})


def products_of(precision: int, binades: int) -> list[int]:
    """All products of two p-bit significands times 2^0 .. 2^(binades - 1), both signs."""
    top = range(2 ** (precision - 1), 2**precision)
    pairs = {a * b for a in top for b in top}
    return sorted({s * k << e for k in pairs for e in range(binades) for s in (1, -1)})


def multisets(alphabet: Sequence[int], m: int) -> Iterator[Multiset]:
    """All multisets of ``m`` terms, one of each pair {T, -T}: rounding to nearest is odd."""
    for terms in itertools.combinations_with_replacement(alphabet, m):
        if sum(terms) >= 0:
            yield terms


def random_multisets(
    alphabet: Sequence[int], m: int, count: int, seed: int = 0
) -> Iterator[Multiset]:
    """Random multisets; half of them have one large term and many small ones."""
    rng = random.Random(seed)
    for k in range(count):
        terms = [rng.choice(alphabet) for _ in range(m)]
        if k % 2:
            terms = [abs(t) if abs(t) < 16 else abs(t) >> 3 for t in terms]
            terms[0] = max(map(abs, alphabet)) >> rng.randrange(3)
        yield tuple(terms)


# --- rows ----------------------------------------------------------------------------------------

WIDE = {p: tiny(p) for p in (2, 3, 4, 5, 6, 8)}
"""Precision to a format whose range is never met by the alphabets."""


def row_exact(precision: int) -> Accumulation:
    """Terms are numbers of the accumulator: products of two numbers of half the precision."""
    return summation.accumulation(tiny(precision // 2, emin=-20), WIDE[precision])


def row_rounded(precision: int) -> Accumulation:
    """Products are rounded: storage and accumulator are one format.

    Its smallest subnormal is an integer, so that products of its numbers never underflow.
    """
    fmt = integers(precision)
    return summation.accumulation(fmt, fmt)


def integers(precision: int) -> Format:
    """The p-bit format whose smallest subnormal is 1."""
    return tiny(precision, emin=precision - 1)


@dataclass(frozen=True)
class Family:
    """Formats near their underflow threshold, in units of ``2**-scale``."""

    storage: Format
    accumulator: Format
    scale: int

    def operands(self, top: float) -> list[int]:
        """Positive numbers of the storage format up to ``top``, in units of 2^-(scale/2)."""
        unit = Fraction(1, 2 ** (self.scale // 2))
        candidates = range(1, int(Fraction(top) / unit) + 1)
        return [k for k in candidates if round_fraction(k * unit, self.storage) == k * unit]

    def products(self, top: float) -> list[int]:
        """Exact products of two of them, both signs, in units of ``2**-scale``."""
        x = self.operands(top)
        return sorted({s * a * b for a in x for b in x for s in (1, -1)})


def row_family(family: Family, flush: bool = False) -> Accumulation:
    """The row of a family."""
    return summation.accumulation(family.storage, family.accumulator, flush=flush)


NARROWER = Family(tiny(2, emin=0), tiny(2, emin=0), scale=2)
"""So few bits that the first form is the one that is used, from four terms on."""

NARROW = Family(tiny(3, emin=0), tiny(3, emin=0), scale=4)
"""Products are inexact and underflow (strict16, binary32)."""

EXACT_BITS = Family(tiny(2, emin=-4), tiny(4, emin=-4), scale=10)
"""Products fit the accumulator's precision, not its range (bfloat16 in binary32)."""
