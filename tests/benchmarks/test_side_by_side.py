"""The side-by-side table: its rows, and what they may not say."""

from __future__ import annotations

import pytest
import torch

from benchmarks import side_by_side


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


STAGES = [f"errbound, {stage}" for stage in ("forward", "to backward", "to refined", "to slopes")]


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    side_by_side.main(list(arguments))
    head, rule, *lines = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
    )
    assert len(rule) == len(head)
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_every_method_on_the_shipped_network(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(capsys, "--samples", "20", "examples/mnist_dnn")
    assert [r["method"] for r in table] == [
        "plain pair",
        "interval, 16-bit sums",
        "interval, 32-bit sums",
        "norms, 16-bit sums",
        "norms, 32-bit sums",
        *STAGES,
    ] * 2
    assert {r["samples"] for r in table} == {"20"}
    assert {r["certified"] for r in table if r["method"] == "plain pair"} == {"0"}
    for fmt in ("float16", "bfloat16"):
        of = [r for r in table if r["format"] == fmt]
        assert len({r["agree"] for r in of}) == 1
        certified = {r["method"]: int(r["certified"]) for r in of}
        assert certified[STAGES[0]] == max(v for k, v in certified.items() if k not in STAGES)
        assert [certified[s] for s in STAGES] == sorted(certified[s] for s in STAGES)
        ratios = {r["method"]: float(r["ratio"]) for r in of if r["ratio"] != "none"}
        assert min(ratios.values()) == ratios[STAGES[-1]] >= 1.0
        assert [ratios[s] for s in STAGES] == sorted((ratios[s] for s in STAGES), reverse=True)
        assert of[-1]["decided by"].split()[1::2], "stages are counted"


def test_a_convolutional_network_has_no_norm_rows(capsys: pytest.CaptureFixture[str]) -> None:
    methods = {r["method"] for r in rows(capsys, "--samples", "4", "examples/mnist_cnn")}
    assert methods == {"plain pair", "interval, 16-bit sums", "interval, 32-bit sums", *STAGES}
