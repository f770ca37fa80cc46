"""Figures: files, fonts, sizes, what is drawn and what is counted instead."""

import csv
import io
import math
import re
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

import errbound
from errbound.errors import InputError
from errbound.report import figures
from errbound.report.figures import Drawing, draw, labels, margin, ratio, save
from errbound.report.figures._log import Log
from errbound.report.figures.nodes import positions
from errbound.report.figures.ratio import _MEASURES
from errbound.report.run import Run, load_run
from errbound.report.summary import summary_of

from ..certify.making import Function, dataset, net
from .conftest import SHADOW

NAMES = ("delta-margin", "ratio", "nodes", "shadow")


@pytest.fixture(scope="module")
def drawn(shadowed: Run) -> dict[str, Drawing]:
    return {d.name: d for d in draw([shadowed])}


@pytest.fixture(scope="module")
def saved(drawn: dict[str, Drawing], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "new"
    expected = [folder / f"{n}.{s}" for n in NAMES for s in ("pdf", "png", "csv")]
    assert list(save(list(drawn.values()), folder)) == expected
    return folder


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Draw these figures and no others, for time."""
    return lambda *modules: monkeypatch.setattr(figures, "_ALWAYS", modules)


def table(drawing: Drawing) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(drawing.table().decode())))


def streams(pdf: bytes) -> bytes:
    """The PDF and, unpacked, its streams."""
    packed = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    plain = [pdf]
    for part in packed:
        try:
            plain.append(zlib.decompress(part))
        except zlib.error:
            plain.append(part)
    return b"\n".join(plain)


@pytest.mark.parametrize("name", NAMES)
def test_pdf_embeds_truetype_fonts_and_no_type_3(saved: Path, name: str) -> None:
    pdf = saved / f"{name}.pdf"
    inside = streams(pdf.read_bytes())
    assert b"/FontFile2" in inside
    assert b"/Type3" not in inside
    assert b"CreationDate" not in inside
    if tool := shutil.which("pdffonts"):
        listed = subprocess.run([tool, pdf], capture_output=True, text=True, check=True).stdout
        fonts = listed.splitlines()[2:]
        assert fonts
        assert all("CID TrueType" in f and "yes yes" in f for f in fonts), listed


@pytest.mark.parametrize("name", NAMES)
def test_one_run_is_one_column_wide_and_text_is_readable(
    drawn: dict[str, Drawing], saved: Path, name: str
) -> None:
    figure = drawn[name].figure
    assert figure.get_figwidth() == pytest.approx(3.4)
    for text in figure.findobj(matplotlib.text.Text):
        assert text.get_fontsize() >= 7 or not text.get_text()
    with Image.open(saved / f"{name}.png") as image:
        assert image.width == pytest.approx(3.4 * 300, abs=1)
        colours = image.convert("L")
        edge = np.asarray(colours)[[0, -1]], np.asarray(colours)[:, [0, -1]]
    assert all((side == 255).all() for side in edge), "something is cut off at the border"


def test_same_numbers_give_the_same_bytes(saved: Path, run: Run, only: Callable[..., None]) -> None:
    only(margin)
    (drawing,) = draw([run])
    for suffix in ("png", "pdf"):
        assert drawing.image(suffix) == (saved / f"delta-margin.{suffix}").read_bytes()


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(saved: Path, shadowed: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "errbound", "plot", shadowed.path, "-o", tmp_path]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "7", "LC_ALL": "C"})
    for path in saved.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_settings_of_the_user_are_neither_used_nor_changed(
    saved: Path, run: Run, only: Callable[..., None]
) -> None:
    only(ratio)
    with matplotlib.rc_context({"font.size": 30, "pdf.fonttype": 3, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        pdf = draw([run])[0].image("pdf")
        assert dict(matplotlib.rcParams) == before
    assert pdf == (saved / "ratio.pdf").read_bytes()


def test_every_sample_is_drawn_or_counted(drawn: dict[str, Drawing], shadowed: Run) -> None:
    drawing = drawn["delta-margin"]
    rows = table(drawing)
    assert [int(r["index"]) for r in rows] == [s.index for s in shadowed.samples]
    for panel, (gamma, delta) in zip(
        drawing.figure.axes,
        (("margin", "observed_delta"), ("margin_lower", "proved_delta")),
        strict=True,
    ):
        offsets = [
            p for c in panel.collections if isinstance(c, PathCollection) for p in c.get_offsets()
        ]
        missing = [r for r in rows if "nan" in (r[gamma], r[delta])]
        assert len(offsets) + len(missing) == len(shadowed)
        assert f"(no δ or no Γ): {len(missing)}" in panel.get_title()
        (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
        assert all(left < x < right and low < y < high for x, y in offsets)
    infinite = sum(r["proved_delta"] == "inf" for r in rows)
    assert infinite == 6
    assert f"δ = ∞: {infinite}" in drawing.figure.axes[1].get_title()
    assert f"δ = ∞: {infinite}" in drawing.alt


def test_points_lie_at_their_logarithms_on_the_right_side_of_the_line(
    drawn: dict[str, Drawing], shadowed: Run
) -> None:
    panel = drawn["delta-margin"].figure.axes[0]
    points = {
        c.get_label(): c.get_offsets() for c in panel.collections if isinstance(c, PathCollection)
    }
    proved = [s for s in shadowed.samples if s.verdict == "proved"]
    expected = np.log10([(s.margin, s.observed_delta) for s in proved])
    np.testing.assert_allclose(points["proved"], expected)
    (line,) = (x for x in panel.lines if x.get_label() == "Γ = 2δ")
    x, y = line.get_data()
    np.testing.assert_allclose(10**x, 2 * 10**y)
    share = shadowed.summary["classic_ceiling_fraction"]
    assert f"Γ > 2δ for {math.floor(10000 * share) / 100:.2f} %" in panel.get_title()
    assert len({c.get_facecolor().tobytes() for c in panel.collections}) == len(points)
    shapes = [c.get_paths()[0].vertices.tobytes() for c in panel.collections if c.get_label()]
    assert len(set(shapes)) == len(points), "verdicts are told apart by colour alone"


def test_ratio_counts_every_sample_once(drawn: dict[str, Drawing], shadowed: Run) -> None:
    rows = table(drawn["ratio"])
    aside = sum(int(r["samples"]) for r in rows if not r["measure"])
    assert aside == 7
    for name in _MEASURES:
        own = [r for r in rows if r["measure"] == name]
        counted = sum(int(r["samples"]) for r in own if r["what"] in ("bar", "beyond"))
        key = "proved_delta" if name == "every execution of both" else "proved_delta16"
        pairs = ((getattr(s, key), s.observed_delta) for s in shadowed.samples)
        ratios = [proved / seen for proved, seen in pairs if 0 < seen < math.inf]
        last = max(float(r["high"]) for r in own if r["what"] == "bar")
        for r in (r for r in own if r["what"] != "median"):
            low, high = float(r["low"]), float(r["high"])
            if r["what"] == "beyond":
                expected = sum(x > last for x in ratios)
            else:
                expected = sum(low <= x < high or x == high == last for x in ratios)
            assert int(r["samples"]) == expected, r
        assert counted + aside == len(shadowed)
        (middle,) = (float(r["low"]) for r in own if r["what"] == "median")
        key = "delta_ratio_median" if name == "every execution of both" else "delta16_ratio_median"
        assert middle == pytest.approx(shadowed.summary[key], rel=1e-5)
    heights = [round(p.get_height()) for p in drawn["ratio"].figure.axes[0].patches]
    assert heights == [int(r["samples"]) for r in rows if r["what"] in ("bar", "beyond")]


def test_nodes_are_drawn_in_program_order(drawn: dict[str, Drawing], shadowed: Run) -> None:
    rows = table(drawn["nodes"])
    rounding = [n for n in shadowed.nodes if n.cells]
    assert [(r["model"], r["node"]) for r in rows] == [(n.model, n.node) for n in rounding]
    assert [float(r["split_share"]) for r in rows] == [n.split_share for n in rounding]
    top = drawn["nodes"].figure.axes[0]
    assert [list(line.get_ydata()) for line in top.lines] == [
        [n.split_share for n in rounding if n.model == m] for m in ("M32", "M16")
    ]
    assert {r["position"] for r in rows if r["node"] == "linear"} == {"1"}


def test_a_node_that_m16_lacks_is_left_out(
    run: Run, tmp_path: Path, only: Callable[..., None]
) -> None:
    only()
    (tmp_path / "shadow.csv").write_text(SHADOW + "0,cast,to,,nan,1e-8,nan,1e-7,nan,1e-6\n")
    (drawing,) = draw([replace(run, path=tmp_path)])
    assert [r["model"] for r in table(drawing) if r["node"] == "cast"] == ["M32"]


def test_shadow_has_medians_and_maxima(drawn: dict[str, Drawing]) -> None:
    rows = {(r["model"], r["node"]): r for r in table(drawn["shadow"])}
    first, last = rows["M16", "linear"], rows["M32", "linear_1"]
    assert (first["samples"], first["error_median"], first["error_max"]) == ("2", "0.0005", "0.001")
    assert (first["bound_median"], first["bound_max"]) == ("0.0025", "0.003")
    assert (float(first["ratio_median"]), first["ratio_samples"]) == (pytest.approx(3), "1")
    assert last["bound_max"] == last["ratio_median"] == "inf"
    assert "errors of 0 or ∞, without a ratio: 1" in drawn["shadow"].figure.axes[2].get_title()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sample,node\n", "header"),
        (SHADOW + "2,linear\n", "line 6"),
        (SHADOW[:-5] + "\n", "line 5"),
    ],
)
def test_a_damaged_shadow_is_one_line(
    run: Run, tmp_path: Path, only: Callable[..., None], text: str, says: str
) -> None:
    only()
    (tmp_path / "shadow.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        draw([replace(run, path=tmp_path)])


def test_two_runs_stand_side_by_side_on_the_same_axes(run: Run, shadowed: Run) -> None:
    drawings = {d.name: d for d in draw([run, shadowed])}
    assert set(drawings) == set(NAMES)
    for name, drawing in drawings.items():
        assert drawing.figure.get_figwidth() == pytest.approx(6.8)
        left, right = drawing.figure.axes[:2]
        assert left.get_ylim() == right.get_ylim()
        assert left.get_title().startswith("1: ")
        assert right.get_title().startswith("2: ")
        counts = Counter(r["run"] for r in table(drawing))
        if name != "shadow":
            assert len(counts) == 2
            assert len(set(counts.values())) == 1


def test_labels_tell_runs_apart(run: Run) -> None:
    def variant(**changed: Any) -> Run:
        return replace(run, summary={**run.summary, **changed})

    other = variant(format="bfloat16")
    stem = "<b onclick=alert(1)>'$x$'&"
    assert labels([run, other]) == [f"{stem}, float16", f"{stem}, bfloat16"]
    strict = variant(arithmetic={"name": "strict16"})
    assert labels([run, strict])[1] == f"{stem}, float16, strict16"
    assert labels([run, run]) == [f"1: {stem}, float16", f"2: {stem}, float16"]


def test_outputs_without_classes_have_figures(tmp_path: Path, only: Callable[..., None]) -> None:
    only(margin, ratio)
    vector = Function(lambda x: x.unsqueeze(1), net())
    found = errbound.certify(vector, dataset(3), out=tmp_path / "run")
    assert found.verdicts["no classes"] == 3
    drawings = {d.name: d for d in draw([load_run(tmp_path / "run")])}
    assert "no Γ" in drawings["delta-margin"].alt
    assert not any(a.collections for a in drawings["delta-margin"].figure.axes)
    assert "median" in drawings["ratio"].alt


def test_a_run_of_one_sample_outside_the_domain_has_figures(only: Callable[..., None]) -> None:
    only(margin, ratio)
    data = dataset(1)
    broken = np.full_like(data.inputs, np.nan)
    found = errbound.certify(net(), type(data).from_arrays(broken))
    assert found.verdicts["domain"] == 1
    assert summary_of(found._records)["delta_ratio_samples"] == 0
    drawings = {d.name: d for d in draw([found])}
    assert "no Γ" in drawings["delta-margin"].alt
    assert "no δ: 1" in drawings["ratio"].alt


def test_positions_put_a_node_of_one_model_between_its_neighbours() -> None:
    models = {"M32": ["a", "b", "c"], "M16": ["a", "cast", "b", "c"]}
    found = positions([(m, n) for m, names in models.items() for n in names])
    assert found == {"a": 1, "cast": 2, "b": 3, "c": 4} or found == {
        "a": 1,
        "b": 3,
        "cast": 2,
        "c": 4,
    }


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0],
        [math.inf],
        [-math.inf, math.nan],
        [5e-324, 1.7e308],
        [1.0],
        [0.5, 2.0, 0.0, math.inf],
        [3.0, 3.1],
    ],
)
def test_logarithmic_axes_keep_everything_inside_and_apart(values: list[float]) -> None:
    log = Log(values)
    first, last = log.limits
    placed = log.place(values)
    assert len(placed) == len(values)
    for value, x in zip(values, placed, strict=True):
        if math.isnan(value):
            assert math.isnan(x)
        else:
            assert first < x < last
        if 0 < value < math.inf:
            assert x == math.log10(value)
            assert log.low <= x <= log.high
        elif value <= 0:
            assert x < log.low
        elif value == math.inf:
            assert x > log.high
