"""A chapter of the students' edition runs to its end with nothing solved."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from edgelab.course import release

pytestmark = pytest.mark.notebook
# Short ones: an exercise that asks for a value, and functions with which later cells go on.
CHAPTERS = os.environ.get("EDGELAB_STUDENT_CHAPTERS", "00_start_here,02_environment_check").split(",")


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    return release.write(tmp_path_factory.mktemp("release") / "student").folder


def shown(cell):
    return "".join(
        "".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell.outputs
    )


def execute(edition, chapter, folder, strict):
    """Run a chapter; how it ended, and where its executed copy lies."""
    env = {
        **os.environ,
        "PYTHONPATH": str(edition),
        "EDGELAB_ARTIFACTS": os.environ.get("EDGELAB_TEST_ARTIFACTS") or str(folder / "artifacts"),
        "EDGELAB_STRICT": strict,
    }
    notebook, executed = edition / "notebooks" / f"{chapter}.ipynb", folder / "executed.ipynb"
    command = [sys.executable, "-m", "edgelab.course.execute", str(notebook), str(executed), "600"]
    return subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8"), executed


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_check_says_not_done_yet(edition, chapter, tmp_path):
    run, executed = execute(edition, chapter, tmp_path, strict="0")
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    cells = nbformat.read(executed, as_version=4).cells
    checks = [cell for cell in cells if "check" in cell.metadata.get("tags", [])]
    assert checks
    for cell in checks:
        assert re.match(rf"○ {chapter[:2]}\.\d .*: Not done yet$", shown(cell).strip()), shown(cell)


def test_strict_mode_ends_at_the_first_exercise_that_is_not_solved(edition, tmp_path):
    run, _ = execute(edition, CHAPTERS[0], tmp_path, strict="1")
    assert run.returncode == 1
    failed = json.loads(run.stdout.splitlines()[-1])["failed"]
    assert "exercises.check(" in failed["source"]
    assert f"NotSolvedError: Exercise {CHAPTERS[0][:2]}.1 is not solved." in failed["error"]
