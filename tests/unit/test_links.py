"""Links inside the project lead to a file, and to a heading in it; `tools/check_links.py` asks the others."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from edgelab import glossary

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_links  # noqa: E402 - a tool, not a package

PAGES = check_links.pages()


def anchors_of(page):
    """What a link to a heading may end in: as GitHub makes it from the heading, and as JupyterLab does."""
    if page.suffix not in (".md", ".ipynb"):
        return set()
    headings = re.findall(r"^#+ +(.+?) *$", check_links.text_of(page), re.MULTILINE)
    plain = [re.sub(r"<a id=\"[^\"]*\"></a>", "", heading) for heading in headings]
    return {glossary.anchor(heading) for heading in plain} | {heading.replace(" ", "-") for heading in plain}


def broken_links(page, text):
    broken = []
    for link in check_links.links_in(text):
        if check_links.is_outside(link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / unquote(name)).resolve() if name else page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and unquote(anchor) not in anchors_of(target):
            broken.append(f"{link}: no such heading")
    return broken


def test_every_term_of_the_glossary_is_found_by_jupyterlab_too():
    headings = re.findall(r"^### (<a id=.(.+?).></a>)?(.+)$", glossary.PATH.read_text("utf-8"), re.MULTILINE)
    for _, marked, term in headings:
        anchor = glossary.anchor(term)
        assert anchor == (marked or term.replace(" ", "-")), f'write ### <a id="{anchor}"></a>{term}'
    terms = [term.lower() for *_, term in headings]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    assert not broken_links(page, check_links.text_of(page))


def test_all_kinds_of_pages_are_looked_at():
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "glossary.md"} <= names
    assert set((ROOT / "notebooks").glob("*.ipynb")) <= set(PAGES)
    assert any(
        check_links.is_outside(link)
        for page in PAGES
        for link in check_links.links_in(check_links.text_of(page))
    )


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "# One heading\n[here](page.md#one-heading) [a](#one-heading)\n"
        "<https://example.org/a_(b)> ![x](gone.png)\n"
        '[b](page.md#two) [c](folder/page.md "title") `[not](a-link)`\n```\n[nor](this)\n```\n'
        "[out](https://example.org/page).\n"
    )
    page.write_text(text)
    assert broken_links(page, text) == [
        "gone.png: no such file",
        "page.md#two: no such heading",
        "folder/page.md: no such file",
    ]
    assert [link for link in check_links.links_in(text) if check_links.is_outside(link)] == [
        "https://example.org/a_(b)",
        "https://example.org/page",
    ]
