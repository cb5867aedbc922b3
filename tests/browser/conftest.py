"""A real browser, Debian's Chromium or whichever is found, that tells of every request and every error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Nothing that the browser itself would like to fetch.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# How long a page is waited for. Beside other work a machine takes several times as long as alone.
WAIT_MS = 180_000
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


def patient(browser):
    """The browser; every page of every context waits as long as `WAIT_MS`."""
    begin = browser.new_context

    def new_context(**options):
        context = begin(**options)
        context.set_default_timeout(WAIT_MS)
        return context

    browser.new_context = new_context
    return browser


@pytest.fixture(scope="session")
def launch():
    """Starts a Chromium with more flags; with `gpu` one that may have a GPU."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on PATH; Debian: sudo apt install chromium")
    with playwright.sync_playwright() as started:

        def launched(*flags, gpu=False):
            own = [flag for flag in ARGUMENTS if not (gpu and flag == "--disable-gpu")]
            return patient(
                started.chromium.launch(executable_path=path, args=[*own, *flags], timeout=WAIT_MS)
            )

        yield launched


@pytest.fixture(scope="session")
def chromium(launch):
    """A running Chromium."""
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture
def page(chromium):
    """A page of 1280 x 720 without a network, with the lists `requests` (not for files) and `errors`."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or page.requests.append(r.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    yield page
    context.close()


@pytest.fixture(scope="session")
def build(request) -> Path:
    """A build folder with executed chapters: EDGELAB_TEST_BUILD, or that of the course's second run."""
    folder = os.environ.get("EDGELAB_TEST_BUILD", "")
    return Path(folder) if folder else request.getfixturevalue("second_run").build


@pytest.fixture(scope="session")
def stand_still():
    """Ends what moves on a page: while colours and fragments fade in, contrast is not what it will be."""
    style = "*, *::before, *::after { transition: none !important; animation: none !important; }"
    return lambda page: page.add_style_tag(content=style)
