"""A student's answer as the checks see it: plain values, and functions that run in a process of their own."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgelab.grading import wire
from edgelab.machine import artifacts, child

HIDDEN = {"exercises"}  # the checks know what is right
# No limit of the kernel holds for root's threads. A simulated GPU has 1024 in a block at most.
MOST_THREADS, LOOK_EVERY_S = 2000, 0.1
SYSTEM_FILES = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")


@dataclass(frozen=True)
class Limits:
    """What the answer of one exercise may use.

    Attributes:
        cpu_s: seconds of processor time.
        wall_s: seconds on the clock.
        memory_bytes: of address space.
    """

    cpu_s: int = 10
    wall_s: float = 40.0
    memory_bytes: int = 2 << 30


class AnswerError(Exception):
    """The student's code raised an exception, or its process ended.

    Attributes:
        ended: the process is gone, so nothing more can be asked.
    """

    def __init__(self, message: str, *, ended: bool = False) -> None:
        self.ended = ended
        super().__init__(message)


def readable_files() -> tuple[list[str], list[str]]:
    """What a student's process may read, and what it may list: Python, and the course without its answers."""
    package = artifacts.PROJECT_ROOT / "edgelab"
    course = [path for path in package.iterdir() if path.name not in HIDDEN]
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()}
    # An environment's lib folder may be a link to somewhere else.
    python |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    paths = [*python, *course, artifacts.PROJECT_ROOT / "data", *map(Path, SYSTEM_FILES)]
    return [str(path) for path in paths], [str(package)]


class Function:
    """A function of the student's: calling it calls the one in the other process."""

    def __init__(self, sandbox: Sandbox, number: int) -> None:
        self._sandbox, self._number = sandbox, number

    def __repr__(self) -> str:
        return "a function"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - as the class says
        return self._sandbox.call(self._number, args, kwargs)

    def __getitem__(self, launch: Any) -> Callable[..., Any]:
        """The function as a GPU kernel: `function[blocks, threads](…)`."""
        return lambda *args: self._sandbox.call(self._number, args, {}, launch=launch)

    def counted(self, blocks: Any, threads: Any, *args: Any) -> Any:
        """The function as a GPU kernel whose loads, stores and sectors are counted, as `counted.run` does."""
        return self._sandbox.call(self._number, args, {}, launch=(blocks, threads), count=True)


class Sandbox:
    """The process of one answer. Use it as a context manager: at the end nothing of it is left.

    Args:
        source: the student's cell.
        answer: the expression that the check looks at.
        statements: what the chapter defines before, as far as the cell needs it.
        limits: what it may use.
        locked: False runs it without protection.
    """

    def __init__(
        self, source: str, answer: str, statements: list[str], limits: Limits, *, locked: bool = True
    ) -> None:
        self.fault = ""
        self._limits, self._functions = limits, []
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-grade-")
        environment = {
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "HOME": self._folder.name,
            "TMPDIR": self._folder.name,
            "NUMBA_ENABLE_CUDASIM": "1",
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ},
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgelab.grading.sandbox"],
            cwd=self._folder.name,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._lines: queue.Queue[bytes] = queue.Queue(maxsize=4)
        self._messages: queue.Queue[bytes] = queue.Queue(maxsize=4)
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()
        readable, listable = readable_files()
        self._task = {
            "source": source,
            "answer": answer,
            "statements": statements,
            "locked": locked,
            "readable": readable,
            "listable": listable,
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
        }
        self._deadline = 0.0

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        child.kill_tree(self._process)
        self._messages.put(b"")  # with the process gone, what waits before it is dropped at once
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _read(self) -> None:
        with self._process.stdout as output, contextlib.suppress(OSError):
            while line := output.readline(wire.LONGEST_MESSAGE_BYTES + 1):
                self._lines.put(line)
        self._lines.put(b"")

    def _write(self) -> None:
        """In a thread of its own: a process that does not read must hold up nobody but this."""
        while message := self._messages.get():
            with contextlib.suppress(ValueError, OSError):  # it died: the end of its output tells
                self._process.stdin.write(message)
                self._process.stdin.flush()

    def _end(self, reason: str) -> AnswerError:
        self.fault = self.fault or reason
        child.kill_tree(self._process)
        return AnswerError(self.fault, ended=True)

    def _send(self, message: dict[str, Any]) -> None:
        line, left_s = wire.to_line(message), self._deadline - time.monotonic()
        try:
            self._messages.put(line, timeout=max(0.0, left_s))
        except queue.Full:
            raise self._end(self._too_late()) from None

    def _too_late(self) -> str:
        return f"gave no answer within {self._limits.wall_s:g} s"

    def _next_line(self) -> bytes:
        while (left_s := self._deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return self._lines.get(timeout=min(left_s, LOOK_EVERY_S))
            with contextlib.suppress(psutil.Error):  # it has ended; the next look finds the end of its output
                if psutil.Process(self._process.pid).num_threads() > MOST_THREADS:
                    raise self._end(f"started more than {MOST_THREADS} threads")
        raise self._end(self._too_late())

    def _receive(self) -> dict[str, Any]:
        if self.fault:
            raise AnswerError(self.fault, ended=True)
        line = self._next_line()
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            raise self._end(self._how_it_ended())
        if not line.endswith(b"\n"):
            raise self._end("sent more than can be graded")
        try:
            return wire.from_line(line)
        except wire.WireError as error:
            raise self._end(f"sent {error}") from error

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None or code >= 0:
            return f"ended its process with exit code {code}"
        if -code in (signal.SIGXCPU, signal.SIGKILL):
            return f"used more than {self._limits.cpu_s} s of processor time"
        return f"crashed its process ({signal.Signals(-code).name})"

    def _value(self, reply: dict[str, Any]) -> Any:
        """The value of a reply.

        Raises:
            AnswerError: it cannot be read.
            BaseException: the exception that the student's code raised, if it is one of Python's own.
        """
        try:
            if "error" in reply:
                raise self._error(reply["error"])
            return wire.decode(reply["value"], lambda number: Function(self, number))
        except (wire.WireError, KeyError, TypeError, ValueError) as error:
            if getattr(error, "of_student", False):
                raise
            text = str(error) if isinstance(error, wire.WireError) else "not a value that can be graded"
            raise self._end(f"sent {text}") from error

    def _error(self, facts: dict[str, Any]) -> BaseException:
        name, message = str(facts["name"])[:80], str(facts["message"])[:500]
        error = wire.make_error(name, message)
        where = f"line {int(facts['line'])}: {facts['source']!s:.200} – " if facts["line"] else ""
        # What cannot travel is no fault of a line, and its name means nothing to a student.
        error.of_student = message if name == "WireError" else f"{where}{name}: {message}".rstrip(": ")
        return error

    def answer(self) -> Any:
        """Run the student's cell, and give the answer as a value, a function, or a container of such.

        Raises:
            AnswerError: the process ended, or sent what cannot be read.
            BaseException: what the cell raised.
        """
        self._deadline = time.monotonic() + self._limits.wall_s
        self._send(self._task)
        return self._value(self._receive())

    def call(
        self, number: int, args: tuple, kwargs: dict[str, Any], *, launch: Any = None, count: bool = False
    ) -> Any:
        """Call one of the student's functions; arguments changed in place are changed here too."""
        encoded = [self._encoded(argument) for argument in args]
        message = {
            "call": number,
            "args": encoded,
            "kwargs": {k: self._encoded(v) for k, v in kwargs.items()},
        }
        if launch is not None:
            message["launch"] = list(launch) if isinstance(launch, tuple) else [launch]
            message["count"] = count
        self._send(message)
        while "callback" in (reply := self._receive()):
            self._send(self._called_back(reply))
        changed = reply.get("changed") or {}
        for index, argument in enumerate(args):
            if isinstance(changed, dict) and str(index) in changed:
                _change(argument, self._value({"value": changed[str(index)]}))
        return self._value(reply)

    def _encoded(self, value: Any) -> Any:
        def number(function: Callable) -> int:
            self._functions.append(function)
            return len(self._functions) - 1

        return wire.encode(value, number, records=True)

    def _called_back(self, request: dict[str, Any]) -> dict[str, Any]:
        """The student's code calls a function that the check has given it."""
        try:
            function = self._functions[int(request["callback"])]
            arguments = [self._value({"value": argument}) for argument in request["args"]]
        except (KeyError, TypeError, ValueError, IndexError):
            raise self._end("sent a call that cannot be read") from None
        try:
            return {"value": self._encoded(function(*arguments))}
        except AnswerError:
            raise
        except BaseException as error:
            return {"error": {"name": type(error).__name__, "message": str(error)[:500]}}


def _change(argument: Any, new: Any) -> None:
    """Give an argument the content that the student's code gave to its copy."""
    if hasattr(argument, "copy_to_device") and hasattr(new, "copy_to_host"):
        argument.copy_to_device(new.copy_to_host())
    elif isinstance(argument, np.ndarray) and isinstance(new, np.ndarray):
        if argument.shape == new.shape and argument.flags.writeable:
            argument[...] = new
    elif type(argument) is type(new) and hasattr(argument, "clear"):
        argument.clear()
        (argument.update if isinstance(argument, dict | set) else argument.extend)(new)
