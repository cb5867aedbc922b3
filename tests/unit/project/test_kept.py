"""What one test run keeps for the next follows from content alone."""

import contextlib
import json
import os
import time

import kept
import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_TEST_KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(kept, "chapter_key", lambda path: f"{path.name}-{path.read_text()}")
    return tmp_path / "kept"


@pytest.fixture
def chapters(tmp_path):
    paths = [tmp_path / f"{number}.ipynb" for number in range(3)]
    for path in paths:
        path.write_text("as it was")
    return paths


def write(folder, name, text="made"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_a_chapter_is_tried_again_only_when_its_content_has_changed(folder, chapters, tmp_path):
    assert kept.begin(tmp_path / "a", chapters) == chapters
    kept.end(tmp_path / "a", chapters[:2])
    chapters[0].write_text("changed")
    assert kept.begin(tmp_path / "b", chapters) == [chapters[0], chapters[2]]


def test_models_are_lent_and_measurements_only_where_a_chapter_need_not_run(folder, chapters, tmp_path):
    write(tmp_path / "a", "models/net.keras")
    write(tmp_path / "a", "results/results.jsonl")
    write(tmp_path / "a", "progress.json")
    write(tmp_path / "a", "unfinished/half.keras")
    kept.end(tmp_path / "a", chapters)
    write(tmp_path / "b", "models/net.keras", "its own")
    kept.begin(tmp_path / "b", chapters)
    names = {path.name for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert names == {"net.keras", "results.jsonl", "progress.json"}
    assert (tmp_path / "b" / "models" / "net.keras").read_text() == "its own"
    for chapter in chapters:
        chapter.write_text("changed")
    kept.begin(tmp_path / "c", chapters)
    assert {path.name for path in (tmp_path / "c").rglob("*") if path.is_file()} == {"net.keras"}


def test_newer_measurements_replace_older_ones_and_what_is_old_is_forgotten(folder, chapters, tmp_path):
    write(tmp_path / "a", "results/results.jsonl", "old")
    write(tmp_path / "a", "models/old.keras")
    os.utime(tmp_path / "a" / "models" / "old.keras", (time.time() - kept.LONGEST_KEPT_S - 60,) * 2)
    write(tmp_path / "a", "executed/00.json", "an older page")
    write(tmp_path / "b", "executed/00.json", "a new page")
    write(tmp_path / "b", "results/results.jsonl", "new")
    kept.end(tmp_path / "a", chapters)
    kept.end(tmp_path / "b", [])
    assert (folder / "artifacts" / "results" / "results.jsonl").read_text() == "new"
    assert (folder / "artifacts" / "executed" / "00.json").read_text() == "a new page"
    assert not (folder / "artifacts" / "models" / "old.keras").exists()


def test_a_chapter_has_passed_when_every_cell_of_it_has(tmp_path):
    names = ("00_whole", "01_failed", "02_broken_off", "03_never_begun")
    chapters = [tmp_path / f"{name}.ipynb" for name in names]
    cells = [{"cell_type": "code"}, {"cell_type": "markdown"}, {"cell_type": "code"}]
    for path in chapters:
        path.write_text(json.dumps({"cells": cells}))
    case = '<testcase classname="notebooks.{}.ipynb" name="Cell {}">{}</testcase>'
    cases = [case.format("00_whole", number, "") for number in (0, 1)]
    cases += [case.format("01_failed", number, "<failure/>" * number) for number in (0, 1)]
    cases += [case.format("02_broken_off", 0, "")]
    report = tmp_path / "report.xml"
    assert kept.passed(report, chapters) == []
    report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    assert kept.passed(report, chapters) == chapters[:1]


def test_only_an_empty_finding_is_remembered(folder):
    asked = []

    def judge(found):
        asked.append(found)
        return found

    for found in (["pale"], ["pale"], [], ["pale"]):
        kept.nothing_found(lambda found=found: judge(found), "page", b"rules")
    assert asked == [["pale"], ["pale"], []]
    assert kept.nothing_found(lambda: ["pale"], "page", b"other rules") == ["pale"]


def test_a_test_that_fails_or_is_skipped_is_tried_again(folder):
    tried = []

    def test(outcome):
        tried.append(outcome)
        if outcome:
            raise outcome

    for outcome in (AssertionError(), pytest.skip.Exception("no board"), None, AssertionError()):
        with contextlib.suppress(AssertionError, pytest.skip.Exception):
            kept.passes(lambda outcome=outcome: test(outcome), "chapter", b"cases")
    assert [type(outcome).__name__ for outcome in tried] == ["AssertionError", "Skipped", "NoneType"]
    with pytest.raises(AssertionError):
        kept.passes(lambda: test(AssertionError()), "chapter", b"other cases")


def test_without_a_folder_nothing_is_kept(folder, chapters, tmp_path, monkeypatch):
    monkeypatch.delenv("EDGELAB_TEST_KEPT")
    write(tmp_path / "a", "models/net.keras")
    kept.end(tmp_path / "a", chapters)
    assert kept.begin(tmp_path / "b", chapters) == chapters
    assert not (tmp_path / "b").exists() and not folder.exists()
    assert kept.nothing_found(lambda: ["pale"], "page") == ["pale"]
