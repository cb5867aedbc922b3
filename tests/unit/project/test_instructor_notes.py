"""The notes for instructors follow the chapters: each has one, and its time plan names real sections."""

import json
import re
import sys

import nbformat
import pytest

from edgelab import display
from edgelab.course import core_path
from edgelab.machine import artifacts

ROOT = artifacts.PROJECT_ROOT
sys.path.insert(0, str(ROOT / "tools"))
import expected_numbers  # noqa: E402 - a tool, not a package

NOTES = ROOT / "docs" / "instructors"
CHAPTERS = [chapter["notebook"].removesuffix(".ipynb") for chapter in display.chapters()]
ROW = re.compile(r"^\| (.+?) \| (\d+|–) \| (\d+|–) \|$", re.MULTILINE)


def text(chapter):
    return (NOTES / f"{chapter}.md").read_text(encoding="utf-8")


def markdown(chapter):
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")


def sections(chapter):
    return re.findall(r"^## (.+)$", markdown(chapter), re.MULTILINE)


def test_every_chapter_has_notes_and_the_index_links_them():
    index = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
    assert sorted(path.stem for path in NOTES.glob("*.md")) == sorted(CHAPTERS)
    assert re.findall(r"\(instructors/(.+?)\.md\)", index) == CHAPTERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_time_plan_fills_the_lesson_with_the_chapters_own_sections_in_order(chapter):
    rows = ROW.findall(text(chapter))
    names = [name for name, _, _ in rows[1:]]
    assert rows[0][0] == "Title and objectives"
    taught = [name for name in sections(chapter) if name not in ("What next", "Further reading")]
    assert names == taught
    for column, lesson in ((1, 45), (2, 90)):
        assert sum(int(row[column]) for row in rows if row[column] != "–") == lesson


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_short_lesson_follows_the_core_path(chapter):
    cells = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4).cells
    deeper = {
        cell.source.splitlines()[0].removeprefix("## ")
        for cell in cells
        if cell.cell_type == "markdown" and cell.source.startswith("## ") and core_path.is_deeper(cell)
    }
    assert {name for name, short, _ in ROW.findall(text(chapter)) if name in deeper and short != "–"} == set()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_notes_hold_questions_with_answers_and_no_run_times(chapter):
    notes = text(chapter)
    questions = notes.split("## Questions for the class")[1].split("\n## ")[0]
    assert 4 <= len(re.findall(r"^\d\. \*\*.+", questions, re.MULTILINE)) <= 6
    assert len(re.findall(r"\n\n   \S", questions)) >= 4
    assert "## What usually goes wrong" in notes and "## Short of time? Skip" in notes
    assert not re.search(r"\d (s|seconds|min|minutes) to run", notes)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_exercises_and_sections_that_the_notes_name_exist(chapter):
    notes, taught = text(chapter), markdown(chapter)
    number = str(int(chapter[:2]))
    named = re.findall(rf"\b[Ee]xercises? ({number}\.\d)", notes)
    given = re.findall(r"^### Exercise (\d+\.\d)", taught, re.MULTILINE)
    assert set(named) <= set(given), set(named) - set(given)
    headings = {re.sub(r"[`*]", "", name) for name in re.findall(r"^#{2,3} (.+)$", taught, re.MULTILINE)}
    skipped = re.findall(r"“([A-Z][^”]+)”", notes.split("## Short of time? Skip")[1])
    assert skipped and set(skipped) <= headings, set(skipped) - headings


@pytest.mark.parametrize("chapter", expected_numbers.SHOWN)
def test_numbers_to_expect_are_those_of_the_recorded_machines(chapter):
    assert expected_numbers.section(chapter, expected_numbers.load()) in text(chapter), (
        "run `python tools/expected_numbers.py`"
    )


def test_recorded_results_are_whole_and_name_their_runtime():
    frame = expected_numbers.load()
    measured = frame[(frame["provenance"] == "measured") & (frame["metric"] == "latency")]
    assert len(measured) >= 5 and (measured["runtime_version"] != "").all() and (measured["n"] > 1).all()
