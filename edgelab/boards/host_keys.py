"""Host keys: looked at without logging in, shown as fingerprints, accepted once by the user, never by us."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import filelock

from edgelab.boards import link, registry
from edgelab.boards.registry import Board
from edgelab.boards.ssh_words import CHANGED, REFUSED, UNKNOWN, link_error
from edgelab.errors import InputError, TargetError
from edgelab.machine import artifacts
from edgelab.texts import tr

LOOK_S = link.CONNECT_S + 20.0
TIMED_OUT, LET_IN = "Connection timed out", "Permission denied (none needed)"  # in ssh's own words


@dataclass(frozen=True)
class HostKeys:
    """What a board showed.

    Attributes:
        lines: as `known_hosts` holds them.
        fingerprints: "SHA256:... (ED25519)", one a line.
    """

    lines: tuple[str, ...]
    fingerprints: tuple[str, ...]


def is_known(board: Board) -> bool:
    """Whether ssh accepts the key that the board shows now; nobody is logged in.

    Raises:
        LinkError: it does not answer, or shows another key than before.
    """
    words = _without_login(board, [])
    if UNKNOWN.search(words) and not CHANGED.search(words):
        return False
    if not REFUSED.search(words) or CHANGED.search(words):
        raise link_error(board, words)
    return True


def look(board: Board) -> HostKeys:
    """The host key that a board shows; it is noted in a file that is thrown away, and nobody is logged in.

    Raises:
        LinkError: it does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="edgelab-") as folder:
        noted = Path(folder) / "seen"
        files = f'UserKnownHostsFile="{noted.as_posix()}"'
        # Any key is new to an empty file, so this looks and trusts nothing: what it saw goes to the user.
        seen = ["-o", files, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=accept-new"]
        words = _without_login(board, [*seen, "-o", "HashKnownHosts=no"])
        lines = noted.read_text("utf-8").splitlines() if noted.exists() else []
        if not lines:
            raise link_error(board, words)
        told = _ssh_keygen("-l", "-f", str(noted)).splitlines()
    fingerprints = [" ".join((line.split()[1], line.split()[-1])) for line in told if len(line.split()) > 2]
    return HostKeys(tuple(lines), tuple(fingerprints))


def _without_login(board: Board, first: list[str]) -> str:
    """What ssh says when it may try no way to log in."""
    none = ["-o", "PreferredAuthentications=none", "-o", "ControlPath=none", "-o", "LogLevel=INFO"]
    host, _ = board.address
    command = [link.ssh_program(), *first, *none, *link.options(board, asks=False), "--", host, "true"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOOK_S,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    # A server that lets anybody in would say nothing.
    return done.stderr if done.returncode else LET_IN


def _ssh_keygen(*arguments: str) -> str:
    try:
        done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, timeout=20, text=True)
    except OSError as error:
        raise TargetError(
            tr("ssh-keygen cannot be started."),
            why=str(error),
            fix=tr("install OpenSSH's client, of which it is a part"),
        ) from error
    return done.stdout


def accept(board: Board, keys: HostKeys, *, instead: bool = False) -> None:
    """Note the keys as that board's, in our own file; the user's own stays as it is.

    Args:
        board: whose.
        keys: as `look` gave them and the user accepted them.
        instead: forget the keys that our file had for this address.

    Raises:
        StorageError: the configuration cannot be written.
    """
    path = registry.folder() / "known_hosts"
    artifacts.make_folder(path.parent)
    with filelock.FileLock(path.with_name(".known_hosts.lock")):
        kept = path.read_text("utf-8").splitlines() if path.exists() else []
        if instead:
            hosts = {line.split()[0] for line in keys.lines}
            kept = [line for line in kept if line.split()[:1] and line.split()[0] not in hosts]
        with artifacts.atomic_path(path) as temporary:
            temporary.write_text("\n".join([*kept, *keys.lines]) + "\n", "utf-8")


def require(keys: HostKeys, fingerprint: str, board: Board) -> None:
    """Compare with the fingerprint that the user was told elsewhere.

    Raises:
        InputError: it is another.
    """
    if not any(fingerprint in shown.split() for shown in keys.fingerprints):
        raise InputError(
            tr(
                "{name} shows another fingerprint than {fingerprint}.",
                name=board.name,
                fingerprint=fingerprint,
            ),
            why=tr("it shows {shown}", shown=", ".join(keys.fingerprints)),
            fix=tr("read it on the board: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"),
        )
