"""Published networks, trained by others: what errbound proves of them, any order of summation.

Prints one row per model and format: samples, agreeing samples, how many of these are proved, the
median of proved / observed delta over every execution of both models, the same with M32 taken as
the one run made, seconds.

    python benchmarks/published.py                    # the tables of docs/results.md
    python benchmarks/published.py --limit 500 kw_mnist
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

import errbound
from errbound.data import Preprocess, open_dataset
from errbound.program.load import load_model
from errbound.report.run import Run

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ERRBOUND_SHARED", ROOT.parent / "shared"))
CIFAR = Preprocess((0.485, 0.456, 0.406), (0.225,))


@dataclass(frozen=True)
class Row:
    """A model, its data and how many samples of it are certified (None: all)."""

    file: str
    arch: str
    data: str = "mnist"
    preprocess: Preprocess | None = None
    limit: int | None = None


def shipped(name: str) -> Row:
    return Row(f"examples/{name}.pt", "")


ROWS = {
    "mnist_fc_3layer": Row("models/mnist_fc_3layer.pth", "mnist_fc_3layer"),
    "mnist_cnn_small": Row("models/mnist_cnn_small.pth", "mnist_cnn_small"),
    "kw_mnist": Row("models/kw_mnist.pth", "kw_mnist"),
    "mnist_a_adv": Row("models/mnist_a_adv.pth", "kw_mnist"),
    "cifar_base": Row("models/cifar_base.pth", "cifar_base", "cifar10", CIFAR, 1000),
    "examples/mnist_dnn": shipped("mnist_dnn"),
    "examples/mnist_cnn": shipped("mnist_cnn"),
}


def load(name: str) -> nn.Module | ExportedProgram:
    """The model of a row."""
    row = ROWS[name]
    if row.arch:
        arch = f"{ROOT / 'tests' / 'architectures.py'}:{row.arch}"
        loaded = load_model(SHARED / row.file, arch=arch)
    else:
        loaded = load_model(ROOT / row.file)
    model = loaded.module if loaded.module is not None else loaded.exported
    assert model is not None
    return model


def certify(name: str, fmt: str, limit: int | None = None) -> Run:
    """Certify a row's model in ``fmt``; ``limit`` samples, or the row's own number."""
    row = ROWS[name]
    folder = SHARED / "data" / "cifar10" if row.data == "cifar10" else None
    data = open_dataset(row.data, data_dir=folder)
    return errbound.certify(
        load(name), data, format=fmt, preprocess=row.preprocess, limit=limit or row.limit
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(ROWS))
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    head = ("model", "format", "samples", "agree", "proved", "share", "ratio", "ratio16", "seconds")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.models or ROWS:
        for fmt in ("float16", "bfloat16"):
            start = time.perf_counter()
            s = certify(name, fmt, options.limit).summary
            agree = round(s["agreement_fraction"] * s["samples"])
            proved = s["verdicts"]["proved"]
            print(
                f"| {name} | {fmt} | {s['samples']} | {agree} | {proved} | {proved / agree:.2%} "
                f"| {s['delta_ratio_median']:.2f} | {s['delta16_ratio_median']:.2f} "
                f"| {time.perf_counter() - start:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
