"""Any file that students hand in is read, or refused with words; so is any line of a class's results."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelab import report
from edgelab.course import class_board
from edgelab.errors import EdgelabError
from edgelab.grading import collecting, submissions
from edgelab.machine import artifacts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
LINES = st.sampled_from(
    (
        "x = 1", "%matplotlib inline", "!ls", "?print", "print?", "%%bash", "def f(a): ...", "    indented",
        "if x:", "for i in range(3):", "f = lambda a: a", "import os", "from x import *", "await f()",
        "return", "'''", "\x00", "\tx", "é = 1", "@wrapper", "class A:", "    pass", "x += 1",
        "del x", "f(a", ")", "#",
    )
)  # fmt: skip
LETTERS = st.characters(exclude_characters="/\\\x00", exclude_categories=("Cs",))
NAMES = st.text(LETTERS, min_size=1, max_size=12)
RECORDS = st.fixed_dictionaries(
    {"metric": st.text(max_size=9), "value": JSON, "unit": JSON, "target": JSON, "provenance": JSON}
)
PARTS = ("edgetpu", "=", "100%", "<", "latency_ms", "[", "rk3588", "]", ",", "1e6", "macs", "nan", " ")
NOTEBOOKS = sorted((artifacts.PROJECT_ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def known():
    return submissions.chapters()


@st.composite
def cells(draw):
    """Cells of a chapter, moved, merged, copied, stripped of tags, rewritten; and cells of anything else."""
    given_cells = submissions.read(NOTEBOOKS[draw(st.integers(0, len(NOTEBOOKS) - 1))])
    found = []
    for number in draw(st.lists(st.integers(0, len(given_cells) - 1), max_size=12)):
        cell = given_cells[number]
        source = cell["source"]
        if draw(st.booleans()):
            source += "\n" + "\n".join(draw(st.lists(LINES, max_size=4)))
        metadata = {"tags": cell["tags"]} if draw(st.booleans()) else draw(JSON)
        found.append({"cell_type": "code", "id": cell["id"], "metadata": metadata, "source": source})
    others = draw(st.lists(JSON | st.fixed_dictionaries({"cell_type": JSON, "source": JSON}), max_size=3))
    return found + others


@given(data=st.data())
def test_notebooks(data, known):
    content = {"cells": data.draw(cells()), "metadata": data.draw(JSON), "nbformat": 4}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "handed in.ipynb"
        path.write_text(json.dumps(content), encoding="utf-8")
        try:
            read = submissions.read(path)
            chapter = submissions.chapter_of(read, path.name, known)
        except EdgelabError as error:
            assert error.what and error.fix
            return
        for task in chapter.tasks:
            for cell in submissions.answer_cells(task, read, chapter):
                assert isinstance(submissions.as_python(cell["source"]), str)
                submissions.is_untouched(task, cell["source"])


@given(st.lists(LINES | st.text(max_size=30), max_size=8))
def test_cells_become_python_or_stay_as_they_are(lines):
    assert isinstance(submissions.as_python("\n".join(lines)), str)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=40) | JSON), max_size=6), st.booleans(), st.integers(0, 2)
)
def test_folders_and_zips_of_submissions(files, is_zip, damage):
    with tempfile.TemporaryDirectory() as temporary:
        folder, unpacked = Path(temporary) / "in", Path(temporary) / "out"
        folder.mkdir(), unpacked.mkdir()
        contents = {name: one if isinstance(one, bytes) else json.dumps(one).encode() for name, one in files}
        if is_zip:
            path = folder / "student.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(f"x/{name}.ipynb", content)
            if damage:
                path.write_bytes(path.read_bytes()[:-9] if damage == 1 else b"PK" + path.read_bytes()[2:-30])
        else:
            for number, (name, content) in enumerate(contents.items()):
                try:
                    (folder / f"{number}{name}"[:60]).write_bytes(content)
                except OSError:
                    continue
        try:
            found = collecting.find_submissions(folder, unpacked)
        except EdgelabError as error:
            assert error.what and error.fix
            return
        assert all(one.student for one in found)


@given(st.lists(JSON | st.binary(max_size=30) | RECORDS, max_size=6))
def test_results_of_a_class(lines):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "ada"
        folder.mkdir()
        content = b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
        (folder / "results.jsonl").write_bytes(content)
        try:
            frame, _ = class_board.read(Path(temporary))
        except EdgelabError as error:
            assert error.what and error.fix
            return
        class_board.summary(frame)


@given(st.text(max_size=60) | st.lists(st.sampled_from(PARTS)).map("".join))
def test_requirements(text):
    try:
        for one in report.parse(text):
            assert one.value == one.value
    except EdgelabError as error:
        assert error.what and error.fix
