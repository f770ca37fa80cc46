"""``--effort``, ``--time-limit`` and ``--radius``: what is printed, kept and refused."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import errbound
from errbound.errors import InputError
from errbound.report.command import command
from errbound.report.html import render
from errbound.report.inputs import images_of
from errbound.report.run import load_run
from errbound.report.summary import schema
from errbound.session import PIXEL

from ..certify.making import net, points
from .shell import Shell

BASE = ("certify", "model.pt", "--data", "points.npz", "--radius", "0.02")
RUN = Path("runs/model-points-float16-radius-0.02")


@pytest.fixture
def run(shell: Shell) -> Path:
    """A finished run of balls, some of which only the backward pass decides."""
    assert shell(*BASE, "--quiet").status == 0
    return RUN


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_table_says_what_decided(shell: Shell, run: Path) -> None:
    s = load_run(run).summary
    assert s["stages"]["forward"] > 0
    assert s["stages"]["backward"] > 0
    said = flat(shell(*BASE, "--overwrite").out)
    assert f"decided by: forward {s['stages']['forward']} (0." in said
    assert f" · backward {s['stages']['backward']} (" in said
    assert "For all inputs within 0.02 of these 40 inputs, any order of summation" in said
    assert "proved on ball / observed delta, median of 40" in said
    said = flat(shell(*BASE, "--overwrite", "--effort", "fast").out)
    assert "backward" not in said
    assert "try a smaller --radius or --effort max" in said


def test_stages_of_runs_and_inputs_are_counted(shell: Shell) -> None:
    eye = torch.nn.Linear(2, 2).eval()
    with torch.no_grad():
        eye.weight.copy_(torch.eye(2))
        eye.bias.zero_()
    errbound.export(eye, torch.zeros(2, 2), "eye.pt")
    x = np.array([[np.nan, 1], [1, 1 + 2.0**-12], [1, 2], [3, 3]], dtype=np.float32)
    np.savez("four.npz", x=x)
    done = shell("certify", "eye.pt", "--data", "four.npz", "--out", "r")
    s = load_run("r").summary
    assert list(s["stages"].items())[:3] == [("input", 1), ("run", 1), ("forward", 1)]
    assert sum(s["stages"].values()) == 3, "a tie is decided by no stage"
    assert "decided by: input 1 · run 1 (" in flat(done.out)


def test_explain_names_the_stage_and_its_numbers(shell: Shell, run: Path) -> None:
    samples = load_run(run).samples
    later = next(x for x in samples if x.stage == "backward")
    said = flat(shell("explain", run, "--sample", later.index).out)
    assert "and all inputs within 0.02 of it (in every value, before mean and std)" in said
    assert "Decided by stage backward: differences of outputs, followed back" in said
    assert "by the forward stage. Differences followed back to the input show more: it" in said
    assert said.count("(enough)") == 1
    first = next(x for x in samples if x.stage == "forward")
    said = flat(shell("explain", run, "--sample", first.index).out)
    assert "Decided by stage forward" in said
    open_ = next(x for x in samples if x.verdict == "undecided")
    said = flat(shell("explain", run, "--sample", open_.index).out)
    assert "Decided by no stage; tried: forward, backward, refined." in said


def test_explain_repeats_the_numbers_of_the_run(shell: Shell, run: Path) -> None:
    from errbound.revisit import explain_sample, reopen

    found = load_run(run)
    session = reopen(found)
    for sample in found.samples[:6]:
        batch = explain_sample(session, sample.index).batch
        assert (batch.stage[0], str(batch.verdict[0])) == (sample.stage, sample.verdict)
        assert float(batch.pairwise[0]) == sample.pairwise_lower
        assert float(batch.proved_delta[0]) == sample.proved_delta


def test_resume_keeps_the_choices(shell: Shell, run: Path) -> None:
    base = (*BASE, "--resume")
    assert shell(*base).status == 0
    assert "effort normal, now max" in shell.refuses(*base, "--effort", "max")
    assert "time limit None, now 3.0" in shell.refuses(*base, "--time-limit", 3)
    said = shell.refuses(*base[:4], "--out", run, "--resume")
    assert "radius 0.02, now 0.0" in said
    pixel = ("--radius", "pixel", "--out", run)
    assert "radius 0.02, now 0.00196" in shell.refuses(*base, *pixel)


def test_pixel_and_0(shell: Shell) -> None:
    assert shell(*BASE[:4], "--radius", "pixel", "--limit", 3).status == 0
    s = json.loads(Path("runs/model-points-float16-radius-pixel/summary.json").read_text())
    assert s["radius"] == PIXEL
    jsonschema.validate(s, schema())
    assert shell(*BASE[:4], "--radius", "0", "--limit", 3).status == 0
    assert load_run("runs/model-points-float16").summary["radius"] == 0


def test_the_command_and_the_page_have_them(shell: Shell) -> None:
    words = ("--effort", "max", "--time-limit", "0", "--limit", 5, "--out", "r")
    assert shell(*BASE, *words).status == 0
    found = load_run("r")
    said = command(found.summary)
    assert "--effort max --time-limit 0.0 --radius 0.02 " in said
    page = render(found, *images_of(found))
    assert "Samples by the stage that decided; effort: max" in page
    assert "intervals of all executions, carried from the input to the output" in page
    assert "of every input within 0.02 of it, in every value before mean and std" in page
    assert found.summary["scope"] in page


def test_a_shadow_is_of_the_samples_themselves(shell: Shell) -> None:
    words = ("--limit", 3, "--shadow", 2)
    assert shell(*BASE, *words).status == 0
    assert shell(*BASE[:4], *words).status == 0
    ball, plain = (Path(f"runs/model-points-float16{k}/shadow.csv") for k in ("-radius-0.02", ""))
    assert ball.read_text() == plain.read_text()


@pytest.mark.parametrize("bad", ["-1", "inf", "nan", "big"])
def test_what_is_no_radius(shell: Shell, bad: str) -> None:
    assert "pixel" in shell.refuses(*BASE[:4], f"--radius={bad}")
    assert not Path("runs").exists()


def test_a_model_of_one_batch_size_says_that_no_stage_follows(shell: Shell) -> None:
    torch.export.save(torch.export.export(net(), (points(8),), strict=False), "static.pt2")
    done = shell("certify", "static.pt2", "--data", "points.npz", "--radius", "0.02")
    assert "no stage follows the forward enclosure" in flat(done.out)
    s = load_run("runs/static-points-float16-radius-0.02").summary
    assert s["stages"]["backward"] == 0


def test_batches_are_small_where_they_take_long(shell: Shell) -> None:
    for effort, size in (("fast", 256), ("normal", 256), ("max", 32)):
        done = shell(*BASE, "--effort", effort, "--limit", 2, "--overwrite", "--json")
        assert json.loads(done.out)["batch_size"] == size
    done = shell(*BASE, "--effort", "max", "--batch-size", 5, "--overwrite", "--json")
    assert json.loads(done.out)["batch_size"] == 5


def test_a_tree_height_is_an_assumption_that_the_run_keeps(shell: Shell) -> None:
    base, word = (*BASE[:4], "--limit", 5), ("--tree-height", 4)
    assert shell(*base).status == 0
    done = shell(*base, *word)
    assert done.status == 0
    folder = Path("runs/model-points-float16-height-4")
    s, plain = load_run(folder).summary, load_run("runs/model-points-float16").summary
    jsonschema.validate(s, schema())
    assert (s["arithmetic"]["row"], s["arithmetic"]["tree_height"]) == ("torch-cpu", 4)
    assert set(s["arithmetic"]["assumptions"]) > set()
    said = [a for a in s["arithmetic"]["assumptions"] if "height" in a or "higher" in a]
    assert len(said) == 1
    assert not any("height" in a for a in plain["arithmetic"]["assumptions"])
    assert s["proved_delta_max"] <= plain["proved_delta_max"]
    assert "assumed, not probed" in flat(done.out)
    assert "--arithmetic torch-cpu --tree-height 4 " in command(s)
    page = render(load_run(folder), *images_of(load_run(folder)))
    assert "no term goes through more than 4 additions" in page
    refused = shell.refuses(*base, "--out", folder, "--resume")
    assert "arithmetic torch-cpu" in refused
    assert shell(*base, *word, "--resume").status == 0
    assert s["arithmetic"]["name"] in flat(shell("explain", folder, "--sample", 2).out)
    shell.refuses(*base, "--tree-height", 0, "--overwrite")


def test_ties_may_go_to_the_first_class(shell: Shell) -> None:
    """Weights that are equal in binary16 only: M16's outputs 1 and 2 tie in every execution."""
    model = nn.Linear(1, 3, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0 + 2.0**-13], [1.0]]))
    errbound.export(model, torch.zeros(2, 1), "tied.pt")
    np.savez("one.npz", x=np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32))
    base = ("certify", "tied.pt", "--data", "one.npz")
    assert shell(*base).status == 0
    done = shell(*base, "--ties", "first")
    assert done.status == 0
    assert "of equal outputs the first is the answer" in flat(done.out)
    open_, first = (load_run(f"runs/tied-one-float16{end}") for end in ("", "-ties-first"))
    for before, after in zip(open_.samples, first.samples, strict=True):
        tied = before.prediction_m32 == 1
        assert before.verdict == ("undecided" if tied else "proved")
        assert after.verdict == "proved"
        assert (after.pairwise_lower == 0) == tied
    assert 0 < open_.verdicts["proved"] < first.verdicts["proved"] == 40
    s = first.summary
    jsonschema.validate(s, schema())
    assert (s["ties"], open_.summary["ties"]) == ("first", "open")
    assert "--ties first" in command(s)
    index = next(k for k, v in enumerate(open_.samples) if v.verdict == "undecided")
    said = flat(shell("explain", first.path, "--sample", index).out)
    assert "enough: of equal outputs the first is the answer" in said
    refused = shell.refuses(*base, "--out", first.path, "--resume")
    assert "ties first, now open" in refused
    with pytest.raises(InputError, match="ties='last': choose open, first"):
        errbound.certify(model, torch.zeros(1, 3), ties="last")  # type: ignore[arg-type]
