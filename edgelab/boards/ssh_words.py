"""What ssh said, as an error that tells what to do: its words, and ours."""

from __future__ import annotations

import re

from edgelab.boards.registry import Board
from edgelab.errors import TargetError
from edgelab.machine.child import last_lines
from edgelab.texts import tr

CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed|REVOKED HOST KEY")
UNKNOWN = re.compile(r"Host key verification failed|No \S+ host key is known for")
REFUSED = re.compile(r"Permission denied|Too many authentication failures|No supported authentication")
NAMELESS = re.compile(r"Could not resolve hostname")
CLOSED = re.compile(r"Connection refused")
SILENT = re.compile(r"timed out|No route to host|Network is unreachable|Host is down|timeout during banner")
NO_SSH = re.compile(r"banner exchange|kex_exchange_identification|Invalid SSH identification")
BROKEN = re.compile(
    r"not responding|Broken pipe|Connection (to .* )?(closed|reset)|client_loop|mux_client|Control socket"
    r"|lost connection"
)


class LinkError(TargetError):
    """The link to a board: it could not be made, or it broke."""


class UnknownHostKeyError(LinkError):
    """The board shows a host key that nobody has accepted yet."""


def host_key_changed(board: Board, words: str = "") -> LinkError:
    """It shows another key than before: it was set up anew, or it is another machine."""
    return LinkError(
        tr("{name} shows another host key than before: nothing was sent to it.", name=board.name),
        why=tr("it was set up anew, its address went to another device, or somebody is in between")
        + (f" ({words})" if words else ""),
        fix=tr(
            "on the board itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Accept the new key if "
            "it shows the same fingerprint: python -m edgelab board add {name} {destination} --new-key",
            name=board.name,
            destination=board.destination,
        ),
    )


def link_error(board: Board, words: str, *, was_open: bool = False) -> LinkError:
    """The error that these last words of ssh mean.

    Args:
        board: that was asked.
        words: what ssh printed to stderr.
        was_open: whether the link had been made before.
    """
    place, tail = board.destination, last_lines(words, 3)
    if CHANGED.search(words):
        return host_key_changed(board)
    if UNKNOWN.search(words):
        return UnknownHostKeyError(
            tr("The host key of {name} has not been accepted here.", name=board.name),
            why=tr("without it nobody knows that {place} is that board", place=place),
            fix=tr("python -m edgelab board add {name} {place}", name=board.name, place=place),
        )
    if REFUSED.search(words):
        return LinkError(
            tr("{name} does not let this account in.", name=board.name),
            why=tail,
            fix=tr(
                "give it your public key once: ssh-copy-id {place} (no key yet: ssh-keygen -t ed25519); from "
                "Windows append the line of .ssh/id_ed25519.pub to .ssh/authorized_keys there",
                place=_ssh_place(board),
            ),
        )
    if was_open:
        return broken(board, tail)
    if NAMELESS.search(words):
        return LinkError(
            tr("Nobody knows the name in {place}.", place=place),
            why=tail,
            fix=tr("try its address (on the board: hostname -I), or NAME.local in the same network"),
        )
    if CLOSED.search(words):
        return LinkError(
            tr("{place} is there, but no ssh server answers.", place=place),
            why=tail,
            fix=tr("start it on the board: sudo systemctl enable --now ssh; or name its port: HOST:2222"),
        )
    if BROKEN.search(words):
        return broken(board, tail)
    if SILENT.search(words):
        return LinkError(
            tr("{place} does not answer.", place=place),
            why=tail,
            fix=tr("is it switched on, booted, in this network? ping it; a board that starts needs a minute"),
        )
    if NO_SSH.search(words):
        return LinkError(
            tr("What answers at {place} is no ssh server, or one that is just starting.", place=place),
            why=tail,
            fix=tr("name the right port; or wait until the board has started"),
        )
    return LinkError(
        tr("The link to {name} cannot be made.", name=board.name),
        why=tail or tr("ssh said nothing"),
        fix=tr("try it by hand, which tells more: ssh -v {place}", place=_ssh_place(board)),
    )


def broken(board: Board, words: str = "") -> LinkError:
    """The link was there and is no more."""
    return LinkError(
        tr("The link to {name} broke.", name=board.name),
        why=words or tr("a cable, the wireless network, the board's power, or it is restarting"),
        fix=tr(
            "run the same command again when it answers: the board has ended what it ran for us, its lock is "
            "free, and nothing here was lost"
        ),
    )


def _ssh_place(board: Board) -> str:
    if board.uses_adb:
        return board.destination
    host, port = board.address
    return f"-p {port} {host}" if port else host
