"""The exercises and their checks: which there are, found by chapter and number."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.errors import InputError
from edgelab.texts import tr

PACKAGE_DIR = Path(__file__).resolve().parent


class Mistake(Exception):  # noqa: N818 - the word a lesson uses
    """Raised by a check: the answer is wrong.

    Attributes:
        what_differs: what was found and what was expected.
        hint: shown at once, where this mistake has an explanation of its own.
    """

    def __init__(self, what_differs: str, hint: str = "") -> None:
        self.what_differs, self.hint = what_differs, hint
        super().__init__(what_differs)


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


registered: dict[str, Exercise] = {}


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
        registered[key] = Exercise(key, title, function, hints, read)
        return function

    return register


def find(key: str) -> Exercise:
    """The exercise of that key; its chapter's module is imported when it is not yet.

    Args:
        key: chapter and number, such as "04.2".

    Raises:
        InputError: there is none: a slip of the author's, or in a copied line.
    """
    chapter = key.split(".")[0]
    if key not in registered and (PACKAGE_DIR / f"chapter_{chapter}.py").exists():
        importlib.import_module(f"edgelab.exercises.chapter_{chapter}")
    if key not in registered:
        known = sorted(name for name in registered if name.startswith(f"{chapter}."))
        raise InputError(
            tr("There is no exercise {key!r}.", key=key),
            why=tr("chapter {chapter} has {known}", chapter=chapter, known=", ".join(known) or tr("none")),
            fix=tr("correct the key in the check cell"),
        )
    return registered[key]
