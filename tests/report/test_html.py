"""The page as text: complete, escaped, readable without JavaScript, of sufficient contrast."""

import base64
import csv
import io
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import errbound
from errbound import cli
from errbound.data import Dataset
from errbound.report import html
from errbound.report.command import command
from errbound.report.facts import difference
from errbound.report.html import _tables, render
from errbound.report.inputs import images_of, no_images
from errbound.report.run import Run, load_run

from ..certify.making import dataset, net
from .conftest import HOSTILE, SIDE, inputs

VOID = {"meta", "link", "img", "input", "br"}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028'\"&"


class Elements(HTMLParser):
    """Elements of a page as (tag, attributes, text); every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for k in self.open:
            self.found[k][2].append(data)

    def __call__(self, tag: str, **wanted: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attrs, "".join(text))
            for name, attrs, text in self.found
            if name == tag and all(attrs.get(k) == v for k, v in wanted.items())
        ]


def data_of(page: str) -> dict[str, Any]:
    ((_, text),) = Elements(page)("script", id="data")
    found: dict[str, Any] = json.loads(text)
    return found


def cells(found: dict[str, Any], name: str) -> list[Any]:
    """A column of the table of samples."""
    k = found["columns"].index(name)
    words = found["levels"].get(name)
    return [words[row[k]] if words else row[k] for row in found["rows"]]


def test_counts_assumptions_and_facts_are_static(page: str, run: Run) -> None:
    made = Elements(page)
    text = " ".join(
        "".join(t) for tag, _, t in made.found if tag in ("td", "th", "li", "p", "dd", "h1")
    )
    s = run.summary
    for words in (*s["arithmetic"]["assumptions"], s["scope"], *s["model"]["notes"], HOSTILE):
        assert words in text
    for group in (s["versions"], s["machine"]):
        assert all(str(value) in text for value in group.values())
    assert s["model"]["sha256"] in text
    assert s["data"]["sha256"] in text
    rows = [t for _, t in made("tr")]
    for name in ("proved", "undecided", "refuted", "overflow", "domain"):
        assert sum(t.startswith(f"{name}{run.verdicts[name]}") for t in rows) == 1
    assert made("noscript")
    assert len(made("figure")) == 3


def test_the_page_is_one_file_and_admits_only_its_own_script(page: str) -> None:
    made = Elements(page)
    addresses = [
        a[k] or "" for _, a, _ in made.found for k in ("src", "href") if a.get(k) is not None
    ]
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert "@import" not in page
    assert "url(" not in page
    (policy,) = (a["content"] or "" for a, _ in made("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not any(name.startswith("on") or name == "style" for _, a, _ in made.found for name in a)


def test_headings_ids_and_labels_are_in_order(page: str) -> None:
    made = Elements(page)
    levels = [int(tag[1]) for tag, _, _ in made.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a, _ in made.found if "id" in a]
    assert len(set(ids)) == len(ids)
    named = [
        a[k] for _, a, _ in made.found for k in ("aria-labelledby", "aria-describedby") if k in a
    ]
    links = [(a["href"] or "").removeprefix("#") for a, _ in made("a")]
    assert {*named, *links} <= set(ids)
    assert all(t for _, t in made("caption"))
    assert len(made("caption")) == len(made("table"))
    assert all(len(a["alt"] or "") > 60 for a, _ in made("img"))
    assert all("scope" in a for a, _ in made("th"))
    assert next(iter(made("html")))[0]["lang"] == "en"


def test_all_samples_are_there_the_doubtful_first(page: str, run: Run, folder: Path) -> None:
    found = data_of(page)
    index, verdicts = cells(found, "index"), cells(found, "verdict")
    assert sorted(index) == [s.index for s in run.samples]
    kinds = list(dict.fromkeys(verdicts))
    assert kinds == ["refuted", "undecided", "overflow", "domain", "proved"]
    lead = [
        x for x, v in zip(cells(found, "pairwise_lower"), verdicts, strict=True) if v == "proved"
    ]
    assert lead == sorted(lead)
    assert lead[0] > 0
    rows = csv.DictReader(io.StringIO((folder / "samples.csv").read_text()))
    written = {int(row["index"]): row for row in rows}
    for name in ("label", "prediction_m32", "prediction_m16"):
        for k, x in zip(index, cells(found, name), strict=True):
            assert ("" if x is None else str(x)) == written[k][name]
    for name in ("verdict", "overflow", "overflow_node", "stage"):
        assert [written[k][name] for k in index] == cells(found, name)


def test_bounds_are_rounded_outwards(page: str, run: Run) -> None:
    found = data_of(page)
    samples = {s.index: s for s in run.samples}
    index = cells(found, "index")
    for name, sign in (("pairwise_lower", 1), ("margin_lower", 1), ("proved_delta", -1)):
        for k, x in zip(index, cells(found, name), strict=True):
            exact = getattr(samples[k], name)
            assert sign * float(x) <= sign * exact
            assert float(x) == pytest.approx(exact, rel=2e-3, abs=1e-300)
    for k, x in zip(index, cells(found, "observed_delta"), strict=True):
        expected = samples[k].observed_delta
        assert x is None if np.isnan(expected) else float(x) == pytest.approx(expected, rel=1e-3)


def test_pictures_are_the_inputs(page: str) -> None:
    found = data_of(page)
    raw = inputs()
    assert len(found["images"]) == len(raw)
    for k, picture in zip(cells(found, "index"), found["images"], strict=True):
        if k in range(3, 10):
            assert picture == "", "NaN or a value above 1 is no grey"
            continue
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert image.size == (SIDE, SIDE)
            np.testing.assert_array_equal(np.asarray(image), np.rint(raw[k, 0] * 255))


def test_pictures_are_few_and_small(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "IMAGES", 2)
    asked = []

    def images(index: int) -> np.ndarray:
        asked.append(index)
        return np.full((300, 200, 3), 7, np.uint8)

    found = _tables.sample_table(run, images)
    first = [row[0] for row in found["rows"][:2]]
    assert asked == first
    with Image.open(io.BytesIO(base64.b64decode(found["images"][0]))) as image:
        assert (image.size, image.mode) == ((43, 64), "RGB")


def test_hostile_text_stays_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "draw", lambda runs: [])  # the fixture's page has hostile figures
    s = run.summary
    model = {**s["model"], "path": f"/tmp/{EVIL}", "notes": [EVIL], "arch": EVIL}
    data = {**s["data"], "name": EVIL, "note": EVIL}
    sample = replace(run.samples[0], overflow_node=EVIL)
    evil = replace(run, summary={**s, "model": model, "data": data, "scope": EVIL})
    vars(evil)["samples"] = [sample, *run.samples[1:]]
    vars(evil)["nodes"] = [replace(n, node=EVIL, where=EVIL) for n in run.nodes]
    page = render(evil, no_images, EVIL)
    made = Elements(page)
    assert [a.get("id") for a, _ in made("script")] == ["data", None]
    assert not [a for a, _ in made("img") if a["src"] == "x"]
    assert EVIL in cells(data_of(page), "overflow_node")
    assert sum(t == EVIL for _, t in made("li")) == 3
    assert sum(t == EVIL for _, t in made("td")) == 2 * len(run.nodes)


def test_a_run_in_memory_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "draw", lambda runs: [])
    data = Dataset.from_arrays(dataset(3).inputs, name="points")
    found = errbound.certify(net(), data)
    images, note = images_of(found)
    page = render(found, images, note)
    assert "the data could not be reopened: points were in memory" in page
    assert data_of(page)["images"] == []
    assert "errbound certify MODEL --data DATA --format float16" in page


@pytest.mark.parametrize("change", ["gone", "other"])
def test_data_that_changed_are_not_shown(run: Run, tmp_path: Path, change: str) -> None:
    path = tmp_path / "data.npz"
    if change == "other":
        np.savez(path, x=inputs()[::-1], y=np.arange(len(inputs())) % 4)
    spec = {**run.summary["data"]["spec"], "data": str(path)}
    data = {**run.summary["data"], "spec": spec}
    images, note = images_of(replace(run, summary={**run.summary, "data": data}))
    says = {"gone": "neither a data set", "other": "another digest"}[change]
    assert note.startswith("the data could not be reopened: ")
    assert says in note
    assert images(0) is None


def test_the_command_makes_the_same_run(run: Run, tmp_path: Path) -> None:
    words = shlex.split(command(run.summary))
    assert words[:2] == ["errbound", "certify"]
    assert cli.main([*words[1:], "--out", str(tmp_path / "again"), "--quiet"]) == 0
    again = load_run(tmp_path / "again")
    assert difference(again.header["facts"], run.header["facts"]) == ""
    # repr, for NaN is not equal to itself.
    assert repr(again.samples) == repr(run.samples)


def test_the_command_names_every_choice(run: Run) -> None:
    s = run.summary
    m16 = {"path": "half m.pt", "kind": "pickle", "sha256": None, "arch": None}
    data = {**s["data"], "offset": 7, "samples": 5, "mean": [-0.5, 1e-7], "std": [0.25, 2.0]}
    data["spec"] = {"data": "cifar10", "data_dir": "a b", "split": "train", "size": None}
    said = command({**s, "model16": m16, "data": data})
    for words in (
        "--data cifar10 --data-dir 'a b' --split train",
        "--model16 'half m.pt'",
        "--trust-pickle",
        "--mean=-0.5,1e-07 --std=0.25,2.0",
        "--offset 7 --limit 5",
    ):
        assert words in said
    assert "--size" not in said


# Contrast, as WCAG 2 defines it.


def colours(dark: bool) -> dict[str, tuple[int, ...]]:
    css = files("errbound.report.html").joinpath("page.css").read_text()
    light, _, rest = css.partition("prefers-color-scheme: dark")
    found = re.findall(r"--([a-z-]+): #(\w{6});", rest if dark else light)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}


def luminance(colour: tuple[int, ...]) -> float:
    parts = [c / 255 for c in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_on_every_ground(dark: bool) -> None:
    found = colours(dark)
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    texts = set(found) - {"page", "soft", "line"}
    assert len(texts) == 9
    for ground in ("page", "soft"):
        for text in texts:
            assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
