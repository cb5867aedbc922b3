"""What a chapter asks of students, as a table in Markdown: `python tests/lesson_table.py [SUMMARY]`.

Minutes of the core path are those of reading aloud, of three minutes an exercise, and of running all cells:
as `data/minutes.json` has them, or the `summary.json` of a run that is given. The share of changed solutions
that the checks notice follows from the survivors in `exercise_cases`; `tests/unit/exercises` holds that these
are all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, too
from exercise_cases import GIVEN, NOTEBOOKS, SURVIVORS
from mutation import mutants

from edgelab import display
from edgelab.course import core_path

HEADER = ("chapter", "lines students write", "of these core", "core cells", "core minutes: read and solve",
          "run (min)", "together", "changes", "unnoticed", "score")  # fmt: skip


def counts_as_core(cell: nbformat.NotebookNode) -> bool:
    """Neither beside the path, nor left out of the students' edition, nor what every chapter begins with."""
    tags = cell.metadata.get("tags", [])
    hidden = cell.metadata.get("slideshow", {}).get("slide_type") == "notes"
    hidden = hidden or bool({"solution", "parameters"} & set(tags))
    return not (core_path.is_deeper(cell) or hidden or "display.header(" in cell.source)


def lines_written(solution: str) -> int:
    """Lines of code in a solution cell, without the condition around it."""
    lines = [line.strip() for line in solution.splitlines()[1:]]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def run_minutes(summary: Path | None) -> dict[str, float]:
    """How long each notebook's cells run, by its file name; one that was never timed is left out."""
    if summary:
        chapters = json.loads(summary.read_text(encoding="utf-8"))["chapters"]
        return {one["notebook"]: one["duration_s"] / 60 for one in chapters if one["status"] != "failed"}
    seconds = json.loads(display.MINUTES_FILE.read_text(encoding="utf-8"))["seconds"]
    return {name: value / 60 for name, value in seconds.items()}


def row(path: Path, minutes: dict[str, float]) -> tuple:
    """The values under `HEADER` of one chapter."""
    cells = nbformat.read(path, as_version=4).cells
    solutions = [cell for cell in cells if "solution" in cell.metadata.get("tags", [])]
    core = [cell for cell in solutions if not core_path.is_deeper(cell)]
    written, of_core = (sum(lines_written(cell.source) for cell in some) for some in (solutions, core))
    reading, _ = display.working_minutes(path.name)
    run = minutes.get(path.name)
    keys = [key for key in GIVEN if key.startswith(path.stem[:2])]
    changes = sum(1 for key in keys for _ in mutants(GIVEN[key]))
    unnoticed = sum(key in keys for key, *_ in SURVIVORS)
    timed = ("not timed", "") if run is None else (f"{run:.1f}", f"{reading + run:.0f}")
    count = sum(counts_as_core(cell) for cell in cells)
    score = f"{1 - unnoticed / changes:.1%}" if changes else ""
    return (path.stem, written, of_core, count, reading, *timed, changes, unnoticed, score)


def table(summary: Path | None = None) -> str:
    """All chapters, and their sums."""
    minutes = run_minutes(summary)
    rows = [row(path, minutes) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    sums = {place: sum(one[place] for one in rows) for place in (1, 2, 3, 4, 7, 8)}
    score = f"{1 - sums[8] / sums[7]:.1%}"
    last = ["all", *(sums.get(place, "") for place in range(1, len(HEADER) - 1)), score]
    lines = [HEADER, ["---"] * len(HEADER), *rows, last]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


if __name__ == "__main__":
    print(table(*(Path(name) for name in sys.argv[1:2])))
