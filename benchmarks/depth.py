"""How far refinement reaches: widths of intervals against depth, in a residual network.

For a few CIFAR-10 images and each format: M16 is enclosed forward, then with refinement. Per
rounded node the median width in ulps of both, and how many values were narrowed; then the lower
bound of the winner's lead over its closest rival, in all executions, and the seconds.

    python -m benchmarks.depth resnet20 --shared ../shared --samples 4 --figure depth.png
    python -m benchmarks.depth cifar_resnet --shared ../shared --samples 4
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.published import CIFAR, load
from errbound.analysis import Encloser, Trace, execute
from errbound.arithmetic import TORCH_CPU
from errbound.data import Preprocess, load_named
from errbound.number import BFLOAT16, BINARY16, Format, Interval, ulp
from errbound.ops import Centred
from errbound.program import Node, program_of
from errbound.verdict.cascade import Follower


def widths(box: Interval, fmt: Format) -> float:
    """Median width in ulps of the larger end."""
    size = ulp(torch.maximum(box.lo.abs(), box.hi.abs()), fmt)
    return float(((box.hi - box.lo) / size).median())
