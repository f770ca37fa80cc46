"""Run directories: killed anywhere and resumed, the same bytes; refusals; nothing lost."""

import csv
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import errbound
from errbound.arithmetic import TORCH_CPU
from errbound.data import Preprocess
from errbound.errors import ContainmentError, InputError
from errbound.number import BFLOAT16, BINARY16, Format
from errbound.report.journal import Journal, Memory
from errbound.report.run import Run, finished, load_run
from errbound.report.summary import schema
from errbound.session import Inputs, Session, Source

from .making import dataset, net, points, without_times

SAMPLES, BATCH = 50, 8


def session(fmt: Format = BINARY16, seed: int = 0, **options: Any) -> Session:
    data = options.pop("data", dataset(SAMPLES))
    names = {"preprocess", "offset", "limit"} & set(options)
    inputs = Inputs(data, **{name: options.pop(name) for name in names})
    settings = {"batch_size": BATCH, **options}
    return Session(
        Source(net(seed), "module", "net.pt", "0" * 64), inputs, fmt, TORCH_CPU, **settings
    )


@pytest.fixture(scope="module")
def prepared() -> Session:
    return session()


@pytest.fixture(scope="module")
def whole(prepared: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    prepared.run(folder)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------ what is written


def test_summary_follows_its_schema(whole: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads((whole / "summary.json").read_text()), schema())


def test_counts_add_up(whole: Path) -> None:
    s, table = json.loads((whole / "summary.json").read_text()), rows(whole / "samples.csv")
    assert [int(r["index"]) for r in table] == list(range(SAMPLES))
    verdicts = [r["verdict"] for r in table]
    assert {k: n for k, n in s["verdicts"].items() if n} == {
        v: verdicts.count(v) for v in set(verdicts)
    }
    stages = [r["stage"] for r in table]
    assert s["stages"] == {k: stages.count(k) for k in s["stages"]}
    assert sum(s["stages"].values()) == SAMPLES - stages.count("")
    assert s["certified_fraction"] == verdicts.count("proved") / SAMPLES
    agree = [r["prediction_m32"] == r["prediction_m16"] for r in table]
    assert s["agreement_fraction"] == sum(agree) / SAMPLES
    right = [r["prediction_m32"] == r["label"] for r in table]
    assert s["accuracy_m32"] == sum(right) / SAMPLES
    sure = [a and v == "proved" for a, v in zip(right, verdicts, strict=True)]
    assert s["guaranteed_accuracy"] == sum(sure) / SAMPLES
    ceiling = [float(r["margin"]) > 2 * float(r["observed_delta"]) for r in table]
    assert s["classic_ceiling_fraction"] == sum(ceiling) / SAMPLES
    ratios = sorted(float(r["proved_delta"]) / float(r["observed_delta"]) for r in table)
    median = (ratios[SAMPLES // 2 - 1] + ratios[SAMPLES // 2]) / 2
    assert s["delta_ratio_median"] == pytest.approx(median, rel=1e-4)
    assert s["delta_ratio_samples"] == SAMPLES


def test_printed_bounds_hold_exactly(whole: Path) -> None:
    for row, exact in zip(rows(whole / "samples.csv"), load_run(whole).samples, strict=True):
        for name in ("proved_delta", "proved_delta16"):
            assert Fraction(row[name]) >= Fraction(getattr(exact, name))
        for name in ("margin_lower", "pairwise_lower"):
            assert Fraction(row[name]) <= Fraction(getattr(exact, name))
        assert float(row["observed_delta"]) == exact.observed_delta
        assert float(row["margin"]) == exact.margin


def test_nodes_are_in_program_order(whole: Path) -> None:
    table = rows(whole / "nodes.csv")
    assert [(r["model"], r["node"], r["operator"], r["where"]) for r in table] == [
        (m, node, op, place)
        for m in ("M32", "M16")
        for node, op, place in (
            ("linear", "linear", "0"),
            ("relu", "relu", "1"),
            ("linear_1", "linear", "2"),
        )
    ]
    for row, exact in zip(table, load_run(whole).nodes, strict=True):
        if row["operator"] == "relu":
            assert row["low"] == row["headroom"] == ""
            continue
        assert exact.cells == SAMPLES * (16 if row["node"] == "linear" else 4)
        assert Fraction(row["low"]) <= Fraction(exact.low)
        assert Fraction(row["high"]) >= Fraction(exact.high)
        assert Fraction(row["width_max"]) >= Fraction(exact.width_max)
        largest = max(-Fraction(exact.low), Fraction(exact.high))
        top = BINARY16.max_finite if row["model"] == "M16" else torch.finfo(torch.float32).max
        assert (
            0.999 * Fraction(top) / largest <= Fraction(row["headroom"]) <= Fraction(top) / largest
        )


def test_no_names_of_this_machine(whole: Path) -> None:
    for name in ("nodes.csv", "samples.csv"):
        assert "/" not in (whole / name).read_text()


def test_loading_gives_what_certifying_gave(prepared: Session, whole: Path) -> None:
    memory, disk = prepared.run(), load_run(whole)
    assert memory.samples == disk.samples
    assert str(memory.nodes) == str(disk.nodes)
    assert len(memory) == len(disk) == SAMPLES
    assert memory.path is None
    assert disk.path == whole
    assert disk.certified_fraction == memory.certified_fraction
    assert json.loads((whole / "summary.json").read_text()) == disk.summary


def test_without_classes_and_without_labels() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(12, 1)).eval()
    run = errbound.certify(model, points(5))
    jsonschema.validate(run.summary, schema())
    assert run.verdicts["no classes"] == 5
    assert run.certified_fraction is None
    assert run.summary["accuracy_m32"] is None
    assert run.summary["delta_ratio_median"] >= 1.0
    unlabelled = errbound.certify(net(), points(5))
    assert unlabelled.summary["accuracy_m32"] is None
    assert unlabelled.summary["agreement_fraction"] is not None


def test_domain_and_overflow_have_no_infinite_json() -> None:
    x = points(4) * torch.tensor([[1.0], [1e9], [math.nan], [1.0]])
    run = errbound.certify(net(), x, labels=torch.tensor([0, 1, 2, 3]))
    jsonschema.validate(run.summary, schema())
    json.dumps(run.summary, allow_nan=False)
    assert run.verdicts["domain"] == 1
    assert run.samples[1].overflow == "certain"
    assert run.samples[1].overflow_node == "M16:input"
    assert run.summary["overflow_first_nodes"] == {"M16:input": 1}
    assert run.summary["overflow"]["proved absent"] == 2


# ------------------------------------------------------------------------------ kill and resume


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.floats(0.0, 1.0), kept=st.sets(st.sampled_from(["nodes.csv", "samples.csv"])))
def test_a_journal_cut_anywhere_resumes_to_the_same_bytes(
    prepared: Session,
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cut: float,
    kept: set[str],
) -> None:
    """What a kill leaves: any prefix of the journal after its header, some files, temporaries."""
    folder = tmp_path_factory.mktemp("cut")
    journal = (whole / "journal.jsonl").read_bytes()
    header = journal.index(b"\n") + 1
    end = header + round(cut * (len(journal) - header))
    (folder / "journal.jsonl").write_bytes(journal[:end])
    (folder / ".samples.csv.tmp").write_bytes(b"half a li")
    for name in kept:
        (folder / name).write_bytes((whole / name).read_bytes())
    prepared.run(folder, resume=True)
    assert without_times(folder) == without_times(whole)
    assert not list(folder.glob(".samples*"))


@pytest.mark.parametrize("when", range(1, 7))
def test_an_interruption_between_batches(
    prepared: Session, whole: Path, tmp_path: Path, when: int
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= when * BATCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared.run(tmp_path, progress=stop)
    with pytest.raises(
        InputError, match=f"after {when} of 7 batches: repeat its command with --re"
    ):
        load_run(tmp_path)
    seen: list[int] = []
    prepared.run(tmp_path, resume=True, progress=lambda done, total: seen.append(done))
    assert seen[0] == when * BATCH
    assert without_times(tmp_path) == without_times(whole)


@pytest.mark.parametrize("position", [0, 5, 20, -1])
def test_a_damaged_line_is_computed_again(
    prepared: Session, whole: Path, tmp_path: Path, position: int
) -> None:
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    bad = bytearray(lines[3])
    bad[position] ^= 1
    (tmp_path / "journal.jsonl").write_bytes(b"".join([*lines[:3], bytes(bad), *lines[4:]]))
    prepared.run(tmp_path, resume=True)
    assert without_times(tmp_path) == without_times(whole)


def test_resuming_a_finished_run_changes_nothing(prepared: Session, tmp_path: Path) -> None:
    prepared.run(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    prepared.run(tmp_path, resume=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_killed_before_the_header(prepared: Session, whole: Path, tmp_path: Path) -> None:
    (tmp_path / ".journal.jsonl.tmp").write_bytes(b"0123")
    prepared.run(tmp_path, resume=True)
    assert without_times(tmp_path) == without_times(whole)


# ------------------------------------------------------------------------------------ refusals

OTHERS: dict[str, Callable[[], Session]] = {
    "program of M32": lambda: session(seed=1),
    "data": lambda: session(data=dataset(SAMPLES, seed=2)),
    "format float16, now bfloat16": lambda: session(BFLOAT16),
    "offset 0, now 3": lambda: session(offset=3),
    "number of samples 50, now 49": lambda: session(limit=49),
    "batch size 8, now 9": lambda: session(batch_size=9),
    "mean 0.0, now 0.5": lambda: session(preprocess=Preprocess((0.5,), (1.0,))),
    "std 1.0, now 2.0": lambda: session(preprocess=Preprocess((0.0,), (2.0,))),
}


@pytest.mark.parametrize("what", OTHERS)
def test_resume_refuses_another_run(whole: Path, what: str) -> None:
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    with pytest.raises(InputError, match=f"differs: {what}.*--overwrite or another --out"):
        OTHERS[what]().run(whole, resume=True)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == before


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("versions", "torch"), "torch version"),
        (("versions", "errbound"), "errbound version"),
        (("machine", "threads"), "number of threads"),
        (("machine", "cpu"), "CPU"),
        (("machine", "instruction_set"), "instruction set"),
        (("model", "sha256"), "model file"),
        (("model", "output"), "output"),
        (("arithmetic", "name"), "arithmetic"),
        (("effort",), "effort"),
        (("time_limit",), "time limit"),
        (("radius",), "radius"),
        (("ties",), "ties"),
    ],
)
def test_resume_refuses_another_machine(
    prepared: Session, tmp_path: Path, place: tuple[str, ...], name: str
) -> None:
    header = json.loads(json.dumps(prepared.header))
    facts = header["facts"]
    for key in place[:-1]:
        facts = facts[key]
    facts[place[-1]] = "another"
    Journal.create(tmp_path / "journal.jsonl", header)
    with pytest.raises(InputError, match=f"differs: {name} another, now "):
        prepared.run(tmp_path, resume=True)


def test_an_existing_run_needs_a_word(prepared: Session, tmp_path: Path) -> None:
    prepared.run(tmp_path)
    with pytest.raises(InputError, match="--resume continues it, --overwrite starts again"):
        prepared.run(tmp_path)
    with pytest.raises(InputError, match="exclude each other"):
        prepared.run(tmp_path, resume=True, overwrite=True)
    session(BFLOAT16).run(tmp_path, overwrite=True)
    assert load_run(tmp_path).summary["format"] == "bfloat16"


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_other_files_are_never_touched(
    prepared: Session, tmp_path: Path, flags: dict[str, bool]
) -> None:
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(InputError, match="holds other files, not a run: choose another --out"):
        prepared.run(tmp_path, **flags)
    assert (tmp_path / "summary.json").read_text() == "mine"


def test_a_file_in_the_way(prepared: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="cannot be written"):
            prepared.run(place)


def test_a_journal_that_is_none(prepared: Session, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("what is this\n")
    with pytest.raises(InputError, match="is not the journal of a run"):
        prepared.run(tmp_path, resume=True)
    with pytest.raises(InputError, match="is not the journal of a run"):
        load_run(tmp_path)
    prepared.run(tmp_path, overwrite=True)
    assert len(load_run(tmp_path)) == SAMPLES


def test_two_writers(prepared: Session, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes((whole / "journal.jsonl").read_bytes())
    with Journal(tmp_path / "journal.jsonl"):
        for flags in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(InputError, match="another errbound is writing to this run"):
                prepared.run(tmp_path, **flags)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        load_run(tmp_path)


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    prepared: Session, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errbound.report.journal as journal

    calls = iter([None] * 3 + [OSError(28, "No space left on device")])

    def full(handle: int) -> None:
        if error := next(calls, OSError(28, "No space left on device")):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device") as caught:
            prepared.run(tmp_path)
    assert "\n" not in str(caught.value)
    prepared.run(tmp_path, resume=True)
    assert without_times(tmp_path) == without_times(whole)


# -------------------------------------------------------------------------------------- escapes


def test_an_escape_is_loud_and_reproducible(tmp_path: Path) -> None:
    ours, other = session(), session(seed=1)
    ours.certifier.enclosers["M16"] = other.certifier.enclosers["M16"]
    with pytest.raises(ContainmentError) as caught:
        ours.run(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("M16 linear (0)", "sample 0", "outside its enclosure", "no result of this run"):
        assert part in message
    saved = json.loads((tmp_path / "escape.json").read_text())
    assert saved["model"]["program_m16"] == ours.header["facts"]["model"]["program_m16"]
    first = saved["escapes"][0]
    assert not first["lo"] <= first["value"] <= first["hi"]
    assert (saved["index"], saved["row"]) == (0, 0)
    again = errbound.data.load_npz(tmp_path / "escape.npz")  # type: ignore[attr-defined]
    assert torch.equal(again.batch(0, BATCH), points(SAMPLES)[:BATCH])
    assert not (tmp_path / "summary.json").exists()
    with pytest.raises(ContainmentError, match="give out="):
        ours.run()


def test_run_is_public() -> None:
    assert errbound.Run is Run
    assert errbound.load_run is load_run


def test_a_run_from_before_ties_could_be_chosen_is_read(whole: Path) -> None:
    """Its proofs are strict."""
    kept = Journal(whole / "journal.jsonl")
    journal = Memory(json.loads(json.dumps(kept.header)))
    for record in kept:
        journal.append(record)
    assert journal.header["facts"].pop("ties") == "open"
    assert finished(journal).summary["ties"] == "open"
