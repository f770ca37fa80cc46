"""``errbound plot`` and ``errbound report`` as a user types them."""

import os
from pathlib import Path

import pytest

from errbound import cli
from errbound.report.figures import Drawing

SUFFIXES = ("pdf", "png", "csv")


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn: what is in them is tested elsewhere."""
    monkeypatch.setattr(Drawing, "__post_init__", lambda self: None)
    monkeypatch.setattr(Drawing, "image", lambda self, suffix: suffix.encode())


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


@pytest.mark.usefixtures("light")
def test_plot_writes_beside_the_run_and_names_each_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plot", str(folder)]) == 0
    expected = [f"{n}.{s}" for n in ("delta-margin", "ratio", "nodes") for s in SUFFIXES]
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(folder / "figures" / name) for name in expected]
    assert err == ""
    assert files(folder / "figures") == set(expected)
    assert (folder / "figures" / "ratio.pdf").read_bytes() == b"pdf"


@pytest.mark.usefixtures("light")
def test_plots_of_several_runs_go_to_the_working_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plot", str(folder), str(folder)]) == 0
    assert len(files(tmp_path / "figures")) == 9


@pytest.mark.usefixtures("light")
def test_report_writes_one_file_wherever_it_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    assert cli.main(["report", str(folder), "-o", str(path)]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert files(tmp_path) == {"page.html"}
    assert path.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("command", ["plot", "report"])
def test_what_is_no_run_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {tmp_path}: holds no run (journal.jsonl is missing)\n"
    assert cli.main([command]) == 2
    assert "Missing argument" in capsys.readouterr().err


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("command", ["plot", "report"])
def test_a_place_that_cannot_be_written_is_one_line(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main([command, str(folder), "-o", os.fspath(tmp_path / "file" / "x")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path / 'file' / 'x'}: cannot be written")
    assert err.count("\n") == 1
