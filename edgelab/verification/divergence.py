"""The operator where a target's results part from the CPU's: bisection over models that end ever earlier.

An accelerator rarely shows its intermediate results. But a model cut off after operator k is a model too, and
runs on the same target; a handful of cuts finds the first operator whose result is wrong.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from edgelab import graph
from edgelab.errors import InputError
from edgelab.runtime import Session, predict
from edgelab.targets.cpu.target import CpuTarget
from edgelab.texts import tr
from edgelab.verification.output_error import output_error

# An error of half the signal is no rounding: another quantization of the same model stays above 10 dB.
RIGHT_SNR_DB = 6.0


@dataclass(frozen=True)
class Divergence:
    """The first wrong operator.

    Attributes:
        index: its place in the model.
        operator: its kind, such as "DEPTHWISE_CONV_2D".
        layer: the name of the tensor it writes.
        snr_db: of the target's result, the CPU's being the signal.
        snr_before_db: the same for the last cut before it that was right; infinite when there is none.
        operators: in the whole model.
    """

    index: int
    operator: str
    layer: str
    snr_db: float
    snr_before_db: float
    operators: int

    def __str__(self) -> str:
        return (
            f"operator {self.index + 1} of {self.operators}, {self.operator} ({self.layer}): "
            f"SNR {self.snr_db:.0f} dB, before it {self.snr_before_db:.0f} dB"
        )


def first_wrong(
    model: Path, open_on_target: Callable[[Path], Session], images: np.ndarray, *, progress: bool = False
) -> Divergence | None:
    """Find where a target begins to compute something else than the CPU.

    Args:
        model: the `.tflite` file that the target was given.
        open_on_target: compiles, where needed, and opens a `.tflite` file on the target.
        images: uint8 `[N, H, W, 3]`; a few suffice.
        progress: show a progress bar.

    Returns:
        The first wrong operator, found among those that depend on the input; None when the whole model's
        result is right.

    Raises:
        InputError: no images.
        ModelError, TargetError: a cut that the target refuses, as its `open` raises it.
    """
    if len(images) == 0:
        raise InputError(
            tr("There are no images to compare on."), fix=tr("pass a few of the dataset's images")
        )
    content = Path(model).read_bytes()
    found = graph.read(content)
    candidates = _dependent(found)
    snrs_db: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="edgelab-") as folder:

        def is_right(position: int) -> bool:
            index = candidates[position]
            cut = Path(folder) / f"cut_{index}.tflite"
            cut.write_bytes(graph.prefix(content, index))
            snrs_db[position] = _snr_db(cut, open_on_target, images)
            bar.update()
            return snrs_db[position] >= RIGHT_SNR_DB

        right, wrong = -1, len(candidates) - 1
        steps = len(candidates).bit_length() + 1
        with tqdm(total=steps, desc="cutting the model", disable=not progress, leave=False) as bar:
            if is_right(wrong):
                return None
            while wrong - right > 1:
                middle = (right + wrong) // 2
                right, wrong = (middle, wrong) if is_right(middle) else (right, middle)
    operator = found.operators[candidates[wrong]]
    return Divergence(
        index=operator.index,
        operator=operator.name,
        layer=found.tensors[operator.outputs[0]].name,
        snr_db=snrs_db[wrong],
        snr_before_db=snrs_db.get(right, math.inf),
        operators=len(found.operators),
    )


def _dependent(found: graph.Graph) -> list[int]:
    """Operators whose result depends on the model's input, in order."""
    reached, indices = set(found.inputs), []
    for operator in found.operators:
        if reached & set(operator.inputs):
            reached |= set(operator.outputs)
            indices.append(operator.index)
    return indices


def _snr_db(cut: Path, open_on_target: Callable[[Path], Session], images: np.ndarray) -> float:
    with CpuTarget().open(cut) as reference:
        expected = predict(reference, images)
    with open_on_target(cut) as session:
        got = predict(session, images)
    return output_error(expected, got.reshape(expected.shape)).snr_db
