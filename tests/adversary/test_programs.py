"""Whole programs under attack: every value of every execution inside its interval.

``pytest tests/adversary/test_programs.py -m slow -s`` is the full run and prints its counts.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errbound.number import NATIVE
from errbound.testing.programs import programs, seeded

from .harness import Tally, attack, rare

PROGRAMS = 360
REPEATS = 72  # of each of four samples: 288 executions of a program


def campaign(seeds, repeats):
    """Attack the seeds' programs; the tally of what was done, printed."""
    tally, start = Tally(), time.process_time()
    for seed in seeds:
        case = seeded(seed)
        assert case.contractions >= 3
        attack(case, tally, np.random.default_rng(seed), repeats)
    print(f"{tally}\n{time.process_time() - start:.0f} s of processor time")
    # The run says nothing about samples that may overflow, and little where no cell is split.
    assert tally.dead <= 0.1 * tally.samples
    assert tally.at_end >= 0.05 * tally.split > 0
    return tally


def test_no_execution_leaves_its_enclosure():
    tally = campaign(range(36), 32)
    assert tally.executions >= 4000
    assert len(tally.programs) == 36
    assert tally.exact > 100


@pytest.mark.slow
def test_a_hundred_thousand_executions():
    tally = campaign(range(PROGRAMS), REPEATS)
    assert tally.executions >= 100_000
    assert len(tally.programs) >= 300
    assert min(tally.formats[fmt.name] for fmt in NATIVE) >= 100
    assert rare(tally, 20) == {}, "records that too few programs contain"


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs(blocks=(3, 12), contractions=3), st.integers(0, 2**32 - 1))
def test_no_drawn_program_is_left(case, seed):
    attack(case, Tally(), np.random.default_rng(seed), 24)


def test_every_seed_is_another_program_and_the_same_again():
    first, again = seeded(7), seeded(7)
    assert first.blocks == again.blocks
    assert str(first.module) == str(again.module)
    assert first.inputs.equal(again.inputs)
    assert len({seeded(seed).blocks for seed in range(60)}) >= 59
