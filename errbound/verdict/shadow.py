"""Observed runs, their enclosures and the program over the reals, node by node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.analysis import Encloser, Shadow
from errbound.arithmetic import EXACT
from errbound.errors import ContainmentError, InputError
from errbound.number import Interval
from errbound.program import Node, Program
from errbound.verdict.issue import Certifier
from errbound.verdict.watch import each


@dataclass(frozen=True)
class Shadowed:
    """One sample at one node; every number is the largest over the node's values, rounded up.

    Attributes:
        node: its name; ``operator``: of its record; ``where``: path of the module that calls it.
        m16_error: |value of the observed M16 run - M-infinity|; ``m32_error``: of M32's.
        m16_bound: |z - M-infinity| for any z in M16's enclosure; ``m32_bound``: in M32's.
        m16_width: hi - lo of M16's enclosure; ``m32_width``: of M32's.

    Errors are infinite where the run left the range, bounds and widths where an execution may.
    M16's numbers are NaN at nodes that it does not have (a model of its own, another graph).
    """

    node: str
    operator: str
    where: str
    m16_error: float
    m32_error: float
    m16_bound: float
    m32_bound: float
    m16_width: float
    m32_width: float


@dataclass(frozen=True)
class _Values:
    """One sample at one node of one model, flattened: the run and its enclosure, binary64."""

    observed: Tensor
    lo: Tensor
    hi: Tensor


class Shadower:
    """Compares a certifier's runs and enclosures with M-infinity.

    Args:
        certifier: its M32 gives the weights of M-infinity.
        shadow: evaluates M32 over the reals.
    """

    def __init__(self, certifier: Certifier, shadow: Shadow) -> None:
        self.certifier = certifier
        self.shadow = shadow
        self.reals = Encloser(certifier.models["M32"].exact(), EXACT)
        self.partner = _partners(certifier.models["M32"], certifier.models["M16"])

    def batch(self, x: Tensor, count: int) -> Iterator[list[Shadowed]]:
        """The first ``count`` samples of the batch ``x``, run as a batch; one list a sample.

        A sample with NaN or infinity has no nodes.

        Raises:
            InputError: the digits are too few to see M-infinity inside its enclosure.
            ContainmentError: M-infinity lies outside its binary64 enclosure, or an observed value
                outside the enclosure of its model.
        """
        seen: dict[tuple[str, str, int], list[_Values]] = {}

        def look(
            model: str, node: Node, box: Interval, value: Tensor, alive: Tensor, start: int
        ) -> None:
            for row in range(min(count - start, value.shape[0])):
                # Where the range may have been left anything may follow.
                far = 0.0 if bool(alive[row]) else torch.inf
                part = (value[row].double(), box.lo[row] - far, box.hi[row] + far)
                flat = _Values(*(t.reshape(-1) for t in part))
                seen.setdefault((model, node.name, start + row), []).append(flat)

        batch = self.certifier.batch_of(x, look)
        if batch.escapes:
            raise ContainmentError(f"an observed value lies outside its enclosure: {batch.escapes}")
        for row in range(min(count, x.shape[0])):
            sane = bool(torch.isfinite(x[row]).all())
            yield self._sample(x[row : row + 1], row, seen) if sane else []

    def _sample(
        self, x: Tensor, row: int, seen: dict[tuple[str, str, int], list[_Values]]
    ) -> list[Shadowed]:
        exact: dict[str, list[tuple[Fraction, Fraction]]] = {}
        ends = self.shadow.reals.ends

        def keep(node: Node, value: Any) -> None:
            if self.shadow.program.storage(node.dtype) is not None:
                flat = (v for part in each(value) for v in np.asarray(part).reshape(-1))
                exact[node.name] = [ends(v) for v in flat]

        def check(node: Node, value: Any, alive: Tensor) -> None:
            boxes = [b for b in each(value) if isinstance(b, Interval)]
            if boxes and bool(alive.all()):
                lo = torch.cat([b.lo.reshape(-1) for b in boxes]).tolist()
                hi = torch.cat([b.hi.reshape(-1) for b in boxes]).tolist()
                _inside(node, exact[node.name], lo, hi, self.shadow.reals.rigorous)

        self.shadow(x, keep)
        self.reals(self.certifier.models["M32"].stored(x), check)
        rows = []
        for node in self.shadow.program.nodes:
            if ("M32", node.name, row) not in seen:
                continue
            at32 = _measured(exact[node.name], seen["M32", node.name, row])
            mine = seen.get(("M16", self.partner.get(node.name, ""), row))
            at16 = _measured(exact[node.name], mine) if mine else (float("nan"),) * 3
            where = node.where.split(", ")[0]
            pairs = (v for pair in zip(at16, at32, strict=True) for v in pair)
            rows.append(Shadowed(node.name, node.op.name, where, *pairs))
        return rows


def _partners(m32: Program, m16: Program) -> dict[str, str]:
    """M16's node for each of M32's: all of them in equal graphs, else the output alone."""
    shape32, shape16 = ([(n.name, n.op.name) for n in p.nodes] for p in (m32, m16))
    if shape32 == shape16:
        return {n.name: n.name for n in m32.nodes}
    return {m32.output.name: m16.output.name}


def _inside(
    node: Node,
    exact: list[tuple[Fraction, Fraction]],
    lo: list[float],
    hi: list[float],
    rigorous: bool,
) -> None:
    for (low, high), a, b in zip(exact, lo, hi, strict=True):
        if a <= low and high <= b:
            continue
        place = f"{node.where}: M-infinity, {float(low)!r} to {float(high)!r},"
        box = f"its binary64 enclosure [{a!r}, {b!r}]"
        if rigorous and (high < a or b < low):
            raise ContainmentError(
                f"{place} lies outside {box}; errbound is wrong, and no result of this run may be "
                "trusted"
            )
        raise InputError(
            f"{place} is not seen to be inside {box} with so few digits"
            + ("" if rigorous else ", of which mpmath bounds no errors")
            + ": raise --digits"
            + ("" if rigorous else " or use --shadow-with arb")
        )


def _measured(
    exact: list[tuple[Fraction, Fraction]], parts: list[_Values]
) -> tuple[float, float, float]:
    """Largest error of the run, largest distance within the enclosure, largest width."""
    observed, lo, hi = (
        torch.cat([getattr(p, name) for p in parts]).tolist() for name in ("observed", "lo", "hi")
    )
    error = bound = width = Fraction(0)
    bounded, ran = np.isfinite([*lo, *hi]).all(), np.isfinite(observed).all()
    for (low, high), v, a, b in zip(exact, observed, lo, hi, strict=True):
        if ran:
            error = max(error, abs(Fraction(v) - low), abs(Fraction(v) - high))
        if bounded:
            bound = max(bound, high - Fraction(a), Fraction(b) - low)
            width = max(width, Fraction(b) - Fraction(a))
    return (
        _upper(error) if ran else math.inf,
        _upper(bound) if bounded else math.inf,
        _upper(width) if bounded else math.inf,
    )


def _upper(x: Fraction) -> float:
    """The smallest binary64 number that is not below ``x``."""
    nearest = float(x)
    return nearest if nearest >= x else float(np.nextafter(nearest, np.inf))
