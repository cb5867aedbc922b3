"""What the student has solved and guessed, kept in `artifacts/progress.json`."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from edgelab import display
from edgelab.machine import artifacts
from edgelab.texts import tr, tr_plural

if TYPE_CHECKING:
    import pandas as pd
from edgelab.exercises.registry import PACKAGE_DIR, registered

# Colour is never the only sign: each state has its own mark and its own words.
STATES = {
    "solved": ("✓", tr("Solved"), "#1B7A3D"),
    "shown": ("✓", tr("The solution given passes"), "#1A808D"),
    "wrong": ("✗", tr("Not yet right"), "#B3261E"),
    "open": ("○", tr("Not done yet"), "#6B6B6B"),
}


def _progress_path() -> Path:
    return artifacts.artifacts_dir() / "progress.json"


def read_progress() -> dict[str, dict[str, Any]]:
    """What was recorded; nothing when there is no file yet, or when it is damaged."""
    try:
        record = json.loads(_progress_path().read_text(encoding="utf-8"))
        return {"exercises": dict(record["exercises"]), "guesses": dict(record["guesses"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"exercises": {}, "guesses": {}}


@contextmanager
def progress_update() -> Iterator[dict[str, dict[str, Any]]]:
    """The record, to be changed in place; no other kernel writes between the reading and the writing.

    Raises:
        StorageError: it cannot be written.
    """
    path = _progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            record = read_progress()
            yield record
            with artifacts.atomic_path(path) as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def record_try(key: str, state: str) -> int:
    """Note the try and return how many failed. Once solved, an exercise stays solved."""
    with progress_update() as record:
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
    record = read_progress()
    rows = []
    for key in sorted(registered):
        done = record["exercises"].get(key, {"state": "open", "failed_tries": 0})
        rows.append({"exercise": key, "title": registered[key].title, **done})
    frame = pd.DataFrame(rows, columns=["exercise", "title", "state", "failed_tries"])
    return Progress(frame, tuple(key for key, guess in record["guesses"].items() if _is_own(guess)))


def _is_own(guess: dict[str, Any]) -> bool:
    """Whether a recorded guess is the student's, and was compared with a measurement."""
    return "measured" in guess and not guess.get("is_default", False)


def recorded_guesses(chapter: str) -> list[dict[str, Any]]:
    """The guesses of a chapter that were compared with a measurement, own ones and defaults.

    Args:
        chapter: its number, such as "04".

    Returns:
        Per guess: question, guess, measured, provenance, unit, is_default, and options or low and high.
    """
    guesses = read_progress()["guesses"].items()
    return [entry for key, entry in guesses if key.startswith(f"{chapter}.") and "question" in entry]
