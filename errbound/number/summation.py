"""The error of a sum in any order: every bracketing, every permutation, FMA or not.

Setting (docs/theory.md, section 4; Jeannerod & Rump, SIAM J. Matrix Anal. Appl. 34 (2013)). A tree
of m - 1 additions over m terms; every stored partial is a number of the accumulator's format;
nothing overflows. P, N = sums of the positive terms and of the magnitudes of the negative ones,
S = P + N, Q = max(P, N) = (S + |s|)/2 where s = P - N is the exact sum.

Master bound, for additions of relative error u and absolute error f, leaves of total error E:

    if k = (m-1) u < 1:   |computed - s| <= (E + (m-1)(u Q + f)) / (1 - k).

  The exact operand sum of a node is a subset sum of the terms (magnitude <= Q) plus errors made
  below it (<= T, the sum of all |local errors|). So each addition errs by <= u(Q + T) + f; summing
  over nodes and leaves gives T <= E + (m-1)(u(Q + T) + f); solve for T.

First form, rounding to nearest, no condition on m, f = 0:

    exact terms:  <= (m-1) u S;     products rounded, or any mixture with FMA:  <= m u S (+ eta).

  FMA earns nothing: an FMA chain rounds its first product and the number of chains is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.number.format import Format
from errbound.number.rounding import inflate


@dataclass(frozen=True)
class Accumulation:
    """How a machine sums products of two numbers of one storage format.

    Attributes:
        accumulator: format of every partial sum.
        addition: relative error of one addition (u to nearest, 2u for other faithful roundings,
            for which only the master bound holds).
        product: relative error of one product (0 if exact in the accumulator).
        product_absolute: absolute error of one product besides (underflow or flush; 0 if none).
        addition_absolute: f, what an addition may err beyond ``addition`` (flush of its result).
        input_absolute: by how much an operand may change when it is read (flush of subnormals).
    """

    accumulator: Format
    addition: float
    product: float
    product_absolute: float
    addition_absolute: float = 0.0
    input_absolute: float = 0.0


def accumulation(storage: Format, accumulator: Format, *, flush: bool = False) -> Accumulation:
    """The accumulation to nearest of products of two ``storage`` numbers in ``accumulator``.

    A product of two p-bit numbers has 2p bits: exact if they fit and if its last bit, at least
    the square of the smallest subnormal, is not below the accumulator's last bit; otherwise one
    rounding, u relative and eta absolute. ``flush``: subnormal operands, products and partial
    sums may be replaced by zero (oneDNN on AMX), so eta becomes the smallest normal number.
    """
    exact_bits = 2 * storage.precision <= accumulator.precision
    last = 2 * (storage.emin - storage.precision + 1)
    exact_range = last >= accumulator.emin - accumulator.precision + 1
    floor = accumulator.min_normal if flush else accumulator.eta
    return Accumulation(
        accumulator=accumulator,
        addition=accumulator.unit_roundoff,
        product=0.0 if exact_bits else accumulator.unit_roundoff,
        product_absolute=floor if flush or not exact_range else 0.0,
        addition_absolute=accumulator.min_normal if flush else 0.0,
        input_absolute=storage.min_normal if flush else 0.0,
    )


@dataclass(frozen=True)
class Coefficients:
    """|computed - s| <= magnitude * S + signed * |s| + absolute, for one m (or one per sample)."""

    magnitude: Tensor
    signed: Tensor
    absolute: Tensor


def any_order(m: Tensor, acc: Accumulation) -> Coefficients:
    """Coefficients of the error bound of a sum of ``m`` terms in any order.

    Args:
        m: number of terms that are not zero in every execution, the bias included; an upper bound
            will do. Any shape, any numeric dtype.
        acc: how products are formed and added.

    Master bound with Q = (S + |s|)/2 while (m-1)u <= 1/2, else the first form (whose |s|
    coefficient is 0); infinite where neither applies (huge m, and additions that are flushed or
    not rounded to nearest). The two are not mixed: each alone is a bound. Evaluated in binary64
    and inflated.
    """
    count = m.double()
    additions = (count - 1.0).clamp(min=0.0)
    kappa = additions * acc.addition
    grow = inflate(8) / (1.0 - kappa.clamp(max=0.5))
    half = 0.5 * kappa * grow
    leaves = count * acc.product_absolute
    master = Coefficients(
        half + acc.product * grow, half, (leaves + additions * acc.addition_absolute) * grow
    )
    nodes = count if acc.product > 0.0 else additions
    # Terms whose product underflowed count as exact terms of their own: S grows by E at most, and
    # the sum of the terms moves by E at most, hence m u E + E.
    to_nearest = acc.addition <= acc.accumulator.unit_roundoff
    first = Coefficients(
        nodes * acc.addition * inflate(4),
        torch.zeros_like(count),
        leaves * (1.0 + count * acc.addition) * inflate(4)
        + (0.0 if to_nearest and acc.addition_absolute == 0.0 else torch.inf),
    )
    use_master = kappa <= 0.5
    return Coefficients(
        torch.where(use_master, master.magnitude, first.magnitude),
        torch.where(use_master, master.signed, first.signed),
        torch.where(use_master, master.absolute, first.absolute),
    )
