"""One run with samples of every verdict, made by the command line; figures and a page of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from errbound import cli
from errbound.report.html import render
from errbound.report.inputs import images_of
from errbound.report.run import Run, load_run

SIDE, COUNT = 8, 120
ARCH = """
from torch import nn
def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
"""
HOSTILE = "<b onclick=alert(1)>'$x$'&.pth"
SHADOW = """\
sample,node,operator,where,m16_error,m32_error,m16_bound,m32_bound,m16_width,m32_width
0,linear,linear,1,0,1e-8,0.002,1e-6,0.003,2e-6
0,linear_1,linear,3,0.001,1e-8,0.004,inf,0.003,2e-6
1,linear,linear,1,0.001,1e-8,0.003,1e-6,0.003,2e-6
1,linear_1,linear,3,0.001,2e-8,0.008,4e-6,0.003,2e-6
"""


def weights() -> dict[str, torch.Tensor]:
    """Two classes that differ in the last places of their weights only: many near ties."""
    torch.manual_seed(2)
    found = {
        "1.weight": torch.randn(16, 64) / 8,
        "1.bias": torch.zeros(16),
        "3.weight": torch.randn(4, 16) / 4,
        "3.bias": torch.tensor([0.5, 0.5, 0.0, 0.0]),
    }
    found["1.weight"][:, 0] = 0.0  # what leaves the range there is seen in 16 bits only
    found["3.weight"][1] = found["3.weight"][0] + torch.randn(16) * 5e-5
    return found


def inputs() -> np.ndarray:
    """Images (120, 1, 8, 8); 3 holds NaN, 4 to 9 leave binary16's range."""
    x = np.random.default_rng(0).random((COUNT, 1, SIDE, SIDE), np.float32)
    x[3, 0, 0, 0] = np.nan
    x[4:10, 0, 0, 0] = 7e4
    return x


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's directory; model and data lie beside it."""
    home = tmp_path_factory.mktemp("report")
    torch.save(weights(), home / HOSTILE)
    (home / "arch.py").write_text(ARCH)
    np.savez(home / "data.npz", x=inputs(), y=np.arange(COUNT) % 4)
    words = ["certify", home / HOSTILE, "--arch", f"{home / 'arch.py'}:build", "--quiet"]
    words += ["--data", home / "data.npz", "--batch-size", "50", "--out", home / "run"]
    assert cli.main([*map(str, words)]) == 0
    return home / "run"


@pytest.fixture(scope="session")
def run(folder: Path) -> Run:
    """It, read back."""
    return load_run(folder)


@pytest.fixture(scope="session")
def shadowed(folder: Path) -> Run:
    """A copy of it with a shadow.csv."""
    copy = folder.with_name("shadowed")
    shutil.copytree(folder, copy)
    (copy / "shadow.csv").write_text(SHADOW)
    return load_run(copy)


@pytest.fixture(scope="session")
def page(run: Run) -> str:
    """Its report."""
    return render(run, *images_of(run))
