"""A folder of a deployment, read: what each file says, and what the same model answers on this computer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgelab import targets
from edgelab.diagnosis.breaking import shrunk
from edgelab.errors import DataError, EdgelabError
from edgelab.runtime import Session
from edgelab.targets.edgetpu import rules
from edgelab.texts import tr


@dataclass(frozen=True, repr=False)
class Evidence:
    """What a folder holds, side by side with what ought to be there.

    Attributes:
        name: of the folder.
        log: text of `device.log`.
        pixels: uint8 `[N, size, size, 3]`: the pictures of the folder, as the model wants them.
        fed: the same shape: `fed.npy`, what the device handed to the model; N is 0 where it did not.
        reference: float32 `[N, classes]`: what the folder's model answers here to `fed`.
        outputs: the same shape: `outputs.npy`, what the device took for the answers.
        labels: lines of `labels.txt`; `classes`: names in the order of the outputs, as released.
        digest: SHA-256 of `model.tflite`; `released_digest`: that of the file which was released.
        calibration: uint8 or float32 pictures that the ranges were set with.
        placed: operators on the accelerator, and all; by the published rules. `promised_placed`: as released.
        latencies_ms, clocks_mhz: by line of the log. `promised_ms`: as released.
        accuracy: 0 to 1, of the device's answers; nan without any. `promised_accuracy`: as released.
    """

    name: str
    log: str
    pixels: np.ndarray
    fed: np.ndarray
    reference: np.ndarray
    outputs: np.ndarray
    labels: list[str]
    classes: list[str]
    digest: str
    released_digest: str
    calibration: np.ndarray
    placed: tuple[int, int]
    promised_placed: tuple[int, int]
    latencies_ms: np.ndarray
    clocks_mhz: np.ndarray
    promised_ms: float
    accuracy: float
    promised_accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values by name."""
        return asdict(self)

    def __repr__(self) -> str:
        right = "no answers" if np.isnan(self.accuracy) else f"{self.accuracy:.0%} right"
        return f"{self.name}: {right}, {self.promised_accuracy:.0%} promised"


def read(folder: Path) -> Evidence:
    """Everything that a folder tells; its model runs on this computer's CPU.

    Raises:
        DataError: the folder holds no deployment.
    """
    folder = Path(folder)
    if not (folder / "release.json").exists():
        raise DataError(
            tr("There is no deployment in {folder}.", folder=folder.name),
            fix=tr("write one with edgelab.diagnosis.write_all"),
        )
    released = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    frames, truth = _pictures(folder / "pictures", released["classes"])
    pixels = shrunk(frames, released["size"])
    fed, outputs = (_array(folder / name) for name in ("fed.npy", "outputs.npy"))
    log = (folder / "device.log").read_text(encoding="utf-8")
    latencies, clocks = _rows(log)
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    content = (folder / "model.tflite").read_bytes()
    with np.load(folder / "calibration.npz") as kept:
        calibration = kept["pictures"]
    best = outputs.argmax(axis=1) if len(outputs) else ()
    told = [labels[index] if index < len(labels) else "" for index in best]
    return Evidence(
        name=folder.name,
        log=log,
        pixels=pixels,
        fed=fed,
        reference=_answers(folder / "model.tflite", fed),
        outputs=outputs,
        labels=labels,
        classes=released["classes"],
        digest=hashlib.sha256(content).hexdigest(),
        released_digest=released["sha256"],
        calibration=calibration,
        placed=placed(content),
        promised_placed=tuple(released["on_accelerator"]),
        latencies_ms=latencies,
        clocks_mhz=clocks,
        promised_ms=released["latency_ms"],
        accuracy=float(np.mean([a == b for a, b in zip(told, truth, strict=True)])) if told else float("nan"),
        promised_accuracy=released["accuracy"],
    )


def placed(model: bytes) -> tuple[int, int]:
    """Operators that the Edge TPU takes by its published rules, and all of them."""
    found = rules.placement(model)
    return len(found.mapped), len(found.operators)


def raw_outputs(session: Session, fed: np.ndarray) -> np.ndarray:
    """What a model answers to values handed over as they are, dequantized: float32 `[N, classes]`."""
    spec = session.inputs[0]
    rows = [session.run(one[np.newaxis].astype(spec.dtype))[0] for one in fed]
    return session.outputs[0].dequantize(np.concatenate(rows))


def _answers(model: Path, fed: np.ndarray) -> np.ndarray:
    if not len(fed):
        return np.zeros((0, 0), np.float32)
    try:
        with targets.get("cpu", threads=1).open(model) as session:
            return raw_outputs(session, fed)
    except EdgelabError:
        return np.zeros((0, 0), np.float32)


def _array(path: Path) -> np.ndarray:
    return np.load(path) if path.exists() else np.zeros((0, 0), np.float32)


def _pictures(folder: Path, classes: list[str]) -> tuple[np.ndarray, list[str]]:
    """The frames in the order of their names, and the class of each."""
    paths = sorted(folder.glob("*/*.png"), key=lambda path: path.stem)
    frames = np.stack([np.asarray(Image.open(path)) for path in paths])
    return frames, [classes[int(path.parent.name.split("-")[0])] for path in paths]


def _rows(log: str) -> tuple[np.ndarray, np.ndarray]:
    """Latency (ms) and clock (MHz) of the lines that hold four numbers."""
    rows = []
    for line in log.splitlines():
        try:
            _, latency, clock, _ = map(float, line.split())
        except ValueError:
            continue
        rows.append((latency, clock))
    found = np.array(rows).reshape(-1, 2)
    return found[:, 0], found[:, 1]
