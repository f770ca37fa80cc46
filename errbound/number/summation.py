"""The error of a sum in any order: every bracketing, every permutation, FMA or not.

Setting (docs/theory.md, section 4; Jeannerod & Rump, SIAM J. Matrix Anal. Appl. 34 (2013)). A tree
of m - 1 additions over m terms; every stored partial is a number of the accumulator's format;
nothing overflows. P, N = sums of the positive terms and of the magnitudes of the negative ones,
S = P + N, Q = max(P, N) = (S + |s|)/2 where s = P - N is the exact sum. An addition with exact
result x errs by at most u ufp(x) + f, ufp(x) = 2^floor(log2 |x|) <= |x|; the leaves err by E in
total. k = (m-1) u.

Master bound, if k < 1:

    |computed - s| <= T <= T0 = (E + (m-1)(u Q + f)) / (1 - k).

  T is the sum of all |local errors|. The exact result x of a node is a subset sum of the terms
  (magnitude <= Q) plus errors made below it (<= T). So each addition errs by <= u(Q + T) + f;
  summing over nodes and leaves gives T <= E + (m-1)(u(Q + T) + f); solve for T.

Binade bound, if k < 1: now that T <= T0 is known, each addition errs by <= u ufp(Q + T0) + f, for
ufp is nondecreasing, and again summing over nodes and leaves:

    |computed - s| <= E + (m-1)(u ufp(Q + T0) + f),      Q + T0 = (Q + E + (m-1) f) / (1 - k).

  With T0 in place of ufp(Q + T0) - Q this is the master bound itself, so it is never worse; where
  Q lies anywhere in a binade it is smaller by 1 - 1/(2 ln 2) = 28 % on average.

  Why u ufp(x), 2^e = ufp(x). To nearest: consecutive numbers in [2^e, 2^(e+1)] are 2u 2^e apart, so
  x is at most half of that from one of them; the same with u doubled for any faithful rounding
  (one of the two neighbours: truncation, upward, downward, stochastic). Below emin a sum of
  numbers is exact, and a product that underflows inside an FMA is a leaf error.

First form, rounding to nearest, no condition on m, f = 0:

    exact terms:  <= (m-1) u S;     products rounded, or any mixture with FMA:  <= m u S (+ eta).

  FMA earns nothing: an FMA chain rounds its first product and the number of chains is unknown.

Height form, if no leaf is below more than h additions (an assumption of the accumulation) and
d u <= 1/2, d = h, or h + 1 if products are rounded:

    |computed - s| <= d u / (1 - d u) S + (1 + d u / (1 - d u)) (m eta + (m-1) f).

  A leaf's error and its own rounding are carried through at most h factors 1 + delta, |delta| <= u;
  (1 + u)^d - 1 <= d u / (1 - d u).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from errbound.number.format import Format
from errbound.number.rounding import DOUBLE, Working, inflate, ufp_


@dataclass(frozen=True)
class Accumulation:
    """How a machine sums products of two numbers of one storage format.

    Attributes:
        accumulator: format of every partial sum.
        addition: an addition with exact result x errs by ``addition * ufp(x)`` at most: u to
            nearest, 2u for other faithful roundings (without the first form), 0 if exact.
        product: relative error of one product (0 if exact in the accumulator).
        product_absolute: absolute error of one product besides (underflow or flush; 0 if none).
        addition_absolute: f, what an addition may err beyond ``addition`` (flush of its result).
        input_absolute: by how much an operand may change when it is read (flush of subnormals).
        height: no term goes through more additions than this, an assumption; None: any tree.
    """

    accumulator: Format
    addition: float
    product: float
    product_absolute: float
    addition_absolute: float = 0.0
    input_absolute: float = 0.0
    height: int | None = None


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

    def or_else(self, other: Coefficients, here: Tensor) -> Coefficients:
        """These where ``here``, the others elsewhere: never a mixture of two bounds."""
        return Coefficients(
            torch.where(here, self.magnitude, other.magnitude),
            torch.where(here, self.signed, other.signed),
            torch.where(here, self.absolute, other.absolute),
        )


def any_order(m: Tensor, acc: Accumulation) -> Coefficients:
    """Coefficients of the error bound of a sum of ``m`` terms in any order, for any S and |s|.

    Args:
        m: number of terms that are not zero in every execution, the bias included; an upper bound
            will do. Any shape, any numeric dtype.
        acc: how products are formed and added.

    Master bound with Q = (S + |s|)/2 while (m-1)u <= 1/2, else the first form (whose |s|
    coefficient is 0); infinite where neither applies (huge m, and additions that are flushed or
    not rounded to nearest); the height form where it is known and smaller. Evaluated in binary64
    and inflated.
    """
    count = m.double()
    kappa = (count - 1.0).clamp(min=0.0) * acc.addition
    found = _master(count, acc).or_else(_first_form(count, acc), kappa <= 0.5)
    if acc.height is None:
        return found
    levels = _height_form(count, acc.height, acc)
    smaller = (levels.magnitude < found.magnitude) | found.absolute.isinf()
    return levels.or_else(found, smaller)


def _master(count: Tensor, acc: Accumulation) -> Coefficients:
    additions = (count - 1.0).clamp(min=0.0)
    kappa = additions * acc.addition
    grow = inflate(8) / (1.0 - kappa.clamp(max=0.5))
    half = 0.5 * kappa * grow
    absolute = count * acc.product_absolute + additions * acc.addition_absolute
    return Coefficients(half + acc.product * grow, half, absolute * grow)


def _first_form(count: Tensor, acc: Accumulation) -> Coefficients:
    nodes = count if acc.product > 0.0 else (count - 1.0).clamp(min=0.0)
    # Terms whose product underflowed count as exact terms of their own: S grows by E at most, and
    # the sum of the terms moves by E at most, hence m u E + E.
    absolute = count * acc.product_absolute * (1.0 + count * acc.addition) * inflate(4)
    if acc.addition > acc.accumulator.unit_roundoff or acc.addition_absolute > 0.0:
        absolute = absolute + torch.inf
    return Coefficients(nodes * acc.addition * inflate(4), torch.zeros_like(count), absolute)


def _height_form(count: Tensor, height: int, acc: Accumulation) -> Coefficients:
    additions = (count - 1.0).clamp(min=0.0)
    depth = additions.clamp(max=float(height)) + (acc.product > 0.0)
    du = depth * max(acc.addition, acc.product)
    carried = du / (1.0 - du.clamp(max=0.5)) * inflate(4)
    absolute = count * acc.product_absolute + additions * acc.addition_absolute
    absolute = torch.where(du <= 0.5, absolute * (1.0 + carried) * inflate(4), torch.inf)
    return Coefficients(carried, torch.zeros_like(count), absolute)


def sum_error(
    m: Tensor,
    magnitude: Tensor,
    total: Tensor,
    acc: Accumulation,
    *,
    relative: float = 0.0,
    absolute: float | Tensor = 0.0,
    roundings: int = 0,
    work: Working = DOUBLE,
    terms: int | None = None,
    least: float = 0.0,
) -> Tensor:
    """Upper bound of |computed - s| for sums of ``m`` terms in any order: the least that is known.

    The binade bound while (m-1)u <= 1/2, else the first form, infinite where neither applies; the
    height form where it is known and smaller. At most the bound of ``any_order``.

    Args:
        m: as in ``any_order``; broadcasts against the sums.
        magnitude: S, or an upper bound; at least S (1 - unit)^``roundings`` will do.
        total: |s|, or an upper bound, likewise; besides it may be too small by
            relative * S + absolute.
        acc: how products are formed and added.
        relative: relative * S is added to the bound; ``absolute`` likewise, where m > 0.
        roundings: in ``work``, of what ``magnitude`` and ``total`` went through.
        work: the format that S, |s| and the result are held in.
        terms: m is at most this; ``least``: S is at least this, or 0 as all terms are. Where they
            tell that what is absolute in the bound is nothing beside the rest, it is left out.

    Its own roundings: at most eight after those of the operands, each of ``work``; what underflows
    in them, and the binade of what is subnormal in ``work``, is below ``work.tiny`` + k
    ``work.min_normal``, which is added where m > 0 (a sum of no terms is exactly 0).
    """
    if terms is not None and least > 0.0 and isinstance(absolute, float) and acc.height is None:
        found = _relative_error(
            m, magnitude, total, acc, relative, absolute, roundings, work, terms, least
        )
        if found is not None:
            return found
    count = m.double()
    additions = (count - 1.0).clamp(min=0.0)
    kappa = additions * acc.addition
    up = work.inflate(roundings + 8)
    grow = up / (1.0 - kappa.clamp(max=0.5))
    fixed = count * acc.product_absolute + additions * acc.addition_absolute + absolute
    none = kappa * work.min_normal + work.tiny
    some = count > 0.0

    def held(value: Tensor) -> Tensor:
        return value.to(work.dtype)

    def by(form: Coefficients) -> Tensor:
        """A form without |s|."""
        rest = torch.where(some, (form.absolute + absolute + none) * up, 0.0)
        return torch.addcmul(held(rest), magnitude, held((form.magnitude + relative) * up))

    # Q + T0 with E <= product S + m product_absolute.
    share = grow * (0.5 + acc.product + relative)
    top = torch.addcmul(held((fixed + none) * grow), magnitude, held(share))
    top.addcmul_(total, held(0.5 * grow))
    rest = torch.where(some, (fixed + none) * up, 0.0)
    error = torch.add(held(rest), magnitude, alpha=(acc.product + relative) * up)
    error.addcmul_(ufp_(top), held(kappa * up))
    if bool((kappa > 0.5).any()):
        error = torch.where(kappa <= 0.5, error, by(_first_form(count, acc)))
    if acc.height is not None:
        error = torch.minimum(error, by(_height_form(count, acc.height, acc)))
    return error


def _relative_error(
    m: Tensor,
    magnitude: Tensor,
    total: Tensor,
    acc: Accumulation,
    relative: float,
    absolute: float,
    roundings: int,
    work: Working,
    terms: int,
    least: float,
) -> Tensor | None:
    """``sum_error`` without absolute terms, in few passes; None where they matter.

    With k = max(m - 1, 1) u in place of (m-1) u the bound is at least u ufp(Q) >= u S/4 where S is
    not 0. All that is absolute, at most ``small`` = f' + m f'' + underflow, is therefore at most
    4 small/(u ``least``) of the bound; so is relative * S, 4 relative/u of it. Both go into the
    factor where they are below 2^-12. Where S is 0 so is the result. (m-1) u in the denominators is
    taken at ``terms``: at most 2^-9, and so much of Q + T0 at most.
    """
    u = acc.addition
    small = terms * (acc.product_absolute + acc.addition_absolute + work.min_normal) + absolute
    part = 4.0 * small / (u * least) if u > 0.0 else 1.0
    kappa = terms * u
    if part > 2.0**-12 or kappa > 2.0**-9:
        return None
    alone = acc.product + relative
    if 4.0 * alone <= 2.0**-12 * u:
        part, alone = part + 4.0 * alone / u, 0.0
    up = work.inflate(roundings + 12) * (1.0 + part)
    top = torch.add(total, magnitude, alpha=1.0 + 2.0 * (acc.product + relative))
    top.mul_(0.5 * up / (1.0 - kappa))
    additions = (m.double() - 1.0).clamp(min=1.0)
    error = ufp_(top).mul_((additions * (u * up)).to(work.dtype))
    return error.add_(magnitude, alpha=alone * up) if alone else error
