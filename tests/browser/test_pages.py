"""The pages of `make run` in a real browser: readable, narrow enough, with links that lead somewhere."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import accessibility
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
    def found_on(path):
        page = show(path)
        found = accessibility.findings(page)
        page.set_viewport_size({"width": NARROWEST, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size({"width": 1280, "height": 720})
        return found + ([["width", f"{width} pixels"]] if width > NARROWEST else [])

    findings = []
    for path in pages:
        html = path.read_text(encoding="utf-8")
        found = accessibility.judged(lambda path=path: found_on(path), html, str(NARROWEST))
        findings += [(path.name, *one) for one in found]
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


def test_a_pale_word_and_a_picture_without_a_text_are_found(page):
    page.set_content(
        """<html lang="en"><title>t</title><main><h1>h</h1><img src="data:,">
        <p style="color:#999">pale</p><p style="color:#999">pale too</p><p>dark</p></main></html>"""
    )
    assert sorted(rule for rule, _ in accessibility.findings(page)) == ["color-contrast", "image-alt"]


def test_pages_that_differ_in_figures_and_digits_alone_are_judged_once():
    picture = '<img alt="{} ms" src="data:image/png;base64,{}">'
    page = '<style>p {{color: #{}}}</style><p class="a{}">took {} ms</p>' + picture
    shapes = [
        accessibility.shape(page.format(*values))
        for values in (
            ("999", 1, "12.5", 12, "iVBO"),
            ("999", 1, "31.9", 31, "Aa+/9="),
            ("998", 1, "12.5", 12, "iVBO"),
            ("999", 2, "12.5", 12, "iVBO"),
            ("999", 1, "112.5", 12, "iVBO"),
            ("999", 1, "no", 12, "iVBO"),
        )
    ]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 5
