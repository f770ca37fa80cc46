"""The shipped networks under every format and arithmetic: what is proved, of how many that agree.

python benchmarks/rows.py                # the table of docs/results.md
python benchmarks/rows.py --limit 100 --device cuda   # on a GPU, assumed, not probed
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import errbound
from errbound.arithmetic import ARITHMETICS
from errbound.data import open_dataset
from errbound.number import FORMATS
from errbound.program.load import load_model

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, default=500, help="MNIST test images a row")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    data = open_dataset("mnist")
    print("| model | arithmetic | format | samples | agree | proved | ratio | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for model in ("mnist_dnn", "mnist_cnn"):
        content = load_model(EXAMPLES / f"{model}.pt").content
        for arithmetic in (a for a in ARITHMETICS if a.device == options.device):
            for fmt in (f.name for f in FORMATS if f.name != "float32"):
                start = time.perf_counter()
                run = errbound.certify(content, data, fmt, arithmetic.name, limit=options.limit)
                seconds = time.perf_counter() - start
                agree = round(run.summary["agreement_fraction"] * len(run))
                median = run.summary["delta_ratio_median"]
                ratio = "none" if median is None else f"{median:.2f}"
                print(
                    f"| {model} | {arithmetic.name} | {fmt} | {len(run)} | {agree} "
                    f"| {run.verdicts['proved']} | {ratio} | {seconds:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
