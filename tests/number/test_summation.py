"""The error of a sum in any order: enumeration against ``any_order``, with no tolerance.

Each test prints the largest share of the bound that an execution reached (``pytest -s``).
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from errbound.arithmetic import ARITHMETICS
from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    Accumulation,
    Format,
    accumulation,
    any_order,
    sum_error,
)

from . import summation_checks as checks
from .exact import Machine, tiny
from .summation_checks import EXACT_BITS, NARROW, NARROWER, WIDE, Family, Share

modes = pytest.mark.parametrize("mode", ["even", "any-tie"])


def report(name: str, m: int, share: Share) -> None:
    print(f"\n{name}, m = {m}: {share.value:.3f} of the bound in {share.cases} sums {share.where}")
    assert share.cases > 0


# --- exact terms -------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    ("p", "binades", "m"),
    [(2, 5, 2), (2, 4, 3), (2, 3, 5), (3, 5, 2), (3, 3, 3), (3, 2, 4), (4, 3, 2), (4, 2, 3)],
)
def test_exact_terms_all_orders(mode: str, p: int, binades: int, m: int) -> None:
    terms = checks.multisets(checks.numbers(p, binades), m)
    share = checks.check_sums(Machine(WIDE[p], 0, mode), checks.row_exact(p), terms, products=0)
    report(f"exact terms, p = {p}, {mode}", m, share)


@pytest.mark.slow
@modes
@pytest.mark.parametrize(
    ("p", "binades", "m"), [(2, 4, 5), (2, 3, 6), (3, 4, 3), (3, 3, 4), (3, 2, 5), (4, 3, 3)]
)
def test_exact_terms_all_orders_more(mode: str, p: int, binades: int, m: int) -> None:
    test_exact_terms_all_orders(mode, p, binades, m)


def exact_terms_random(p: int, m: int, count: int) -> None:
    terms = checks.random_multisets(checks.numbers(p, 4), m, count)
    machine = Machine(WIDE[p], 0, "any-tie")
    share = checks.check_sums(machine, checks.row_exact(p), terms, products=0)
    report(f"exact terms, p = {p}, random", m, share)


@pytest.mark.parametrize(("p", "m"), [(3, 5), (3, 6), (3, 7), (4, 5), (4, 6), (4, 7), (8, 5)])
def test_exact_terms_random(p: int, m: int) -> None:
    exact_terms_random(p, m, 60)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "m"), [(3, 6), (3, 7), (3, 8), (4, 6), (4, 7), (4, 8), (8, 6)])
def test_exact_terms_random_more(p: int, m: int) -> None:
    exact_terms_random(p, m, 1000)


# --- rounded products, fused or not --------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    ("p", "binades", "m"),
    [(2, 4, 2), (2, 3, 3), (2, 1, 5), (3, 3, 1), (3, 2, 2), (3, 1, 3), (4, 2, 1), (4, 1, 2)],
)
def test_products_all_orders_and_fusings(mode: str, p: int, binades: int, m: int) -> None:
    """Any mixture of multiply-then-add and FMA, in any tree: one bound."""
    terms = checks.multisets(checks.products_of(p, binades), m)
    share = checks.check_sums(Machine(WIDE[p], 0, mode), checks.row_rounded(p), terms)
    report(f"products, p = {p}, {mode}", m, share)


@pytest.mark.slow
@modes
@pytest.mark.parametrize(("p", "binades", "m"), [(2, 2, 5), (3, 2, 3), (3, 1, 4), (4, 1, 3)])
def test_products_all_orders_and_fusings_more(mode: str, p: int, binades: int, m: int) -> None:
    test_products_all_orders_and_fusings(mode, p, binades, m)


def products_random(p: int, m: int, count: int) -> None:
    terms = checks.random_multisets(checks.products_of(p, 4), m, count)
    share = checks.check_sums(Machine(WIDE[p], 0, "any-tie"), checks.row_rounded(p), terms)
    report(f"products, p = {p}, random", m, share)


@pytest.mark.parametrize(("p", "m"), [(2, 6), (3, 5), (3, 6), (4, 5), (4, 6)])
def test_products_random(p: int, m: int) -> None:
    products_random(p, m, 40)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "m"), [(2, 6), (3, 6), (3, 7), (4, 6), (4, 7)])
def test_products_random_more(p: int, m: int) -> None:
    products_random(p, m, 500)


def test_products_and_a_bias() -> None:
    """The bias is a number of the format and one of the m terms."""
    products = list(checks.multisets(checks.products_of(3, 1), 2))
    terms = [(*pair, b) for pair in products for b in checks.numbers(3, 4)[::3]]
    share = checks.check_sums(Machine(WIDE[3], 0), checks.row_rounded(3), terms, products=2)
    report("two products and a bias, p = 3", 3, share)


def test_fused_chains() -> None:
    """Chains alone, long ones, in random order, from 0 or from a bias."""
    rng = random.Random(0)
    machine, acc = Machine(WIDE[4], 0), checks.row_rounded(4)
    alphabet, share = checks.products_of(4, 3), Share()
    for _ in range(3000):
        m = rng.randrange(1, 9)
        terms = [rng.choice(alphabet) for _ in range(m)]
        start = rng.choice((0, *checks.numbers(4, 6)))
        found = checks.coefficients(m + (start != 0), acc)
        assert found is not None
        magnitude, signed, absolute = found
        exact = sum(terms) + start
        limit = magnitude * (sum(map(abs, terms)) + abs(start)) + signed * abs(exact) + absolute
        share.see(abs(machine.chain(terms, start) - exact), limit, (start, terms))
    report("chains of FMA, p = 4", 8, share)


# --- underflow and flush -------------------------------------------------------------------------

FAMILIES = {"narrowest": NARROWER, "narrow": NARROW, "exact bits": EXACT_BITS}


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(
    ("family", "top", "m"),
    [
        ("narrowest", 4.0, 1), ("narrowest", 3.0, 2), ("narrowest", 2.0, 3), ("narrowest", 1.0, 4),
        ("narrow", 4.0, 1), ("narrow", 2.0, 2), ("narrow", 0.75, 3),
        ("exact bits", 1.0, 1), ("exact bits", 0.5, 2), ("exact bits", 0.1875, 3),
    ],
)  # fmt: skip
def test_underflowing_products(family: str, top: float, m: int, flush: bool) -> None:
    """Products underflow; flushed: products, operands and partial sums may become 0, or not."""
    rows: Family = FAMILIES[family]
    acc = checks.row_family(rows, flush)
    machine = Machine(rows.accumulator, rows.scale, "any-tie", flush)
    if checks.coefficients(m, acc) is None:
        assert flush, "only flushed sums of this size have no bound"
        assert (m - 1) * acc.addition > 0.5
        return
    share = checks.check_sums(machine, acc, checks.multisets(rows.products(top), m))
    report(f"underflow, {family}, flush = {flush}", m, share)


@pytest.mark.slow
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(
    ("family", "top", "m"),
    [("narrowest", 2.0, 4), ("narrowest", 1.0, 5), ("narrow", 2.0, 3), ("exact bits", 0.5, 3)],
)
def test_underflowing_products_more(family: str, top: float, m: int, flush: bool) -> None:
    test_underflowing_products(family, top, m, flush)


@pytest.mark.parametrize("flush", [False, True])
def test_underflowing_products_and_a_bias(flush: bool) -> None:
    """A subnormal bias may be flushed when it is read: it counts as a term."""
    rows = NARROW
    step = 1 << rows.scale - 2  # the smallest subnormal in units of 2^-scale
    products = list(checks.multisets(rows.products(1.0), 1))
    pairs = list(checks.multisets(rows.products(0.5), 2))
    bias = [s * k * step for k in range(1, 9) for s in (1, -1)]
    machine = Machine(rows.accumulator, rows.scale, "even", flush)
    acc = checks.row_family(rows, flush)
    for heads in (products, pairs):
        terms = [(*head, b) for head in heads for b in bias]
        m = len(terms[0])
        report(f"bias, flush = {flush}", m, checks.check_sums(machine, acc, terms, m - 1))
    share = checks.check_sums(machine, acc, [(b,) for b in bias], products=0)
    report(f"bias alone, flush = {flush}", 1, share)


# --- the rows ------------------------------------------------------------------------------------


def test_single_term() -> None:
    """One exact term is exact; one rounded product errs by u, one that underflows by eta."""
    one = torch.tensor(1)
    half = any_order(one, accumulation(BINARY16, BINARY32))
    assert [float(v) for v in (half.magnitude, half.signed, half.absolute)] == [0.0, 0.0, 0.0]
    single = any_order(one, accumulation(BINARY32, BINARY32))
    assert 2.0**-24 <= float(single.magnitude) < 2.0**-24 * (1 + 2.0**-40)
    assert 2.0**-150 <= float(single.absolute) < 2.0**-150 * (1 + 2.0**-40)
    brain = any_order(one, accumulation(BFLOAT16, BINARY32))
    assert float(brain.magnitude) == 0.0
    assert 2.0**-150 <= float(brain.absolute) < 2.0**-150 * (1 + 2.0**-40)


def test_no_terms() -> None:
    for storage in (BINARY16, BFLOAT16, BINARY32):
        none = any_order(torch.tensor(0), accumulation(storage, BINARY32, flush=True))
        assert float(none.absolute) == 0.0
        assert float(none.magnitude) <= 2.0**-23  # times S = 0
        assert float(none.signed) == 0.0


def test_any_order_is_elementwise_and_monotone() -> None:
    m = torch.cat([torch.arange(3000), 2 ** torch.arange(12, 40), 2**23 + torch.arange(-3, 4)])
    m = m.sort().values
    for acc in (accumulation(s, BINARY32) for s in (BINARY16, BFLOAT16, BINARY32)):
        all_of_them = any_order(m, acc)
        for k in (0, 1, 2, 500, len(m) - 1):
            one = any_order(m[k], acc)
            assert float(one.magnitude) == float(all_of_them.magnitude[k])
            assert float(one.absolute) == float(all_of_them.absolute[k])
        total = all_of_them.magnitude + all_of_them.signed  # the bound where |s| = S
        small = m <= 2**23
        assert bool((total[small].diff() >= 0).all())
        assert bool((all_of_them.absolute[small].diff() >= 0).all())


@pytest.mark.parametrize(
    ("storage", "accumulator", "exact"),
    [(BINARY16, BINARY32, True), (BFLOAT16, BINARY32, True), (BINARY32, BINARY32, False),
     (BINARY16, BINARY16, False), (BFLOAT16, BFLOAT16, False)],
)  # fmt: skip
def test_product_rows(storage: Format, accumulator: Format, exact: bool) -> None:
    """A row calls products exact where they are: the extreme products say so."""
    acc = accumulation(storage, accumulator)
    assert (acc.product == 0.0) == exact
    scale = 2 * (storage.precision - 1 - storage.emin)
    machine = Machine(accumulator, scale)
    least = any(machine.results(k) != (k,) for k in (1, 3))  # products of two subnormals
    assert (acc.product_absolute > 0.0) == least
    widest = (2**storage.precision - 1) ** 2 << -2 * storage.emin  # all bits of the product
    assert (machine.results(widest) == (widest,)) == exact


def height_of(tree: object) -> int:
    """Additions above the deepest leaf of a nested pair."""
    return 1 + max(map(height_of, tree)) if isinstance(tree, tuple) else 0


def trees(leaves: tuple[int, ...]) -> Iterator[object]:
    """Every bracketing of every permutation: nested pairs."""
    if len(leaves) == 1:
        yield leaves[0]
    for mask in range(1, 2 ** (len(leaves) - 1)):
        left = tuple(t for k, t in enumerate(leaves) if not mask >> k & 1)
        right = tuple(t for k, t in enumerate(leaves) if mask >> k & 1)
        yield from itertools.product(trees(left), trees(right))


def evaluated(tree: object, machine: Machine) -> set[int]:
    """All that a machine may make of a tree."""
    if isinstance(tree, int):
        return {tree}
    assert isinstance(tree, tuple)
    left, right = (evaluated(part, machine) for part in tree)
    return {r for a in left for b in right for r in machine.results(a + b)}


def test_trees_of_known_height() -> None:
    """All trees of every height: within the bound of that height, which is smaller."""
    machine, share, rng = Machine(WIDE[5], 0, "any-tie"), Share(), random.Random(1)
    alphabet = checks.numbers(5, 3)
    free = replace(checks.row_exact(5), height=None)
    for _ in range(12):
        terms = tuple(rng.choice(alphabet) for _ in range(5))
        sums = [(sum(map(abs, terms)), abs(sum(terms)))]
        bounds = {h: checks.limits(sums, 5, replace(free, height=h), 0)[0] for h in range(1, 5)}
        assert all(bounds[h] <= bounds[h + 1] for h in range(1, 4))
        assert bounds[4] <= checks.limits(sums, 5, free, 0)[0]
        for tree in trees(terms):
            error = max(abs(r - sum(terms)) for r in evaluated(tree, machine))
            share.see(Fraction(error), Fraction(bounds[height_of(tree)]), tree)
    report("trees of known height, p = 5", 5, share)


def test_rounded_products_in_trees_of_known_height() -> None:
    """One leaf more: a product is rounded before it goes through h additions."""
    machine, share, rng = Machine(WIDE[4], 0, "any-tie"), Share(), random.Random(2)
    alphabet = checks.products_of(4, 2)
    acc = checks.row_rounded(4)
    for _ in range(40):
        exact = tuple(rng.choice(alphabet) for _ in range(3))
        sums = [(sum(map(abs, exact)), abs(sum(exact)))]
        for terms in itertools.product(*(machine.results(t) for t in exact)):
            for tree in trees(terms):
                limit = checks.limits(sums, 3, replace(acc, height=height_of(tree)), 0)[0]
                error = max(abs(r - sum(exact)) for r in evaluated(tree, machine))
                share.see(Fraction(error), Fraction(limit), tree)
    report("products, trees of known height, p = 4", 3, share)


def test_height_in_large_sums() -> None:
    """m = 784, h = 64: 64 u S for 783 u Q."""
    m, acc = torch.tensor([784]), accumulation(BINARY16, BINARY32)
    one, zero = torch.ones(1).double(), torch.zeros(1).double()
    free, low = (float(sum_error(m, one, zero, a)) for a in (acc, replace(acc, height=64)))
    assert low < 1.001 * 64 * 2.0**-24 < free
    found = any_order(m, replace(acc, height=64))
    assert float(found.magnitude) < 1.001 * 64 * 2.0**-24
    assert float(found.signed) == 0.0


def test_truncation_is_not_a_row() -> None:
    """Sums that truncate leave the bound of rounding to nearest; no arithmetic claims them."""
    terms = list(checks.multisets(checks.numbers(3, 3), 2))
    machine, acc = Machine(WIDE[3], 0, "truncate"), checks.row_exact(3)
    with pytest.raises(AssertionError):
        checks.check_sums(machine, acc, terms, products=0)
    for arithmetic in ARITHMETICS:
        for row in arithmetic.sums.values():
            assert row.addition == row.accumulator.unit_roundoff


@pytest.mark.parametrize("mode", ["truncate", "up", "faithful"])
def test_faithful_additions_with_twice_the_roundoff(mode: str) -> None:
    """Master bound with 2u; the first form is false for them, so no bound at all."""
    fmt = WIDE[4]
    acc = Accumulation(fmt, 2 * fmt.unit_roundoff, 0.0, 0.0)
    for m, binades in ((2, 3), (3, 2)):
        # Rounding up is not odd: all signs are taken.
        alphabet = checks.numbers(4, binades)
        terms = list(checks.multisets(alphabet, m))
        terms += [tuple(-t for t in ts) for ts in terms]
        share = checks.check_sums(Machine(fmt, 0, mode), acc, terms, products=0)
        report(f"{mode}, 2u, p = 4", m, share)
    assert checks.coefficients(5, acc) is not None
    assert checks.coefficients(6, acc) is None


def test_infinite_only_where_no_bound_is_known() -> None:
    many = torch.tensor([2**22, 2**23 + 2, 2**30])
    assert torch.isfinite(any_order(many, accumulation(BINARY32, BINARY32)).absolute).all()
    flushed = any_order(many, accumulation(BFLOAT16, BINARY32, flush=True)).absolute
    assert torch.isfinite(flushed).tolist() == [True, False, False]


def test_row_of_a_small_format_is_one_line() -> None:
    """The enumeration above runs the code that real formats run: the rows are data."""
    fmt = tiny(3, emin=-2)
    acc = accumulation(fmt, fmt)
    assert (acc.addition, acc.product, acc.product_absolute) == (2.0**-3, 2.0**-3, 2.0**-5)
