"""A real browser for tests: Chromium as the system has it, driven by playwright; a test skips, saying so, without one.

conftest.py hands the two fixtures on, so that a test of a page is `def test_...(tab): seen = tab(path_or_address)`.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",  # tests in a container run as root
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-webgpu",  # and WebGPU
    "--use-webgpu-adapter=swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",  # no page gets out
]
HERE = ("127.0.0.1", "localhost")


@dataclass
class Tab:
    """A page that is open, what it asked for, and what went wrong in it."""

    page: Any
    """playwright's Page."""
    asked: list[str] = field(default_factory=list)
    """Every address that was asked for, but for data: and blob:, which leave nothing."""
    errors: list[str] = field(default_factory=list)
    """Errors of scripts, of the console, and requests that failed."""

    @property
    def outside(self) -> list[str]:
        """What was asked of other machines."""
        return [url for url in self.asked if urlsplit(url).scheme != "file" and urlsplit(url).hostname not in HERE]


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of one file."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    """A function that opens a file or an address: tab(where, width=1280, height=900, dark=False) -> Tab."""
    contexts = []

    def opened(where, width=1280, height=900, dark=False, **more):
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        contexts.append(context)
        one = Tab(context.new_page())
        one.page.set_default_timeout(60_000)
        one.page.on("request", lambda r: r.url.startswith(("data:", "blob:")) or one.asked.append(r.url))
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        one.page.on("console", lambda said: said.type == "error" and one.errors.append(said.text))
        one.page.on("requestfailed", lambda r: one.errors.append(f"{r.url}: {r.failure}"))
        one.page.goto(where.resolve().as_uri() if isinstance(where, Path) else where)
        return one

    yield opened
    for context in contexts:
        context.close()
