"""Weights of a network that comes as an ONNX file: its initializers as a state_dict."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor


def weights(path: Path) -> dict[str, Tensor]:
    """The initializers by name, in the shapes and dtypes that the file has them in."""
    graph = onnx.load(path).graph
    return {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in graph.initializer}
