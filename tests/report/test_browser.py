"""The page in Chromium: it renders, sorts, filters and asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from errbound.report.run import Run

from .browser import chromium, requested, size

COUNT = 120  # samples of the run


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def address(page: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(page.encode())
    return path.as_uri()


class Page:
    """The open page, read and worked as a person would."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def column(self, heading: str, table: str = "sample-table") -> list[str]:
        """The text of a column, as shown."""
        found: list[str] = self.run(
            """const table = document.getElementById(arguments[0]);
            const heads = [...table.tHead.rows[0].cells].map(c => c.innerText.split(' ▲')[0]);
            const k = heads.indexOf(arguments[1]);
            return [...table.tBodies[0].rows].map(r => r.cells[k].innerText);""",
            table,
            heading,
        )
        return found

    def head(self, heading: str, table: str = "sample-table") -> Any:
        """The button of a heading."""
        path = f"//table[@id='{table}']//th/button[text()='{heading}']"
        return self.driver.find_element("xpath", path)

    def sorting(self) -> dict[str, str]:
        """Heading and direction of what is sorted."""
        found: dict[str, str] = self.run(
            """return Object.fromEntries([...document.querySelectorAll('#sample-table th')]
            .filter(th => th.ariaSort).map(th => [th.textContent, th.ariaSort]))"""
        )
        return found

    @property
    def status(self) -> str:
        return str(self.find("#status").text)


@pytest.fixture
def opened(driver: Any, address: str) -> Iterator[Page]:
    """The page, freshly loaded; afterwards nothing was complained about or asked for."""
    size(driver, 1300, 1000)
    driver.get(address)
    yield Page(driver)
    assert driver.get_log("browser") == []
    assert set(requested(driver)) <= {address}


def numbers(texts: list[str]) -> list[float]:
    plain = [t.replace("−", "-").replace("∞", "inf") for t in texts if t]
    return [float(t) for t in plain]


def test_it_renders(opened: Page, run: Run, driver: Any, address: str) -> None:
    assert driver.title.endswith("float16: errbound")
    assert len(opened.column("sample")) == 50
    assert opened.status == f"{COUNT} of {COUNT} samples"
    verdicts = opened.column("verdict")
    assert verdicts[:9] == ["refuted"] * 5 + ["undecided"] * 4
    assert opened.column("node", "node-table") == [n.node for n in run.nodes]
    broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert opened.run(broken) == 0
    assert opened.run("return document.querySelectorAll('figure img').length") == 3
    picture = opened.find("#sample-table td img")
    index = opened.column("sample")[opened.column("verdict").index("undecided")]
    assert picture.get_attribute("alt") == f"input of sample {index}"
    assert picture.is_displayed()
    assert picture.size == {"width": 48, "height": 48}
    assert (
        opened.run("return getComputedStyle(arguments[0]).imageRendering", picture) == "pixelated"
    )


def test_a_request_would_be_seen(driver: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<img src=other.png>")
    driver.get(path.as_uri())
    assert requested(driver) == [path.as_uri(), (tmp_path / "other.png").as_uri()]
    assert "other.png" in driver.get_log("browser")[0]["message"]


def test_the_policy_refuses_what_is_not_the_pages_own(driver: Any, address: str) -> None:
    driver.get(address)
    driver.execute_script(
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
        "const s = document.createElement('script'); s.textContent = 'window.evil = 1';"
        "document.body.append(s);"
    )
    said = " ".join(e["message"] for e in driver.get_log("browser"))
    assert said.count("violates the following Content Security Policy") == 2
    assert driver.execute_script("return window.evil") is None
    assert requested(driver) == [address, "http://127.0.0.1:9/x.png"], "refused, but seen"


def test_it_sorts_by_click_and_by_key(opened: Page, run: Run) -> None:
    opened.head("sample").click()
    assert opened.sorting() == {"sample": "ascending"}
    assert opened.column("sample") == [str(s.index) for s in run.samples[:50]]
    opened.head("sample").send_keys("\ue007")  # Enter
    assert opened.sorting() == {"sample": "descending"}
    assert opened.column("sample") == [str(COUNT - 1 - k) for k in range(50)]
    opened.head("δ ≤").send_keys(" ")
    assert opened.sorting() == {"δ ≤": "ascending"}
    bounds = numbers(opened.column("δ ≤"))
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(min(s.proved_delta for s in run.samples), rel=1e-3)
    opened.head("δ ≤").click()
    assert numbers(opened.column("δ ≤"))[:7] == [float("inf")] * 7


def test_what_is_unknown_comes_last_in_both_directions(opened: Page) -> None:
    for _ in range(2):
        opened.head("float32").click()
        opened.find("#next").click()
        opened.find("#next").click()
        assert opened.column("float32")[-1] == ""
        assert opened.column("verdict")[-1] == "domain"


def test_it_filters(opened: Page, run: Run) -> None:
    opened.find("input[value=proved]").click()
    assert opened.status == f"11 of {COUNT} samples"
    assert "proved" not in opened.column("verdict")
    opened.find("input[value=refuted]").send_keys(" ")
    assert opened.status == f"6 of {COUNT} samples"
    opened.find("#reset").click()
    label = opened.find("select[name=label]")
    opened.run(
        "arguments[0].value = '2'; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
        label,
    )
    assert opened.status == f"{COUNT // 4} of {COUNT} samples"
    assert set(opened.column("label")) == {"2"}
    index = opened.find("input[name=index]")
    index.send_keys("0-5, 14")
    assert sorted(opened.column("sample"), key=int) == ["2", "14"]
    index.send_keys(" x")
    assert index.get_attribute("aria-invalid") == "true"
    assert "write indexes as" in opened.status
    opened.find("#reset").click()
    assert opened.status == f"{COUNT} of {COUNT} samples"
    assert index.get_attribute("aria-invalid") == "false"
    for box in opened.driver.find_elements("css selector", "[name=verdict]"):
        box.click()
    assert opened.status == f"0 of {COUNT} samples"
    assert opened.find("#page").text == "page 1 of 1"


def test_pages_hold_every_sample_once(opened: Page) -> None:
    assert not opened.find("#previous").is_enabled()
    seen = opened.column("sample")
    while opened.find("#next").is_enabled():
        opened.find("#next").click()
        seen += opened.column("sample")
    assert sorted(map(int, seen)) == list(range(COUNT))
    assert opened.find("#page").text == "page 3 of 3"
    opened.find("#previous").click()
    assert opened.find("#page").text == "page 2 of 3"


def test_nodes_sort(opened: Page, run: Run) -> None:
    opened.head("split share", "node-table").click()
    shown = numbers(opened.column("split share", "node-table"))
    assert len(shown) == sum(n.cells > 0 for n in run.nodes)
    assert shown == sorted(shown)
    assert opened.column("split share", "node-table")[-1] == ""


def test_the_keyboard_reaches_everything_in_reading_order(opened: Page) -> None:
    active = opened.driver.switch_to.active_element
    order, outlines = [], set()
    while len(order) < 200:
        active.send_keys("\ue004")  # Tab
        active = opened.driver.switch_to.active_element
        if active.tag_name == "body":
            break
        order.append(active)
        outlines.add(opened.run("return getComputedStyle(arguments[0]).outline", active))
    assert outlines == {"rgb(10, 79, 143) solid 3px"}
    assert order[0].get_attribute("textContent") == "Skip to the samples"
    follows = """return arguments[0].slice(1).every((e, k) =>
        arguments[0][k].compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)"""
    assert opened.run(follows, order)
    missed = """return [...document.querySelectorAll('a, button, input, select, summary, .scroll')]
        .filter(e => e.offsetParent !== null && !e.disabled)
        .filter(e => !arguments[0].includes(e)).map(e => e.outerHTML)"""
    assert opened.run(missed, order) == []


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_system(opened: Page, dark: bool) -> None:
    size(opened.driver, 1300, 1000, dark)
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert opened.run(ground) == ("rgb(21, 23, 26)" if dark else "rgb(255, 255, 255)")


def test_a_narrow_screen_scrolls_tables_alone(opened: Page) -> None:
    size(opened.driver, 390, 800)
    assert opened.run("return document.documentElement.scrollWidth") == 390
    wide = (
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth > e.clientWidth)"
    )
    assert opened.run(wide) == [True, True]


def test_without_javascript_the_rest_is_there(address: str, tmp_path: Path, driver: Any) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(address)
        text = driver.find_element("css selector", "body").text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for words in ("This table needs JavaScript", "no proof, no counterexample", "errbound certify"):
        assert words in text
    assert "indexes and ranges" not in text
