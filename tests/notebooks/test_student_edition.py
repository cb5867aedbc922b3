"""A chapter of the students' edition runs to its end with nothing solved."""

import os
import re
import subprocess
import sys

import nbformat
import pytest

from edgelab import release

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


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_check_says_not_done_yet(edition, chapter, tmp_path):
    env = {
        **os.environ,
        "PYTHONPATH": str(edition),
        "EDGELAB_ARTIFACTS": os.environ.get("EDGELAB_TEST_ARTIFACTS") or str(tmp_path / "artifacts"),
        "EDGELAB_STRICT": "0",
    }
    executed = tmp_path / "executed.ipynb"
    notebook = edition / "notebooks" / f"{chapter}.ipynb"
    run = subprocess.run(
        [sys.executable, "-m", "edgelab.execute", str(notebook), str(executed), "600"],
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    cells = nbformat.read(executed, as_version=4).cells
    checks = [cell for cell in cells if "check" in cell.metadata.get("tags", [])]
    assert checks
    for cell in checks:
        assert re.match(rf"○ {chapter[:2]}\.\d .*: Not done yet$", shown(cell).strip()), shown(cell)
