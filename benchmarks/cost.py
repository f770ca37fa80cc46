"""What certifying costs, side by side in one run: certify / plain pair / floor.

The *plain pair* is ``module(x)`` and ``deepcopy(module).half()(x.half())``, eager, under
``inference_mode``. The *floor* is the plain pair plus four bare binary64 passes through the same
contractions. Certifying includes both observed runs, both enclosures, the containment check and
the verdicts. One thread, batch 256, the three interleaved, minimum of the repetitions.

    python benchmarks/cost.py --shared ../shared
"""

from __future__ import annotations

import argparse
import copy
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errbound.arithmetic import TORCH_CPU
from errbound.data import open_dataset
from errbound.number import BFLOAT16, BINARY16
from errbound.program import program_of
from errbound.program.arch import load_arch
from errbound.program.load import load_model
from errbound.verdict import Certifier


def shipped(examples: Path, arch: str, archive: str) -> nn.Module:
    module: nn.Module = load_arch(f"{examples / 'models.py'}:{arch}")()
    exported = load_model(examples / archive).exported
    assert exported is not None
    module.load_state_dict(exported.state_dict)
    return module


def bare_pass(module: nn.Module, x: Tensor) -> Callable[[], None]:
    """One binary64 pass through the module's contractions, on inputs of the right shapes."""
    calls: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        m.register_forward_hook(lambda m, args, out: calls.append((m, args[0].double())))
        for m in module.modules()
        if isinstance(m, nn.Linear | nn.Conv2d)
    ]
    module(x)
    for hook in hooks:
        hook.remove()
    doubled = [(copy.deepcopy(m).double(), inputs) for m, inputs in calls]

    def run() -> None:
        for layer, inputs in doubled:
            layer(inputs)

    return run


def measure(actions: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    best = dict.fromkeys(actions, float("inf"))
    for action in actions.values():
        action()
    for _ in range(repetitions):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = open_dataset("mnist").batch(0, options.batch)
    here = Path(__file__).resolve().parent.parent / "examples"
    models: dict[str, Any] = {
        "DNN": shipped(here, "MnistDNN", "mnist_dnn.pt"),
        "CNN": shipped(here, "MnistCNN", "mnist_cnn.pt"),
        "kw_mnist": load_model(
            options.shared / "models" / "kw_mnist.pth",
            arch=f"{here.parent / 'tests' / 'architectures.py'}:kw_mnist",
        ).module,
    }
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    print(f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, 1 thread")
    print(f"batch {options.batch}, minimum of {options.repetitions}, milliseconds")
    print(
        f"{'model':10}{'format':10}{'pair':>9}{'floor':>9}{'certify':>9}{'/floor':>8}{'/pair':>8}"
    )
    for name, module in models.items():
        module.eval()
        for fmt in (BINARY16, BFLOAT16):
            half = copy.deepcopy(module).to(fmt.dtype)
            certifier = Certifier(
                program_of(module, x[:2], torch.float32),
                program_of(module, x[:2], fmt.dtype),
                fmt,
                TORCH_CPU,
            )
            with torch.inference_mode():
                bare = bare_pass(module, x)

                def pair(module: nn.Module = module, half: nn.Module = half) -> None:
                    module(x)
                    half(x.to(next(half.parameters()).dtype))

                times = measure(
                    {"pair": pair, "bare": bare, "certify": lambda c=certifier: c.batch_of(x)},
                    options.repetitions,
                )
            floor = times["pair"] + 4 * times["bare"]
            print(
                f"{name:10}{fmt.name:10}{times['pair'] * 1e3:9.1f}{floor * 1e3:9.1f}"
                f"{times['certify'] * 1e3:9.1f}{times['certify'] / floor:8.2f}"
                f"{times['certify'] / times['pair']:8.2f}"
            )


if __name__ == "__main__":
    main()
