"""The student edition: the course as a folder to hand out, without solutions and notes for instructors.

Solution cells (tag `solution`) and instructor cells (slide type `notes`, or tag `instructor`) are taken out
of the notebooks; all other cells stay as they are. Tests stay behind, since they hold right answers. The
checks come along, but folded up: they must know what is right, so a determined student can unfold them, but
nobody reads an answer by accident.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.errors import InputError
from edgelab.machine import artifacts, owned_folders
from edgelab.texts import tr

STUDENT_DIR = artifacts.PROJECT_ROOT / "build" / "student"
LEFT_OUT = (
    *("tests", ".ci", ".github", "docs/instructors.md", "docs/instructors"),
    *("data/expected", "tools/expected_numbers.py"),  # what students are asked to guess
)
MADE = {"artifacts", "build", "__pycache__"}  # what a folder without git may hold besides the course
# Characters: of a line that says something, of a solution that is its own, of a line that tells it alone.
SHORTEST_LINE, SHORTEST_SOLUTION, TELLING_LINE = 12, 20, 30
MADE_BY = "students' edition"
CHECKS = "edgelab/exercises/chapter_*.py"
NOT_FOR_STUDENTS = re.compile(r"<!-- instructors -->\n.*?<!-- everybody -->\n", re.DOTALL)  # in the README
FOLDED = '''"""The checks of chapter {number}, folded up so that nobody reads an answer by accident."""

import base64

FOLDED = """
{text}"""
exec(compile(base64.b64decode(FOLDED), __file__, "exec"))
'''


@dataclass(frozen=True)
class Released:
    """A student edition.

    Attributes:
        folder: where it lies.
        files: how many files it has.
        notebooks: how many of them are chapters.
        cells_removed: solution and instructor cells taken out of these.
    """

    folder: Path
    files: int
    notebooks: int
    cells_removed: int

    def __str__(self) -> str:
        return (
            f"{self.folder}: {self.files} files, {self.notebooks} notebooks, without {self.cells_removed} "
            "solution and instructor cells"
        )


def tags(cell: dict[str, Any]) -> list[str]:
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])


def _is_for_students(cell: dict[str, Any]) -> bool:
    slide_type = cell["metadata"].get("slideshow", {}).get("slide_type")
    return slide_type != "notes" and not {"solution", "instructor"} & set(tags(cell))


def _without_outputs(cell: dict[str, Any]) -> dict[str, Any]:
    """An executed copy shows what solutions print; only outputs kept on purpose are handed out."""
    if cell["cell_type"] != "code" or "keep_output" in tags(cell):
        return cell
    return {**cell, "outputs": [], "execution_count": None}


def student_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook as students get it: the same cells in the same order, less those not meant for them."""
    cells = [_without_outputs(cell) for cell in notebook["cells"] if _is_for_students(cell)]
    return {**notebook, "cells": cells}


def _course_files(root: Path) -> list[Path]:
    """Files of the course, relative to `root`: what git tracks; without git, all but what was made."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached"], cwd=root, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        files = [Path(name) for name in listed if name and (root / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        files = [
            file
            for file in files
            if not MADE & set(file.parts) and not any(part.startswith(".") for part in file.parts[:-1])
        ]
    return sorted(file for file in files if not _is_left_out(file))


def _is_left_out(file: Path) -> bool:
    name = file.as_posix()
    return any(name == left_out or name.startswith(f"{left_out}/") for left_out in LEFT_OUT)


def _lines(source: str) -> set[str]:
    """What a solution says, less indents and comments, and what every solution has."""
    lines = (re.sub(r"\s+#.*", "", line).strip() for line in source.splitlines())
    common = ("#", "def ", "import ", "from ", "if exercises.untouched(")
    return {line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith(common)}


def solution_lines(notebooks: list[dict[str, Any]]) -> list[set[str]]:
    """For each solution cell the lines that stand in no cell that students get."""
    cells = [cell for notebook in notebooks for cell in notebook["cells"]]
    shown = "\n".join("".join(cell["source"]) for cell in cells if _is_for_students(cell))
    hidden = [_lines("".join(cell["source"])) for cell in cells if "solution" in tags(cell)]
    return [{line for line in lines if line not in shown} for lines in hidden]


def folded(checks: Path) -> str:
    """A module of checks with its text in base64; importing it gives the same checks.

    Args:
        checks: a file `chapter_NN.py`, or a part of it, `chapter_NN_part.py`.
    """
    text = base64.encodebytes(checks.read_bytes()).decode()
    return FOLDED.format(number=int(checks.stem.split("_")[1]), text=text)


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path.suffix == ".ipynb":
            # In the file itself quotes and newlines are escaped.
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        yield path, text


def leaks(folder: Path, solutions: list[set[str]]) -> list[str]:
    """Where solutions stand in a folder, as "file: line": a long line of one, or all its lines."""
    found = []
    for path, text in _texts(folder):
        name = path.relative_to(folder).as_posix()
        for lines in solutions:
            here = {line for line in lines if line in text}
            whole = here == lines and sum(map(len, lines)) >= SHORTEST_SOLUTION
            telling = here if whole else {line for line in here if len(line) >= TELLING_LINE}
            found += [f"{name}: {line}" for line in sorted(telling)]
    return found


def write(folder: Path = STUDENT_DIR, root: Path = artifacts.PROJECT_ROOT) -> Released:
    """Write the student edition; an older one is brought up to date, and what others keep beside it stays.

    Args:
        folder: where it goes: a new or empty folder, or an edition written before.
        root: the course.

    Raises:
        InputError: a line of a solution stands in a file that would be handed out; or `folder` holds
            something else than a student edition, or files of it that were changed since.
        StorageError: the disk is full or the folder cannot be written.
    """
    folder = folder.absolute()
    if root.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            tr("{folder} holds the course itself.", folder=folder),
            fix=tr("name a new folder after --out"),
        )
    with owned_folders.renewed(folder, MADE_BY) as fresh:
        try:
            released = _fill(fresh, root)
        except OSError as error:
            if error.errno not in artifacts.WRITE_ERRORS:
                raise
            raise artifacts.storage_error(error, folder) from error
    return Released(folder, *released)


def _fill(folder: Path, root: Path) -> tuple[int, int, int]:
    """Write the edition into an empty folder; counts of files, of notebooks and of cells taken out."""
    files, originals, removed = _course_files(root), [], 0
    for file in files:
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".ipynb":
            original = json.loads((root / file).read_text(encoding="utf-8"))
            student = student_notebook(original)
            originals.append(original)
            removed += len(original["cells"]) - len(student["cells"])
            text = json.dumps(student, indent=1, ensure_ascii=False) + "\n"
            target.write_text(text, encoding="utf-8", newline="\n")
        elif file.match(CHECKS):
            target.write_text(folded(root / file), encoding="utf-8", newline="\n")
        elif file.name == "README.md":
            text = NOT_FOR_STUDENTS.sub("", (root / file).read_text(encoding="utf-8"))
            target.write_text(text, encoding="utf-8", newline="\n")
        else:
            shutil.copyfile(root / file, target)
            shutil.copymode(root / file, target)
    if found := leaks(folder, solution_lines(originals)):
        raise InputError(
            tr("Lines of solutions stand in files that would be handed out."),
            why="; ".join(found[:5])
            + (tr("; and {count} more", count=len(found) - 5) if len(found) > 5 else ""),
            fix=tr("write that line differently outside the solution cell"),
        )
    return len(files), len(originals), removed
