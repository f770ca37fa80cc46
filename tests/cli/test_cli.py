"""The command line in this process: statuses, one-line errors, tables, listings, exports."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import errbound
from errbound.report.summary import schema
from errbound.session import Session
from errbound.verdict import Certifier

from ..certify.making import Function, dataset, linear, net, points, without_times
from .shell import Shell


def test_certify_end_to_end(shell: Shell) -> None:
    done = shell("certify", "model.pt", "--data", "points.npz", "--batch-size", 16)
    assert done.status == 0
    assert done.err == "", "no progress where standard error is no terminal"
    folder = Path("runs/model-points-float16")
    assert sorted(p.name for p in folder.iterdir()) == [
        "journal.jsonl",
        "nodes.csv",
        "samples.csv",
        "summary.json",
    ]
    run = errbound.load_run(folder)
    assert run.samples == errbound.certify(net(), dataset(40), batch_size=16).samples
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert done.out.startswith("model.pt on points.npz: float16 against float32, torch-cpu\n")
    assert "For these 40 inputs, any order of summation, torch-cpu:" in done.out
    assert f"proved              {run.verdicts['proved']}" in done.out
    assert run.summary["model"]["path"] == "model.pt"
    assert len(run.summary["model"]["sha256"]) == 64


def test_weights_with_an_architecture_and_options(shell: Shell) -> None:
    words = ["certify", "weights.pt", "--arch", "nets.py:build", "--data", "points.npz"]
    words += ["--format", "bfloat16", "--limit", "9", "--offset", "30", "--mean", "0.1"]
    words += ["--std", ",".join(["2"] * 12), "--threads", "1", "--out", "here/it/is", "--json"]
    done = shell(*words)
    assert done.status == 0
    summary = json.loads(done.out)
    jsonschema.validate(summary, schema())
    assert summary == json.loads(Path("here/it/is/summary.json").read_text())
    assert summary["data"]["offset"] == 30
    assert summary["samples"] == 9
    assert summary["data"]["std"] == [2.0] * 12
    assert summary["format"] == "bfloat16"
    assert summary["model"]["kind"] == "state_dict"


def test_existing_runs(shell: Shell) -> None:
    words = ("certify", "model.pt", "--data", "points.npz", "--out", "run", "--quiet")
    done = shell(*words)
    assert done == (0, "", "")
    first = without_times(Path("run"))
    assert "--resume continues it, --overwrite starts again" in shell.refuses(*words)
    assert "batch size 256, now 8" in shell.refuses(*words, "--resume", "--batch-size", 8)
    assert shell(*words, "--resume").status == 0
    assert shell(*words, "--overwrite").status == 0
    assert without_times(Path("run")) == first


@pytest.mark.parametrize(("share", "status"), [("0", 0), ("0.5", 0), ("1", 1)])
def test_fail_under_counts_proofs_only(shell: Shell, share: str, status: int) -> None:
    model = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    errbound.export(model, torch.zeros(2, 2), "two.pt")
    np.savez("two.npz", x=np.array([[1.0, 2.0], [1.0, 1.0]], dtype=np.float32))
    done = shell("certify", "two.pt", "--data", "two.npz", "--fail-under", share)
    assert done.status == status
    assert done.err == ("certified_fraction 0.5 is below --fail-under 1.0\n" if status else ""), (
        "the tie agrees in both runs, but is not proved"
    )
    assert Path("runs/two-two-float16/summary.json").exists()


def test_several_outputs(shell: Shell) -> None:
    model = Function(lambda y: (y, y[:, :1]), net())
    errbound.export(model, points(2), "two.pt")
    base = ("certify", "two.pt", "--data", "points.npz", "--overwrite")
    assert "of the outputs 0, 1 the first, 0, is certified" in shell(*base).out
    done = shell(*base, "--output", "1")
    assert done.status == 0
    assert "no verdict, for the output has no classes" in " ".join(done.out.split())
    assert "no output '2'; its outputs are: 0, 1" in shell.refuses(*base, "--output", "2")
    line = shell.refuses(*base, "--output", "1", "--fail-under", "0.5")
    assert "--fail-under needs an output of two or more classes" in line


def test_a_model_that_overflows_is_told_where(shell: Shell) -> None:
    grow = linear([[300.0, 1.0], [1.0, 300.0]], [0.0, 0.0])
    errbound.export(nn.Sequential(grow, grow).eval(), torch.zeros(2, 2), "grow.pt")
    np.savez("two.npz", x=np.array([[0.1, 0.2], [200.0, 1.0]], dtype=np.float32))
    done = shell("certify", "grow.pt", "--data", "two.npz")
    assert done.status == 0
    assert "overflow             1     50.00 %" in done.out
    assert "M16:linear_1 (module 1) is the first node that may overflow in 1 sample" in done.out
    assert "try --format bfloat16" in " ".join(done.out.split())
    rows = Path("runs/grow-two-float16/samples.csv").read_text().splitlines()
    assert rows[2].endswith(",overflow,run,certain,M16:linear_1")


def test_nan_and_infinity_in_data(shell: Shell) -> None:
    x = points(3).numpy()
    x[0, 0], x[2, 5] = np.nan, np.inf
    np.savez("bad.npz", x=x)
    done = shell("certify", "model.pt", "--data", "bad.npz", "--json")
    assert done.status == 0
    assert json.loads(done.out)["verdicts"]["domain"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("certify", "Missing argument 'MODEL'"),
        ("certify model.pt", "Missing option '--data'"),
        ("certify model.pt --data points.npz --frobnicate", "No such option"),
        ("frobnicate", "No such command"),
        ("certify missing.pt --data points.npz", "no such file"),
        ("certify nets.py --data points.npz", "nets.py"),
        ("certify model.pt --data missing", "neither a data set nor a folder nor a file"),
        ("certify model.pt --data nets.py", "not a .npz file"),
        ("certify model.pt --data empty.npz", "hold no samples"),
        ("certify model.pt --data wrong.npz", "samples of shape (11,), the model takes (12,)"),
        ("certify weights.pt --data points.npz", "--arch"),
        ("certify weights.pt --arch nets.py:build --data wrong.npz", "cannot trace the model"),
        ("certify weights.pt --arch nets.py:lacks --data points.npz", "has no lacks"),
        ("certify nan.pt --data points.npz", "NaN"),
        ("certify unknown.pt --data points.npz", "aten.hardswish.default (2, hardswish)"),
        ("certify training.pt --data points.npz", "training mode"),
        ("certify model.pt --data points.npz --format float8", "known: float16, bfloat16"),
        ("certify model.pt --data points.npz --format float32", "float32 is the reference"),
        ("certify model.pt --data points.npz --arithmetic x", "known: torch-cpu"),
        ("certify model.pt --data points.npz --mean 1,x", "no number and no list"),
        ("certify model.pt --data points.npz --mean 1,2", "2 values for samples"),
        ("certify model.pt --data points.npz --std 0", "above 0"),
        ("certify model.pt --data points.npz --limit 0", "limit of 0"),
        ("certify model.pt --data points.npz --offset 40", "no sample at offset 40"),
        ("certify model.pt --data points.npz --batch-size 0", "batch size of 0"),
        ("certify model.pt --data points.npz --threads 0", "--threads"),
        ("certify model.pt --data points.npz --fail-under 1.5", "--fail-under"),
        ("certify model.pt --data points.npz --resume --overwrite", "exclude each other"),
        ("certify model.pt --data points.npz --out nets.py", "cannot be written"),
        ("export model.pt --data points.npz -o new.pt", "archive already"),
        ("export weights.pt --arch nets.py:build --data points.npz -o model.pt", "--overwrite"),
        ("ops --for weights.pt --arch nets.py:build", "add --data"),
    ],
)
def test_bad_input_is_one_line(shell: Shell, words: str, message: str) -> None:
    if "empty" in words:
        np.savez("empty.npz", x=np.zeros((0, 12), np.float32))
    if "wrong" in words:
        np.savez("wrong.npz", x=np.zeros((3, 11), np.float32))
    if "nan.pt" in words:
        bad = net()
        torch.nn.init.constant_(bad[0].bias, float("nan"))
        errbound.export(bad, points(2), "nan.pt")
    if "unknown.pt" in words:
        model = nn.Sequential(nn.Linear(12, 4), nn.Softsign(), nn.Hardswish()).eval()
        errbound.export(model, points(2), "unknown.pt")
    if "training.pt" in words:
        model = nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4))
        torch.export.save(torch.export.export(model, (points(3),)), "training.pt")
    assert message in shell.refuses(*words.split())
    assert not Path("runs").exists() or not any(Path("runs").rglob("*.csv"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody may write to")
def test_unwritable_output(shell: Shell) -> None:
    words = ("certify", "model.pt", "--data", "points.npz", "--out", "/proc/errbound/run")
    assert "/proc/errbound/run: cannot be written" in shell.refuses(*words)


def test_a_static_archive_is_run_at_its_own_batch_size(shell: Shell) -> None:
    torch.export.save(torch.export.export(net(), (points(6),), strict=False), "static.pt2")
    done = shell("certify", "static.pt2", "--data", "points.npz")
    assert done.status == 0
    assert "note: the model takes batches of 6 only" in done.out
    run = errbound.load_run("runs/static-points-float16")
    assert run.summary["batch_size"] == 6
    assert [s.prediction_m32 for s in run.samples] == [
        s.prediction_m32 for s in errbound.certify(net(), dataset(40)).samples
    ]


def test_an_escape_is_status_three(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Session.__init__

    def sabotaged(self: Session, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)  # type: ignore[arg-type]
        enclosers = self.certifier.enclosers
        enclosers["M16"]._constants = enclosers["M32"]._constants

    monkeypatch.setattr(Session, "__init__", sabotaged)
    done = shell("certify", "model.pt", "--data", "points.npz")
    assert done.status == 3
    assert done.err.count("\n") == 1
    assert "lies outside its enclosure" in done.err
    assert "no result of this run may be trusted" in done.err
    assert Path("runs/model-points-float16/escape.npz").exists()


def test_an_internal_error_is_status_four(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "run", lambda *args, **kwargs: 1 // 0)
    done = shell("certify", "model.pt", "--data", "points.npz")
    assert done.status == 4
    assert done.err.count("\n") == 1
    assert done.err.startswith("internal error: ZeroDivisionError: ")
    saved = Path(done.err.split()[-1])
    assert "1 // 0" in saved.read_text()
    saved.unlink()


def test_an_interruption_says_how_to_go_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, calls = Certifier.batch_of, []

    def interrupted(self: object, *args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return kept(self, *args)  # type: ignore[arg-type]

    words = ["certify", "model.pt", "--data", "points.npz", "--batch-size", "8", "--out", "a run"]
    with monkeypatch.context() as patch:
        patch.setattr(Certifier, "batch_of", interrupted)
        done = shell(*words, "--overwrite")
    assert done.status == 130
    assert done.err == (
        "interrupted after 16 of 40 samples; continue with: errbound certify model.pt "
        "--data points.npz --batch-size 8 --out 'a run' --resume\n"
    )
    assert shell(*words, "--resume").status == 0
    assert (
        errbound.load_run("a run").samples
        == errbound.certify(net(), dataset(40), batch_size=8).samples
    )


def test_export(shell: Shell) -> None:
    words = ("export", "weights.pt", "--arch", "nets.py:build", "--data", "points.npz", "-o")
    done = shell(*words, "new.pt")
    assert done.status == 0
    assert "errbound certify new.pt --data points.npz" in done.out
    done = shell("certify", "new.pt", "--data", "points.npz", "--quiet", "--out", "run")
    assert done.status == 0
    again = errbound.certify(net(), dataset(40))
    assert errbound.load_run("run").samples == again.samples


def test_ops(shell: Shell) -> None:
    from errbound.ops import OPS

    listed = shell("ops").out
    for op in OPS:
        assert op.name[:20] in listed
    done = shell("ops", "--for", "model.pt")
    assert done.status == 0
    assert "Every operator has a record." in done.out
    words = ("ops", "--for", "weights.pt", "--data", "points.npz", "--arch")
    assert "Every operator has a record." in shell(*words, "nets.py:build").out
    done = shell(*words, "nets.py:unknown")
    assert done.status == 0
    assert all(f"aten.{name}.default" in done.out for name in ("hardswish", "hardsigmoid"))
    assert "CONTRIBUTING.md" in done.out


def test_listings_come_from_the_rows(shell: Shell) -> None:
    from errbound.arithmetic import ARITHMETICS
    from errbound.number import FORMATS

    formats = shell("formats").out
    assert all(f.name in formats and f.alias in formats for f in FORMATS)
    arithmetics = " ".join(shell("arithmetics").out.split())
    for row in ARITHMETICS:
        assert row.summary in arithmetics
        assert all(line in arithmetics for line in row.assumptions)


def test_help_and_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"errbound {errbound.__version__}\n", "")
    assert shell() == shell("--help")
    for words in ([], ["certify"], ["export"], ["ops"], ["formats"], ["arithmetics"]):
        done = shell(*words, "--help")
        assert done.status == 0
        assert done.out.startswith("Usage: errbound")
        assert all(len(line) <= 80 for line in done.out.splitlines()), words
    assert shell("certify", "-h").out.count("errbound certify ") >= 4
