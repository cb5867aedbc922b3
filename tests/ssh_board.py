"""A board for tests: a real ssh server on the loopback interface, with keys and a home folder of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgelab.boards import host_keys, registry, remote
from edgelab.boards.registry import Board

SSHD = shutil.which("sshd") or next(
    (path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if Path(path).exists()), None
)
START_S = 20.0
CONFIG = """ListenAddress 127.0.0.1
Port {port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/user_key.pub"
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PidFile none
LogLevel ERROR
MaxStartups 100
SetEnv {environment}
ForceCommand {command}
"""


def missing() -> str:
    """Why there can be no such board here; "" where there can."""
    if sys.platform != "linux":
        return "the test's ssh server is made for Linux"
    if SSHD is None or not all(map(shutil.which, ("ssh", "ssh-keygen"))):
        return "OpenSSH's server or client is not installed"
    if os.getuid() == 0 and not Path("/run/sshd").exists():
        try:
            Path("/run/sshd").mkdir(mode=0o755)
        except OSError as error:
            return f"/run/sshd: {error}"
    return ""


def make_key(path: Path) -> str:
    """A new key at the path; its fingerprint."""
    for old in (path, path.with_name(path.name + ".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True, text=True)
    return told.stdout.split()[1]


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class SshBoard:
    """An ssh server, and what whoever logs in finds.

    Args:
        folder: for its keys; short, in a folder of its own.
        home: the home folder there.
        enter: the program that runs a shell command on an emulated board; None is this machine's own.
        wrapped: put before the shell there, such as a limit of some kind.
    """

    def __init__(self, folder: Path, home: Path, *, enter: Path | None = None, wrapped: str = "") -> None:
        if reason := missing():
            pytest.skip(reason)
        self.folder, self.home, self.enter, self.wrapped = folder, home, enter, wrapped
        for place in (folder, folder / "tmp", folder / "bin", home):
            place.mkdir(parents=True, exist_ok=True)
        self.port, self.fingerprint = _free_port(), make_key(folder / "host_key")
        make_key(folder / "user_key")
        python = folder / "bin" / "python3"
        real = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} "$@"\n')
        python.chmod(0o755)
        self.process = None
        self.start()

    def start(self) -> None:
        """Start the server."""
        # bash reads ~/.bashrc for ssh; the home folder of whoever tests is not the board's.
        names = {"HOME": self.home, "BOARD_HOME": self.home, "BOARD_TMP": self.folder / "tmp"}
        if self.enter:
            command = f'exec "{self.enter}" "$SSH_ORIGINAL_COMMAND"'
        else:
            names["TMPDIR"] = self.folder / "tmp"
            path = f'"{self.folder}/bin:/usr/bin:/bin"'
            command = f'cd; PATH={path} exec {self.wrapped} sh -c "$SSH_ORIGINAL_COMMAND"'
        environment = " ".join(f'"{name}={value}"' for name, value in names.items())
        config = self.folder / "sshd_config"
        config.write_text(
            CONFIG.format(port=self.port, folder=self.folder, environment=environment, command=command)
        )
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=self.log)
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            said = (self.folder / "log").read_text(errors="replace")
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and all that is logged in, as when a board loses its power."""
        victims = (
            psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        )
        for victim in [self.process, *victims]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def set_up_anew(self) -> None:
        """The same address, with another host key."""
        self.stop()
        self.fingerprint = make_key(self.folder / "host_key")
        self.start()

    @property
    def destination(self) -> str:
        """As a user types it."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def options(self) -> tuple[str, ...]:
        """Of ssh, with which this board lets one in."""
        return (f"IdentityFile={self.folder}/user_key", "IdentitiesOnly=yes", "IdentityAgent=none")

    def board(self, name: str = "testboard") -> Board:
        """As the package knows it."""
        return Board(name, self.destination, options=self.options)

    def added(self, name: str) -> Board:
        """As the package knows it, once a user has added it."""
        board = self.board(name)
        host_keys.accept(board, host_keys.look(board))
        registry.put(board)
        return board


@contextlib.contextmanager
def emulated_board(folder: Path, name: str = "arm") -> Iterator[Board]:
    """An Arm board under emulation, added; its kit lasts from one test run to the next.

    Args:
        folder: for the server's keys.
        name: it is added under.
    """
    place = os.environ.get("EDGELAB_EMULATED_BOARD", "")
    if not place or not (Path(place) / "made").exists():
        pytest.skip(
            "no emulated board: tools/make_emulated_board.py makes one, EDGELAB_EMULATED_BOARD names it"
        )
    server = SshBoard(folder, Path(place) / "home", enter=Path(place) / "enter")
    try:
        board = server.added(name)
        if remote.check(board).kit is None:
            pytest.skip("the emulated board lacks this version of the kit: .ci/run sets it up")
        yield board
    finally:
        server.stop()


def running_with(word: str) -> list[psutil.Process]:
    """Processes of this machine that have the word among their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in (process.info["cmdline"] or []):
            found.append(process)
    return found


def wait_for(condition, limit_s: float = 30.0) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)
