"""errbound beside other ways to bound the same thing: one run, the same models and samples.

One row per model, format and method:

* ``plain pair``: the float32 module and the 16-bit module, nothing else; how many samples agree;
* ``interval``: interval arithmetic under the standard model |fl(t) - t| <= u |t| + eta, sums by
  gamma_n, of both models; certified by the pairwise theorem; networks of linear layers,
  convolutions and what moves numbers only;
* ``norms``: T. Murray's a-priori bound (arXiv:2603.13334), for fully connected networks;
* ``errbound``: the verdicts after each stage of the cascade, and which decided how many.

``16-bit sums``: every single operation of M16 rounds to 16 bits, the formulas with their one u; not
what is executed here, so the ratio says little. ``32-bit sums``: sums in binary32, rounded to
storage once, which is what is executed and what errbound assumes. ``_bounds.py`` has the formulas
and says which readings were taken; each is the one that favours the bound.

certified: of ``samples``; share: of those that agree; ratio: median of proved / observed delta, the
proved one over every execution of both models; setup: seconds before the first sample (norms,
weights in binary64; loading and tracing excluded); seconds: of the samples, runs of both models
included; decided by: the stage of each certified sample. One thread.

    python -m benchmarks.side_by_side
    python -m benchmarks.side_by_side --samples 100 mnist_fc_3layer
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks import published
from benchmarks._bounds import NormBound, Rounding, has_intervals, intervals, wins
from benchmarks.cost import shipped
from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, BINARY32, Format
from errbound.verdict import EFFORTS, Certifier, Pair, Verdict, pair_of
from errbound.verdict.theorem import bounds

SHIPPED = {
    "examples/mnist_dnn": "MnistDNN",
    "examples/mnist_cnn": "MnistCNN",
    "examples/cifar_resnet": "CifarResNet",
}
DENSE = ("examples/mnist_dnn", "mnist_fc_3layer", "mnist_6_100", "mnist_net_256x2")
MODELS = (*DENSE, "examples/mnist_cnn", "kw_mnist", "cifar_base")
"""What is compared unless models are named; any of ``benchmarks.published`` may be."""

BATCH = 256


@dataclass(frozen=True)
class Subject:
    """What every method is given: both modules, both programs, the preprocessed batches."""

    modules: tuple[nn.Module, nn.Module]
    pair: Pair
    batches: list[Tensor]


@dataclass(frozen=True)
class Found:
    """What a method says of one batch, one entry per sample.

    Attributes:
        agree: the observed runs give one class.
        observed: largest |z32 - z16| of the observed runs; ``proved``: of all executions.
        stages: which stage certified the sample; "" if none did.
    """

    agree: Tensor
    observed: Tensor
    proved: Tensor
    stages: list[str]


Method = Callable[[Tensor], Found]


def observe(subject: Subject, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of both modules, binary64."""
    wide, narrow = subject.modules
    with torch.inference_mode():
        return wide(x).double(), narrow(x.to(subject.pair.format.dtype)).double()


def found(y32: Tensor, y16: Tensor, delta: Tensor, certified: Tensor) -> Found:
    return Found(
        agree=y32.argmax(dim=1) == y16.argmax(dim=1),
        observed=(y32 - y16).abs().amax(dim=1),
        proved=delta,
        stages=["bound" if c else "" for c in certified.tolist()],
    )


def by_runs(subject: Subject) -> Method:
    """The plain pair, which proves nothing: an infinite bound."""

    def of(x: Tensor) -> Found:
        y32, y16 = observe(subject, x)
        nothing = torch.zeros(x.shape[0], dtype=torch.bool)
        return found(y32, y16, torch.full((x.shape[0],), torch.inf), nothing)

    return of


def by_intervals(subject: Subject, sums: Format) -> Method:
    """Intervals of both models, and the pairwise theorem."""
    m32, m16, fmt = subject.pair.m32, subject.pair.m16, subject.pair.format

    def of(x: Tensor) -> Found:
        y32, y16 = observe(subject, x)
        box32 = intervals(m32, m32.stored(x), Rounding(BINARY32, BINARY32))
        box16 = intervals(m16, m16.stored(x), Rounding(sums, fmt))
        proved = bounds(box32, box16, y32)
        return found(y32, y16, proved.delta, proved.proved)

    return of


def by_norms(subject: Subject, sums: Format) -> Method:
    """Murray's bound for both models: one class wins every execution of each."""
    m32, m16, fmt = subject.pair.m32, subject.pair.m16, subject.pair.format
    bound32 = NormBound(m32, Rounding(BINARY32, BINARY32))
    bound16 = NormBound(m16, Rounding(sums, fmt))

    def of(x: Tensor) -> Found:
        y32, y16 = observe(subject, x)
        e32, e16 = bound32(m32.stored(x)), bound16(m16.stored(x))
        first, second = wins(y32, e32), wins(y16, e16)
        # Any execution is within 2 E of the observed one: both are within E of the exact outputs.
        delta = ((y32 - y16).abs() + 2.0 * (e32.output + e16.output)).amax(dim=1)
        return found(y32, y16, delta, (first >= 0) & (first == second))

    return of


def by_errbound(subject: Subject, stages: tuple[str, ...]) -> Method:
    """Certificates, with these stages of the cascade after the forward enclosure."""
    pair = subject.pair
    certifier = Certifier(pair.m32, pair.m16, pair.format, TORCH_CPU, stages)

    def of(x: Tensor) -> Found:
        batch = certifier.batch_of(x)
        assert not batch.escapes
        stages = [
            s if v is Verdict.PROVED else ""
            for s, v in zip(batch.stage, batch.verdict, strict=True)
        ]
        agree = batch.prediction32 == batch.prediction16
        return Found(agree, batch.observed_delta, batch.proved_delta, stages)

    return of


def methods(subject: Subject, dense: bool) -> Iterable[tuple[str, Callable[[], Method]]]:
    """Names and what prepares the method, in the order of the table."""
    readings = {"16-bit sums": subject.pair.format, "32-bit sums": BINARY32}
    yield "plain pair", lambda: by_runs(subject)
    for name, sums in readings.items() if has_intervals(subject.pair.m16) else ():
        yield f"interval, {name}", lambda sums=sums: by_intervals(subject, sums)
    if dense:
        for name, sums in readings.items():
            yield f"norms, {name}", lambda sums=sums: by_norms(subject, sums)
    yield "errbound, forward", lambda: by_errbound(subject, ())
    for count, stage in enumerate(EFFORTS["max"], start=1):
        yield f"errbound, to {stage}", lambda n=count: by_errbound(subject, EFFORTS["max"][:n])


def load(name: str, fmt: Format, samples: int, shared: Path) -> Subject:
    if name in SHIPPED:
        module = shipped(published.ROOT / "examples", SHIPPED[name], f"{Path(name).name}.pt")
    else:
        module = published.load(name, shared)
        assert isinstance(module, nn.Module)
    module.eval()
    data = published.data(name, shared)
    preprocess = published.ROWS[name].preprocess or (lambda x: x)
    samples = min(samples, len(data))
    batches = [
        preprocess(data.batch(start, min(start + BATCH, samples)))
        for start in range(0, samples, BATCH)
    ]
    pair = pair_of(module, tuple(batches[0].shape[1:]), fmt)
    return Subject((module, copy.deepcopy(module).to(fmt.dtype)), pair, batches)


def row(prepare: Callable[[], Method], batches: list[Tensor]) -> list[str]:
    """samples, agree, certified, share, ratio, setup, seconds, decided by."""
    start = time.perf_counter()
    method = prepare()
    setup = time.perf_counter() - start
    method(batches[0][:8])  # whatever is done only once, such as choosing kernels
    start = time.perf_counter()
    results = [method(x) for x in batches]
    seconds = time.perf_counter() - start
    agree = sum(int(r.agree.sum()) for r in results)
    stages = Counter(s for r in results for s in r.stages if s)
    observed = torch.cat([r.observed for r in results])
    proved = torch.cat([r.proved for r in results])
    seen = (observed > 0) & (observed < torch.inf)
    ratios = (proved[seen] / observed[seen]).tolist()
    return [
        str(len(observed)),
        str(agree),
        str(stages.total()),
        f"{stages.total() / agree:.2%}" if agree else "none",
        published.ratio(median(ratios) if ratios else None),
        f"{setup:.2f}",
        f"{seconds:.2f}",
        ", ".join(f"{stage} {count}" for stage, count in stages.items()),
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--shared", type=Path, default=published.SHARED)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    head = ("model", "format", "method", "samples", "agree", "certified", "share", "ratio")
    head = (*head, "setup", "seconds", "decided by")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in options.models or MODELS:
        for fmt in (BINARY16, BFLOAT16):
            subject = load(name, fmt, options.samples, options.shared)
            for method, prepare in methods(subject, name in DENSE):
                cells = [name, fmt.name, method, *row(prepare, subject.batches)]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
