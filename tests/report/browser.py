"""Headless Chromium for tests of pages; it may not reach anything outside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def programs() -> tuple[str, str]:
    """Paths of Chromium and its driver; the test is skipped without, or fails if required."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        message = "chromium and chromedriver are absent: install Debian's chromium-driver"
        if os.environ.get("ERRBOUND_REQUIRE_CHROMIUM"):
            pytest.fail(message)
        pytest.skip(message)
    return str(found[0]), str(found[1])


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Any]:
    """A driver whose profile is in ``folder``; console and requests are logged."""
    browser, driver = programs()
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={folder}", "--window-size=1300,1000", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = Chrome(options, ChromeService(driver))
    try:
        running.get("about:blank")
        requested(running)  # what the start page asked for
        yield running
    finally:
        running.quit()


def requested(driver: Any) -> list[str]:
    """Addresses asked for since the last call, those that hold their content excepted."""
    messages = [json.loads(e["message"])["message"] for e in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [p["request"]["url"] for p in sent if not p["request"]["url"].startswith("data:")]


def size(driver: Any, width: int, height: int, dark: bool = False) -> None:
    """Set the size of the view in pixels and the preferred colours."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
