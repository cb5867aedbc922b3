"""Judges on other computers: a submission goes to a worker of a Dask scheduler, verdicts come back.

Each worker keeps a judge for each of its threads, with the same locks and limits as on one machine. What a
worker was at when it died is given to another. The verdicts are written here, by whoever called.

Dask's workers run what they are sent: let nobody reach the scheduler who may not (`docs/instructors.md`).
"""

from __future__ import annotations

import atexit
import json
from concurrent.futures import CancelledError
from functools import cache
from typing import Any

from edgelab.errors import InputError, TargetError
from edgelab.grading import judges, submissions
from edgelab.texts import tr

CONNECT_S = 20
LOOK_S = 2.0  # between two looks whether anybody works
PATIENCE_S = 90.0  # without a single worker, or a scheduler
AHEAD = 2  # submissions for each thread, so that none waits for the next
LOST, FAULT = "lost", "fault"


class Cluster:
    """The workers of a scheduler, as `judges.Judges`."""

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: as the scheduler prints it, such as `tcp://10.0.0.5:8786`.

        Raises:
            InputError: Dask is not installed, nobody answers there, or it has no worker yet.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                tr("Grading on several computers needs Dask."),
                why=str(error),
                fix=tr("set the course up again: make setup"),
            ) from error
        self.address = address
        try:
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                tr("No scheduler answers at {address}.", address=address),
                why=str(error),
                fix=tr("start one with `dask scheduler`, and give the address that it prints"),
            ) from error
        threads = sum(worker["nthreads"] for worker in self._workers().values())
        if not threads:
            self.close()
            raise InputError(
                tr("The scheduler at {address} has no worker.", address=address),
                fix=tr(
                    "start one in the course's folder: `dask worker {address} --nthreads 1`", address=address
                ),
            )
        self.jobs = AHEAD * threads

    def _workers(self) -> dict[str, Any]:
        """Who works; nobody once the client has given up the scheduler, and closes."""
        return self._client.scheduler_info(n_workers=-1).get("workers", {})

    def ask(self, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """As `judges.Judges` says.

        Raises:
            InputError: scheduler or workers are gone, or cannot grade this course; going on makes no sense.
            TargetError: the judge died or took too long, or workers died one after the other over it.
        """
        expected = judges.course_key(_chapter(request["chapter"]))
        text = json.dumps({**request, "course": expected})
        try:
            future = self._client.submit(judge_here, text, time_limit_s, pure=False)
            return self._understood(self._waited_for(future))
        except (CancelledError, OSError, RuntimeError) as error:
            raise self._gone(str(error) or type(error).__name__) from error

    def _waited_for(self, future: Any) -> str:
        """What the worker answers, however long others come first."""
        from distributed import KilledWorker

        deserted_s = 0.0
        while True:
            try:
                return future.result(timeout=LOOK_S)
            except TimeoutError:
                if self._client.status in ("closing", "closed"):
                    raise self._gone(tr("the scheduler is gone")) from None
                deserted_s = 0.0 if self._workers() else deserted_s + LOOK_S
                if deserted_s > PATIENCE_S:
                    raise self._gone(tr("no worker is left")) from None
            except KilledWorker as error:
                raise TargetError(tr("workers died over it"), why=str(error)) from error
            except ModuleNotFoundError as error:
                raise InputError(
                    tr("A worker cannot import the course."),
                    why=str(error),
                    fix=tr("start workers with the Python of the course's folder: .venv/bin/dask worker …"),
                ) from error

    def _understood(self, answer: str) -> dict[str, Any]:
        record = json.loads(answer)
        if FAULT in record:
            raise InputError(
                tr("The worker {worker} cannot grade this.", worker=record["worker"]),
                why=record[FAULT],
                fix=tr("bring it up to date or end it, then repeat: what was graded is kept"),
            )
        if LOST in record:
            raise TargetError(record[LOST])
        return record

    def _gone(self, why: str) -> InputError:
        return InputError(
            tr("Nobody at {address} grades any more.", address=self.address),
            why=why,
            fix=tr("start scheduler and workers again, then repeat: what was graded is kept"),
        )

    def close(self) -> None:
        """As `judges.Judges` says."""
        self._client.close(timeout=CONNECT_S)


def judge_here(request: str, time_limit_s: float) -> str:
    """On a worker: the verdicts on one submission.

    Args:
        request: JSON, as for `judges.Judges.ask`, with the key of the course that the caller has.
        time_limit_s: for the judge.

    Returns:
        JSON: the verdicts; or why this worker cannot judge, or what became of the judge.
    """
    asked = json.loads(request)
    if reason := _unfit(asked, asked.pop("course")):
        return json.dumps({FAULT: reason, "worker": _name()})
    try:
        return json.dumps(_judges().ask(asked, time_limit_s))
    except TargetError as error:
        return json.dumps({LOST: f"{error.what} {error.why}".strip()})


def _unfit(asked: dict[str, Any], course: str) -> str:
    if asked["locked"] and (reason := judges.missing_protection()):
        return reason
    here = judges.course_key(_chapter(asked["chapter"])) if asked["chapter"] in _chapters() else ""
    return "" if here == course else "it has another edition of the course, Python or NumPy"


@cache
def _judges() -> judges.LocalJudges:
    """Of this worker, ended with it."""
    own = judges.LocalJudges(1)
    atexit.register(own.close)
    return own


@cache
def _chapters() -> dict[str, submissions.Chapter]:
    return {chapter.name: chapter for chapter in submissions.chapters()}


def _chapter(name: str) -> submissions.Chapter:
    return _chapters()[name]


def _name() -> str:
    from distributed import get_worker

    return get_worker().address
