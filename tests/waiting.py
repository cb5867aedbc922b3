"""For tests that wait for others: until something is true, and whether a process still runs."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil


def wait_for(condition: Callable, limit_s: float = 60.0):
    """What the condition gives as soon as it is true; fails when it never is."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
    return found


def runs(process: int | psutil.Process) -> bool:
    """Whether it is there, as more than the record of how it ended.

    Args:
        process: its number or itself; psutil knows by the time of the start if another has the number now.
    """
    try:
        known = psutil.Process(process) if isinstance(process, int) else process
        return known.is_running() and known.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_with(word: str, among: Iterable[psutil.Process] | None = None) -> list[psutil.Process]:
    """Processes with the word as an argument or as the last part of one that is a path.

    A process that has begun this moment shows no arguments yet.

    Args:
        word: looked for.
        among: these; None is all of this machine, those of other tests too, so the word is one of its own.
    """
    found = []
    for process in psutil.process_iter() if among is None else among:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie counts as the former
            if any(word in (argument, Path(argument).name) for argument in process.cmdline()):
                found.append(process)
    return found


def children_with(word: str) -> list[psutil.Process]:
    """Those that this process has started, or they in turn, that have the word as an argument."""
    return running_with(word, psutil.Process().children(recursive=True))


def running_in(name: str, value: str) -> list[psutil.Process]:
    """Processes with this variable in the environment that they were started with."""
    return [process for process, variables in _environments() if variables.get(name) == value]


def _environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            yield process, process.environ()


@contextlib.contextmanager
def leaving_nothing_running() -> Iterator[None]:
    """What is started inside, and what that starts, ends with the block or soon after.

    It is known by a mark in PATH, which also those inherit that get few variables.
    """
    path, mark = os.environ["PATH"], secrets.token_hex(8)
    os.environ["PATH"] = f"{path}{os.pathsep}{mark}"
    try:
        yield
    finally:
        os.environ["PATH"] = path
    wait_for(lambda: not [process for process, had in _environments() if mark in had.get("PATH", "")])
