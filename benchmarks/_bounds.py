"""Bounds that errbound is compared with: intervals under the standard model, and norms.

Both are of every execution of *one* program; a pair is certified by applying one of them to M32 and
to M16, each with its own weights and its own rounded input, and asking that one class wins in both.

Where a published formula leaves something open the reading is taken that favours the bound:

* a range that is left is not looked for, underflow is gradual, a bias is added last (norms);
* the bounds are evaluated in binary64 and not rounded outward;
* gamma_n is (1 + u)^n - 1, which is less than n u / (1 - n u) and always finite;
* besides the reading with one unit roundoff (every single operation rounds to the storage format)
  there is one with sums in binary32, rounded to storage once: what ``torch-cpu`` executes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from errbound.arithmetic import TORCH_CPU
from errbound.number import Format, Interval
from errbound.ops import Constant, Step
from errbound.program import Node, Program, Ref

SAME_NORM = {"relu", "flatten", "view", "reshape", "dropout"}
"""Operators that make no error and no norm larger, and that are 1-Lipschitz."""


@dataclass(frozen=True)
class Rounding:
    """Where a program rounds: sums of products in ``sums``, their results to ``storage``."""

    sums: Format
    storage: Format

    def gamma(self, n: int) -> float:
        """(1 + u)^n - 1, u of the format of the sums."""
        return math.expm1(n * math.log1p(self.sums.unit_roundoff))

    def kappa(self, n: int) -> float:
        """gamma_n + u (1 + gamma_n), u of storage."""
        return self.gamma(n) + self.storage.unit_roundoff * (1.0 + self.gamma(n))

    def underflow(self, n: int) -> float:
        """What one output may err besides: n products, and the store where it is another format."""
        return n * self.sums.eta + (0.0 if self.sums is self.storage else self.storage.eta)


CONTRACTIONS = ("linear", "conv2d")


def has_intervals(program: Program) -> bool:
    """Whether ``intervals`` covers every operator of the program."""
    ops = [node.op for node in program.nodes]
    return all(op.moves or op.name in CONTRACTIONS for op in ops)


def intervals(program: Program, x: Tensor, rounding: Rounding) -> Interval:
    """Interval arithmetic under the standard model |fl(t) - t| <= u |t| + eta; no rounding cells.

    A sum of n products and a bias errs by at most gamma_{n+1} times the sum of the terms'
    magnitudes, in any order (Higham 2002, section 3.1). Ends are real numbers, not of a format.

    Args:
        program: of linear layers, convolutions and operators that move or select numbers.
        x: the batch in the program's input dtype.
        rounding: where it rounds.
    """

    def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
        if node.op.moves:
            storage = program.storage(node.dtype) or rounding.storage
            found: Interval = node.op.enclose(Step(TORCH_CPU, storage, x.shape[0]), *args, **kwargs)
            return found
        if node.op.name not in CONTRACTIONS:
            raise ValueError(f"{node.op.name} at {node.where} has no interval here")
        return _contraction(node, rounding, *args, **kwargs)

    constants = {k: Constant(v) for k, v in program.constants.items()}
    with torch.inference_mode():
        output: Interval = program.evaluate(Interval.point(x), constants, step)
    return output


def _contraction(
    node: Node,
    rounding: Rounding,
    box: Interval,
    weight: Constant,
    bias: Constant | None = None,
    *args: Any,
    **kwargs: Any,
) -> Interval:
    n = weight.exact[0].numel()
    mid, rad = (box.lo + box.hi) / 2, (box.hi - box.lo) / 2
    b, magnitude = (None, None) if bias is None else (bias.exact, bias.magnitude)

    def apply(value: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        found: Tensor = node.op.call(value, w, b, *args, **kwargs)
        return found

    centre = apply(mid, weight.exact, b)
    terms = apply(mid.abs() + rad, weight.magnitude, magnitude)
    radius = apply(rad, weight.magnitude, None)
    radius += rounding.gamma(n + 1) * terms + n * rounding.sums.eta
    lo, hi = centre - radius, centre + radius
    if rounding.sums is not rounding.storage:
        u, eta = rounding.storage.unit_roundoff, rounding.storage.eta
        lo, hi = lo - (u * lo.abs() + eta), hi + (u * hi.abs() + eta)
    return Interval(lo, hi)


@dataclass(frozen=True)
class Errors:
    """How far a computed output may be from the exact one of the same program.

    Attributes:
        output: (samples, classes), of one entry.
        pair: (samples, classes, classes), of a difference of two entries.
    """

    output: Tensor
    pair: Tensor


class NormBound:
    """The norm-wise bound of T. Murray (arXiv:2603.13334) for fully connected ReLU networks.

    With gamma_n and kappa_n as in ``Rounding``, r_0 = ||x||_2 of the sample and D_0 = 0, per layer
    of n inputs and m outputs:

        r_l = ||W||_2 r_{l-1} + ||b||_2
        D_l = (||W||_2 + kappa_n || |W| ||_2) D_{l-1} + kappa_n || |W| ||_2 r_{l-1}
              + u ||b||_2 + sqrt(m) underflow

    The error E_ij of a difference of outputs i, j is the last step of this recursion for row i
    minus row j, with ||W_i - W_j||_2, || |W_i| + |W_j| ||_2, |b_i| + |b_j| and 2 underflow. It is
    never more than sqrt(2) D_L, what D_L alone gives. A class i wins every execution if
    y_i - y_j > 2 E_ij for the computed y. Norms are of a model's own weights, in M16 the rounded
    ones, and r_0 of its own input.
    """

    def __init__(self, program: Program, rounding: Rounding) -> None:
        """Compute the norms; ``ValueError`` if the program is no such network."""
        self.rounding = rounding
        self.layers = _layers(program)
        self.norms = [
            (_spectral(w), _spectral(w.abs()), float(b.norm())) for w, b in self.layers[:-1]
        ]

    def __call__(self, x: Tensor) -> Errors:
        """Bounds for the batch ``x``, (samples, ...), as stored."""
        r = x.double().flatten(1).norm(dim=1)
        d = torch.zeros_like(r)
        u = self.rounding.storage.unit_roundoff
        for (w, _), (norm, absolute, bias) in zip(self.layers, self.norms, strict=False):
            m, n = w.shape
            kappa = self.rounding.kappa(n)
            under = math.sqrt(m) * self.rounding.underflow(n)
            d = (norm + kappa * absolute) * d + kappa * absolute * r + u * bias + under
            r = norm * r + bias
        return self._last(r, d)

    def _last(self, r: Tensor, d: Tensor) -> Errors:
        """The last layer, by rows and by pairs of rows, from r and D (samples,) before it."""
        w, b = self.layers[-1]
        n = w.shape[1]
        u, kappa = self.rounding.storage.unit_roundoff, self.rounding.kappa(n)
        under = self.rounding.underflow(n)

        def rows(exact: Tensor, absolute: Tensor, bias: Tensor, count: int) -> Tensor:
            shape = (-1, *[1] * bias.dim())
            radius, error = r.reshape(shape), d.reshape(shape)
            return exact * error + kappa * absolute * (radius + error) + u * bias + count * under

        difference = (w[:, None] - w[None]).norm(dim=2)
        magnitudes = (w.abs()[:, None] + w.abs()[None]).norm(dim=2)
        return Errors(
            rows(w.norm(dim=1), w.norm(dim=1), b.abs(), 1),
            rows(difference, magnitudes, b.abs()[:, None] + b.abs()[None], 2),
        )


def wins(y: Tensor, errors: Errors) -> Tensor:
    """(samples,) int64: the class i with y_i - y_j > 2 E_ij for every other j, else -1."""
    z = y.double()
    winner = z.argmax(dim=1)
    at = winner[:, None, None].expand(-1, 1, z.shape[1])
    lead = z.gather(1, winner[:, None]) - z - 2.0 * errors.pair.gather(1, at)[:, 0]
    lead.scatter_(1, winner[:, None], torch.inf)
    return torch.where((lead > 0).all(dim=1), winner, -1)


def _spectral(w: Tensor) -> float:
    return float(torch.linalg.matrix_norm(w, ord=2))


def _layers(program: Program) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of a chain of linear layers, binary64."""
    found = []
    previous = program.input
    for node in program.nodes:
        first, *rest = node.args
        if first != Ref(previous) or node.op.name not in SAME_NORM | {"linear"}:
            raise ValueError(f"{node.op.name} at {node.where}: no chain of linear layers and relus")
        if node.op.name == "linear":
            w, *b = (program.constants[r.name].double() for r in rest if isinstance(r, Ref))
            found.append((w, b[0] if b else w.new_zeros(w.shape[0])))
        previous = node.name
    return found
