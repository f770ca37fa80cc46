"""Published networks, trained by others: what errbound proves of them, any order of summation.

Prints one row per model and format: samples, agreeing samples, how many of these are proved, the
median of proved / observed delta over every execution of both models, the same with M32 taken as
the one run made, seconds.

    python benchmarks/published.py                    # the tables of docs/results.md
    python benchmarks/published.py --limit 500 kw_mnist
    python benchmarks/published.py --ties first
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn
from torch.export import ExportedProgram

import errbound
from errbound.data import Dataset, Preprocess, open_dataset
from errbound.program.load import load_arch, load_model
from errbound.report.run import Run
from errbound.verdict import EFFORTS

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ERRBOUND_SHARED", ROOT.parent / "shared"))
ARCHITECTURES = ROOT / "tests" / "architectures.py"
CIFAR = Preprocess((0.485, 0.456, 0.406), (0.225,))
CIFAR_SIGMOID = Preprocess((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR_RESNET = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Row:
    """A model, its data, how many samples of it are certified (None: all) and how hard."""

    file: str
    arch: str
    data: str = "mnist"
    preprocess: Preprocess | None = None
    limit: int | None = None
    effort: str = "normal"


def shipped(name: str) -> Row:
    return Row(f"examples/{name}.pt", "")


ROWS = {
    "mnist_fc_3layer": Row("models/mnist_fc_3layer.pth", "mnist_fc_3layer"),
    "mnist_cnn_small": Row("models/mnist_cnn_small.pth", "mnist_cnn_small"),
    "kw_mnist": Row("models/kw_mnist.pth", "kw_mnist"),
    "mnist_a_adv": Row("models/mnist_a_adv.pth", "kw_mnist"),
    "mnist_6_100": Row("models/mnist_6_100_nat.pth", "mnist_6_100"),
    "mnist_net_256x2": Row("models/mnist-net_256x2.onnx", "mnist_net_256x2"),
    "cifar_base": Row("models/cifar_base.pth", "cifar_base", "cifar10", CIFAR, 1000),
    "cifar_2c2f": Row("models/cifar_2c2f.pth", "cifar_2c2f", "cifar10", None, 1000),
    "cifar_conv_small_sigmoid": Row(
        "models/cifar_conv_small_sigmoid.pth",
        "cifar_conv_small_sigmoid",
        "cifar10",
        CIFAR_SIGMOID,
        1000,
    ),
    "resnet20": Row(
        "models/resnet20-12fca82f.th", "resnet20", "cifar10", CIFAR_RESNET, 100, "fast"
    ),
    "examples/mnist_dnn": shipped("mnist_dnn"),
    "examples/mnist_cnn": shipped("mnist_cnn"),
    "examples/cifar_resnet": Row(
        "examples/cifar_resnet.pt", "", "cifar10", CIFAR_RESNET, 200, "max"
    ),
}


def load(name: str, shared: Path = SHARED) -> nn.Module | ExportedProgram:
    """The model of a row; weights that come as ONNX are read with the package ``onnx``."""
    row = ROWS[name]
    arch = f"{ARCHITECTURES}:{row.arch}"
    if row.file.endswith(".onnx"):
        weights = load_arch(f"{ROOT / 'tests' / 'onnx_weights.py'}:weights")
        module: nn.Module = load_arch(arch)().eval()
        module.load_state_dict(weights(shared / row.file))
        return module
    if row.arch:
        return load_model(shared / row.file, arch=arch).content
    return load_model(ROOT / row.file).content


def data(name: str, shared: Path = SHARED) -> Dataset:
    """The test set of a row."""
    folder = shared / "data" / "cifar10" if ROWS[name].data == "cifar10" else None
    return open_dataset(ROWS[name].data, data_dir=folder)


def certify(
    name: str,
    fmt: str,
    limit: int | None = None,
    effort: str | None = None,
    ties: Literal["open", "first"] = "open",
) -> Run:
    """Certify a row's model in ``fmt``; ``limit`` and ``effort`` are the row's own unless given."""
    row = ROWS[name]
    return errbound.certify(
        load(name),
        data(name),
        format=fmt,
        preprocess=row.preprocess,
        limit=limit or row.limit,
        effort=effort or row.effort,
        ties=ties,
    )


def ratio(value: float | None) -> str:
    """Two decimals, three digits from a hundred on; none where the median is infinite."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:.2f}" if value < 100 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(ROWS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--effort", choices=list(EFFORTS))
    parser.add_argument("--ties", choices=["open", "first"], default="open")
    options = parser.parse_args()
    head = ("model", "format", "samples", "agree", "proved", "share", "ratio", "ratio16", "seconds")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.models or ROWS:
        for fmt in ("float16", "bfloat16"):
            start = time.perf_counter()
            s = certify(name, fmt, options.limit, options.effort, options.ties).summary
            agree = round(s["agreement_fraction"] * s["samples"])
            proved = s["verdicts"]["proved"]
            print(
                f"| {name} | {fmt} | {s['samples']} | {agree} | {proved} | {proved / agree:.2%} "
                f"| {ratio(s['delta_ratio_median'])} | {ratio(s['delta16_ratio_median'])} "
                f"| {time.perf_counter() - start:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
