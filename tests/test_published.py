"""Published networks on real data: the shares and ratios that errbound promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from benchmarks import published
from benchmarks.published import certify

from .shared import shared


@dataclass(frozen=True)
class Promise:
    """What must be reached: shares of the agreeing samples, at most these ratios.

    ``ratio`` by format; ``ratio16`` in binary16.
    """

    proved: float
    samples: int
    ratio: tuple[float, float] = (3.0, 1.2)
    ratio16: float = 2.0


FLOORS = {
    "mnist_fc_3layer": Promise(0.998, 10_000),
    "mnist_cnn_small": Promise(0.998, 10_000),
    "kw_mnist": Promise(0.998, 10_000),
    "mnist_a_adv": Promise(0.998, 10_000),
    "mnist_net_256x2": Promise(0.998, 10_000),
    "mnist_6_100": Promise(0.995, 1_000, (15.0, 2.2), 7.0),
    "cifar_base": Promise(0.99, 1_000),
    "cifar_2c2f": Promise(0.985, 1_000, (4.5, 1.3), 2.8),
    "cifar_conv_small_sigmoid": Promise(0.985, 1_000, (9.0, 2.1), 5.0),
}
FORMATS = ("float16", "bfloat16")


def check(name: str, fmt: str, limit: int, floor: float) -> None:
    shared("models")
    s = certify(name, fmt, limit).summary
    agree = s["agreement_fraction"] * s["samples"]
    promise = FLOORS[name]
    assert s["samples"] == limit
    assert s["verdicts"]["proved"] >= floor * agree
    assert s["delta_ratio_median"] <= promise.ratio[FORMATS.index(fmt)]
    if fmt == "float16":
        assert s["delta16_ratio_median"] <= promise.ratio16


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", FLOORS)
def test_first_samples(name: str, fmt: str) -> None:
    check(name, fmt, 400, 0.985)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", FLOORS)
def test_whole_test_set(name: str, fmt: str) -> None:
    promise = FLOORS[name]
    check(name, fmt, promise.samples, promise.proved)


@pytest.mark.parametrize("fmt", FORMATS)
def test_deep_residual_network(fmt: str) -> None:
    """Every value of its runs lies in its interval, or ``certify`` would raise."""
    shared("models")
    s = certify("resnet20", fmt, 8).summary
    assert s["agreement_fraction"] == 1.0
    assert s["verdicts"]["proved"] + s["verdicts"]["undecided"] == 8


def correct(name: str, samples: int) -> int:
    """How many of the first test images the 32-bit network classifies as labelled."""
    shared("models")
    row, data = published.ROWS[name], published.data(name)
    module = published.load(name)
    assert isinstance(module, nn.Module)
    assert data.labels is not None
    hits = 0
    for start in range(0, samples, 500):
        stop = min(start + 500, samples)
        x = data.batch(start, stop)
        with torch.inference_mode():
            found = module(row.preprocess(x) if row.preprocess else x).argmax(dim=1)
        hits += int((found.numpy() == data.labels[start:stop]).sum())
    return hits


@pytest.mark.parametrize(
    ("name", "samples", "hits"),
    [
        ("mnist_6_100", 1000, 960),  # as the file itself says
        ("mnist_net_256x2", 10_000, 9808),
        ("cifar_2c2f", 10_000, 3648),
        ("cifar_conv_small_sigmoid", 10_000, 6317),
        ("resnet20", 500, 455),
        pytest.param("resnet20", 10_000, 9173, marks=pytest.mark.slow),  # as published
    ],
)
def test_architecture_and_preprocessing_are_the_right_ones(
    name: str, samples: int, hits: int
) -> None:
    # Another machine may sum in another order: an image or two may change their class.
    assert abs(correct(name, samples) - hits) <= 2


def test_onnx_weights_are_the_network_of_the_file() -> None:
    """The module against onnx's own evaluation in numpy."""
    path = shared("models", "mnist-net_256x2.onnx")
    x = published.data("mnist_net_256x2").batch(0, 50)
    module = published.load("mnist_net_256x2")
    assert isinstance(module, nn.Module)
    evaluator = ReferenceEvaluator(str(path))
    expected = [
        evaluator.run(None, {"0": one.reshape(1, 784, 1).numpy()})[0].reshape(10) for one in x
    ]
    with torch.inference_mode():
        found = module(x).numpy()
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)
