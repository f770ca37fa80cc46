"""Shadow arithmetic on real models: the reals inside their enclosure, both runs inside theirs.

``pytest -s -m slow tests/test_shadow_models.py`` runs 20 samples of three models with 60 digits and
prints, per node, the analytic bounds beside the empirical errors.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from errbound.arithmetic import TORCH_CPU
from errbound.data import DataSpec, Preprocess
from errbound.number import BINARY16
from errbound.program.load import load_model
from errbound.session import Inputs, Session, Source

from .shared import ROOT, shared

CIFAR = Preprocess((0.485, 0.456, 0.406), (0.225, 0.225, 0.225))
MODELS = {
    "mnist_dnn": (lambda: ROOT / "examples" / "mnist_dnn.pt", None, Preprocess()),
    "mnist_cnn": (lambda: ROOT / "examples" / "mnist_cnn.pt", None, Preprocess()),
    "cifar_base": (lambda: shared("models", "cifar_base.pth"), "cifar_base", CIFAR),
}


def session(name: str) -> Session:
    path, arch, preprocess = MODELS[name]
    place = Path(path())
    loaded = load_model(
        place, arch=f"{ROOT / 'tests' / 'architectures.py'}:{arch}" if arch else None
    )
    spec = DataSpec("cifar10", str(shared("data", "cifar10"))) if arch else DataSpec("mnist")
    inputs = Inputs(spec.open(), preprocess, 0, 64, spec)
    return Session(Source(loaded.content, loaded.kind), inputs, BINARY16, TORCH_CPU, None, 64)


def shadow(name: str, count: int, how: str) -> None:
    """``ContainmentError`` if anything lies outside; the numbers in order otherwise."""
    found = session(name).shadow(None, count, 60, how)
    assert len(found) == count
    nodes = [row.node for row in found[0][1]]
    assert len(nodes) >= 6
    for _, rows in found:
        assert [row.node for row in rows] == nodes
        for row in rows:
            assert row.m16_error <= row.m16_bound
            assert row.m32_error <= row.m32_bound
    print(f"\n{name}, {count} samples, {how}: median error and bound of M16, of M32")
    for k, node in enumerate(nodes):
        rows = [r[k] for _, r in found]
        numbers = [
            median(getattr(row, f"{model}_{kind}") for row in rows)
            for model in ("m16", "m32")
            for kind in ("error", "bound")
        ]
        print(f"  {node:16}", *(f"{v:10.3g}" for v in numbers))


@pytest.mark.parametrize("name", MODELS)
def test_one_sample(name: str) -> None:
    shadow(name, 1, "arb")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["arb", "mpmath"])
@pytest.mark.parametrize("name", MODELS)
def test_twenty_samples(name: str, how: str) -> None:
    shadow(name, 20, how)
