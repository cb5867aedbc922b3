"""A few processes that work together and tell what they do; none outlives the block that started it.

On Linux and macOS they are forked from a server that has loaded TensorFlow once, and has not used it: a
worker is there in a tenth of a second instead of ten. On Windows each loads it itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

import psutil

from edgelab.errors import TargetError
from edgelab.machine import quiet
from edgelab.texts import tr

LOADED_ONCE = ["tensorflow", "keras"]  # by the server, before it forks a worker
HOST = "127.0.0.1"
TIME_TO_END_S = 5.0


@dataclass(frozen=True)
class Message:
    """What one worker told.

    Attributes:
        worker: its number, as `Crew.start` gave it.
        facts: by name. `{"error": …}` is its last word where it failed, `{"ended": exit code}` comes after
            the last word of each; the code is below 0 where a signal ended it.
        seconds: since the crew began.
    """

    worker: int
    facts: dict[str, Any]
    seconds: float


class Crew:
    """Workers, each a process with a pipe to us. Leaving the block ends them, whatever they do.

    A worker is a function of a module, called with `tell` and its arguments; `tell(name=value)` sends what
    can be pickled. It ends by itself when this process is gone.
    """

    def __init__(self) -> None:
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._pipes: dict[connection.Connection, int] = {}
        self._started = time.perf_counter()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, function: Callable[..., None], *args: Any) -> int:
        """Start a worker; its number, from 0."""
        ours, theirs = _context().Pipe(duplex=False)
        process = _context().Process(target=_work, args=(function, args, theirs), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        self._pipes[ours] = len(self._processes) - 1
        return self._pipes[ours]

    def kill(self, worker: int) -> None:
        """End it at once, as the power cut does: it can put nothing in order."""
        process = self._processes[worker]
        if process.is_alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()

    def messages(self, time_limit_s: float) -> Iterator[Message]:
        """What the workers tell, in the order it comes, until all have ended.

        Args:
            time_limit_s: for all of it together; after that they are ended.

        Raises:
            TargetError: it took longer.
        """
        ends = time.perf_counter() + time_limit_s
        while self._pipes:
            ready = connection.wait(list(self._pipes), max(0.0, ends - time.perf_counter()))
            if not ready:
                self.close()
                raise TargetError(
                    tr("The workers did not finish within {time_limit_s:g} s.", time_limit_s=time_limit_s),
                    why=tr("one waits for another that is gone, or this machine is very busy"),
                    fix=tr("run the cell again when nothing else runs"),
                )
            for pipe in ready:
                worker = self._pipes[pipe]
                try:
                    facts = pipe.recv()
                except (EOFError, OSError):
                    facts = {"ended": self._exit_code(worker)}
                    del self._pipes[pipe]
                    pipe.close()
                yield Message(worker, facts, time.perf_counter() - self._started)

    def _exit_code(self, worker: int) -> int | None:
        self._processes[worker].join(TIME_TO_END_S)
        return self._processes[worker].exitcode

    def close(self) -> None:
        """End all that still work. A second call does nothing."""
        for worker in range(len(self._processes)):
            self.kill(worker)
        for process in self._processes:
            process.join(TIME_TO_END_S)
        for pipe in self._pipes:
            pipe.close()
        self._pipes.clear()


def prepare() -> None:
    """Let the server load TensorFlow while something else is done; without this the first worker waits."""
    _context()


def run_all(
    function: Callable[..., None], *arguments: tuple[Any, ...], time_limit_s: float = 120.0
) -> list[dict[str, Any]]:
    """Let one worker for each of the `arguments` call the function, all at the same time; what each told.

    Returns:
        All facts of a worker in one dictionary; where it failed, its last word is under "error".
    """
    told: list[dict[str, Any]] = [{} for _ in arguments]
    with Crew() as crew:
        for args in arguments:
            crew.start(function, *args)
        for message in crew.messages(time_limit_s):
            told[message.worker].update(message.facts)
    return told


def free_addresses(count: int) -> list[str]:
    """Addresses on this machine that nobody listens at, such as "127.0.0.1:41234"."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [f"{HOST}:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    from multiprocessing import forkserver

    with quiet.native_stderr():  # the server keeps the stderr it is born with
        forkserver.ensure_running()
    return context


def _work(function: Callable[..., None], args: tuple, pipe: connection.Connection) -> None:
    """In the worker: call the function, tell what went wrong, end with the parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _drop_output()
    lock = threading.Lock()

    def tell(**facts: Any) -> None:
        with lock:
            pipe.send(facts)

    failed = False
    try:
        function(tell, *args)
    except Exception as error:
        failed = True
        first = (str(error).strip() or "-").splitlines()[0]
        with contextlib.suppress(OSError):
            tell(error=f"{type(error).__name__}: {first[:300]}")
    pipe.close()
    os._exit(1 if failed else 0)  # native threads of a broken collective would hang an orderly end


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _drop_output() -> None:
    """What native code logs when its neighbour dies belongs in no lesson; errors come as messages."""
    sys.stdout.flush()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
