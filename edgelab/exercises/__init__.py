"""Exercises that check themselves, guesses made before measuring, and the student's progress.

The checks of chapter 4 live in `chapter_04.py`, loaded when one of them is first asked for.
"""

from edgelab.exercises.core import (
    ChapterProgress,
    CheckResult,
    Guess,
    Mistake,
    NotSolvedError,
    Progress,
    check,
    exercise,
    passed,
    predict,
    progress,
    untouched,
)
from edgelab.exercises.guess_figure import guesses

__all__ = [
    "ChapterProgress",
    "CheckResult",
    "Guess",
    "Mistake",
    "NotSolvedError",
    "Progress",
    "check",
    "exercise",
    "guesses",
    "passed",
    "predict",
    "progress",
    "untouched",
]
