"""A float32 `.tflite` file with its ranges taken from sample inputs, in int8; made in a process of its own.

This is the second half of what TensorFlow's converter does for int8, on a file that exists already.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgelab.errors import ModelError
from edgelab.machine import artifacts, child
from edgelab.texts import tr

TIME_LIMIT_S = 240.0


def quantized(model: Path, calibration: np.ndarray) -> Path:
    """The int8 file: weights, activations and output; a float32 input becomes int8, int32 stays.

    Args:
        model: a float32 `.tflite` file with one input.
        calibration: inputs `[N, ...]` as the model takes them, without the batch.

    Returns:
        The file, made once and kept.

    Raises:
        ModelError: the file cannot be quantized; perhaps its process ended.
        TargetError: it took longer than four minutes.
    """
    parts = {
        "model": model,
        "calibration": hashlib.sha256(np.ascontiguousarray(calibration).tobytes()).hexdigest(),
    }

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            samples = Path(folder) / "calibration.npy"
            np.save(samples, calibration)
            command = [
                sys.executable,
                "-m",
                "edgelab.language.int8_worker",
                model.resolve(),
                samples,
                path.resolve(),
            ]
            ended = child.run(
                command,
                folder=artifacts.PROJECT_ROOT,
                time_limit_s=TIME_LIMIT_S,
                environment={"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        if ended.returncode != 0 or not path.exists():
            raise ModelError(
                tr("{model} cannot be made int8.", model=model.name),
                why=ended.tail,
                fix=tr("see the error above; calibration must be inputs as the model takes them"),
            )

    return artifacts.cached("language", f"{model.stem}-int8", ".tflite", parts, build)
