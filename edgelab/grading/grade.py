"""A folder of submitted notebooks becomes one table, as CSV and HTML."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.errors import InputError, TargetError
from edgelab.grading import page, submissions
from edgelab.grading.answers import Limits
from edgelab.grading.cluster import Cluster
from edgelab.grading.collecting import Submission, find_submissions
from edgelab.grading.judges import Judges, LocalJudges, course_key, missing_protection
from edgelab.machine import artifacts, owned_folders
from edgelab.texts import tr

MADE_BY = "grades"

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["student", "notebook", "exercise", "title", "state", "score", "error", "seconds"]
TIME_TO_START_S = 120
MOST_EXERCISES = 20


@dataclass(frozen=True)
class Grades:
    """What grading gave.

    Attributes:
        frame: one row per submitted notebook and exercise, see `COLUMNS`.
        csv, page: where it was written.
        graded: notebooks graded now; the others were graded before and have not changed since.
    """

    frame: pd.DataFrame
    csv: Path
    page: Path
    graded: int

    def __str__(self) -> str:
        notebooks, students = self.frame["notebook"].nunique(), self.frame["student"].nunique()
        asked = int((self.frame["exercise"] != "").sum())
        refused = f", {len(self.frame) - asked} could not be read" if asked < len(self.frame) else ""
        return (
            f"{notebooks} submissions of {students} students, {self.graded} graded now: "
            f"{self.frame['score'].sum()} of {asked} exercises solved{refused}.\n{self.csv}\n{self.page}"
        )


def grade(
    folder: Path,
    out: Path,
    *,
    jobs: int = 0,
    limits: Limits | None = None,
    trusted: bool = False,
    scheduler: str = "",
    on_submission: Callable[[Submission, int], None] = lambda submission, total: None,
) -> Grades:
    """Grade every submitted notebook in a folder.

    What was graded before and has not changed since is taken from `out`, so that a second call goes on where
    the first was stopped.

    Args:
        folder: notebooks, or a folder of notebooks per student; or a `.zip` of these.
        out: where the table, the page and the verdicts go.
        jobs: how many submissions at once; as many as there are processors by default, or as keep the
            workers of the scheduler busy.
        limits: what the answer of one exercise may use.
        trusted: run the students' code without protection, where this machine has none.
        scheduler: address of a Dask scheduler whose workers grade; "" for this machine.
        on_submission: called with a submission that is done, and how many there are.

    Raises:
        InputError: nothing to grade, or this machine cannot protect itself and `trusted` is not set.
        InputError: the scheduler or its workers cannot grade, or are gone.
        InputError: `out` holds what is not this command's own, or tables that somebody has changed.
        StorageError: the disk is full or `out` cannot be written.
    """
    limits = limits or Limits()
    if not trusted and not scheduler and (reason := missing_protection()):
        raise InputError(
            tr("This machine cannot lock a student's code in, so nothing was run."),
            why=reason,
            fix=tr(
                "grade on Linux (a virtual machine or WSL 2 will do), or, where you have read all "
                "submissions, add --trust-submissions"
            ),
        )
    with tempfile.TemporaryDirectory(prefix="edgelab-") as unpacked:
        found = find_submissions(folder, Path(unpacked))
        owned_folders.claim(out, MADE_BY)
        settings = {"limits": asdict(limits), "locked": not trusted}
        judges = Cluster(scheduler) if scheduler else LocalJudges(jobs or os.cpu_count() or 1)
        records, graded = _graded(found, out, settings, judges, jobs or judges.jobs, on_submission)
    rows = [row for submission in found for row in _rows(submission, records[submission.name])]
    return _write(rows, out, graded)


def _graded(
    found: list[Submission],
    out: Path,
    settings: dict[str, Any],
    judges: Judges,
    jobs: int,
    on_submission: Callable[[Submission, int], None],
) -> tuple[dict[str, dict[str, Any]], int]:
    """The record of each submission by its name, and how many are new."""
    records: dict[str, dict[str, Any]] = {}
    graded = 0
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {
            pool.submit(_record, submission, out, settings, judges): submission for submission in found
        }
        for finished in as_completed(running):
            record, is_new = finished.result()
            records[running[finished].name] = record
            graded += is_new
            on_submission(running[finished], len(found))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        judges.close()  # what they are at, when grading is interrupted, is not waited for
        pool.shutdown()
    return records, graded


def _record(
    submission: Submission, out: Path, settings: dict[str, Any], judges: Judges
) -> tuple[dict[str, Any], bool]:
    """The verdicts on one submission, and whether they are new."""
    if submission.path is None:
        return {"refused": submission.refused}, False
    try:
        cells = submissions.read(submission.path)
        chapter = submissions.chapter_of(cells, submission.path.name, submissions.chapters())
    except submissions.SubmissionError as error:
        return {"refused": f"{error.what} {error.why}".strip()}, False
    course = course_key(chapter)
    key = artifacts.content_key(cells=cells, chapter=chapter.name, course=course, settings=settings)
    kept = out / "verdicts" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError):  # not there yet, or damaged
        return json.loads(kept.read_text(encoding="utf-8")), False
    time_limit_s = TIME_TO_START_S + MOST_EXERCISES * settings["limits"]["wall_s"]
    try:
        record = judges.ask({"cells": cells, "chapter": chapter.name, **settings}, time_limit_s)
    except TargetError as error:
        return {"refused": f"it could not be graded: {error.what} {error.why}"}, True
    with artifacts.atomic_path(kept) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")
    return record, True


def _plain(text: str) -> str:
    """One line that no spreadsheet takes for a formula."""
    text = re.sub(r"\s+", " ", "".join(c if c.isprintable() or c.isspace() else "�" for c in text)).strip()
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _rows(submission: Submission, record: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"student": _plain(submission.student), "notebook": _plain(submission.name)}
    if "refused" in record:
        empty = {"exercise": "", "title": "", "state": "refused", "score": 0, "seconds": 0.0}
        return [{**common, **empty, "error": _plain(record["refused"])}]
    return [
        {
            **common,
            "exercise": verdict["exercise"],
            "title": verdict["title"],
            "state": verdict["state"],
            "score": int(verdict["state"] == "solved"),
            "error": _plain(verdict["message"]),
            "seconds": verdict["duration_s"],
        }
        for verdict in record["verdicts"]
    ]


def _write(rows: list[dict[str, Any]], out: Path, graded: int) -> Grades:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=COLUMNS)
    grades = Grades(frame, out / "grades.csv", out / "grades.html", graded)
    with owned_folders.renewed(out, MADE_BY) as fresh:
        frame.to_csv(fresh / grades.csv.name, index=False)
        text = page.render(frame, str(grades).splitlines()[0])
        (fresh / grades.page.name).write_text(text, encoding="utf-8")
    return grades
