"""The binade bound of a sum where all that is absolute in it is nothing beside the rest."""

from fractions import Fraction

import pytest
import torch

from errbound.number import (
    BFLOAT16,
    BINARY16,
    BINARY32,
    DOUBLE,
    SINGLE,
    Format,
    Working,
    accumulation,
    sum_error,
)


@pytest.mark.parametrize("work", [DOUBLE, SINGLE], ids=["binary64", "binary32"])
@pytest.mark.parametrize("storage", [BINARY16, BFLOAT16, BINARY32], ids=lambda f: f.name)
def test_without_absolute_terms_the_bound_is_no_less(storage: Format, work: Working) -> None:
    """``least`` leaves out what is absolute: at least the exact binade bound, and hardly more."""
    acc = accumulation(storage, BINARY32, flush=storage is BFLOAT16)
    g = torch.Generator().manual_seed(1)
    m = torch.cat([torch.arange(4), torch.randint(2, 801, (500,), generator=g)])
    size = (torch.rand(len(m), generator=g) * 60 - 40).exp2().clamp(min=2.0**-40)
    size = torch.where(m > 0, size, 0.0).to(work.dtype)
    total = (size * torch.rand(len(m), generator=g)).to(work.dtype)
    relative, absolute = 2.0**-43, 2.0**-126
    found = sum_error(
        m,
        size,
        total,
        acc,
        relative=relative,
        absolute=absolute,
        work=work,
        terms=800,
        least=2.0**-40,
    )
    assert found[0] == 0
    u, f = Fraction(acc.addition), Fraction(acc.addition_absolute)
    for k, (terms, s, t, bound) in enumerate(
        zip(m.tolist(), size.tolist(), total.tolist(), found.tolist(), strict=True)
    ):
        if terms == 0:
            continue
        q, added = (Fraction(s) + Fraction(t)) / 2, terms - 1
        leaves = Fraction(acc.product) * Fraction(s) + terms * Fraction(acc.product_absolute)
        leaves += Fraction(relative) * Fraction(s)
        top = (q + leaves + added * f) / (1 - added * u)
        least = leaves + Fraction(absolute) + added * (u * power(top) + f)
        assert least <= Fraction(bound), f"{bound} < {float(least)} at {k}: {terms} terms, S = {s}"
        if terms > 1:
            loose = leaves + added * u * power(top * (1 + Fraction(1, 2**12)))
            assert Fraction(bound) <= loose * (1 + Fraction(1, 2**10)), f"{bound} at {k}"


def power(x: Fraction) -> Fraction:
    """The largest power of two that is not above x."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    found = Fraction(2) ** exponent
    return found if found <= x else found / 2
