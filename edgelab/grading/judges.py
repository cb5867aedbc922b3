"""Who grades a submission: judges in processes of this machine, one for each thread that asks."""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol

import numpy as np

from edgelab.errors import TargetError
from edgelab.grading import submissions
from edgelab.machine import artifacts, child


class Judges(Protocol):
    """Asked by several threads at once.

    Attributes:
        jobs: how many submissions are worth handing over at once.
    """

    jobs: int

    def ask(self, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """The verdicts on one submission.

        Args:
            request: code cells, chapter, limits, and whether the student's code is locked in.
            time_limit_s: for the judge, who may have to be started first.

        Raises:
            TargetError: the judge died, or took too long; others are not concerned.
        """

    def close(self) -> None:
        """End them; whoever waits for an answer gets an error."""


class LocalJudges:
    """A judge for each thread that asks, started when it is first needed and again after it was ended."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._own = threading.local()
        self._all: list[child.Worker] = []

    def ask(self, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """As `Judges` says."""
        judge = getattr(self._own, "judge", None)
        if judge is None:
            command = [sys.executable, "-m", "edgelab.grading.judge"]
            environment = {"NUMBA_ENABLE_CUDASIM": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
            judge = child.Worker(
                command, folder=artifacts.PROJECT_ROOT, name="the judge", environment=environment
            )
            self._own.judge = judge
            self._all.append(judge)
        try:
            return judge.ask(request, time_limit_s)
        except TargetError:
            judge.close()
            self._own.judge = None
            raise

    def close(self) -> None:
        """As `Judges` says."""
        for judge in self._all:
            judge.close()


def missing_protection() -> str:
    """Why this machine cannot lock a student's code in; empty when it can."""
    if not sys.platform.startswith("linux"):
        return "Landlock and seccomp, which take rights away from a process, are Linux's"
    from edgelab.grading import lockdown

    return lockdown.missing()


def course_key(chapter: submissions.Chapter) -> str:
    """Changes with everything that decides the grades of a chapter, submissions and limits aside."""
    root = artifacts.PROJECT_ROOT
    exercises = root / "edgelab" / "exercises"
    files = [
        root / "notebooks" / f"{chapter.name}.ipynb",
        *sorted(exercises.glob(f"chapter_{chapter.name[:2]}*.py")),
        *sorted(path for path in exercises.glob("*.py") if "chapter_" not in path.name),
        *sorted((root / "edgelab" / "grading").glob("*.py")),
    ]
    versions = {"python": sys.version, "numpy": np.__version__}
    contents = {str(path.relative_to(root)): path for path in files}
    return artifacts.content_key(**contents, versions=versions)
