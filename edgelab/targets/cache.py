"""Compile once, then reuse: compiled models under `artifacts/compiled/`, addressed by what went in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgelab.machine import artifacts
from edgelab.runtime import Placement
from edgelab.targets import foreign_onnx
from edgelab.targets.base import Compiled, Target


def compiled(target: Target, model: Path, *, calibration: np.ndarray | None = None) -> Compiled:
    """What `target.compile` gives, made by an earlier call where nothing has changed since.

    Args:
        target: where the model is to run.
        model: a `.tflite` file, converted as `target.takes` says; an `.onnx` or a `.keras` file.
        calibration: uint8 `[N, H, W, 3]`, where the target quantizes by itself.

    Returns:
        The compiled model; its log, placement and duration are those of the first time.

    Raises:
        ModelError, TargetError, StorageError: as `target.compile`.
    """
    model = foreign_onnx.taken(model)
    images = None if calibration is None else np.ascontiguousarray(calibration)
    parts = {
        "model": model,
        "settings": target.settings,
        "calibration": None if images is None else hashlib.sha256(images.tobytes()).hexdigest(),
        "shape": None if images is None else images.shape,
    }
    name = f"{target.name}-{model.stem}"
    key = artifacts.content_key(**parts)
    record_path = artifacts.artifacts_dir() / "compiled" / f"{name}-{key}.json"
    if not record_path.exists():  # somebody tidied up: make both again
        artifacts.remove(record_path.with_suffix(target.suffix))

    def build(path: Path) -> None:
        made = target.compile(model, path, calibration=calibration)
        with artifacts.atomic_path(record_path) as temporary:
            temporary.write_text(json.dumps(asdict(made) | {"path": ""}), encoding="utf-8")

    path = artifacts.cached("compiled", name, target.suffix, parts, build)
    record = json.loads(record_path.read_text(encoding="utf-8"))
    placement = record.pop("placement")
    if placement is not None:
        reasons = tuple((operator, reason) for operator, reason in placement["reasons"])
        placement = Placement(placement["accelerated"], placement["total"], reasons)
    fields = {"path": path, "log_rows": tuple(record["log_rows"]), "placement": placement}
    return Compiled(**(record | fields))
