"""What an operator is: one record; and what its enclosure may use.

A record says everything that errbound knows about an operator. Most fields are filled by the
definers of ``_shapes``; an operator's own file holds its record and nothing else knows its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.arithmetic import Arithmetic
from errbound.number import (
    BINARY32,
    BY_DTYPE,
    Accumulation,
    Format,
    Interval,
    Narrow,
    down,
    nearest,
    nearest_,
    ulp,
    up,
)

Array = np.ndarray[Any, Any]
"""An array of binary64 or of exact numbers (``Fraction``, ``arb``, ``mpf``): ``exact`` and
``terms`` are generic over them."""


def real(function: str, value: Any) -> Any:
    """An elementary function of an exact number: ``arb`` has methods, ``mpf`` a context."""
    context = getattr(value, "context", None)
    return getattr(context, function)(value) if context else getattr(value, function)()


@dataclass(frozen=True, eq=False)
class Constant:
    """A weight, buffer or constant of the program: a tensor known exactly.

    ``value`` keeps the dtype that the kernel sees; the binary64 views are computed once.
    """

    value: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor."""
        return self.value.shape

    @cached_property
    def exact(self) -> Tensor:
        """The same numbers in binary64."""
        return self.value.double()

    @cached_property
    def magnitude(self) -> Tensor:
        """Absolute values in binary64."""
        return self.exact.abs()

    @cached_property
    def largest_row(self) -> float:
        """Largest sum of magnitudes over one output's weights (first dimension)."""
        return float(self.magnitude.flatten(1).sum(dim=1).max()) if self.exact.numel() else 0.0

    @cached_property
    def has_subnormal(self) -> bool:
        """Whether an entry is subnormal in the format of ``value`` (a flush may zero it)."""
        fmt = BY_DTYPE.get(self.value.dtype)
        if fmt is None or not self.value.numel():
            return False
        return bool(((self.magnitude > 0) & (self.magnitude < fmt.min_normal)).any())


Operand = Interval | Constant


@dataclass
class Step:
    """The evaluation of one node for a batch of samples: arithmetic, storage, range check.

    Attributes:
        arithmetic: the execution model.
        storage: format of the node's output.
        samples: batch size.
        overflow: (samples,) bool; set where the range of a format may be left.
        stores: number of roundings to storage so far; ``beyond``: (samples,) int64, how many of
            them had an interval wholly outside the range.
    """

    arithmetic: Arithmetic
    storage: Format
    samples: int
    overflow: Tensor = field(init=False)
    stores: int = field(init=False, default=0)
    beyond: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Start with no overflow."""
        self.overflow = torch.zeros(self.samples, dtype=torch.bool)
        self.beyond = torch.zeros(self.samples, dtype=torch.int64)

    @property
    def certain(self) -> Tensor:
        """(samples,) bool: every execution overflows, whichever of several ways it takes.

        Where a kernel may round in several ways, each way has a rounding to storage of its own.
        """
        return (self.beyond == self.stores) if self.stores else self.beyond > 0

    @property
    def sums(self) -> Accumulation:
        """How this node sums products."""
        return self.arithmetic.sums[self.storage.name]

    @property
    def intermediate(self) -> Format:
        """The format in which the kernel computes before it rounds to storage."""
        return self.arithmetic.intermediate or self.storage

    @property
    def additions(self) -> Accumulation:
        """How this node adds stored numbers (no products, no flush)."""
        middle = self.intermediate
        u = 0.0 if self.arithmetic.exact else middle.unit_roundoff
        return Accumulation(middle, u, 0.0, 0.0)

    def scalar(self, value: float | Tensor, *, as_stored: bool) -> Tensor:
        """A number of the program as the kernel uses it, in binary64.

        Converted by torch to the dtype of storage, or of the intermediate format (emulated storage
        computes in binary32); where every single operation rounds, numbers are rounded first.
        """
        given = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
        if self.arithmetic.emulated:
            return nearest(given.double(), self.storage)
        return given.to((self.storage if as_stored else self.intermediate).dtype).double()

    def per_sample(self, values: Tensor, rank: int) -> Tensor:
        """Reshape (samples,) to broadcast against a tensor of ``rank`` dimensions."""
        return values.reshape(-1, *([1] * (rank - 1)))

    def round_(self, lo: Tensor, hi: Tensor, fmt: Format) -> Interval:
        """Round ends in place to ``fmt``: [fl(lo), fl(hi)] contains fl of every value between.

        Checked *before* rounding: a sample with an end at or beyond the overflow threshold (or
        NaN) is marked and its ends are replaced by finite ones, whose later values mean nothing.
        Where nothing is rounded the ends move outward by one binary64 number instead, which covers
        the one binary64 operation that they may come from.
        """
        limit = fmt.max_finite if self.arithmetic.exact else fmt.overflow_threshold
        self.stores += fmt is self.storage
        single = fmt is BINARY32 and not self.arithmetic.exact
        low, high = (lo.float(), hi.float()) if single else (lo, hi)
        # Rounding to binary32 makes what is at or beyond the threshold infinite, and nothing else.
        most = torch.inf if single else limit
        if lo.numel() and not (float(high.max()) < most and float(low.min()) > -most):
            bad = ~((hi < limit) & (lo > -limit))
            self.overflow |= bad.reshape(self.samples, -1).any(dim=1)
            if fmt is self.storage:
                outside = (lo >= limit) | (hi <= -limit)
                self.beyond += outside.reshape(self.samples, -1).any(dim=1)
            top = fmt.max_finite
            lo.nan_to_num_(nan=-top).clamp_(-top, top)
            hi.nan_to_num_(nan=top).clamp_(-top, top)
            low, high = (lo.float(), hi.float()) if single else (lo, hi)
        if self.arithmetic.exact:
            return Interval(down(lo), up(hi))
        if single:
            return Narrow(low, high)
        lo, hi = nearest_(lo, fmt), nearest_(hi, fmt)
        return Narrow(lo.float(), hi.float()) if fmt.precision < 24 else Interval(lo, hi)

    def gap(self, size: Tensor, *, twice: bool = False) -> Tensor | None:
        """Bound of |fl(y) - y| for |y| <= ``size``, fl the rounding to storage: half an ulp.

        ``twice``: y is rounded to the intermediate format first. That may reach the next power of
        two, a number of both formats, which the second rounding leaves alone.
        """
        if self.arithmetic.exact:
            return None
        half = ulp(size, self.storage).mul_(0.5)
        if twice and self.intermediate is not self.storage:
            half.add_(ulp(size, self.intermediate), alpha=0.5)
        return half

    def store_(self, lo: Tensor, hi: Tensor) -> Interval:
        """Round the real interval [lo, hi] to storage, in place, by one rounding."""
        return self.round_(lo, hi, self.storage)

    def compute_(self, lo: Tensor, hi: Tensor) -> Interval:
        """Round to the intermediate format, then to storage: the composition is monotone.

        The ends may come from one binary64 operation +, -, *, / on numbers of at most 24 bits:
        rounding 53 bits to 24 afterwards gives the correctly rounded result, since 53 >= 2*24 + 2
        (Figueroa 1995), so the ends need no outward rounding.
        """
        middle = self.intermediate
        box = self.round_(lo, hi, middle)
        return box if self.storage is middle else self.round_(box.lo, box.hi, self.storage)


@dataclass(frozen=True)
class Terms:
    """A sum of products, spelt out: output = (sum_k left_k * right_k + bias) / divisors.

    Arrays of binary64 or of exact numbers. ``left`` (..., m) holds stored activations, ``right``
    broadcasts against it, ``bias`` is None or broadcasts against the output (...). Each divisor,
    broadcast against the output too, is one more rounded division.
    """

    left: Array
    right: Array
    bias: Array | None = None
    divisors: tuple[Any, ...] = ()


class BatchMoved(ValueError):
    """An operator would move or cut dimension 0; harmless where no sample is involved."""


class Refused(ValueError):
    """Arguments outside the domain, which only the storage format or the batch's shape tells."""


@dataclass(frozen=True)
class Case:
    """One call of an operator for contract tests: stored inputs, other arguments, keywords.

    ``args`` may hold tensors of the format under test; ``inputs`` counts how many of the leading
    ones are activations.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: int = 1


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        name: errbound's name, also of in-place forms.
        targets: ATen overloads that mean this operator.
        meaning: the exact function over the reals, in words or a formula.
        rounds: where an execution rounds.
        lemma: how its enclosure is justified: ``proved: Name``, ``paper: ...``, ``assumed: ...``
            or ``measured: profile``.
        call: the torch call that is executed, on tensors of the storage dtype.
        enclose: ``(step, *args) -> Interval``: contains the output of every execution; raises
            ``Refused`` where only storage or shape tell that there is no bound.
        exact: the function over the reals on arrays of exact numbers; activations and constants
            arrive as object arrays.
        cases: contract cases of about a given size, ``(generator, dtype, size)``.
        terms: for sums of products, the terms an execution adds; else None.
        domain: what is refused, in words.
        check: raises ``ValueError`` for arguments outside the domain (training mode, ...), of which
            ``BatchMoved`` concerns operands that depend on the input only.
        moves: only moves, selects or compares stored numbers: nothing is rounded.
        shares: the result may share storage with the first operand (views, identities).
        shaped: integer arguments are the shape of the output.
        compares: ``exact`` compares numbers, but is nondecreasing in each of them, so that over
            balls it is evaluated at both ends; ``moves`` implies it, up to the sign.
        relate: ``(step, output, *args) -> Relation``: the linear relation of ``_relation`` between
            the output, already enclosed, and the operands (a list of them for several outputs);
            None, or a result of None, ends a backward pass here.
        bends: ``(step, *args) -> (samples, *shape) bool``, the entries of the first operand whose
            narrowing would make the relation better: where the function is not linear.
        emulate: where an execution that rounds every single operation is not given by ``terms`` or
            by one operation per element: ``(fl, *args)`` on binary64 tensors, ``fl`` rounds.
    """

    name: str
    targets: tuple[str, ...]
    meaning: str
    rounds: str
    lemma: str
    call: Callable[..., Any]
    enclose: Callable[..., Any]
    exact: Callable[..., Any]
    cases: Callable[[torch.Generator, torch.dtype, int], Iterator[Case]]
    terms: Callable[..., Terms] | None = None
    domain: str = "all finite inputs"
    check: Callable[..., None] | None = None
    moves: bool = False
    shares: bool = False
    shaped: bool = False
    compares: bool = False
    relate: Callable[..., Any] | None = None
    bends: Callable[..., Tensor] | None = None
    emulate: Callable[..., Tensor] | None = None

    @property
    def determined(self) -> bool:
        """Whether stored operands leave one result, whatever the order, layout or code path."""
        return self.terms is None and not self.lemma.startswith("measured")
