"""Published networks on real data: the shares and ratios that errbound promises."""

from __future__ import annotations

import pytest

from benchmarks.published import certify

from .shared import shared

FLOORS = {  # share of the agreeing samples that must be proved, samples
    "mnist_fc_3layer": (0.998, 10_000),
    "mnist_cnn_small": (0.998, 10_000),
    "kw_mnist": (0.998, 10_000),
    "mnist_a_adv": (0.998, 10_000),
    "cifar_base": (0.99, 1_000),
}
RATIO = {"float16": 3.0, "bfloat16": 1.2}


def check(name: str, fmt: str, limit: int, floor: float) -> None:
    shared("models")
    s = certify(name, fmt, limit).summary
    agree = s["agreement_fraction"] * s["samples"]
    assert s["samples"] == limit
    assert s["verdicts"]["proved"] >= floor * agree
    assert s["delta_ratio_median"] <= RATIO[fmt]
    if fmt == "float16":
        assert s["delta16_ratio_median"] <= 2.0


@pytest.mark.parametrize("fmt", RATIO)
@pytest.mark.parametrize("name", FLOORS)
def test_first_samples(name: str, fmt: str) -> None:
    check(name, fmt, 400, 0.985)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", RATIO)
@pytest.mark.parametrize("name", FLOORS)
def test_whole_test_set(name: str, fmt: str) -> None:
    floor, samples = FLOORS[name]
    check(name, fmt, samples, floor)
