"""A board as a target: models are compiled here and run there, in a `Session` like any other.

It stands here and not in `edgelab.targets`: targets know nothing of boards, which use them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgelab import targets
from edgelab.boards import adb, health, registry, remote
from edgelab.boards.session import BoardSession
from edgelab.environment import MISSING, Finding, Report
from edgelab.errors import EdgelabError, InputError, ModelError, TargetError
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.rknn.engine import described
from edgelab.texts import tr

WHY = tr("models run there, and its own clock tells how fast")
DELEGATES = {"cpu": "", "edgetpu": "libedgetpu.so.1"}
NAMES = (*DELEGATES, "rknn")
# What runs on a board, but not through the kit: where it does.
ELSEWHERE = {
    "tensorrt": tr("an engine is built where it runs: chapter 7 on the Jetson itself, or trtexec there"),
}


class BoardTarget:
    """A target whose compiler is here and whose device is on a board. Made by `target`.

    Args:
        name: "cpu", "edgetpu" or "rknn".
        board: as the user added it.
        threads: of the board's CPU.
        chip: of "rknn" alone: what the model is compiled for, such as "rk3588".

    Raises:
        InputError: a chip that is not known, or for a target that takes none.
        TargetError: the board kit does not run that target.
    """

    def __init__(self, name: str, board: registry.Board, threads: int = 1, chip: str = "") -> None:
        if name not in NAMES:
            raise TargetError(
                tr("The board kit does not run {name!r}.", name=name),
                why=tr("it runs .tflite files on the board's CPU or Edge TPU, and .rknn files on its NPU"),
                fix=ELSEWHERE.get(name) or tr("choose from {names}", names=", ".join(NAMES)),
            )
        if chip and name != "rknn":
            raise InputError(
                tr("{name} takes no chip.", name=name), fix=tr('leave it out; "rknn" alone has one')
            )
        self._here = targets.get(name, **({"platform": chip} if chip else {}))
        self.name, self.takes, self.suffix = name, self._here.takes, self._here.suffix
        self.board, self.threads = board, threads

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the compiled file: the board does not."""
        return self._here.settings

    def probe(self) -> Availability:
        """Whether the compiler is here, and whether the board can run what it makes. Asks the board."""
        here, emulated = self._here.probe(), False
        try:
            asked = _asked(self.board)
            found, emulated = health.needed(asked, self.board.name, self.name), bool(asked.facts.emulated)
        except TargetError as error:
            found = (_unreachable(error),)
        missing = tuple(finding for finding in found if finding.status == MISSING)
        there = "; ".join(f"{finding.name}: {finding.detail}" for finding in missing or found)
        fixes = (*(() if here.can_compile else (here.fix,)), *(finding.fix for finding in missing))
        return Availability(
            can_compile=here.can_compile,
            can_run=not missing,
            detail=tr(
                "here: {here}; on {board}: {there}", here=here.detail, board=self.board.name, there=there
            ),
            why_it_matters=WHY,
            fix="; ".join(fixes),
            is_simulated=emulated,
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Compile here, as the target of that name does.

        Raises:
            TargetError, ModelError, StorageError: as its `compile`.
        """
        return self._here.compile(model, out, calibration=calibration)

    def open(self, model: Path | Compiled) -> BoardSession:
        """Open a model on the board, which is in use until the session is closed.

        Args:
            model: what `compile` gave, or a file that was compiled elsewhere.

        Raises:
            ModelError: it cannot be read, is not compiled for the target, or the runtime there refuses it.
            TargetError: the board cannot be reached, is in use, lacks the kit or space.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        if self.name == "rknn":
            return self._open_rknn(path, model.placement if isinstance(model, Compiled) else None)
        placed = self._here.placement_of(model) if self.name == "edgetpu" else None
        return BoardSession(
            self.board,
            path,
            threads=self.threads,
            delegate=DELEGATES[self.name],
            target=self.name,
            placement=placed,
        )

    def _open_rknn(self, path: Path, placement: Placement | None) -> BoardSession:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                tr("Cannot read {path}.", path=path), why=str(error), fix=tr("compile the model again")
            ) from error
        platform, *specs = described(content)
        if platform != self._here.platform:
            raise ModelError(
                tr("{path} was compiled for {chip}.", path=path.name, chip=platform.upper()),
                fix=tr('boards.target("rknn", board, chip="{chip}")', chip=platform),
            )
        return BoardSession(self.board, path, target=self.name, placement=placement, specs=tuple(specs))


def target(name: str, board: str, threads: int = 1, chip: str = "") -> BoardTarget:
    """A target on a board: `boards.target("cpu", "pi5")`, `boards.target("rknn", "rock", chip="rk3566")`.

    Args:
        name: "cpu", "edgetpu" or "rknn".
        board: the name it was added under.
        threads: of the board's CPU.
        chip: of "rknn" alone: what the model is compiled for; "" for an RK3588.

    Raises:
        InputError: no board has that name; a chip that is not known.
        TargetError: the board kit does not run that target.
    """
    return BoardTarget(name, registry.get(board), threads, chip)


def check(board: str) -> Report:
    """What `board check` tells of a board, for a lesson: what is missing is told, never raised.

    Args:
        board: the name it was added under; "" tells how to get one.
    """
    if not board:
        detail = tr("none was named: cells that need one are left out")
        fix = tr('python -m edgelab board add NAME user@host, then BOARD = "NAME" among the parameters')
        return Report((Finding(tr("Board"), MISSING, detail, WHY, fix),))
    try:
        return health.report(_asked(registry.get(board)), board)
    except EdgelabError as error:
        return Report((_unreachable(error),))


def _asked(board: registry.Board) -> health.Asked:
    return adb.ask(board) if board.uses_adb else remote.check(board)


def _unreachable(error: EdgelabError) -> Finding:
    detail = ". ".join(part.rstrip(".") for part in (error.what, error.why) if part)
    return Finding(tr("Board"), MISSING, detail, WHY, error.fix)
