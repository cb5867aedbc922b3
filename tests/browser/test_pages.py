"""The pages of `make run` in a real browser: readable, narrow enough, with links that lead somewhere."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

NARROWEST = 375  # pixels: a small telephone


@pytest.fixture(scope="module")
def pages(build):
    return [build / "index.html", *sorted((build / "notebooks").glob("*.html"))]


@pytest.fixture
def show(page):
    def opened(path):
        page.goto(path.as_uri())
        page.wait_for_load_state()
        return page

    return opened


def test_axe_finds_nothing_and_narrow_screens_need_no_sideways_scrolling(show, pages):
    axe = pytest.importorskip("axe_playwright_python")
    script = next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    findings = []
    for path in pages:
        page = show(path)
        page.evaluate(script)
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'best-practice']})")
        findings += [
            (path.name, violation["id"], violation["nodes"][0]["html"][:120])
            for violation in found["violations"]
        ]
        page.set_viewport_size({"width": NARROWEST, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        findings += [(path.name, f"{width} pixels wide")] if width > NARROWEST else []
        page.set_viewport_size({"width": 1280, "height": 720})
    assert not findings


def test_words_lead_to_the_glossary_beside_them(show, pages):
    for path in pages:
        links = (
            show(path).locator("a[href*='glossary.']").evaluate_all("links => links.map(link => link.href)")
        )
        assert links or not path.name[0].isdigit(), f"{path.name} explains no word"
        for address in map(urlparse, links):
            target = Path(unquote(address.path))
            assert f'id="{address.fragment}"' in target.read_text(encoding="utf-8"), f"{path.name}: {address}"
