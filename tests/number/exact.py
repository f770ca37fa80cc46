"""Exact arithmetic that knows nothing of binary64: the oracle of every test in this directory.

An integer n stands for the number ``n * 2**-scale``; rounding, sums and products are integer
operations. ``Machine.reachable`` is every result of every bracketing, permutation and mixture of
multiply-then-add with fused multiply-add.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from errbound.number import Format


def tiny(precision: int, emin: int = -60, emax: int = 60) -> Format:
    """A small format: torch has no dtype for it, so its numbers are held in binary64."""
    name = f"p{precision}e{emin}"
    return Format(name, name, precision, emin, emax, torch.float64)


def ratio(x: float, scale: int) -> int:
    """The integer that stands for ``x``; ``x`` must be a multiple of ``2**-scale``."""
    n, d = x.as_integer_ratio()
    shifted, rest = divmod(n << scale, d)
    assert rest == 0, f"{x!r} is not a multiple of 2**-{scale}"
    return shifted


def round_fraction(x: Fraction, fmt: Format) -> Fraction | float:
    """``fl(x)`` by the definition: nearest, ties to even, overflow to infinity."""
    n, d = abs(x.numerator), x.denominator
    if n == 0:
        return Fraction(0)
    e = n.bit_length() - d.bit_length()  # 2^(e-1) < |x| < 2^(e+1)
    if (n << max(-e, 0)) < (d << max(e, 0)):
        e -= 1
    q = max(e, fmt.emin) - fmt.precision + 1  # exponent of the quantum
    k, rest = divmod(n << max(-q, 0), d << max(q, 0))
    twice, whole = 2 * rest, d << max(q, 0)
    k += twice > whole or (twice == whole and k % 2 == 1)
    result = Fraction(k) * Fraction(2) ** q
    if result > Fraction(fmt.max_finite):
        return float("inf") if x > 0 else float("-inf")
    return result if x > 0 else -result


class Overflow(Exception):
    """A partial sum or a product reached the overflow threshold."""


@dataclass(frozen=True)
class Machine:
    """Rounds, multiplies and adds in ``fmt``; ``mode`` says what a rounding may return.

    ``even`` and ``any-tie`` are roundings to nearest; ``truncate`` is towards zero; ``up`` towards
    plus infinity; ``faithful`` may return either neighbour. ``flush``: any subnormal operand,
    product or partial may be replaced by 0, or not: both belong to the set.
    """

    fmt: Format
    scale: int
    mode: str = "even"
    flush: bool = False

    def results(self, n: int) -> tuple[int, ...]:
        """Everything that one rounding of ``n`` may return."""
        if n < 0 and self.mode != "up":
            return tuple(-r for r in self.results(-n))
        fmt, scale = self.fmt, self.scale
        k = max(n.bit_length() - fmt.precision, fmt.emin - fmt.precision + 1 + scale)
        if k <= 0:
            found: tuple[int, ...] = (n,)
        else:
            q, rest = n >> k, n & ((1 << k) - 1)
            half = 1 << (k - 1)
            if rest == 0 or self.mode == "truncate":
                found = (q << k,)
            elif self.mode == "up":
                found = ((q + 1) << k,)
            elif self.mode == "faithful" or (self.mode == "any-tie" and rest == half):
                found = (q << k, (q + 1) << k)
            else:
                found = ((q + (rest > half or (rest == half and q & 1))) << k,)
        if max(abs(r) for r in found) >> fmt.emax + 1 + scale:
            raise Overflow
        if self.flush and self.is_subnormal(n):  # tiny before rounding: also what rounds to 2^emin
            return (*found, 0)
        return found

    def is_subnormal(self, n: int) -> bool:
        """Whether ``n`` is a nonzero number below the normal range."""
        return 0 < abs(n) < (1 << max(self.fmt.emin + self.scale, 0))

    def leaf(self, term: Sequence[int], product: bool) -> set[int]:
        """What a term may be when it is first stored: a rounded product, or a number as read."""
        if product:
            return {r for t in term for r in self.results(t)}
        return {r for t in term for r in ((t, 0) if self.flush and self.is_subnormal(t) else (t,))}

    def reachable(
        self, terms: Sequence[Sequence[int]], products: int, fma: bool = True
    ) -> list[set[int]]:
        """For each subset of the terms (a bit mask) all results of summing it, in any order.

        A term is the tuple of its admitted exact values (more than one if an operand may be
        flushed). The first ``products`` terms are products, rounded before they are added or
        fused into an addition (``fma``); the others are numbers of the format.
        """
        m = len(terms)
        found: list[set[int]] = [{0} for _ in range(1 << m)]
        for k, term in enumerate(terms):
            found[1 << k] = self.leaf(term, k < products)
        for whole in range(1, 1 << m):
            if whole & (whole - 1) == 0:
                continue
            exact: set[int] = set()
            rest = whole & (whole - 1)
            part = rest
            while part:  # the part that does not hold the lowest term
                other = found[whole ^ part]
                exact.update(a + b for a in found[part] for b in other)
                part = (part - 1) & rest
            if fma:
                for k in range(products):
                    if whole >> k & 1:
                        others = found[whole ^ (1 << k)]
                        exact.update(a + t for a in others for t in terms[k])
            found[whole] = {r for n in exact for r in self.results(n)}
        return found

    def all_sums(self, terms: Sequence[Sequence[int]], products: int, fma: bool = True) -> set[int]:
        """Every result of summing all terms."""
        return self.reachable(terms, products, fma)[-1]

    def chain(self, terms: Sequence[int], start: int = 0) -> int:
        """One chain of fused multiply-adds from ``start``, in the given order."""
        total = start
        for t in terms:
            (total,) = self.results(total + t)
        return total

    def random_sum(self, terms: Sequence[Sequence[int]], products: int, rng: random.Random) -> int:
        """One random tree with random fusing, ties and flushes."""
        loose = [(t, k < products) for k, t in enumerate(terms)]
        rng.shuffle(loose)
        blocks = rng.choice((1, 2, 4, len(terms)))
        partials: list[int] = []
        for b in range(blocks):
            total: int | None = None
            for term, product in loose[b::blocks]:
                fused = product and rng.random() < 0.5
                if total is None:
                    total = rng.choice(sorted(self.leaf(term, product)))
                    continue
                part = rng.choice(term if fused else sorted(self.leaf(term, product)))
                total = rng.choice(self.results(total + part))
            if total is not None:
                partials.append(total)
        while len(partials) > 1:
            a = partials.pop(rng.randrange(len(partials)))
            b = partials.pop(rng.randrange(len(partials)))
            partials.append(rng.choice(self.results(a + b)))
        return partials[0] if partials else 0
