"""Who grades a submission: judges in processes of this machine, one for each thread that asks."""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol

import numpy as np

from edgelab.errors import TargetError
from edgelab.grading import submissions
from edgelab.machine import artifacts, child
from edgelab.texts import tr


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
            TargetError: the judge died, or took too long; others are not concerned. Or all have been closed.
        """

    def close(self) -> None:
        """End them for good; whoever waits for an answer, or asks later, gets an error."""


class LocalJudges:
    """A judge for each thread that asks, started when it is first needed and again after it was ended."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._own = threading.local()
        self._all: list[child.Worker] = []
        self._lock, self._closed = threading.Lock(), False

    def ask(self, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """As `Judges` says."""
        judge = getattr(self._own, "judge", None)
        if judge is None:
            judge = self._own.judge = self._started()
        try:
            return judge.ask(request, time_limit_s)
        except TargetError:
            judge.close()
            self._own.judge = None
            raise

    def _started(self) -> child.Worker:
        """A new judge: one that is being started while the others are closed is among them, or is refused."""
        command = [sys.executable, "-m", "edgelab.grading.judge"]
        environment = {"NUMBA_ENABLE_CUDASIM": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        with self._lock:
            if self._closed:
                raise TargetError(
                    tr("The judges have been closed."), why=tr("grading was ended or interrupted")
                )
            judge = child.Worker(
                command, folder=artifacts.PROJECT_ROOT, name="the judge", environment=environment
            )
            self._all.append(judge)
            return judge

    def close(self) -> None:
        """As `Judges` says."""
        with self._lock:
            self._closed = True
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
