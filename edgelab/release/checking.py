"""Two processes that judge a release from outside: a report before it is written, a receiver after."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.errors import ModelError
from edgelab.machine import artifacts, child
from edgelab.texts import tr

RECEIVER = Path(__file__).with_name("receiver.py")
MARK = "facts "
TIME_LIMIT_S = 120.0
REPORT_LIMIT_S = 300.0


def received(folder: Path) -> dict[str, Any]:
    """What a receiver finds in a release: `receiver.py` in a fresh interpreter that sees nothing of ours.

    Args:
        folder: of the release.

    Returns:
        "version", "actual" and "promised" checksums by name, "labels", "vectors" (each with "label" and
        "probabilities"), "outputs" (for each model, a row of probabilities per vector) and "tolerance" (for
        each model). A model whose file is not the promised one has no outputs.

    Raises:
        ModelError: it cannot be read to its end.
        TargetError: the interpreter cannot be started, or takes too long.
    """
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-I", RECEIVER, Path(folder).resolve()]
        done = child.run(command, folder=Path(place), time_limit_s=TIME_LIMIT_S)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise ModelError(
            tr("The receiver could not read {folder}.", folder=Path(folder).name),
            why=done.tail.splitlines()[-1] if done.tail else tr("it ended without a word"),
            fix=tr("make the release again"),
        )
    return json.loads(lines[-1].removeprefix(MARK))


@dataclass(frozen=True)
class Verdict:
    """What the gate said.

    Attributes:
        is_met: whether all requirements are met; the exit code of the command says so.
        requirements: each in words, with what was found.
        duration_s: of the command.
    """

    is_met: bool
    requirements: tuple[str, ...]
    duration_s: float


def gate(model: Path, require: str, *, pictures: Path, only: Sequence[str] = ("cpu",)) -> Verdict:
    """Ask `python -m edgelab report MODEL --require …`, as a build server would.

    Args:
        model: the file that is to be released.
        require: conditions such as "size_bytes<700000,accuracy[cpu]>=85%".
        pictures: folder made by `picture_folders`.
        only: targets to ask.

    Raises:
        ModelError: the command could not judge the model.
        TargetError: it cannot be started, or takes too long.
    """
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "edgelab", "report", Path(model).resolve(), "--json"]
        command += [
            "--images",
            (pictures / "pictures").resolve(),
            "--labels",
            (pictures / "labels.txt").resolve(),
        ]
        command += ["--only", ",".join(only), "--require", require, "--out", Path(place) / "report.html"]
        done = child.run(
            command,
            folder=artifacts.PROJECT_ROOT,
            time_limit_s=REPORT_LIMIT_S,
            environment={"EDGELAB_ARTIFACTS": str(artifacts.artifacts_dir())},
        )
    try:
        found = json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError:
        raise ModelError(
            tr("{model} could not be judged.", model=Path(model).name),
            why=done.tail,
            fix=tr("read the message"),
        ) from None
    texts = tuple(one["text"] for one in found["requirements"])
    return Verdict(done.returncode == 0, texts, done.duration_s)
