"""Run foreign programs where they can do no harm: in their own folder, within a time limit, none left behind.

`run` starts a program and waits for it; `Worker` keeps one alive and asks it questions, a line of JSON each.
Vendors' toolchains need both: they crash, hang, print what they like and drop files where they stand.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tqdm.auto import tqdm

from edgelab.errors import TargetError
from edgelab.texts import tr

ANSWER_MARK = "answer "  # native code prints to stdout too; only lines that begin like this count
TAIL_LINES = 8
TIME_TO_END_S = 5.0
SECONDS_BEFORE_CLOCK = 3.0


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself.

    Attributes:
        returncode: 0 by custom for success; below 0 (Linux, macOS) the signal that killed it.
        stdout, stderr: what it printed.
        duration_s: how long it ran.
    """

    returncode: int
    stdout: str
    stderr: str
    duration_s: float

    @property
    def tail(self) -> str:
        """Its last words: the last lines of stderr, or of stdout when stderr is empty."""
        return last_lines(self.stderr) or last_lines(self.stdout)


def last_lines(text: str, count: int = TAIL_LINES) -> str:
    """The last lines that hold anything."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    time_limit_s: float,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end, or end it and all it started when the time is over.

    Args:
        command: the program and its arguments.
        folder: where it runs, and may drop files.
        time_limit_s: after that it is killed.
        environment: variables to add to ours.

    Returns:
        What it printed and how it ended; a failure is for the caller to judge.

    Raises:
        TargetError: it cannot be started, or took too long.
    """
    name = Path(command[0]).name
    started = time.perf_counter()
    process = _start(command, folder, environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        stdout, stderr = process.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        raise TargetError(
            tr("{name} did not finish within {time_limit_s:g} s.", name=name, time_limit_s=time_limit_s),
            why=tr("it hangs, or this machine is very busy"),
            fix=tr("try again when nothing else runs; a model that always hangs it cannot be compiled by it"),
        ) from None
    finally:
        kill_tree(process)
        if os.name != "nt":  # there, threads of `communicate` close what they read
            process.stdout.close()
            process.stderr.close()
    return Finished(process.returncode, stdout, stderr, time.perf_counter() - started)


def _start(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None, **streams: Any
) -> subprocess.Popen:
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            **streams,
        )
    except OSError as error:
        raise TargetError(
            tr("{program} cannot be started.", program=Path(command[0]).name),
            why=error.strerror or str(error),
            fix=tr("install it again, whole; `make targets` tells how"),
        ) from error


def kill_tree(process: subprocess.Popen) -> None:
    """End a process and everything it started; a process that has ended already is no error.

    Its input is closed; what it prints is closed by whoever reads it. Where something that it started lives
    on and holds its output, a thread may wait there for the next line; closing would wait for that thread.
    """
    victims = []
    if process.poll() is None:  # else its number may be another's by now
        victims = _suspended_tree(process.pid)
    process.kill()
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    process.wait()
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _suspended_tree(pid: int) -> list[psutil.Process]:
    """A process and all below it, none of which can start another one any more."""
    suspended: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        while new := [one for one in (top, *top.children(recursive=True)) if one not in suspended]:
            for one in new:
                with contextlib.suppress(psutil.Error):
                    one.suspend()
            suspended += new
    return suspended


class Worker:
    """A program that stays alive and answers questions: a line of JSON in, a marked line of JSON out.

    Its side: read a line from stdin, print `ANSWER_MARK` and a JSON object on one line, flush; end when stdin
    ends. So it ends with us, even when we are killed. What else it prints is no answer.

    Args:
        command: the program and its arguments.
        folder: where it runs, and may drop files.
        name: what errors call it.
        environment: variables to add to ours.

    Raises:
        TargetError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._process = _start(
                command, folder, environment, stdin=subprocess.PIPE, stderr=self._stderr, bufsize=1
            )
        except TargetError:
            self._stderr.close()
            raise
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_answers, args=(self._process, self._answers), daemon=True).start()
        self._ended = weakref.finalize(self, kill_tree, self._process)

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._ended.alive and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended: 0 by itself, below 0 (Linux, macOS) by a signal; None while it runs."""
        return self._process.poll()

    def ask(self, request: Mapping[str, Any], time_limit_s: float) -> dict[str, Any]:
        """Its answer to one question.

        Args:
            request: anything JSON can hold.
            time_limit_s: after that it is killed.

        Raises:
            TargetError: it is closed, died, or took too long. It cannot be asked again then.
        """
        if not self._ended.alive:
            raise TargetError(tr("{name} has been closed.", name=self.name), fix=tr("open the model again"))
        try:
            with contextlib.suppress(OSError):  # it died: the end of its output tells
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            answer = self._answers.get(timeout=time_limit_s)
        except queue.Empty:
            self.close()
            raise TargetError(
                tr(
                    "{name} gave no answer within {time_limit_s:g} s.",
                    name=self.name,
                    time_limit_s=time_limit_s,
                ),
                why=tr("it hangs, or this machine is very busy"),
                fix=tr("try again when nothing else runs"),
            ) from None
        except BaseException:  # an interrupted question leaves an answer that nobody waits for
            self.close()
            raise
        if answer is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(TIME_TO_END_S)
            words = self.last_words()
            self.close()
            raise TargetError(
                tr(
                    "{name} ended with exit code {returncode}.",
                    name=self.name,
                    returncode=self._process.returncode,
                ),
                why=words or tr("it said nothing"),
                fix=tr("open the model again; if it always ends, this model or this installation breaks it"),
            )
        return json.loads(answer)

    def last_words(self) -> str:
        """The last lines it wrote to stderr."""
        self._stderr.seek(0)
        return last_lines(self._stderr.read().decode(errors="replace"))

    def close(self) -> None:
        """End it, gently and then not. A second call does nothing."""
        if not self._ended.alive:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self._process.poll() is not None else TIME_TO_END_S / 10)
        self._ended()
        self._stderr.close()


def _read_answers(process: subprocess.Popen, answers: queue.Queue[str | None]) -> None:
    with process.stdout as output, contextlib.suppress(OSError):
        for line in output:
            text = line[len(ANSWER_MARK) :].strip() if line.startswith(ANSWER_MARK) else ""
            with contextlib.suppress(ValueError):
                if isinstance(json.loads(text), dict):
                    answers.put(text)
    answers.put(None)
    process.wait()  # one that ends by itself leaves no zombie


@contextlib.contextmanager
def clock(description: str) -> Iterator[None]:
    """A clock that appears once the work has taken three seconds, for programs that report no progress.

    Args:
        description: shown before the time.
    """
    ended = threading.Event()
    # The program's noise on stderr is caught, the clock is not.
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stderr:

        def tick() -> None:
            if ended.wait(SECONDS_BEFORE_CLOCK):
                return
            with tqdm(desc=description, bar_format="{desc}: {elapsed}", file=stderr, leave=False) as bar:
                bar.start_t -= SECONDS_BEFORE_CLOCK
                while not ended.wait(0.5):
                    bar.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()


def no_core_dumps() -> None:
    """A child that is made to find out what crashes leaves no file behind when it does."""
    with contextlib.suppress(ImportError):  # Windows has none
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
