"""``exact``: the reals. What encloses M-infinity, the program without any rounding."""

from __future__ import annotations

from errbound.arithmetic._arithmetic import Arithmetic, Faultless
from errbound.number import BINARY64, Accumulation

EXACT = Arithmetic(
    name="exact",
    summary="real numbers: nothing is rounded, ends are binary64 numbers moved outward",
    assumptions=(),
    sums={BINARY64.name: Accumulation(BINARY64, 0.0, 0.0, 0.0)},
    functions=Faultless(),
    exact=True,
)
