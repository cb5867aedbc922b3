"""Phones by adb: what they are. Models run there in an app (chapter 15); adb's shell has no Python."""

from __future__ import annotations

import shutil
import subprocess
import time

from edgelab.boards import facts, health
from edgelab.boards.registry import Board
from edgelab.errors import TargetError
from edgelab.machine.child import last_lines
from edgelab.texts import tr

ANSWER_S = 30.0


def _shell(board: Board, script: str) -> str:
    """What a script prints on the phone.

    Raises:
        TargetError: adb is missing, or no phone answers.
    """
    program = shutil.which("adb")
    if program is None:
        raise TargetError(
            tr("adb is not installed here."),
            fix=tr("Debian, Ubuntu: sudo apt install adb; elsewhere: Android's platform tools"),
        )
    serial = board.destination.removeprefix("adb:")
    command = [program, *(["-s", serial] if serial else []), "shell", script]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            text=True,
            errors="replace",
        )
        words, code = done.stderr, done.returncode
    except subprocess.TimeoutExpired:
        words, code = tr("no answer within {limit_s:g} s", limit_s=ANSWER_S), 1
    if code:
        raise TargetError(
            tr("No phone answers at {place}.", place=board.destination),
            why=last_lines(words, 2),
            fix=tr(
                "plug it in, switch USB debugging on, allow this computer on its screen; see `adb devices`"
            ),
        )
    return done.stdout


def facts_of(board: Board) -> facts.Facts:
    """What the phone is.

    Raises:
        TargetError: it does not answer.
    """
    return facts.parse(_shell(board, facts.SCRIPT))


def ask(board: Board) -> health.Asked:
    """All that `board check` tells of a phone.

    Raises:
        TargetError: it does not answer.
    """
    found = facts_of(board)
    started = time.perf_counter()
    state = facts.parse_state(_shell(board, facts.STATE_SCRIPT))
    return health.Asked(found, state, None, time.perf_counter() - started, board.destination)
