"""Checks with staged hints, guesses, and the progress file.

A check is a plain function that takes the student's answer and raises `Mistake` when it is wrong:

    @exercise("04.2", "Find the scale", hints=("A step is ...",), read="Section 4.3")
    def check_scale(answer):
        if answer != 0.5:
            raise Mistake(f"the scale is {answer}, but 127 steps must cover 63.5")

Whatever the student's code does, `check` shows it and goes on, so that a notebook always runs to its end;
`EDGELAB_STRICT=1` makes it raise instead.
"""

from __future__ import annotations

import dis
import html
import itertools
import os
import traceback
import types
from dataclasses import dataclass
from typing import Any

from edgelab.errors import EdgelabError, StorageError
from edgelab.exercises import own_answers
from edgelab.exercises.progress_file import STATES, record_try
from edgelab.exercises.registry import Exercise, Mistake, find
from edgelab.texts import tr

NOTHING_BUT_A_RETURN = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


class NotSolvedError(EdgelabError):
    """An exercise is not solved, and `EDGELAB_STRICT=1` asks for that to be an error."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found. The last line of a cell shows it.

    Attributes:
        key: chapter and number, such as "04.2".
        title: of the exercise.
        state: "solved", "shown" (the solution given passes, no answer of the student's), "wrong" or "open".
        what_differs: what was found and what was expected; empty unless wrong.
        hints: the help earned so far.
        note: anything else to know, such as a progress file that could not be written.
    """

    key: str
    title: str
    state: str
    what_differs: str = ""
    hints: tuple[str, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right, whoever gave it."""
        return self.state in ("solved", "shown")

    @property
    def _lines(self) -> list[str]:
        hints = [hint if hint.startswith(tr("Read:")) else tr("Hint:") + " " + hint for hint in self.hints]
        return [line for line in (self.what_differs, *hints, self.note) if line]

    def __str__(self) -> str:
        mark, words = STATES[self.state][:2]
        return "\n".join([f"{mark} {self.key} {self.title}: {words}", *(f"  {line}" for line in self._lines)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        mark, words, colour = STATES[self.state]
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._lines)
        return (
            f'<div role="status" style="border-left:4px solid {colour};padding:0.3em 0.8em">'
            f"<b>{mark} {html.escape(self.key)} {html.escape(self.title)}: {words}</b>{lines}</div>"
        )


_latest: dict[str, CheckResult] = {}
_solution_was_used = False


def untouched(answer: Any) -> bool:
    """Whether an answer still stands as the exercise gave it.

    Args:
        answer: `...`, None, a function whose body is only `...` (a docstring aside), or a container that
            holds nothing but such.
    """
    global _solution_was_used
    result = _is_placeholder(answer)
    # A solution cell asks this just before it gives its own answer, for which the next check owes no praise.
    _solution_was_used = _solution_was_used or result
    return result


def _is_placeholder(answer: Any) -> bool:
    if answer is None or answer is Ellipsis:
        return True
    if isinstance(answer, types.FunctionType):
        instructions = list(dis.get_instructions(answer))
        constants = [step.argval for step in instructions if step.opname in ("LOAD_CONST", "RETURN_CONST")]
        does_nothing = all(step.opname in NOTHING_BUT_A_RETURN for step in instructions)
        return does_nothing and all(constant is None or constant is Ellipsis for constant in constants)
    if isinstance(answer, dict):
        answer = list(answer.values())
    return isinstance(answer, list | tuple) and len(answer) > 0 and all(map(_is_placeholder, answer))


def check(key: str, answer: Any) -> CheckResult:
    """Check an answer, show what differs, and give one more hint with every failing try.

    Args:
        key: chapter and number, such as "04.2".
        answer: what the exercise asks for: a value or a function.

    Returns:
        The result, which shows itself in a notebook.

    Raises:
        InputError: there is no such exercise.
        NotSolvedError: it is not solved, and the environment variable EDGELAB_STRICT is 1.
    """
    global _solution_was_used
    found = find(key)
    given, _solution_was_used = _solution_was_used, False
    if _is_placeholder(answer):
        result = CheckResult(key, found.title, "open")
    else:
        result = _checked(found, answer, solution_given=given)
    _latest[key] = result
    if os.environ.get("EDGELAB_STRICT") == "1" and not result.passed:
        raise NotSolvedError(tr("Exercise {key} is not solved.", key=key), why=str(result))
    return result


def passed(key: str) -> bool:
    """Whether the latest check of an exercise in this kernel passed. A cell that goes on with an answer asks.

    Args:
        key: chapter and number, such as "04.2".
    """
    return key in _latest and _latest[key].passed


def own(key: str, given: Any) -> Any:
    """What a later chapter goes on with: the student's function, where it was right and still is.

    Args:
        key: of an exercise of an earlier chapter, such as "04.2".
        given: the course's own, for whoever has not solved it.
    """
    answer = own_answers.load(key)
    return given if answer is None or _mistake_in(find(key), answer) else answer


def _mistake_in(found: Exercise, answer: Any) -> Mistake | None:
    try:
        found.check(answer)
    except Mistake as error:
        return Mistake(error.what_differs, error.hint or _hint_for_the_kind_of(answer))
    except (Exception, SystemExit) as error:
        stopped = _where_it_stopped(error, answer)
        if stopped:
            return Mistake(stopped)
        message = _last_line(error)
        kind = type(answer).__name__
        what_differs = tr("This answer ({kind}) could not be checked: {message}", kind=kind, message=message)
        hint = ""
        if isinstance(error, TypeError) and "not callable" in message and not callable(answer):
            hint = tr("A function is asked for, def and all, not a value that it returns.")
        return Mistake(what_differs, hint or _hint_for_the_kind_of(answer))
    return None


def _hint_for_the_kind_of(answer: Any) -> str:
    """What is wrong with the answer, whatever is asked: a function that hands nothing over."""
    if not isinstance(answer, types.FunctionType):
        return ""
    steps = list(dis.get_instructions(answer))
    returned = [step.argval for step in steps if step.opname == "RETURN_CONST"]
    for before, step in itertools.pairwise(steps):
        if step.opname == "RETURN_VALUE":
            returned.append(before.argval if before.opname == "LOAD_CONST" else before)
    if any(value is not None for value in returned):
        return ""
    return tr("Your function returns nothing: end it with `return` and the value. `print` only shows it.")


def _checked(found: Exercise, answer: Any, *, solution_given: bool) -> CheckResult:
    mistake = _mistake_in(found, answer)
    state = "wrong" if mistake else "shown" if solution_given else "solved"
    tries, note = 0, ""
    try:
        tries = record_try(found.key, state)
        if state == "solved":
            own_answers.keep(found.key, answer)
    except StorageError as error:
        note = tr("Your progress was not saved.") + " " + error.what
    if mistake is None:
        if solution_given:
            note = tr("Write your own answer in place of the dots to make it yours.") + " " + note
        return CheckResult(found.key, found.title, state, note=note.strip())
    own_hint = (mistake.hint,) if mistake.hint else ()
    # One hint for the first failing try, one more for each that follows: that of this mistake counts.
    hints = own_hint + found.help_for(max(tries, 1) - len(own_hint))
    return CheckResult(found.key, found.title, state, mistake.what_differs, hints, note)


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _where_it_stopped(error: BaseException, answer: Any) -> str:
    """The line of the student's code at which an exception arose; empty when it arose elsewhere."""
    own_frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "ipykernel" in frame.filename or frame.filename.startswith("<") or _defines(answer, frame.filename)
    ]
    if not own_frames:
        return ""
    frame = own_frames[-1]
    where = f"{frame.lineno}: {frame.line}" if frame.line else str(frame.lineno)
    # Note: {where} is the line's number, and the line if it is known.
    return tr("Your code stopped in line {where}  –  {message}", where=where, message=_last_line(error))


def _defines(answer: Any, filename: str) -> bool:
    return isinstance(answer, types.FunctionType) and answer.__code__.co_filename == filename
