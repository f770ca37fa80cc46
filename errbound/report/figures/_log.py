"""A logarithmic axis on which zero and infinity are seen: each has a strip at the border.

Coordinates are log10 of the values, so that the range of binary64 fits with its subnormals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from errbound.report.figures._canvas import GREY

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_STRIP = 0.12  # of the range: room for a marker between two lines
_TICKS = 6
_SHADE: dict[str, Any] = {"color": "0.92", "lw": 0, "zorder": 0.9}


class Log:
    """Places values on a logarithmic axis.

    Args:
        values: all that will be placed; they decide the range and which strips there are.
        below: what the strip for values <= 0 is called.
    """

    def __init__(self, values: Iterable[float], below: str = "0") -> None:
        found = np.asarray(list(values), float)
        exponents = np.log10(found[(found > 0) & np.isfinite(found)])
        low, high = (exponents.min(), exponents.max()) if exponents.size else (0.0, 0.0)
        if high - low < 2:
            low, high = math.floor(low), math.ceil(high)
            high += high == low
        self.low, self.high = float(low), float(high)
        strip = _STRIP * (self.high - self.low)
        pad = strip / 2
        self._zero, self._infinity = self.low - pad - strip / 2, self.high + pad + strip / 2
        self._named = {}
        if bool((found <= 0).any()):
            self._named[self._zero] = below
        if bool((found == math.inf).any()):
            self._named[self._infinity] = "∞"
        self._half = strip / 2
        first = self.low - pad - (strip if self._zero in self._named else 0)
        last = self.high + pad + (strip if self._infinity in self._named else 0)
        self.limits = first, last

    def place(self, values: Iterable[float]) -> npt.NDArray[np.float64]:
        """Coordinates: log10, the strips for values <= 0 and for infinity, NaN for NaN."""
        found = np.asarray(list(values), float)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.log10(found)
        inside = np.where(found <= 0, self._zero, inside)
        return np.where(found == math.inf, self._infinity, inside)

    def show_x(self, axes: Axes) -> None:
        """Make it the horizontal axis."""
        self._show(axes.xaxis)
        axes.set_xlim(*self.limits)
        for centre in self._named:
            axes.axvspan(centre - self._half, centre + self._half, **_SHADE)

    def show_y(self, axes: Axes) -> None:
        """Make it the vertical axis."""
        self._show(axes.yaxis)
        axes.set_ylim(*self.limits)
        for centre in self._named:
            axes.axhspan(centre - self._half, centre + self._half, **_SHADE)

    def _show(self, axis: Any) -> None:
        span = self.high - self.low
        step = max(1, math.ceil(span / _TICKS))
        first = math.ceil(self.low / step) * step
        powers = list(range(first, math.floor(self.high) + 1, step))
        names = ["10" + str(k).translate(_RAISED) for k in powers]
        axis.set_ticks([*powers, *self._named], [*names, *self._named.values()])
        if step == 1:
            fine = (
                k + math.log10(m) for k in range(first - 1, powers[-1] + 1) for m in range(2, 10)
            )
            axis.set_ticks([x for x in fine if self.low <= x <= self.high], minor=True)


def diagonal(axes: Axes, x: Log, y: Log, factor: float, label: str) -> None:
    """The line y = factor * x."""
    ends = np.array([min(x.limits[0], y.limits[0]) - 1, max(x.limits[1], y.limits[1]) + 1])
    axes.plot(ends, ends + math.log10(factor), "--", color=GREY, lw=0.8, label=label, zorder=0.8)
