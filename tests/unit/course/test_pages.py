"""The pages of a run: ways to other chapters and to the sections, notes folded."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from edgelab import display
from edgelab.course import pages


@pytest.fixture
def page(tmp_path):
    def write(name):
        texts = ["# Title", "## First *part*", "**For instructors.** Ask first.", "## Second"]
        cells = [
            new_markdown_cell(text) for text in [*texts, "### <b>Aside", "deep", "#### Within", "### On"]
        ]
        for cell in cells[4:7]:
            cell.metadata["tags"] = ["deeper"]
        source = tmp_path / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells), source)
        pages.write_page(source, tmp_path / f"{name}.html", "A title")
        return (tmp_path / f"{name}.html").read_text(encoding="utf-8")

    return write


def links(navigation):
    return dict(re.findall(r'<a href="([^"]+)">([^<]+)</a>', navigation))


def test_a_chapter_leads_to_those_beside_it_and_to_its_sections(page):
    chapters = display.chapters()
    names = [one["notebook"].removesuffix(".ipynb") for one in chapters]
    content = page(names[1])
    top, bottom = re.findall(r"<nav.*?</nav>", content, re.DOTALL)
    found = links(top)
    assert found["../index.html"] == "All chapters"
    assert found[f"{names[0]}.html"].startswith("Previous: ") and found[f"{names[2]}.html"].startswith(
        "Next: "
    )
    anchors = {target: text for target, text in found.items() if target.startswith("#")}
    assert list(anchors.values()) == ["First part", "Second"]
    assert all(f'id="{target[1:]}"' in content for target in anchors)
    assert set(links(bottom)) == set(found) - set(anchors)


def test_the_first_and_the_last_chapter_lead_one_way(page):
    names = [one["notebook"].removesuffix(".ipynb") for one in display.chapters()]
    assert "Previous: " not in page(names[0])
    assert "Next: " not in page(names[-1])


def test_notes_for_instructors_are_folded(page):
    content = page("00_start_here")
    folded = re.search(r"<details[^>]*><summary>For instructors</summary>(.*?)</details>", content, re.DOTALL)
    assert "Ask first." in folded[1] and "First" not in folded[1]


def test_what_goes_deeper_is_folded_and_ends_where_the_core_path_goes_on(page):
    content = page("00_start_here")
    folded = re.search(
        r"<details[^>]*><summary>Going deeper:\s(.*?)</summary>(.*?)</details>", content, re.DOTALL
    )
    assert folded[1] == "&lt;b&gt;Aside"
    assert "deep" in folded[2] and "Within" in folded[2] and "On<" not in folded[2]
    assert content.count("Going deeper") == 1


def test_documents_that_no_page_holds_are_named_and_not_linked():
    text = "See [docs/boards.md](../docs/boards.md#set-up) and [step](../docs/glossary.md#step)."
    notebook = new_notebook(cells=[new_markdown_cell(text)])
    [cell] = pages.without_document_links(notebook).cells
    assert cell.source == "See `docs/boards.md` and [step](../docs/glossary.md#step)."
