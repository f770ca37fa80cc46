"""Peak memory does not grow with the number of samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .shared import ROOT

MEASURE = """
import resource, sys
from errbound.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(samples: int, out: Path) -> int:
    """Peak resident memory of certifying the shipped DNN, in the unit of the system."""
    model = str(ROOT / "examples" / "mnist_dnn.pt")
    options = ["--data", "mnist", "--limit", str(samples), "--out", str(out), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, "certify", model, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_ten_times_the_samples_take_a_tenth_more_at_most(tmp_path: Path) -> None:
    small, large = (peak(n, tmp_path / str(n)) for n in (1_000, 10_000))
    print(f"peak memory: {small} at 1,000 samples, {large} at 10,000")
    assert large <= 1.1 * small
