"""The parent's side of the worker: Rockchip's toolkit in a process and a folder of its own.

Its simulator runs only what it has just built, so the recipe of each file is kept with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.errors import EdgelabError, ModelError, TargetError
from edgelab.machine import artifacts, child, hardware
from edgelab.runtime import ClosesAtEnd, TensorSpec
from edgelab.targets.rknn.log import COLOUR
from edgelab.texts import tr

BUILD_LIMIT_S, START_LIMIT_S, RUN_LIMIT_S = 600.0, 60.0, 60.0
WORKER = Path(__file__).with_name("worker.py")
LOG = "log.txt"
DESCRIPTION = "edgelab-rknn "  # begins the text in a .rknn file that tells what the model takes and gives


@dataclass(frozen=True)
class Recipe:
    """What a `.rknn` file is built from.

    Attributes:
        onnx: the float model's content, images as `[1, C, H, W]`.
        calibration: uint8 `[N, H, W, C]`; None for fp16.
        platform: such as "rk3588".
        mean, std: per channel, subtracted and divided by before the model; None for nothing.
        inputs, outputs: of the model, images as `[1, H, W, C]`.
    """

    onnx: bytes
    calibration: np.ndarray | None
    platform: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def description(self) -> str:
        """Inputs, outputs and platform as text, for the file itself: a board needs no more."""
        about = {"platform": self.platform}
        for name in ("inputs", "outputs"):
            about[name] = [[spec.name, list(spec.shape), str(spec.dtype)] for spec in getattr(self, name)]
        return DESCRIPTION + json.dumps(about)

    def save(self, path: Path) -> None:
        """Write it whole, or not at all."""
        settings = json.dumps([self.description, self.mean, self.std])
        images = {} if self.calibration is None else {"calibration": self.calibration}
        with artifacts.atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, onnx=np.frombuffer(self.onnx, np.uint8), settings=settings, **images)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            description, mean, std = json.loads(str(stored["settings"]))
            platform, inputs, outputs = described(description.encode())
            calibration = stored.get("calibration")
            content = stored["onnx"].tobytes()
        mean, std = (tuple(values) if values else None for values in (mean, std))
        return cls(content, calibration, platform, mean, std, inputs, outputs)


def described(content: bytes) -> tuple[str, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Platform, inputs and outputs, from the description in a `.rknn` file."""
    start = content.find(DESCRIPTION.encode())
    if start < 0:
        raise ModelError(
            tr("The .rknn file does not tell what it takes."),
            why=tr("it was not compiled by edgelab, or it is damaged"),
            fix=tr("compile the .tflite file again: targets.get('rknn').compile(model, out)"),
        )
    text = content[start + len(DESCRIPTION) : start + len(DESCRIPTION) + 65536]
    about, _ = json.JSONDecoder().raw_decode(text.decode("utf-8", errors="replace"))
    inputs, outputs = (
        tuple(TensorSpec(name, tuple(shape), np.dtype(dtype)) for name, shape, dtype in about[side])
        for side in ("inputs", "outputs")
    )
    return about["platform"], inputs, outputs


class Engine(ClosesAtEnd):
    """Rockchip's software in a process and a temporary folder of its own; both go when it is closed.

    Args:
        python: of the environment that holds it.

    Raises:
        TargetError: it cannot be started.
    """

    def __init__(self, python: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-rknn-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        try:
            # -I: a folder that is searched for packages would let our modules pass for the toolkit's.
            command = [python, "-I", WORKER]
            self._worker = child.Worker(
                command,
                folder=self.folder,
                name="Rockchip's toolkit",
                environment={"TMPDIR": str(self.folder)},
            )
        except TargetError:
            self._folder.cleanup()
            raise

    @property
    def log(self) -> str:
        """All that it printed so far."""
        return hardware.text_of(self.folder / LOG)

    def ask(self, what: str, time_limit_s: float, **details: Any) -> dict[str, Any]:
        """Have one step done; a failure is raised as what it is.

        Raises:
            ModelError: the toolkit refuses the model.
            StorageError: the disk is full.
            TargetError: the toolkit died, hung, or is broken.
        """
        try:
            answer = self._worker.ask({"do": what, **details}, time_limit_s)
        except TargetError as error:
            why = "\n".join(filter(None, (error.why, _said(self.log))))
            raise TargetError(error.what, why=why, fix=error.fix) from error
        if "failure" in answer:
            raise self._failed(what, answer)
        return answer

    def _failed(self, what: str, answer: Mapping[str, Any]) -> EdgelabError:
        detail = child.last_lines(answer["detail"], 1)
        if answer["errno"] == errno.ENOSPC or "No space left" in answer["detail"]:
            return artifacts.storage_error(OSError(errno.ENOSPC, detail), self.folder / "model")
        if answer["failure"] in ("ImportError", "ModuleNotFoundError"):
            return TargetError(
                tr("Rockchip's toolkit is only half installed."),
                why=detail,
                fix=tr("rm -rf .venv-rknn, then make rknn"),
            )
        if what in ("build", "export"):
            return ModelError(
                tr("Rockchip's compiler refuses the model."),
                why=f"{detail}\n{_said(self.log)}".strip(),
                fix=tr("look in its log for the operator; edgelab.graph shows where it is in the model"),
            )
        return TargetError(
            # Note: {what} is a step, such as 'build'.
            tr("Rockchip's toolkit failed at {what!r}.", what=what),
            why=f"{detail}\n{_said(self.log)}".strip(),
            fix=tr("open it again"),
        )

    def build(self, recipe: Recipe) -> float:
        """Compile; gives the seconds that it took by itself, without loading the toolkit."""
        onnx = self.folder / "model.onnx"
        with storage(onnx):
            onnx.write_bytes(recipe.onnx)
            details = {"onnx": str(onnx), "platform": recipe.platform, "description": recipe.description}
            if recipe.calibration is not None:
                details["calibration"] = str(self.folder / "calibration.npy")
                np.save(details["calibration"], to_channels_first(recipe.calibration).astype(np.float32))
        return self.ask("build", BUILD_LIMIT_S, mean=recipe.mean, std=recipe.std, **details)["build_s"]

    def close(self) -> None:
        """End it and remove its folder. A second call does nothing."""
        self._worker.close()
        self._folder.cleanup()


@contextlib.contextmanager
def storage(path: Path):
    """A full disk or a folder that cannot be written becomes a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def _said(log: str) -> str:
    """The lines of the toolkit's log that look like errors, or else its last one."""
    lines = [COLOUR.sub("", line).strip() for line in log.replace("\r", "\n").splitlines()]
    errors = [line for line in lines if line.startswith("E ") or "Error:" in line]
    return "\n".join(list(dict.fromkeys(errors))[-3:]) or child.last_lines("\n".join(lines), 1)


def to_channels_first(images: np.ndarray) -> np.ndarray:
    """Images as the toolkit takes them: `[N, C, H, W]`; anything that is no image stays as it is."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.ndim == 4 else images
