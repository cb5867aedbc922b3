"""The site in a real browser, from the file system: search, dark mode, narrow screens, accessibility."""

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import accessibility
import nbformat
import pytest
from live_controls import NOTE, controls_in

from edgelab.course import core_path, execution, website

# What the theme's own scripts try and do without when pages are files.
FILES_ONLY = ("from origin 'null'", "net::ERR_FAILED")


@pytest.fixture(scope="module")
def site(build) -> Path:
    assert website.write_site(build) >= 1
    return build / "site"


@pytest.fixture(scope="module")
def names(site):
    chapters = sorted(path.name for path in site.glob("[0-9][0-9]_*.html"))
    return ["index.html", *chapters, "glossary.html", "search.html"]


@pytest.fixture
def show(site, page):
    def opened(name, query=""):
        page.goto((site / name).as_uri() + query)
        page.wait_for_load_state()
        return page

    return opened


def test_no_page_fetches_or_fails(show, names):
    for name in names:
        page = show(name)
        assert not page.requests
        assert not [error for error in page.errors if not any(known in error for known in FILES_ONLY)]


def test_search_finds_a_word_of_the_glossary(show):
    page = show("search.html", "?q=zero+point")
    # Results come one after the other.
    page.locator("#search-results li", has_text=re.compile("zero point", re.IGNORECASE)).first.wait_for()


def test_links_inside_lead_somewhere(show, names, site):
    for name in names:
        for link in show(name).locator("a[href]").evaluate_all("links => links.map(link => link.href)"):
            address = urlparse(link)
            if address.scheme == "file":
                target = Path(unquote(address.path))
                assert target.exists(), f"{name} links to {target.name}"
                if address.fragment and target.suffix == ".html":
                    anchors = target.read_text(encoding="utf-8")
                    assert f'id="{address.fragment}"' in anchors, f"{name}: no {link}"


def test_first_uses_lead_to_the_glossary(show, names):
    page = show(names[1])
    link = page.locator("a[href^='glossary.html#']").first
    link.click()
    page.wait_for_url(re.compile(r"/glossary\.html#"))


def test_every_control_has_a_picture_that_says_where_the_live_one_is(show, names):
    for name in names[1:-2]:
        page = show(name)
        notes = page.locator(f"[{NOTE}]")
        assert notes.count() == controls_in(execution.NOTEBOOKS_DIR / name.replace(".html", ".ipynb")), name
        assert all("make lab" in text for text in notes.all_text_contents()), name
        assert page.locator("[role=slider], .widget-box, .jupyter-widgets").count() == 0, name


def test_narrow_screens_need_no_sideways_scrolling(show, names):
    for name in names:
        page = show(name)
        page.set_viewport_size({"width": 375, "height": 812})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, name


def test_solutions_fold_and_code_can_be_copied(show, names):
    chapter = next(name for name in names if name[0].isdigit() and "solution" in show(name).content())
    page = show(chapter)
    folded = page.locator(
        ".tag_solution details, details:not(.deeper):has(.tag_solution), .tag_hide-cell details"
    ).first
    assert folded.get_attribute("open") is None
    folded.locator("summary").click()
    folded.locator("pre").first.wait_for()
    page.locator("button.copybtn").nth(5).wait_for(state="attached")


def test_what_goes_deeper_folds_and_opens_by_a_link(show, names, build):
    copies = {f"{path.stem}.html": path for path in (build / "notebooks").glob("*.ipynb")}
    for name in (name for name in names if name in copies):
        cells = nbformat.read(copies[name], as_version=4).cells
        page = show(name)
        assert page.locator("details.deeper").count() == len(core_path.deeper_parts(cells)), name
        assert page.locator("details.deeper[open]").count() == 0, name
    name = next(name for name in names if show(name).locator("details.deeper section").count())
    page = show(name)
    inside = page.locator("details.deeper section").last.get_attribute("id")
    assert not page.locator(f"#{inside} > :is(h2, h3, h4)").first.is_visible()
    page = show(name, f"#{inside}")
    page.locator(f"#{inside} > :is(h2, h3, h4)").first.wait_for()


def test_the_keyboard_reaches_content_and_theme(show, names):
    page = show(names[1])
    page.keyboard.press("Tab")
    assert "skip" in page.evaluate("document.activeElement.innerText").lower()
    page.locator("button.theme-switch-button:visible").first.focus()
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.mode") == "dark":
            page.keyboard.press("Enter")
            break
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


# Colours are all that the dark page has of its own.
@pytest.mark.parametrize(
    ("mode", "judge"),
    [("light", accessibility.findings), ("dark", accessibility.contrast_findings)],
    ids=["light", "dark"],
)
def test_axe_finds_nothing(show, stand_still, names, site, mode, judge):
    def found_in(name):
        page = show(name)
        stand_still(page)
        return judge(page)

    findings = []
    show(names[0]).emulate_media(color_scheme=mode)
    looks = [path.read_bytes() for path in sorted((site / "_static").rglob("*.css"))]
    for name in names:
        html = (site / name).read_text(encoding="utf-8")
        found = accessibility.judged(lambda name=name: found_in(name), html, mode, *looks)
        findings += [(name, *one) for one in found]
    assert not findings
