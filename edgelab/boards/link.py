"""The link to a board: the system's own ssh, one connection for all that one command does there.

The first ssh is the *master*; what is run later goes through it and needs no new handshake (where ssh knows
control sockets: not on Windows). Host keys are checked always. Whatever runs on the board runs under
`keeper`, which we send along, and ends with the link. After labgrid's ssh driver, with host key checking on.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import queue
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgelab.boards import facts, keeper, registry
from edgelab.boards.registry import Board
from edgelab.boards.ssh_words import LinkError, broken, link_error
from edgelab.errors import TargetError
from edgelab.machine import child
from edgelab.texts import tr

CONNECT_S, ANSWER_S = 10, 30.0
BEAT_S = 2.0  # we are heard at least so often
SILENCE_S = 20.0  # after so much silence the board ends what it runs for us
STALLED_S = 60.0  # a copy that does not move for so long has failed
PIECE = 1 << 16
READY = "edgelab-ready"
# What the board's Python runs: our keeper, whose length stands in it, and which comes first through the link.
START = (
    "import os\ns=b''\nwhile len(s)<{size}:\n d=os.read(0,{size}-len(s))\n"
    " if not d: raise SystemExit(1)\n s+=d\nexec(compile(s,'keeper','exec'))"
)
OPTIONS = (
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    f"ConnectTimeout={CONNECT_S}",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "EscapeChar=none",
)


def ssh_program() -> str:
    """The path of ssh.

    Raises:
        TargetError: there is none.
    """
    if found := shutil.which("ssh"):
        return found
    raise TargetError(
        tr("ssh is not installed here."),
        why=tr("boards are reached through it"),
        fix=tr("Debian, Ubuntu: sudo apt install openssh-client; Windows: Settings, Optional features"),
    )


def known_hosts_option(*first: Path) -> str:
    """The option that names the files of host keys: those given, ours, and the user's own."""
    own = [Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2")]
    files = [*first, registry.folder() / "known_hosts", *(path.expanduser() for path in own)]
    return "UserKnownHostsFile=" + " ".join(f'"{path.as_posix()}"' for path in files)


def options(board: Board, *, asks: bool) -> list[str]:
    """The options of every ssh to a board.

    Args:
        board: whose own options come first: of one option ssh takes the first.
        asks: whether ssh may ask the user for a password or the phrase of a key, at the terminal.
    """
    batch = f"BatchMode={'no' if asks else 'yes'}"
    flags = [
        part for option in (*board.options, known_hosts_option(), *OPTIONS, batch) for part in ("-o", option)
    ]
    _, port = board.address
    return [*flags, *(["-p", str(port)] if port else [])]


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
                view = view[self._process.stdin.write(view) :]

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError, ValueError):
                self._write(keeper.HEADER.pack(keeper.BEAT, 0))

    def _receive(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._process.stdout.read(PIECE):
                self._chunks.put(data)
        self._chunks.put(None)

    def send(self, data: bytes, told: Callable[[int], None] = lambda _: None) -> None:
        """Data for the program there, in messages; `told` is called with the bytes of each.

        Raises:
            LinkError: the link broke.
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
            raise _refusal(self.board, found)
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
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        try:
            self._process.wait(3.0 if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            child.kill_tree(self._process)
        with contextlib.suppress(OSError, ValueError):
            self._process.stdout.close()
        self._stderr.close()


def _refusal(board: Board, found: dict[str, Any]) -> TargetError:
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


class Link:
    """An open link to a board; a context manager that ends it, and all that runs there for us.

    Args:
        board: which.
        asks: whether ssh may ask the user for a password at the terminal; it is kept nowhere.

    Raises:
        LinkError: it cannot be made.
    """

    def __init__(self, board: Board, *, asks: bool = False) -> None:
        if board.uses_adb:
            raise TargetError(
                tr("{name} is reached by adb, which `board check` alone can use so far.", name=board.name),
                fix=tr(
                    "for a phone, chapter 15 makes the app that measures; or an ssh server on it (Termux)"
                ),
            )
        self.board, self.python = board, ""
        self._ssh, self._asks = ssh_program(), asks
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-")
        self._socket = [] if os.name == "nt" else ["-o", f"ControlPath={self._folder.name}/s"]
        self._channels: list[Channel] = []
        ours = [] if os.name == "nt" else ["-o", "ControlMaster=yes", "-o", "ControlPersist=no"]
        script = f"echo {READY}; exec cat >/dev/null"
        self.master = Channel(board, self._command(script, *ours, asks=asks), beats=False)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _command(self, script: str, *more: str, asks: bool = False) -> list[str]:
        host, _ = self.board.address
        return [self._ssh, *more, *self._socket, *options(self.board, asks=asks), "--", host, script]

    def _wait_until_ready(self) -> None:
        limit_s = 120.0 if self._asks else CONNECT_S + 10.0
        deadline = time.monotonic() + limit_s
        try:
            while self.master.line(max(0.1, deadline - time.monotonic())) != READY:
                pass
        except LinkError as error:
            words = self.master.words()
            if self.master.is_open:
                raise error
            raise link_error(self.board, words) from None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything there, then the connection."""
        for channel in reversed(self._channels):
            channel.close()
        self._channels.clear()
        self.master.close()
        self._folder.cleanup()

    def shell(self, script: str, limit_s: float = ANSWER_S) -> str:
        """What a script prints, run by the board's `sh`; its exit code does not count.

        Raises:
            LinkError: the link broke, or it took too long.
        """
        channel = self._open(Channel(self.board, self._run(f"exec sh -c {shlex.quote(script)}"), beats=False))
        try:
            printed = "\n".join(channel.lines(limit_s))
            channel.returncode()
            return printed
        finally:
            self._ended(channel)

    def _run(self, script: str) -> list[str]:
        if os.name != "nt" and not self.master.is_open:
            raise broken(self.board)
        if os.name == "nt":
            return self._command(script, asks=self._asks)
        # Where the master is gone, ssh would connect anew by itself: to a board that may be another's by now.
        return self._command(script, "-o", "ProxyCommand=false")

    def _open(self, channel: Channel) -> Channel:
        self._channels.append(channel)
        return channel

    def _ended(self, channel: Channel) -> None:
        channel.close()
        self._channels.remove(channel)

    def keeper(self, verb: str, *arguments: str) -> Channel:
        """A verb of the keeper, begun on the board; `self.python` names the Python there.

        Raises:
            TargetError: no Python is known there.
        """
        if not self.python:
            raise TargetError(
                tr("No Python 3 was found on {name}.", name=self.board.name),
                fix=tr("install it there: sudo apt install python3"),
            )
        source = Path(keeper.__file__).read_bytes()
        words = [self.python, "-u", "-c", START.format(size=len(source)), f"{SILENCE_S:g}", verb, *arguments]
        return self._open(Channel(self.board, self._run("exec " + shlex.join(words)), source))

    @contextmanager
    def running(self, verb: str, *arguments: str) -> Iterator[Channel]:
        """The same, ended with the block."""
        channel = self.keeper(verb, *arguments)
        try:
            yield channel
        finally:
            self._ended(channel)

    def facts(self) -> facts.Facts:
        """What the board is; its Python is used from here on.

        Raises:
            LinkError: the link broke.
        """
        found = facts.parse(self.shell(facts.SCRIPT))
        self.python = found.python
        return found

    def state(self) -> facts.State:
        """How it is doing now.

        Raises:
            LinkError: the link broke.
        """
        return facts.parse_state(self.shell(facts.STATE_SCRIPT))

    def hold_lock(self) -> None:
        """Take the board for us alone, until the link ends.

        Raises:
            TargetError: somebody else has it; tells who, and since when.
        """
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        channel = self.keeper("hold", who)
        found = channel.answer()
        if "busy" in found:
            self._ended(channel)
            raise _in_use(self.board, found)

    def put(self, data: bytes, path: str, told: Callable[[int], None] = lambda _: None) -> None:
        """Write a file there, whole or not at all; `told` hears of every piece.

        Raises:
            TargetError: no space or no permission there, or the link broke.
        """
        digest = hashlib.sha256(data).hexdigest()
        with self.running("put", path, str(len(data)), digest) as channel:
            channel.answer()
            channel.send(data, told)
            channel.answer(STALLED_S)

    def get(self, path: str) -> bytes:
        """A file from there.

        Raises:
            TargetError: it cannot be read, arrived damaged, or the link broke.
        """
        with self.running("get", path) as channel:
            found = channel.answer()
            data = channel.exactly(int(found["size"]))
            if hashlib.sha256(data).hexdigest() != found["sha256"]:
                raise _refusal(self.board, {"error": "damaged"})
            return data

    def verb(self, name: str, *arguments: str) -> dict[str, Any]:
        """Unpack or remove something there; what the keeper says to it.

        Raises:
            TargetError: it cannot, or the link broke.
        """
        with self.running(name, *arguments) as channel:
            return channel.answer(STALLED_S)


def _in_use(board: Board, found: dict[str, Any]) -> TargetError:
    since = tr("since it began")
    if found.get("at"):
        clock = time.strftime("%H:%M", time.localtime(time.time() - found["since_s"]))
        since = tr("since {clock}, {minutes:.0f} min", clock=clock, minutes=found["since_s"] / 60)
    return TargetError(
        tr(
            "{name} is in use by {who} {since}.",
            name=board.name,
            who=found["busy"] or tr("somebody"),
            since=since,
        ),
        why=tr("two measurements at once would disturb each other"),
        fix=tr("wait and run the same command again: the board is free as soon as that link ends"),
    )
