"""The other rows under attack: strict16, assumed CUDA, and the emulated formats.

``pytest tests/adversary/test_arithmetics.py -m slow -s`` is the full run and prints its counts.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace

import numpy as np
import pytest

from errbound.arithmetic import STRICT16, TORCH_CPU, TORCH_CUDA_ASSUMED
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32, E4M3, E5M2, TF32
from errbound.testing.choices import Seeded
from errbound.testing.programs import build

from .harness import Tally, attack

# The assumptions of the CUDA row, carried out by the emulator: no device is needed.
# Operators without terms run on the CPU, whose softmax keeps partial results of 16 bits.
CUDA = replace(
    TORCH_CUDA_ASSUMED,
    broken=lambda: "",
    device="cpu",
    settings=TORCH_CPU.settings,
    partials16=True,
)

ROWS = [
    *((TORCH_CPU, fmt) for fmt in (TF32, E4M3, E5M2)),
    *((CUDA, fmt) for fmt in (BINARY16, BFLOAT16, BINARY32)),
    *((STRICT16, fmt) for fmt in (BINARY16, BFLOAT16, BINARY32, TF32, E4M3, E5M2)),
]
rows = pytest.mark.parametrize(
    ("arithmetic", "fmt"), ROWS, ids=[f"{a.name}-{f.name}" for a, f in ROWS]
)


def campaign(arithmetic, fmt, programs, repeats):
    """Attack so many programs; dtypes spelt out and folded weights are refused by some rows."""
    tally, seed = Tally(), 0
    while len(tally.programs) < programs:
        case = build(Seeded(seed), fmt)
        refuses = fmt.emulated or not arithmetic.probed
        with suppress(InputError) if refuses else nullcontext():
            attack(case, tally, np.random.default_rng(seed), repeats, arithmetic=arithmetic)
        seed += 1
        assert seed < 3 * programs + 20
    print(f"{arithmetic.name}: {tally}")
    return tally


@rows
def test_no_execution_leaves_its_enclosure(arithmetic, fmt):
    tally = campaign(arithmetic, fmt, 4, 12)
    assert tally.executions >= 150
    assert tally.before > 0


@pytest.mark.slow
@rows
def test_ten_thousand_executions(arithmetic, fmt):
    tally = campaign(arithmetic, fmt, 40, 63)
    assert tally.executions >= 10_000
    # Small formats leave their range easily; the rest must be worth something.
    assert tally.dead <= 0.5 * tally.samples
    assert tally.split > tally.at_end > 0
