"""Exercises that check themselves, guesses made before measuring, and the student's progress.

The checks of chapter 4 live in `chapter_04.py`, loaded when one of them is first asked for.
"""

from edgelab.exercises.checking import CheckResult, NotSolvedError, check, own, passed, untouched
from edgelab.exercises.guess_figure import guesses
from edgelab.exercises.guesses import Guess, predict
from edgelab.exercises.progress_file import ChapterProgress, Progress, progress
from edgelab.exercises.registry import Mistake, exercise

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
    "own",
    "passed",
    "predict",
    "progress",
    "untouched",
]
