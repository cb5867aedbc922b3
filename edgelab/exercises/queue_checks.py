"""A queue between threads and a stage of a pipeline, of exercises 10.5 and 10.6, tried out."""

from __future__ import annotations

import contextlib
import random
import threading
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from edgelab.exercises.registry import Mistake
from edgelab.machine import threads
from edgelab.texts import tr

PATIENCE_S = 5.0  # a right answer takes milliseconds, also on a busy machine
SETTLED_S = 0.5  # threads that were woken have done what they will do
NEVER = object()


def _within_patience(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns; `NEVER` if it does not come back. Its exception is raised here."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        thread.join(PATIENCE_S)
    finally:  # or an answer that runs for ever goes on to fill the memory; one that sleeps does no harm
        threads.end(thread)
    if errors:
        raise errors[0]
    return results[0] if results else NEVER


def _put_all(put: Callable[[Any], int], frames: Sequence[Any]) -> list[int]:
    return [put(frame) for frame in frames]


def check_channel(answer: Callable[[int], Sequence[Callable[..., Any]]]) -> None:
    """put, get and close: bounded, in order, oldest dropped, and nobody waits for ever."""
    for capacity in (1, 2, 5):
        made = answer(capacity)
        if not isinstance(made, tuple | list) or len(made) != 3 or not all(map(callable, made)):
            raise Mistake(tr("three functions are expected: put, get, close"), tr("return put, get, close"))
        put, get, close = made
        dropped = _within_patience(_put_all, put, range(7))
        if dropped is NEVER:
            raise Mistake(
                tr("put never returns on a full queue"),
                tr("put never waits: it drops the oldest frame, as in exercise 10.4."),
            )
        expected = [int(number >= capacity) for number in range(7)]
        if dropped != expected or any(isinstance(count, bool) for count in dropped):
            raise Mistake(
                tr(
                    "capacity {capacity}, 7 frames put: dropped {expected}, got {dropped}",
                    capacity=capacity,
                    expected=expected,
                    dropped=dropped,
                ),
                tr("put returns how many frames were dropped by this call: make room as in exercise 10.4."),
            )
        _check_taken(get, [range(7)[-capacity]], capacity)
        _within_patience(put, "last")
        _within_patience(close)
        _check_taken(get, [*range(7)[7 - capacity + 1 :], "last", None, None], capacity)
    if isinstance(answer, types.FunctionType):  # a grader calls into another process, one call at a time
        _check_waiting(answer)


def _check_taken(get: Callable[[], Any], expected: list[Any], capacity: int) -> None:
    """What get gives, one after the other, without waiting."""
    for frame in expected:
        got = _within_patience(get)
        if got is NEVER:
            raise Mistake(
                tr(
                    "capacity {capacity}: get should give {frame!r}, it never returns",
                    capacity=capacity,
                    frame=frame,
                ),
                tr("Closed and empty: get returns None. Opened again by nobody, it must not wait."),
            )
        if got != frame:
            raise Mistake(
                tr(
                    "capacity {capacity}: get should give {frame!r}, got {got!r}",
                    capacity=capacity,
                    frame=frame,
                    got=got,
                ),
                tr("After close, what still waits is given out first, and only then None.")
                if got is None
                else tr("The oldest frame that waits comes first: popleft()."),
            )


def _check_waiting(answer: Callable[[int], Sequence[Callable[..., Any]]]) -> None:
    """Threads that wait in get: woken by put, and all of them by close."""
    put, get, close = answer(2)
    results: list[Any] = []

    def wait() -> None:
        with contextlib.suppress(SystemExit):
            results.append(get())

    waiting = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()
    try:
        _check_woken(put, close, results)
    finally:
        for thread in waiting:
            threads.end(thread)


def _check_woken(put: Callable[[Any], int], close: Callable[[], None], results: list[Any]) -> None:
    """Three threads wait in get, and results is what they got."""
    _wait_for(lambda: bool(results), 0.2)
    if results:
        raise Mistake(
            tr("get on an empty queue returned {got!r} at once", got=results[0]),
            tr("get waits until a frame comes or the queue is closed: while ...: changed.wait()."),
        )
    if _within_patience(put, "frame") is NEVER:
        raise Mistake(
            tr("put never returns while another thread waits in get"),
            tr("Wait with changed.wait(): it lets go of the lock; sleeping inside `with` does not."),
        )
    _wait_for(lambda: len(results) == 1)
    _wait_for(lambda: len(results) > 1, SETTLED_S)  # whoever was woken for nothing must not come back
    if results != ["frame"]:
        raise Mistake(
            tr("three threads wait in get, one frame is put: they got {got}", got=results),
            tr("put must notify: without it, whoever waits sleeps on.")
            if not results
            else tr("A thread may be woken for nothing: look again, with while, not with if."),
        )
    _within_patience(close)
    _wait_for(lambda: len(results) == 3)
    if results[1:] != [None, None]:
        raise Mistake(
            tr("two threads wait in get when the queue is closed: they got {got}", got=results[1:]),
            tr("close must wake all who wait: notify_all."),
        )


def _wait_for(is_done: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Until it is done, or the time is over."""
    tick = threading.Event()
    for _ in range(int(limit_s / 0.01)):
        if is_done():
            return
        tick.wait(0.01)


class _Broken(Exception):  # noqa: N818 - what a stage may meet, not an error of this course
    """A work that fails."""


def check_stage(answer: Callable[..., None]) -> None:
    """Takes until None, hands on in order, closes once: also when the work fails."""
    rng = random.Random(106)
    for frames in ([], [0, "", 5], [rng.randint(0, 3) for _ in range(9)]):
        waiting, told = deque([*frames, None]), []
        ended = _within_patience(
            answer,
            lambda waiting=waiting: waiting.popleft() if waiting else None,
            lambda frame: ("made", frame),
            lambda frame, told=told: told.append(tuple(frame) if isinstance(frame, tuple | list) else frame),
            lambda told=told: told.append("close"),
        )
        if ended is NEVER:
            raise Mistake(
                tr("the stage never ends, though get returned None"),
                tr("A frame may be 0 or empty; only None is the end: is not None."),
            )
        expected = [*(("made", frame) for frame in frames), "close"]
        if told != expected:
            raise Mistake(
                tr("frames {frames}: {expected}, got {told}", frames=frames, expected=expected, told=told),
                _stage_hint(told, expected),
            )
    _check_failing_stage(answer)


def _stage_hint(told: list[Any], expected: list[Any]) -> str:
    if "close" not in told:
        return tr("Nobody tells the next stage that no more will come: call close().")
    if told.count("close") > 1 or told[-1] != "close":
        return tr("close() comes once, after the last frame.")
    if len(told) < len(expected):
        return tr("A frame may be 0 or empty; only None is the end: is not None.")
    return tr("Put what work makes of each frame, each frame once.")


def _check_failing_stage(answer: Callable[..., None]) -> None:
    """A work that raises an exception: the stage behind must not wait for ever."""
    told: list[str] = []

    def fail(frame: Any) -> None:
        raise _Broken("unworkable")

    waiting = deque([1, 2])
    given = (
        lambda: waiting.popleft() if waiting else None,
        fail,
        lambda frame: told.append("put"),
        lambda: told.append("close"),
    )
    try:
        ended = _within_patience(answer, *given)
    except Exception as error:
        if "unworkable" not in str(error):
            raise
    else:
        told.append("endless" if ended is NEVER else "hidden")
    if told != ["close"]:
        raise Mistake(
            tr("work fails on the first frame: {expected}, got {told}", expected=["close"], told=told),
            tr("Do not catch the exception: with finally, close() is called and the error is still seen.")
            if "hidden" in told
            else tr("When work fails, the stage behind waits for ever: call close() in a finally."),
        )
