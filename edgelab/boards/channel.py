"""One program on a board, seen from here: what it is sent, what it says, and how it ended."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgelab.boards import keeper
from edgelab.boards.registry import Board
from edgelab.boards.ssh_words import LinkError, broken, link_error
from edgelab.errors import TargetError
from edgelab.machine import child
from edgelab.texts import tr

ANSWER_S = 30.0
BEAT_S = 2.0  # we are heard at least so often
STALLED_S = 60.0  # a copy that does not move for so long has failed
END_S = 3.0  # it has to end by itself
PIECE = 1 << 16


class Channel:
    """One program on the board, whose input and output are ours; it hears every few seconds that we are here.

    Args:
        board: for errors.
        command: of the local ssh.
        first: what is sent before all else.
        beats: whether the other end is the keeper, which wants to hear from us.
    """

    def __init__(
        self, board: Board, command: Sequence[str], first: bytes = b"", *, beats: bool = True
    ) -> None:
        self.board, self._writing, self._over = board, threading.Lock(), threading.Event()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0
        )
        self._chunks: queue.Queue[bytes | None] = queue.Queue()
        self._kept = bytearray()
        threading.Thread(target=self._receive, daemon=True).start()
        with contextlib.suppress(OSError):  # it ended: whoever reads is told
            self._write(first)
        if beats:
            threading.Thread(target=self._beat, daemon=True).start()

    def _write(self, data: bytes) -> None:
        with self._writing:
            view = memoryview(data)
            while view:
                view = view[self._write_some(view) :]

    def _write_some(self, data: memoryview) -> int:
        """How many bytes were taken. Where none are for too long, ssh is ended, and the write with it."""
        stalled = threading.Timer(STALLED_S, self._process.kill)
        stalled.daemon = True
        stalled.start()
        try:
            return self._process.stdin.write(data[:PIECE])
        finally:
            stalled.cancel()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError, ValueError):
                self._write(keeper.HEADER.pack(keeper.BEAT, 0))

    def _receive(self) -> None:
        # Whoever reads it closes it. Closed by another thread, its number may be the next channel's by the
        # time that this one begins to read: it would take what is not its own.
        with self._process.stdout as output, contextlib.suppress(OSError):
            while data := output.read(PIECE):
                self._chunks.put(data)
        self._chunks.put(None)

    def send(self, data: bytes, told: Callable[[int], None] = lambda _: None) -> None:
        """Data for the program there, in messages; `told` is called with the bytes of each.

        Raises:
            LinkError: the link broke, or nothing is taken any more.
        """
        try:
            for start in range(0, len(data), PIECE):
                piece = data[start : start + PIECE]
                self._write(keeper.HEADER.pack(keeper.DATA, len(piece)) + piece)
                told(len(piece))
        except (OSError, ValueError) as error:
            raise self.failure() from error

    def _more(self, deadline: float) -> bool:
        """Whether more has come; False when the output has ended.

        Raises:
            LinkError: nothing came in time.
        """
        try:
            data = self._chunks.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise LinkError(
                tr("{name} gave no answer in time.", name=self.board.name),
                why=tr("the link is slow or broken, or the board is overloaded"),
                fix=tr("try again; ssh to it by hand and look at `top` and `dmesg`"),
            ) from None
        if data is None:
            self._chunks.put(None)
            return False
        self._kept += data
        return True

    def line(self, limit_s: float = ANSWER_S) -> str:
        """The next line of its output, without its end.

        Raises:
            LinkError: the output ended first, or nothing came in time.
        """
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._kept:
            if not self._more(deadline):
                raise self.failure()
        found, _, rest = bytes(self._kept).partition(b"\n")
        self._kept = bytearray(rest)
        return found.decode("utf-8", "replace").rstrip("\r")

    def exactly(self, size: int, limit_s: float = STALLED_S) -> bytes:
        """So many bytes of its output; the limit holds between two pieces.

        Raises:
            LinkError: the output ended first, or stalls.
        """
        while len(self._kept) < size:
            if not self._more(time.monotonic() + limit_s):
                raise self.failure()
        found = bytes(self._kept[:size])
        del self._kept[:size]
        return found

    def lines(self, limit_s: float) -> Iterator[str]:
        """Every line until the output ends.

        Raises:
            LinkError: nothing came in time.
        """
        deadline = time.monotonic() + limit_s
        while True:
            while b"\n" not in self._kept:
                if not self._more(deadline):
                    if self._kept:
                        yield bytes(self._kept).decode("utf-8", "replace")
                        self._kept.clear()
                    return
            yield self.line(limit_s)

    def answer(self, limit_s: float = ANSWER_S) -> dict[str, Any]:
        """The keeper's next line, as JSON.

        Raises:
            LinkError: it gave none.
            TargetError: it tells of an error there.
        """
        line = self.line(limit_s)
        try:
            found = json.loads(line)
        except ValueError as error:
            raise LinkError(
                tr("{name} says something else than was asked.", name=self.board.name),
                why=line[:200],
                fix=tr("its shell may print on login: let ~/.bashrc print only for a terminal"),
            ) from error
        if "error" in found:
            raise refusal(self.board, found)
        return found

    def returncode(self, limit_s: float = ANSWER_S) -> int:
        """Its exit code.

        Raises:
            LinkError: it has not ended in time, or the link broke.
        """
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise broken(self.board) from None
        if code == 255 or code < 0:  # ssh's own, and one that was killed
            raise self.failure()
        return code

    @property
    def is_open(self) -> bool:
        """Whether the local ssh still runs."""
        return self._process.poll() is None

    def words(self) -> str:
        """What was printed to stderr, by ssh or by the program there."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def failure(self) -> TargetError:
        """Why the output ended early."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        words, code = self.words(), self._process.poll()
        if code in (None, 255) or code < 0:
            return link_error(self.board, words, was_open=True)
        return TargetError(
            tr("What ran on {name} ended with exit code {code}.", name=self.board.name, code=code),
            why=child.last_lines(words) or tr("it said nothing"),
            fix=tr("python -m edgelab board check {name} --install sets it up again", name=self.board.name),
        )

    def close(self) -> None:
        """End it; the keeper there ends what it runs."""
        self._over.set()
        if self._writing.acquire(timeout=END_S):  # else nothing is taken any more; the writer ends with it
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._writing.release()
        try:
            self._process.wait(END_S if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()


def refusal(board: Board, found: dict[str, Any]) -> TargetError:
    """An error that the keeper told of."""
    if found["error"] == "space" or found.get("number") in (28, 122):  # ENOSPC, EDQUOT of Linux
        needed, free = found.get("needed"), found.get("free")
        told = (
            ""
            if needed is None
            else tr(
                "{needed:.1f} MB are needed, {free:.1f} MB are free", needed=needed / 1e6, free=free / 1e6
            )
        )
        return TargetError(
            tr("The card of {name} is full: nothing was written.", name=board.name),
            why=told or str(found.get("words", "")),
            fix=tr(
                "free some space there (du -xh ~ | sort -h | tail; sudo apt clean) and run the command again"
            ),
        )
    if found["error"] == "damaged":
        return TargetError(
            tr("A file arrived damaged on {name}.", name=board.name),
            why=tr("its hash is another"),
            fix=tr("run the command again; if it stays so, test the board's card and memory"),
        )
    return TargetError(
        tr("{name} refuses: {words}.", name=board.name, words=found.get("words", "")),
        why=str(found.get("path", "")),
        fix=tr("look at the rights and the mount (read-only after an error?) of that place on the board"),
    )
