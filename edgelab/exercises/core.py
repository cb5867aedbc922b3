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
import importlib
import itertools
import json
import os
import pkgutil
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from edgelab.machine import artifacts
from edgelab import display
from edgelab.errors import EdgelabError, InputError, StorageError
from edgelab.exercises import number_line
from edgelab.texts import tr, tr_plural

if TYPE_CHECKING:
    import pandas as pd

PACKAGE_DIR = Path(__file__).resolve().parent
NOTHING_BUT_A_RETURN = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}

# Colour is never the only sign: each state has its own mark and its own words.
STATES = {
    "solved": ("✓", tr("Solved"), "#1B7A3D"),
    "shown": ("✓", tr("The solution given passes"), "#1A808D"),
    "wrong": ("✗", tr("Not yet right"), "#B3261E"),
    "open": ("○", tr("Not done yet"), "#6B6B6B"),
}


class Mistake(Exception):  # noqa: N818 - the word a lesson uses
    """Raised by a check: the answer is wrong.

    Attributes:
        what_differs: what was found and what was expected.
        hint: shown at once, where this mistake has an explanation of its own.
    """

    def __init__(self, what_differs: str, hint: str = "") -> None:
        self.what_differs, self.hint = what_differs, hint
        super().__init__(what_differs)


class NotSolvedError(EdgelabError):
    """An exercise is not solved, and `EDGELAB_STRICT=1` asks for that to be an error."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its check, and the help that it gives step by step.

    Attributes:
        key: chapter and number, such as "04.2".
        title: a few words.
        check: takes the answer, raises `Mistake` when it is wrong.
        hints: given one by one, a failing try each.
        read: where to read on, after the last hint.
    """

    key: str
    title: str
    check: Callable[[Any], None]
    hints: tuple[str, ...]
    read: str

    def help_for(self, tries: int) -> tuple[str, ...]:
        """The hints earned by so many failing tries; after the last of them, where to read."""
        earned = self.hints[:tries]
        return (*earned, tr("Read:") + " " + self.read) if tries > len(self.hints) and self.read else earned


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


_exercises: dict[str, Exercise] = {}
_latest: dict[str, CheckResult] = {}
_solution_was_used = False


def exercise(
    key: str, title: str, *, hints: tuple[str, ...], read: str = ""
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated function as the check of an exercise.

    Args:
        key: chapter and number, such as "04.2".
        title: a few words.
        hints: given one by one, a failing try each; the last one all but tells the answer.
        read: where to read on, after the last hint.
    """

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        _exercises[key] = Exercise(key, title, function, hints, read)
        return function

    return register


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


def find(key: str) -> Exercise:
    """The exercise of that key; its chapter's module is imported when it is not yet.

    Args:
        key: chapter and number, such as "04.2".

    Raises:
        InputError: there is none: a slip of the author's, or in a copied line.
    """
    chapter = key.split(".")[0]
    if key not in _exercises and (PACKAGE_DIR / f"chapter_{chapter}.py").exists():
        importlib.import_module(f"edgelab.exercises.chapter_{chapter}")
    if key not in _exercises:
        known = sorted(name for name in _exercises if name.startswith(f"{chapter}."))
        raise InputError(
            tr("There is no exercise {key!r}.", key=key),
            why=tr("chapter {chapter} has {known}", chapter=chapter, known=", ".join(known) or tr("none")),
            fix=tr("correct the key in the check cell"),
        )
    return _exercises[key]


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
        tries = _record_try(found.key, state)
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


# ---------------------------------------------------------------------------------------------- progress


def _progress_path() -> Path:
    return artifacts.artifacts_dir() / "progress.json"


def _read_progress() -> dict[str, dict[str, Any]]:
    """What was recorded; nothing when there is no file yet, or when it is damaged."""
    try:
        record = json.loads(_progress_path().read_text(encoding="utf-8"))
        return {"exercises": dict(record["exercises"]), "guesses": dict(record["guesses"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"exercises": {}, "guesses": {}}


@contextmanager
def _progress_update() -> Iterator[dict[str, dict[str, Any]]]:
    """The record, to be changed in place; no other kernel writes between the reading and the writing.

    Raises:
        StorageError: it cannot be written.
    """
    path = _progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            record = _read_progress()
            yield record
            with artifacts.atomic_path(path) as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def _record_try(key: str, state: str) -> int:
    """Note the try and return how many failed. Once solved, an exercise stays solved."""
    with _progress_update() as record:
        before = record["exercises"].get(key, {"state": "open", "failed_tries": 0})
        failed_tries = before["failed_tries"] + (state == "wrong")
        state = "solved" if before["state"] == "solved" else state
        record["exercises"][key] = {"state": state, "failed_tries": failed_tries}
    return failed_tries


@dataclass(frozen=True)
class ChapterProgress:
    """How far the student is in one chapter.

    Attributes:
        number, title: as in `data/course.json`.
        solved: exercises solved by the student's own answer.
        exercises: all that the chapter has.
        guesses: own guesses compared with a measurement.
    """

    number: str
    title: str
    solved: int
    exercises: int
    guesses: int

    def __str__(self) -> str:
        solved, guesses = self.solved, self.guesses
        counts = {tr("solved"): solved, tr("open"): self.exercises - solved, tr("guesses"): guesses}
        listed = "".join(f"  {count:>3} {name}" for name, count in counts.items())
        return f"{self.number}  {self.title:<26}{listed}"


@dataclass(frozen=True)
class Progress:
    """How far the student is.

    Attributes:
        frame: one row per exercise: exercise, title, state, failed_tries.
        guess_keys: the student's own guesses that were compared with a measurement.
    """

    frame: pd.DataFrame
    guess_keys: tuple[str, ...]

    @property
    def solved(self) -> int:
        """Exercises solved by the student's own answer."""
        return int((self.frame["state"] == "solved").sum())

    @property
    def guesses(self) -> int:
        """How many of the student's own guesses were compared with a measurement."""
        return len(self.guess_keys)

    @property
    def chapters(self) -> tuple[ChapterProgress, ...]:
        """The same per chapter, in the course's order."""
        return tuple(self._of(chapter["number"], chapter["title"]) for chapter in display.chapters())

    def _of(self, number: str, title: str) -> ChapterProgress:
        own = self.frame[self.frame["exercise"].str.startswith(f"{number}.")]
        guesses = sum(key.startswith(f"{number}.") for key in self.guess_keys)
        return ChapterProgress(number, title, int((own["state"] == "solved").sum()), len(own), guesses)

    @property
    def by_chapter(self) -> str:
        """A line per chapter, then the sum: for a terminal."""
        return "\n".join([*map(str, self.chapters), str(self)])

    def __str__(self) -> str:
        exercises = tr_plural(
            "{solved} of {count} exercise solved",
            "{solved} of {count} exercises solved",
            len(self.frame),
            solved=self.solved,
        )
        guesses = tr_plural("{count} guess checked", "{count} guesses checked", self.guesses)
        return f"{exercises}, {guesses}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = self.frame.assign(
            state=[f"{STATES[state][0]} {STATES[state][1]}" for state in self.frame["state"]]
        )
        shown.columns = [tr("exercise"), tr("title"), tr("state"), tr("failed_tries")]
        return f"<p><b>{self}</b></p>" + display.table_html(shown, tr("Exercises"))


def progress() -> Progress:
    """All exercises of the course, and which of them are solved."""
    import pandas as pd

    for module in pkgutil.iter_modules([str(PACKAGE_DIR)]):
        if module.name.startswith("chapter_"):
            importlib.import_module(f"edgelab.exercises.{module.name}")
    record = _read_progress()
    rows = []
    for key in sorted(_exercises):
        done = record["exercises"].get(key, {"state": "open", "failed_tries": 0})
        rows.append({"exercise": key, "title": _exercises[key].title, **done})
    frame = pd.DataFrame(rows, columns=["exercise", "title", "state", "failed_tries"])
    return Progress(frame, tuple(key for key, guess in record["guesses"].items() if _is_own(guess)))


def _is_own(guess: dict[str, Any]) -> bool:
    """Whether a recorded guess is the student's, and was compared with a measurement."""
    return "measured" in guess and not guess.get("is_default", False)


# ----------------------------------------------------------------------------------------------- guesses


class Guess:
    """A prediction made before the measurement. `predict` makes it; `reveal` puts the measurement beside it.

    Attributes:
        key: chapter and name, such as "04.size".
        question: what is asked.
        unit: of a number.
        control: the ipywidgets slider or menu.
    """

    def __init__(self, key: str, question: str, unit: str, control: Any) -> None:
        self.key, self.question, self.unit, self.control = key, question, unit, control
        self.is_default = True
        control.observe(self._changed, names="value")

    @property
    def value(self) -> Any:
        """The guess as it stands now; the default when nobody has moved the control."""
        return self.control.value

    def _changed(self, change: dict[str, Any]) -> None:
        self.is_default = False
        self._record(guess=change["new"], is_default=False)

    def _record(self, **facts: Any) -> None:
        try:
            with _progress_update() as record:
                entry = record["guesses"].setdefault(self.key, {})
                entry.update(facts)
        except StorageError:
            pass  # A full disk must not stop the lesson; the next check says so.

    def _choices(self) -> dict[str, Any]:
        """What could be guessed: options, or the ends of the slider."""
        if isinstance(self.value, str):
            return {"options": list(self.control.options)}
        return {"low": float(self.control.min), "high": float(self.control.max)}

    def _with_unit(self, value: Any) -> str:
        return with_unit(value, self.unit)

    def _comparison(self, measured: Any) -> str:
        if isinstance(measured, str) or isinstance(self.value, str):
            return tr("right") if measured == self.value else tr("another answer")
        difference = float(measured) - float(self.value)
        if difference == 0:
            return tr("exactly right")
        # Between two percentages lie points: "13 % more" would be another number.
        distance = with_unit(abs(difference), tr("points") if self.unit == "%" else self.unit)
        if difference > 0:
            return tr("{distance} more than guessed", distance=distance)
        return tr("{distance} less than guessed", distance=distance)

    def reveal(self, measured: Any, provenance: str = "measured") -> None:
        """Show the guess beside the measurement, and record both.

        Args:
            measured: a number in the guess's unit, or one of the options.
            provenance: one of `display.PROVENANCES`: where it comes from, when it was not measured here.

        Raises:
            InputError: the provenance is unknown.
        """
        if provenance not in display.PROVENANCES:
            raise InputError(
                tr("There is no provenance {provenance!r}.", provenance=provenance),
                fix=tr("choose from {names}", names=", ".join(display.PROVENANCES)),
            )
        row = {
            **{"guess": _as_json(self.value), "measured": _as_json(measured), "provenance": provenance},
            **{"is_default": self.is_default, "question": self.question, "unit": self.unit},
            **self._choices(),
        }
        self._record(**row)
        whose = tr("Default guess") if self.is_default else tr("Your guess")
        came = tr(provenance).capitalize()
        facts = f"{whose}: {self._with_unit(self.value)} · {came}: {self._with_unit(measured)}"
        comparison = self._comparison(measured)
        display.show_html(
            f'<div role="status" style="border-left:4px solid {display.PALETTE[0]};padding:0.3em 0.8em">'
            f"{html.escape(self.question)}<br><b>{html.escape(facts)}</b> – {html.escape(comparison)}."
            f"{number_line.svg(row) if number_line.fits(row) else ''}</div>",
            f"{self.question}\n{facts} – {comparison}.",
        )


def with_unit(value: Any, unit: str) -> str:
    """A number as one reads it, with its unit; an option as it is."""
    return value if isinstance(value, str) else f"{float(value):,.4g} {unit}".rstrip()


def _as_json(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def recorded_guesses(chapter: str) -> list[dict[str, Any]]:
    """The guesses of a chapter that were compared with a measurement, own ones and defaults.

    Args:
        chapter: its number, such as "04".

    Returns:
        Per guess: question, guess, measured, provenance, unit, is_default, and options or low and high.
    """
    guesses = _read_progress()["guesses"].items()
    return [entry for key, entry in guesses if key.startswith(f"{chapter}.") and "question" in entry]


def predict(
    key: str,
    question: str,
    *,
    default: Any,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
    options: list[str] | None = None,
) -> Guess:
    """Ask for a guess before measuring: a slider for a number, a menu for a choice.

    Args:
        key: chapter and name, such as "04.size".
        question: what is asked.
        default: what stands there at first, so that the notebook runs without a student.
        low, high: ends of the slider, for a number.
        step: of the slider; a hundredth of its length by default, 1 for whole numbers.
        unit: of the number.
        options: the choices of a menu.

    Returns:
        The guess; its control is shown at once.

    Raises:
        InputError: neither a range nor options, or a default outside them.
    """
    control = _control(default, low, high, step, options)
    guess = Guess(key, question, unit, control)
    recorded = _read_progress()["guesses"].get(key, {})
    earlier = None if recorded.get("is_default") else recorded.get("guess")
    # A guess made before comes back when the cell runs again, unless the question's range has changed since.
    if earlier is not None and (earlier in options if options else low <= earlier <= high):
        control.value = type(control.value)(earlier)
        guess.is_default = False
    _show_guess(guess)
    return guess


def _control(default, low, high, step, options):
    import ipywidgets

    wide = {"layout": ipywidgets.Layout(width="32em")}
    if options is not None:
        if default not in options:
            raise InputError(
                tr("The default {default!r} is not an option.", default=default),
                fix=tr("use one of {options}", options=options),
            )
        return ipywidgets.Dropdown(options=options, value=default, **wide)
    if low is None or high is None or not low <= default <= high:
        raise InputError(
            tr("A guess needs low <= default <= high, or options."),
            why=tr("got {low}, {default}, {high}", low=low, default=default, high=high),
        )
    if all(isinstance(number, int) for number in (default, low, high, step or 1)):
        return ipywidgets.IntSlider(default, low, high, step or 1, **wide)
    return ipywidgets.FloatSlider(default, min=low, max=high, step=step or (high - low) / 100, **wide)


def _show_guess(guess: Guess) -> None:
    import ipywidgets

    asked = "<b>" + tr("Your guess:") + "</b> " + html.escape(guess.question)
    label = ipywidgets.HTML(asked)
    line = ipywidgets.HBox([guess.control, ipywidgets.Label(guess.unit)])
    value = guess._with_unit(guess.value)
    shown = tr("{question} Guess: {value}", question=guess.question, value=value)
    display.show_widget(
        ipywidgets.VBox([label, line]),
        f"<p>{asked} <i>{value}</i></p>",
        shown,
    )
