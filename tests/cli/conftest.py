"""A folder with small models and data, and a shell in it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import errbound

from ..certify.making import net, points
from .shell import Shell

ARCH = """
import torch
from torch import nn
def build():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
def unknown():
    wide, narrow = nn.Linear(12, 16), nn.Linear(16, 4)
    return nn.Sequential(wide, nn.Hardswish(), narrow, nn.Hardsigmoid())
"""


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """A folder with model.pt, weights.pt, nets.py and points.npz."""
    monkeypatch.chdir(tmp_path)
    errbound.export(net(), points(2), "model.pt")
    torch.save(net().state_dict(), "weights.pt")
    Path("nets.py").write_text(ARCH)
    np.savez("points.npz", x=points(40).numpy(), y=np.arange(40) % 4)
    return Shell(capsys)
