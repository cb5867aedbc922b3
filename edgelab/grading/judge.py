"""Grade one notebook at a time: `python -m edgelab.grading.judge`, a line of JSON in, a line of JSON out.

The course's own checks run here, on values and functions that live in the student's process. A process of its
own, so that a check that a strange answer keeps busy can be ended, too.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edgelab.exercises import checking, registry
from edgelab.grading import submissions
from edgelab.grading.answers import AnswerError, Limits, Sandbox
from edgelab.machine.child import ANSWER_MARK

LONGEST_MESSAGE = 400
MEMORY_BYTES = 8 << 30  # of a check that a strange answer makes use too much


@dataclass(frozen=True)
class Verdict:
    """The grade of one exercise.

    Attributes:
        exercise: its key, such as "04.2".
        title: a few words.
        state: "solved", "wrong", "open" (not done) or "failed" (it crashed, or used too much).
        message: what differs, or what happened; empty when solved.
        duration_s: how long it took.
    """

    exercise: str
    title: str
    state: str
    message: str = ""
    duration_s: float = 0.0


def grade(
    cells: list[dict[str, Any]], chapter: submissions.Chapter, limits: Limits, *, locked: bool = True
) -> list[Verdict]:
    """The grades of one submitted notebook, in the order of the chapter's exercises.

    Args:
        cells: its code cells, as `submissions.read` gives them.
        chapter: that it belongs to.
        limits: of each exercise.
        locked: False runs the student's code without protection.
    """
    return [_grade_task(task, cells, chapter, limits, locked) for task in chapter.tasks]


def _grade_task(
    task: submissions.Task,
    cells: list[dict[str, Any]],
    chapter: submissions.Chapter,
    limits: Limits,
    locked: bool,
) -> Verdict:
    """The best verdict on the cells that may be the answer: scratch copies of it cost nothing."""
    candidates = submissions.answer_cells(task, cells, chapter)
    if not candidates:
        return Verdict(task.key, registry.find(task.key).title, "open", "its cell is missing")
    verdicts = []
    for cell in candidates:
        verdicts.append(_grade_cell(task, cell, cells, chapter, limits, locked))
        if verdicts[-1].state == "solved":
            return verdicts[-1]
    return next((verdict for verdict in verdicts if verdict.state != "open"), verdicts[0])


def _grade_cell(
    task: submissions.Task,
    cell: dict[str, Any],
    cells: list[dict[str, Any]],
    chapter: submissions.Chapter,
    limits: Limits,
    locked: bool,
) -> Verdict:
    found = registry.find(task.key)
    if submissions.is_untouched(task, cell["source"]):
        return Verdict(task.key, found.title, "open")
    started = time.perf_counter()
    statements = submissions.statements_for(task, cell, cells, chapter)
    source = submissions.as_python(cell["source"])
    with Sandbox(source, task.answer, statements, limits, locked=locked) as sandbox:
        state, message = _judged(found.check, sandbox)
    message = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " …"
    return Verdict(task.key, found.title, state, message, round(time.perf_counter() - started, 2))


def _judged(check: Callable[[Any], None], sandbox: Sandbox) -> tuple[str, str]:
    """State and message. Whatever happens in the check after the student's process ended does not count."""
    try:
        answer = sandbox.answer()
        if checking.untouched(answer):
            return "open", ""
        check(answer)
        state, message = "solved", ""
    except registry.Mistake as mistake:
        state, message = "wrong", " – ".join(part for part in (mistake.what_differs, mistake.hint) if part)
    except AnswerError as error:
        state, message = "failed", str(error)
    except BaseException as error:  # a student's code may raise anything, interrupts and exits included
        text = getattr(error, "of_student", "") or f"it could not be checked: {type(error).__name__}: {error}"
        state, message = "wrong", text
    return ("failed", sandbox.fault) if sandbox.fault else (state, message)


def main() -> None:
    """Answer requests until the input ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # where there are such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers, sys.stdout = sys.stdout, sys.stderr
    known = {chapter.name: chapter for chapter in submissions.chapters()}
    for line in sys.stdin:
        request = json.loads(line)
        limits = Limits(**request["limits"])
        verdicts = grade(request["cells"], known[request["chapter"]], limits, locked=request["locked"])
        answer = {"verdicts": [asdict(verdict) for verdict in verdicts]}
        print(ANSWER_MARK + json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
