"""The link to a board: the system's own ssh, one connection for all that one command does there.

The first ssh is the *master*; what is run later goes through it and needs no new handshake (where ssh knows
control sockets: not on Windows). Host keys are checked always. Whatever runs on the board runs under
`keeper`, which we send along, and ends with the link. After labgrid's ssh driver, with host key checking on.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgelab.boards import facts, keeper, registry
from edgelab.boards.channel import ANSWER_S, STALLED_S, Channel, refusal
from edgelab.boards.registry import Board
from edgelab.boards.ssh_words import LinkError, broken, link_error
from edgelab.errors import TargetError
from edgelab.texts import tr

CONNECT_S = 10
SILENCE_S = 20.0  # after so much silence the board ends what it runs for us
READY = "edgelab-ready"
# What the board's Python runs: our keeper, whose length stands in it, and which comes first through the link.
# It ends where the link ends, or falls silent, before the keeper has come whole.
START = (
    "import os,select\ns=b''\nwhile len(s)<{size}:\n"
    " d=os.read(0,{size}-len(s)) if select.select([0],[],[],{silence_s:g})[0] else b''\n"
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
        start = START.format(size=len(source), silence_s=SILENCE_S)
        words = [self.python, "-u", "-c", start, f"{SILENCE_S:g}", verb, *arguments]
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
                raise refusal(self.board, {"error": "damaged"})
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
