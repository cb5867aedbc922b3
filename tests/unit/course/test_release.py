"""The students' edition: solutions and instructor cells are gone, everything else is as it was."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgelab.course import release
from edgelab.errors import InputError
from edgelab.machine import artifacts

pytestmark = pytest.mark.slow

ROOT = artifacts.PROJECT_ROOT


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    return release.write(tmp_path_factory.mktemp("release") / "student").folder


def notebooks(folder):
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def is_solution(cell):
    return "solution" in cell["metadata"].get("tags", [])


def is_for_instructors(cell):
    metadata = cell["metadata"]
    return metadata["slideshow"]["slide_type"] == "notes" or "instructor" in metadata.get("tags", [])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_solutions_and_instructor_cells_are_gone(edition):
    originals, students = notebooks(ROOT), notebooks(edition)
    for name, student in students.items():
        original = originals[name]
        kept = [cell for cell in original["cells"] if not is_solution(cell) and not is_for_instructors(cell)]
        assert student["cells"] == kept
        assert {**student, "cells": []} == {**original, "cells": []}
        assert len(kept) < len(original["cells"])
    assert len(students) >= 8


def test_no_released_file_holds_a_line_of_a_solution(edition):
    lines, taught = set(), ""
    for notebook in notebooks(ROOT).values():
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if is_solution(cell):
                lines |= {re.sub(r"  #.*", "", line).strip() for line in source.splitlines()[1:]}
            else:
                taught += source
    lines = {line for line in lines if len(line) >= 30 and not line.startswith(("def ", "import ", "from "))}
    lines = {line for line in lines if line not in taught}
    assert len(lines) > 20
    for path in edition.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", errors="replace").replace('\\"', '"')
            found = [line for line in lines if line in text]
            assert not found, f"{path.relative_to(edition)}: {found}"


def test_tests_and_other_peoples_files_stay_behind(edition):
    names = {path.name for path in edition.iterdir()}
    assert {"notebooks", "edgelab", "data", "requirements", "tools", "Makefile", "README.md"} <= names
    assert not names & {"tests", ".ci", ".git", ".github", ".venv", "artifacts", "build"}
    pages = {path.relative_to(edition).as_posix() for path in edition.glob("docs/**/*.md")}
    assert "docs/glossary.md" in pages
    assert not [page for page in pages if page.startswith("docs/instructors")]


def test_the_readme_speaks_to_students_and_its_links_lead_somewhere(edition):
    original, text = ((folder / "README.md").read_text(encoding="utf-8") for folder in (ROOT, edition))
    assert "As an instructor" in original and "As an instructor" not in text and "make grade" not in text
    links = [link.split("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    assert links and not [link for link in links if not (edition / link).exists()]


def test_folded_checks_still_check(edition, tmp_path):
    code = (
        "from edgelab import exercises\n"
        "print(exercises.check('00.1', 32 * 32 * 27 * 16))\n"
        "print(exercises.check('08.6', lambda m, c: 0.5))\n"
        "print(len(exercises.progress().frame))"
    )
    env = {**os.environ, "PYTHONPATH": str(edition), "EDGELAB_ARTIFACTS": str(tmp_path), "PYTHONUTF8": "1"}
    run = subprocess.run([sys.executable, "-c", code], cwd=edition, env=env, capture_output=True, text=True)
    assert "✓ 00.1 Count the work of one layer: Solved" in run.stdout, run.stderr
    assert "✗ 08.6 F1 of a rare class: Not yet right" in run.stdout
    assert int(run.stdout.split()[-1]) >= 29


def test_it_is_the_same_again_and_what_others_keep_beside_it_stays(tmp_path):
    first = release.write(tmp_path / "first").folder
    again = release.write(tmp_path / "again").folder
    subprocess.run(["git", "init", "-q", str(again)], check=True)
    kept = {"SYLLABUS.md": "week 1", "solutions_of_my_own/marks.csv": "ada,1"}
    for name, text in kept.items():
        (again / name).parent.mkdir(exist_ok=True)
        (again / name).write_text(text)
    release.write(again)
    assert (again / ".git" / "HEAD").exists()
    assert {name: (again / name).read_text() for name in kept} == kept
    others = {path for path in contents(again) if path.parts[0] not in (".git", "solutions_of_my_own")}
    assert {path: (again / path).read_bytes() for path in others - {Path("SYLLABUS.md")}} == contents(first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "first"]


def test_it_does_not_replace_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        release.write(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("place", [".", ".."])
def test_it_never_goes_over_the_course_itself(small_course, place):
    before = contents(small_course)
    with pytest.raises(InputError, match="holds the course itself"):
        release.write(small_course / place, small_course)
    assert contents(small_course) == before


def cell(source, *tags, slide_type="-"):
    return {
        "cell_type": "code",
        "execution_count": 3,
        "id": f"c{abs(hash(source))}",
        "metadata": {"slideshow": {"slide_type": slide_type}, "tags": list(tags)},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["the answer is 42\n"]}],
        "source": [source],
    }


@pytest.fixture
def small_course(tmp_path):
    """A course of one notebook, without git, as from a downloaded archive."""
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    cells = [
        cell("answer = ...", "exercise"),
        cell("if exercises.untouched(answer):\n    answer = sum(range(3, 10))", "solution"),
        cell("for the teacher alone", "instructor"),
        cell("print(40 + 2)"),
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (root / "notebooks" / "77_small.ipynb").write_text(json.dumps(notebook))
    (root / "artifacts").mkdir()
    (root / "artifacts" / "made.txt").write_text("x")
    return root


def test_without_git_what_was_made_stays_behind_and_outputs_are_cleared(small_course, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    released = release.write(tmp_path / "student", small_course)
    assert (released.files, released.notebooks, released.cells_removed) == (1, 1, 2)
    (notebook,) = notebooks(released.folder).values()
    assert [cell["source"] for cell in notebook["cells"]] == [["answer = ..."], ["print(40 + 2)"]]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in notebook["cells"])


def test_a_short_line_that_stands_everywhere_is_no_leak(small_course, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    notebook = json.loads((small_course / "notebooks" / "77_small.ipynb").read_text())
    notebook["cells"][1]["source"] = ["for size in sizes:\n    answer = largest_of_them_all(size, sizes)"]
    (small_course / "notebooks" / "77_small.ipynb").write_text(json.dumps(notebook))
    (small_course / "helper.py").write_text("for size in sizes:\n    pass")
    assert release.write(tmp_path / "student", small_course).files == 2


@pytest.mark.parametrize("place", ["notes.md", "edgelab/helper.py"])
def test_a_leaked_line_stops_it_and_the_old_edition_stays(small_course, tmp_path, monkeypatch, place):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    released = release.write(tmp_path / "student", small_course)
    before = contents(released.folder)
    leak = small_course / place
    leak.parent.mkdir(exist_ok=True)
    leak.write_text("# answer = sum(range(3, 10))")
    with pytest.raises(InputError, match=f"{Path(place).name}: answer = sum"):
        release.write(released.folder, small_course)
    assert contents(released.folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "student"]
