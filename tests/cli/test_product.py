"""What a person uses besides the table: explain, shadows, a model of its own, other rows."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import errbound
from errbound.number import FORMATS, format_named
from errbound.report.run import load_run

from ..certify.making import linear, net, points
from .shell import Shell

RUN = Path("runs/model-points-float16")


@pytest.fixture
def run(shell: Shell) -> Path:
    """A finished run of the small model."""
    assert shell("certify", "model.pt", "--data", "points.npz", "--quiet").status == 0
    return RUN


# --- explain -------------------------------------------------------------------------------------


def test_explain_says_what_the_run_says(shell: Shell, run: Path) -> None:
    sample = load_run(run).samples[7]
    done = shell("explain", run, "--sample", 7)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(
        "model.pt, points.npz sample 7, float16 against float32, torch-cpu\n"
    )
    text = " ".join(done.out.split())
    assert f"{sample.verdict}: " in text
    assert f"float32 says class {sample.prediction_m32}, that of float16" in text
    assert f"Largest observed delta {sample.observed_delta:.4g}; proved delta 0.00" in text
    assert "M32: cells first split at linear" in text
    assert len([line for line in done.out.splitlines() if line.startswith("M16  ")]) == 3
    assert all(len(line) <= 96 for line in done.out.splitlines()[:-1])
    folder = run / "explain-7"
    assert sorted(p.suffix for p in folder.iterdir()) == [".csv", ".pdf", ".png"]
    assert load_run(run).verdicts, "the run stays a run"
    assert shell("certify", "model.pt", "--data", "points.npz", "--overwrite").status == 0
    assert not list(folder.iterdir()), "what belongs to the old run is gone"


def test_explain_reasons_of_a_tie_and_of_nan(shell: Shell) -> None:
    errbound.export(linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), torch.zeros(2, 2), "two.pt")
    x = np.array([[1.0, 1.0], [math.nan, 0.0], [3.0, 1.0]], dtype=np.float32)
    np.savez("two.npz", x=x)
    assert shell("certify", "two.pt", "--data", "two.npz", "--out", "two").status == 0
    tie = shell("explain", "two", "--sample", 0).out
    assert "undecided: there is no proof" in tie
    assert "Float32 itself is not settled: executions may prefer class 1 to 0." in tie
    assert "every value above is one number in all executions" in tie
    assert "domain: the input holds NaN or infinity." in shell("explain", "two", "--sample", 1).out
    won = " ".join(shell("explain", "two", "--sample", 2).out.split())
    assert "leads by at least 1.999 (enough)" in won or "leads by at least 2 (enough)" in won


def test_explain_refuses_another_model_other_data_and_missing_samples(
    shell: Shell, run: Path
) -> None:
    assert "samples 0 to 39, not 40" in shell.refuses("explain", run, "--sample", 40)
    assert "holds no run" in shell.refuses("explain", "elsewhere", "--sample", 0)
    good = Path("model.pt").read_bytes()
    errbound.export(net(seed=5), points(2), "model.pt")
    said = shell.refuses("explain", run, "--sample", 0)
    assert "is not the file that the run was made from" in said
    assert "restore it, or certify again" in said
    Path("model.pt").write_bytes(good)
    assert shell("explain", run, "--sample", 0).status == 0
    np.savez("points.npz", x=points(40, seed=9).numpy(), y=np.arange(40) % 4)
    assert "another digest" in shell.refuses("explain", run, "--sample", 0)
    Path("points.npz").unlink()
    assert "points.npz" in shell.refuses("explain", run, "--sample", 0)


def test_explain_runs_no_code_that_only_the_run_names(shell: Shell) -> None:
    words = ("--arch", "nets.py:build")
    assert shell("certify", "weights.pt", *words, "--data", "points.npz", "--out", "r").status == 0
    said = shell.refuses("explain", "r", "--sample", 0)
    assert "was built by --arch nets.py:build; give --arch again if you trust it" in said
    assert shell("explain", "r", "--sample", 0, *words).status == 0
    Path("nets.py").write_text(Path("nets.py").read_text().replace("nn.ReLU()", "nn.Tanh()"))
    said = shell.refuses("explain", "r", "--sample", 0, *words)
    assert "the model traced now is not the one of the run" in said


def test_a_run_from_memory_cannot_be_reopened(shell: Shell) -> None:
    errbound.certify(net(), points(5), out="memory")
    assert "in memory" in shell.refuses("explain", "memory", "--sample", 0)


# --- shadows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["mpmath", "arb"])
def test_shadow_writes_errors_bounds_and_widths(shell: Shell, how: str) -> None:
    words = ("certify", "model.pt", "--data", "points.npz", "--batch-size", 2, "--offset", 30)
    done = shell(*words, "--shadow", 3, "--digits", 40, "--shadow-with", how)
    assert (done.status, done.err) == (0, "")
    with open(RUN / "shadow.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["sample"] for r in rows] == [str(k) for k in (30, 31, 32) for _ in range(3)]
    assert [r["node"] for r in rows[:3]] == ["linear", "relu", "linear_1"]
    for row in rows:
        for model in ("m16", "m32"):
            error, bound, width = (float(row[f"{model}_{k}"]) for k in ("error", "bound", "width"))
            assert 0 < error <= bound
            assert 0 <= width <= 2 * bound
        assert float(row["m32_error"]) < float(row["m16_error"]) < 0.1
    assert shell("plot", RUN).out.count("shadow.") == 3


def test_shadow_options_are_checked(shell: Shell) -> None:
    words = ("certify", "model.pt", "--data", "points.npz", "--shadow")
    shell.refuses(*words, 0)
    shell.refuses(*words, 3, "--digits", 5)
    done = shell(*words, 1000, "--limit", 2, "--digits", 20)
    assert done.status == 0
    assert (RUN / "shadow.csv").read_text().count("\n") == 1 + 2 * 3


# --- a model of its own --------------------------------------------------------------------------


def test_model16_is_compared_as_it_is(shell: Shell) -> None:
    errbound.export(net().half().float(), points(2), "same.pt")
    errbound.export(net(seed=3), points(2), "other.pt")
    torch.save(net(seed=3).state_dict(), "other.pth")
    base = ("certify", "model.pt", "--data", "points.npz", "--overwrite", "--quiet")
    assert shell(*base).status == 0
    plain = load_run(RUN)
    assert shell(*base, "--model16", "same.pt").status == 0
    same = load_run(RUN)
    assert same.samples == plain.samples, "rounded weights are M16's own"
    assert same.summary["model16"]["path"] == "same.pt"
    assert "M16 is a model of its own, not M32 rounded" in same.summary["model"]["notes"]
    assert shell(*base, "--model16", "other.pt").status == 0
    other = load_run(RUN)
    assert other.verdicts["refuted"] > 10
    weights = ("--model16", "other.pth", "--arch16", "nets.py:build")
    assert shell(*base, *weights).status == 0
    assert load_run(RUN).samples == other.samples
    assert shell("explain", RUN, "--sample", 1, "--arch16", "nets.py:build").status == 0


def test_model16_may_have_another_graph_but_not_another_shape(shell: Shell) -> None:
    wide = nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4)).eval()
    errbound.export(wide, points(2), "wide.pt")
    base = ("certify", "model.pt", "--data", "points.npz", "--model16")
    assert shell(*base, "wide.pt", "--shadow", 1).status == 0
    with open(RUN / "shadow.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["m16_error"] == "nan" for r in rows] == [True, True, False]
    errbound.export(nn.Linear(12, 3).eval(), points(2), "three.pt")
    said = shell.refuses(*base, "three.pt", "--overwrite")
    assert "M32 returns (4,) values a sample, M16 (3,)" in said
    errbound.export(nn.Linear(7, 4).eval(), torch.zeros(2, 7), "seven.pt")
    said = shell.refuses(*base, "seven.pt", "--overwrite")
    assert "M32 takes inputs of shape (12,), M16 of shape (7,)" in said


# --- softmax -------------------------------------------------------------------------------------


def test_softmax_is_appended_to_both(shell: Shell) -> None:
    assert shell("certify", "model.pt", "--data", "points.npz", "--on", "softmax").status == 0
    found = load_run("runs/model-points-float16-softmax")
    assert found.summary["model"]["on"] == "softmax"
    assert {n.operator for n in found.nodes} >= {"softmax"}
    assert max(s.observed_delta for s in found.samples) < 0.01
    assert all(n.high <= 1.0 for n in found.nodes if n.operator == "softmax")


def test_logits_that_differ_may_have_equal_probabilities(shell: Shell) -> None:
    errbound.export(linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), torch.zeros(2, 2), "two.pt")
    np.savez("two.npz", x=np.array([[0.0, 2.0**-11]], dtype=np.float32))
    assert shell("certify", "two.pt", "--data", "two.npz", "--out", "z").status == 0
    assert load_run("z").verdicts["proved"] == 1
    words = ("--on", "softmax", "--out", "p")
    assert shell("certify", "two.pt", "--data", "two.npz", *words).status == 0
    assert load_run("p").verdicts["proved"] == 0, "binary16 softmax of (0, 2^-11) is a tie"


# --- rows ----------------------------------------------------------------------------------------


def test_every_format_and_strict16(shell: Shell) -> None:
    for fmt in FORMATS:
        if fmt.name == "float32":
            assert "narrower" in shell.refuses(
                "certify", "model.pt", "--data", "points.npz", "--format", "float32"
            )
            continue
        words = ("certify", "model.pt", "--data", "points.npz", "--format", fmt.alias)
        assert shell(*words).status == 0
        found = load_run(f"runs/model-points-{fmt.name}")
        assert found.summary["format"] == fmt.name
        assert found.verdicts["proved"] + found.verdicts["undecided"] >= 20
        done = shell(*words, "--arithmetic", "strict16")
        assert done.status == 0
        strict = load_run(f"runs/model-points-{fmt.name}-strict16")
        assert strict.summary["arithmetic"]["observed"].startswith("emulated: products rounded")
        assert "emulated" in " ".join(done.out.split())
        assert strict.verdicts["proved"] <= found.verdicts["proved"]


def test_weights_of_a_narrow_format_are_its_numbers(shell: Shell) -> None:
    from errbound.number import stored
    from errbound.verdict import pair_of

    for name in ("tf32", "e4m3", "e5m2"):
        fmt = format_named(name)
        pair = pair_of(net(), (12,), fmt)
        for key, value in pair.m16.constants.items():
            assert torch.equal(value, stored(pair.m32.constants[key], fmt))


def test_literal_dtypes_cannot_be_emulated(shell: Shell) -> None:
    from errbound.errors import InputError
    from errbound.verdict import pair_of

    class Literal(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.half().float() * 2

    with pytest.raises(InputError, match="emulated for weights and activations only"):
        pair_of(Literal().eval(), (3,), format_named("tf32"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_cuda_is_one_line(shell: Shell) -> None:
    words = ("certify", "model.pt", "--data", "points.npz")
    said = shell.refuses(*words, "--device", "cuda")
    assert said == "error: --device cuda: torch finds no CUDA device; use --device cpu\n"
    assert "no CUDA device" in shell.refuses(*words, "--arithmetic", "torch-cuda-assumed")
    said = shell.refuses(*words, "--arithmetic", "strict16", "--device", "cuda")
    assert "strict16 runs on cpu" in said


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_certificate_says_assumed(shell: Shell) -> None:
    done = shell("certify", "model.pt", "--data", "points.npz", "--device", "cuda")
    assert done.status == 0
    assert "assumed, not probed" in " ".join(done.out.split())
    folder = Path("runs/model-points-float16-torch-cuda-assumed")
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["arithmetic"]["probed"]
