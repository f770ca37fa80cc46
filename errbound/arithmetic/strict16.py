"""``strict16``: the most pessimistic reading of "pure 16-bit". No hardware is said to do this."""

from __future__ import annotations

from errbound.arithmetic._arithmetic import Arithmetic, Faultless
from errbound.number import FORMATS, accumulation

STRICT16 = Arithmetic(
    name="strict16",
    summary="every single operation rounds to the storage format, sums in any order",
    assumptions=(
        "every product, every addition, every division and every elementary function is rounded "
        "to nearest to the storage format, sums in any order, with or without FMA; M32 likewise in "
        "binary32",
        "elementary functions are correctly rounded; scalars are rounded to storage first",
        "no hardware is claimed to compute so: observed values are emulated exactly (products "
        "rounded, added one by one in the order of the weights, the bias last), never torch's "
        "kernels",
    ),
    sums={f.name: accumulation(f, f) for f in FORMATS},
    functions=Faultless(),
    emulated="products rounded, added one by one in the order of the weights, the bias last",
)
