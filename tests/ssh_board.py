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
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ports import free_port
from waiting import running_in, running_with

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


# Nothing can be written into a real /sys: name spaces of its own show another one to what is run in them.
SYSFS = """#!/bin/sh
if [ "$BESIDE_SYSFS" != 1 ]; then
  BESIDE_SYSFS=1 exec unshare --user --map-root-user --mount "$0" "$@"
fi
mount --rbind /sys/devices "{tree}/devices" && mount --rbind "{tree}" /sys && exec {program} "$@"
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
        self.port, self.fingerprint = free_port(), make_key(folder / "host_key")
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

    def running(self, program: str) -> list[psutil.Process]:
        """What of this program runs on this board."""
        return running_with(program, running_in("BOARD_HOME", str(self.home)))

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


def beside_sysfs(tree: Path, program: str = "") -> Path:
    """A program that runs another one beside a /sys of files, with this machine's processors in it.

    Args:
        tree: the files, such as `class/hwmon/hwmon0/name`.
        program: that is run; "" runs what is given as arguments.
    """
    (tree / "devices").mkdir(parents=True, exist_ok=True)
    path = tree.with_name(f"{tree.name}.sh")
    path.write_text(SYSFS.format(tree=tree, program=f'"{program}"' if program else ""))
    path.chmod(0o755)
    tried = subprocess.run([path, "true"] if not program else [path, ":"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no /sys of files here: {tried.stderr.strip()}")
    return path


def write_power_sensor(
    tree: Path, rail: str = "VDD_IN", millivolts: int = 5000, milliamperes: int = 400
) -> None:
    """An INA3221 as its driver shows it, with one rail, whose power never changes."""
    chip = tree / "class" / "hwmon" / "hwmon3"
    chip.mkdir(parents=True)
    texts = {"name": "ina3221", "in1_label": rail, "in1_input": millivolts, "curr1_input": milliamperes}
    for name, text in texts.items():
        (chip / name).write_text(f"{text}\n")


def where_emulated() -> Path:
    """The folder of the emulated board; without one the test is skipped."""
    place = Path(os.environ.get("EDGELAB_EMULATED_BOARD", "") or "none")
    if not (place / "made").exists():
        pytest.skip(
            "no emulated board: tools/make_emulated_board.py makes one, EDGELAB_EMULATED_BOARD names it"
        )
    return place


@contextlib.contextmanager
def emulated_board(folder: Path, name: str = "arm", sysfs: Path | None = None) -> Iterator[Board]:
    """An Arm board under emulation, added, with a home of its own: others may use theirs meanwhile.

    Its kit lasts from one test run to the next.

    Args:
        folder: for the server's keys.
        name: it is added under.
        sysfs: files that it sees as /sys.
    """
    place = where_emulated()
    enter = place / "enter"
    with tempfile.TemporaryDirectory(prefix="home-", dir=place) as home:
        # Links to the files of the kit, which nothing writes to.
        others = shutil.ignore_patterns("jobs")
        shutil.copytree(
            place / "home",
            home,
            symlinks=True,
            ignore=others,
            copy_function=os.link,
            dirs_exist_ok=True,
        )
        server = SshBoard(folder, Path(home), enter=beside_sysfs(sysfs, str(enter)) if sysfs else enter)
        try:
            board = server.added(name)
            if remote.check(board).kit is None:
                pytest.skip("the emulated board lacks this version of the kit: .ci/run sets it up")
            yield board
        finally:
            server.stop()
