"""The theorem: when enclosures of both models' outputs prove one and the same answer.

Pairwise form. Let class i win every execution of M32: lo32_i > hi32_j for all j != i. If also
lo16_i > hi16_j for all j != i, then i wins every execution of M16. Inequalities are strict: with
>= a tie would be allowed, and argmax of a tie depends on the index (p = (0.375, 0.625),
q = (0.5, 0.5): margin = 2 delta, different answers).

First index. Where argmax takes the first of equal outputs, as torch.argmax documents, i wins if
z_i > z_j for all j < i and z_i >= z_j for all j > i: a tie with a later class changes nothing. This
is an assumption on whoever takes the argmax, and made only where ``Ties.FIRST`` is asked for.

Classic form (Yun et al., arXiv:2305.10947): Gamma > 2 delta, with Gamma the infimum of M32's margin
over its executions and delta the largest difference over all pairs of executions. Implied by the
pairwise form's premises' enclosures being tight, never used to decide; reported beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from errbound.number import DOUBLE, Interval, down, up


class Ties(StrEnum):
    """What is assumed of argmax where outputs are equal."""

    OPEN = "open"
    """Nothing: a tie proves nothing."""
    FIRST = "first"
    """The first of the equal outputs is the answer."""


@dataclass(frozen=True)
class Bounds:
    """What enclosures of outputs (samples, classes) prove; every field is (samples,) binary64.

    Attributes:
        winner: the class that wins every M32 execution, or -1 (int64).
        delta: upper bound of |z32 - z16| over all executions of both, all classes.
        delta_run: the same with M32 taken as the one run that was made.
        margin: lower bound of M32's margin over its executions (may be <= 0).
        pairwise: smallest proved lower bound of z16_i - z16_j, i the winner (-inf without one).
        proved: one and the same answer in every execution of M32 and of M16 (bool).
    """

    winner: Tensor
    delta: Tensor
    delta_run: Tensor
    margin: Tensor
    pairwise: Tensor
    proved: Tensor


def distance(a: Interval, b: Interval) -> Tensor:
    """Upper bound of max_i |x_i - y_i| over x in ``a``, y in ``b``: (samples,)."""
    gap = torch.maximum(a.hi - b.lo, b.hi - a.lo)
    return up(gap.reshape(gap.shape[0], -1).amax(dim=1))


def leads(box: Interval, winner: Tensor) -> Tensor:
    """Lower bounds of z_winner - z_j over ``box``, (samples, classes); infinite for the winner.

    Their signs are those of lo_winner - hi_j: a difference that is subnormal is exact.
    """
    index = winner.clamp(min=0)[:, None]
    gap = box.lo.gather(1, index) - box.hi
    gap = torch.where(gap.abs() < DOUBLE.min_normal, gap, down(gap))
    return gap.scatter(1, index, torch.inf)


def wins(leads: Tensor, winner: Tensor, ties: Ties) -> Tensor:
    """(samples,) whether lower bounds of z_winner - z_j, (samples, classes), make it the answer."""
    sufficient = leads > 0
    if ties is Ties.FIRST:
        later = torch.arange(leads.shape[1]) > winner[:, None]
        sufficient |= later & (leads == 0)
    return sufficient.all(dim=1)


def bounds(z32: Interval, z16: Interval, run32: Tensor, ties: Ties = Ties.OPEN) -> Bounds:
    """Apply the theorem to enclosures of the outputs.

    Args:
        z32: encloses every execution of M32, (samples, classes >= 2).
        z16: encloses every execution of M16.
        run32: the M32 execution that was observed.
        ties: what is assumed of equal outputs.
    """
    winner = z32.lo.argmax(dim=1)  # the first of the largest: the only one that may win
    leads32, leads16 = leads(z32, winner), leads(z16, winner)
    wins32 = wins(leads32, winner, ties)
    return Bounds(
        winner=torch.where(wins32, winner, -1),
        delta=distance(z32, z16),
        delta_run=distance(Interval.point(run32), z16),
        margin=leads32.amin(dim=1),
        pairwise=torch.where(wins32, leads16.amin(dim=1), -torch.inf),
        proved=wins32 & wins(leads16, winner, ties),
    )


def without_classes(z32: Interval, z16: Interval, run32: Tensor) -> Bounds:
    """The distances alone, for outputs (samples, ...) that no argmax is taken of."""
    delta = distance(z32, z16)
    none = torch.full_like(delta, -torch.inf)
    return Bounds(
        winner=torch.full(delta.shape, -1),
        delta=delta,
        delta_run=distance(Interval.point(run32), z16),
        margin=none,
        pairwise=none,
        proved=torch.zeros(delta.shape, dtype=torch.bool),
    )
