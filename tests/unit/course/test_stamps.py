"""A chapter is executed again when, and only when, something has changed that its page could show."""

import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from edgelab import display
from edgelab.course import dependencies, stamps

SETTINGS = {"EDGELAB_PROFILE": "fast", "EDGELAB_DATASET": ""}


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def chapters(tmp_path):
    """Two chapters; the second uses the ready-made training."""
    first = write(tmp_path / "71_first.ipynb", new_markdown_cell("# First"), new_code_cell("x = 1"))
    return first, write(tmp_path / "72_second.ipynb", new_code_cell("from edgelab import training"))


def stamp(chapters, **settings):
    return stamps.path(chapters[1], {**SETTINGS, **settings}, earlier=[chapters[0]])


@pytest.mark.slow
def test_nothing_changed(chapters):
    assert stamp(chapters) == stamp(chapters)


def test_the_code_of_a_chapter_before_counts_and_its_text_does_not(chapters):
    before = stamp(chapters)
    write(chapters[0], new_markdown_cell("# First, in better words"), new_code_cell("x = 1"))
    assert stamp(chapters) == before
    write(chapters[0], new_markdown_cell("# First"), new_code_cell("x = 2"))
    assert stamp(chapters) != before


def test_its_own_text_counts(chapters):
    before = stamp(chapters)
    write(chapters[1], new_markdown_cell("New"), new_code_cell("from edgelab import training"))
    assert stamp(chapters) != before


def test_settings_count(chapters):
    kinds = [{}, {"EDGELAB_PROFILE": "full"}, {"EDGELAB_DATASET": "cifar10"}]
    assert len({stamp(chapters, **kind) for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("change", ["added", "changed", "deleted", "touched"])
def test_the_users_own_pictures_count(chapters, tmp_path, change):
    folder = tmp_path / "pictures"
    (folder / "cats").mkdir(parents=True)
    picture = folder / "cats" / "1.png"
    picture.write_bytes(b"1")
    os.utime(picture, (1, 1))
    before = stamp(chapters, EDGELAB_DATASET=str(folder))
    if change == "added":
        (folder / "cats" / "2.png").write_bytes(b"2")
    elif change == "changed":
        picture.write_bytes(b"12")
        os.utime(picture, (1, 1))
    elif change == "deleted":
        picture.unlink()
    else:
        os.utime(picture, (2, 2))
    assert stamp(chapters, EDGELAB_DATASET=str(folder)) != before


@pytest.mark.parametrize(
    ("code", "changed", "counts"),
    [("1", "72_second", True), ("1", "71_first", False), ("exercises.progress()", "71_first", True)],
)
def test_of_the_list_of_chapters_its_own_entry_counts(chapters, tmp_path, monkeypatch, code, changed, counts):
    listed = {name: {"notebook": f"{name}.ipynb", "title": "as it was"} for name in ("71_first", "72_second")}
    monkeypatch.setattr(display, "COURSE_FILE", tmp_path / "course.json")
    write(chapters[1], new_code_cell(code))

    def key():
        (tmp_path / "course.json").write_text(json.dumps({"chapters": list(listed.values())}))
        return stamp(chapters)

    before = key()
    listed[changed]["title"] = "another"
    assert (key() != before) == counts


def test_real_data_counts_by_what_it_holds_and_folders_may_stand_anywhere(chapters, tmp_path):
    found = []
    for name, content in (("here", b"1"), ("there", b"1"), ("changed", b"12")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").write_bytes(content)
        found.append(
            stamp(chapters, EDGELAB_DATA=str(tmp_path / name), EDGELAB_ARTIFACTS=str(tmp_path / "a" / name))
        )
    assert found[0] == found[1] != found[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's sources, to be changed."""
    copies = {}
    read = stamps._digest

    def digest(files):
        key = [
            copies.get(path.relative_to(dependencies.PACKAGE_DIR).as_posix(), b"")
            for path in files
            if path.is_relative_to(dependencies.PACKAGE_DIR)
        ]
        return read(files) + b"".join(key)

    monkeypatch.setattr(stamps, "_digest", digest)
    return copies


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("training.py", True),
        ("machine/artifacts.py", True),
        ("grading/judge.py", False),
        ("course/website.py", False),
        ("targets/rknn/engine.py", False),
        ("video/sinks.py", False),
    ],
)
def test_only_files_that_the_chapter_can_reach_count(chapters, package, changed, counts):
    before = stamp(chapters)
    package[changed] = b"another content"
    assert (dependencies.PACKAGE_DIR / changed).exists()
    assert (stamp(chapters) != before) == counts


def test_a_page_whose_making_changed_is_not_current_and_the_run_is_kept(tmp_path, chapters, package):
    executed, page = tmp_path / "72_second.ipynb", tmp_path / "page.html"
    page.write_text("the page")
    note = tmp_path / "notes" / "72.json"
    stamps.remember(note, {"page": "page.html", "status": "passed"}, executed, tmp_path)
    assert stamps.remembered(note, executed, tmp_path).page_is_current
    package["course/pages.py"] = b"another layout"
    kept = stamps.remembered(note, executed, tmp_path)
    assert kept.run["status"] == "passed" and not kept.page_is_current
    executed.write_text(json.dumps({"cells": []}))  # somebody opened and changed the copy
    assert stamps.remembered(note, executed, tmp_path) is None


def test_kernels_get_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGELAB_ARTIFACTS", "made")
    monkeypatch.setenv("EDGELAB_DATA", "pictures")
    settings = stamps.settings("fast", "pictures")
    assert settings["EDGELAB_ARTIFACTS"] == str(tmp_path / "made")
    assert settings["EDGELAB_DATA"] == settings["EDGELAB_DATASET"] == str(tmp_path / "pictures")
    assert stamps.settings("fast", "cifar10")["EDGELAB_DATASET"] == "cifar10"
