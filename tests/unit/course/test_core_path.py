"""Which cells lie beside the core path, and in which parts."""

from __future__ import annotations

import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from edgelab.course import core_path, slides


def cells(*texts):
    """Cells with these texts; a leading `+` tags one as going deeper, `>` makes it code."""
    made = []
    for text in texts:
        deeper, text = text.startswith("+"), text.lstrip("+")
        cell = new_code_cell(text[1:]) if text.startswith(">") else new_markdown_cell(text)
        cell.metadata["slideshow"] = {"slide_type": "slide" if text.startswith("#") else "fragment"}
        if deeper:
            cell.metadata["tags"] = ["deeper"]
        made.append(cell)
    return made


CHAPTER = cells("# T", "## A", "+### B", "+>1", "+#### C", "### D", "+## E", "+text", "+### F", "## G")


def test_a_part_ends_before_the_next_heading_of_its_level_or_above():
    assert core_path.deeper_parts(CHAPTER) == [(2, 5), (6, 9)]
    assert core_path.deeper_parts(CHAPTER[:8]) == [(2, 5), (6, 8)]
    assert core_path.deeper_parts([]) == []


def test_a_comment_in_code_is_no_heading():
    assert core_path.heading(cells("># text")[0]) is None
    assert core_path.heading(cells("### A *b*\n\ntext")[0]) == (3, "A *b*")


def test_slides_follow_the_core_path_unless_asked_for_more(tmp_path):
    source = tmp_path / "00_chapter.ipynb"
    nbformat.write(new_notebook(cells=CHAPTER), source)
    found = {}
    for deeper in (False, True):
        slides.write_slides(source, tmp_path / "slides" / "index.html", "T", deeper=deeper)
        text = (tmp_path / "slides" / "index.html").read_text(encoding="utf-8")
        found[deeper] = re.findall(r"<h\d id=\"(\w)\"", text)
    assert found == {False: ["T", "A", "D", "G"], True: list("TABCDEFG")}
