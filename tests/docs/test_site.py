"""The site: it builds without a warning, loads nothing from the network, shows every record."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from errbound import __version__
from errbound.arithmetic import ARITHMETICS
from errbound.commands import COMMANDS
from errbound.number import FORMATS
from errbound.ops import OPS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
pytest.importorskip("mkdocstrings")
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The built site; its runs have few samples."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    place = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        import pictures

        patch.setattr(pictures, "SAMPLES", 8)
        config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(place))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
        yield place
    for name in ("pictures", "tables"):
        sys.modules.pop(name)


class Page(HTMLParser):
    """What a page loads, where its links lead, what its pictures are called and what it says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.alts: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text())
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        where = given.get("href") if tag == "link" else given.get("src")
        if where:
            self.loads.append(where)
        if tag == "img":
            self.alts.append(given.get("alt") or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    for page in pages:
        for where in Page(page).loads:
            assert not re.match(r"(\w+:)?//", where), (page, where)
            if page.name != "404.html":
                assert (page.parent / where.split("?")[0]).exists(), (page, where)
    for sheet in site.rglob("*.css"):
        for where in re.findall(r"url\(\s*['\"]?([^'\")]*)", sheet.read_text()):
            assert not re.match(r"(http|//)", where), (sheet, where)


def test_no_mark_is_left_and_pictures_have_words(site: Path) -> None:
    for name in ("how-it-works", "tutorial", "operators", "formats-and-arithmetics"):
        path = site / f"{name}.html"
        assert not re.search(r"<!-- (table|picture)", path.read_text())
        assert all(len(alt) > 100 for alt in Page(path).alts)
    assert len(Page(site / "how-it-works.html").alts) == 3
    assert not list(site.rglob("*.py"))


def test_the_tables_have_every_record(site: Path) -> None:
    text = Page(site / "operators.html").text
    for op in OPS:
        for part in (op.name, *op.targets, op.meaning, op.rounds, op.lemma, op.domain):
            assert re.sub(r"\s+", " ", part) in text, (op.name, part)
    text = Page(site / "formats-and-arithmetics.html").text
    for fmt in FORMATS:
        assert fmt.name in text
        assert f"{fmt.max_finite:.6g}" in text
    for arithmetic in ARITHMETICS:
        for part in (arithmetic.name, arithmetic.summary, *arithmetic.assumptions):
            assert part in text, arithmetic.name


def test_the_reference_has_every_public_name(site: Path) -> None:
    import errbound
    import errbound.testing

    text = (site / "api.html").read_text()
    public = {"errbound": errbound.__all__, "errbound.testing": errbound.testing.__all__}
    for module, names in public.items():
        for name in set(names) - {"__version__"}:
            assert re.search(rf'id="{module}\.(\w+\.)?{name}"', text), (module, name)
    assert not re.search(r":(class|func|meth):", text)


def test_the_picture_of_a_cell_is_the_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import pictures

    for first, last, value in pictures.steps(5):
        assert pictures.rounded((first + last) / 2) == value
    first, second = pictures.rounding_cell(), pictures.rounding_cell()
    assert first.png == second.png


def test_readme_and_changelog_name_every_command() -> None:
    for page in ("README.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text()
        for command in COMMANDS:
            if command.name not in ("export", "formats", "arithmetics"):
                assert f"errbound {command.name}" in text, (page, command.name)


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["license"] == "MIT"
    assert {"title", "message", "authors", "abstract", "keywords"} <= set(citation)
