"""Where a model's operators run, asked of every target that can tell here: N of M, which ones, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph, targets
from edgelab.errors import ModelError, TargetError
from edgelab.runtime import Placement
from edgelab.targets.cache import compiled

ACCELERATOR, CPU = "accelerator", "CPU"  # as `graph_drawing` marks them
# The question is how much the GPU takes, not whether it takes all: let the CPU have the rest. In a browser
# the processor takes any model, and gets int8 ones right; a GPU not every browser offers.
OPTIONS = {"gpu": {"fallback": True}, "web": {"accelerator": "wasm"}}


@dataclass(frozen=True)
class Answer:
    """What one target says about one model.

    Attributes:
        target: its name.
        placement: N of M operators; 0 of M where it refuses the model; None where it cannot tell here. M
            differs between targets, since some count their own operators.
        places: for each operator of the `.tflite` file that it took, "accelerator" or "CPU"; empty where it
            tells only the number.
        note: why it refuses or cannot tell; or where the answer comes from.
    """

    target: str
    placement: Placement | None
    places: tuple[str, ...] = ()
    note: str = ""

    @property
    def share(self) -> float | None:
        """Part of the operators on the accelerator, 0 to 1."""
        return self.placement and self.placement.accelerated / max(1, self.placement.total)

    def __str__(self) -> str:
        if self.placement is None:
            return "unknown here"
        return f"{self.placement.accelerated} of {self.placement.total}"


def ask(
    name: str, files: Mapping[str, Path], calibration: np.ndarray | None = None, **options: Any
) -> Answer:
    """Ask one target where a model's operators run.

    The Edge TPU answers by Google's compiler where that is installed, and by the published rules elsewhere.
    Core ML tells on the device alone. All others compile, once; a second question is answered from the cache.

    Args:
        name: a target's name, such as "ethosu".
        files: the model's conversions by mode, "int8" and "float32", of which the target takes one.
        calibration: uint8 images `[N, H, W, 3]`, for targets that quantize by themselves.
        **options: of the target, such as `accelerator="ethos-u85-256"`.

    Raises:
        ModelError: a file is damaged.
    """
    target = targets.get(name, **(OPTIONS.get(name, {}) | options))
    if target.takes == "keras":
        return Answer(name, None, note="decided on the device")
    model = Path(files[target.takes])
    before = graph.read(model)
    available = target.probe()
    if name == "edgetpu" and not available.can_compile:
        return _by_the_rules(model)
    if not available.can_compile:
        return Answer(name, None, note=available.detail)
    images = calibration if target.takes == "float32" else None
    try:
        made = compiled(target, model, calibration=images)
    except ModelError as error:
        why = error.why or error.what
        return Answer(name, Placement(0, len(before.operators), (("the model", why),)), note=why)
    except TargetError as error:
        return Answer(name, None, note=error.why or error.what)
    return Answer(name, made.placement, _places(before, made.path, made.placement))


def _by_the_rules(model: Path) -> Answer:
    from edgelab.targets.edgetpu import target as edgetpu

    found = edgetpu.placement(model)
    places = tuple(CPU if row.where == "CPU" else ACCELERATOR for row in found.operators)
    return Answer("edgetpu", found.summary, places, found.refusal or "by the published rules")


def _places(before: graph.Graph, after: Path, placement: Placement) -> tuple[str, ...]:
    """Operator by operator, where the number or the compiled file tells it.

    Compilers that write a `.tflite` file keep what is left to the CPU as it was, outputs and all.
    """
    count = len(before.operators)
    if after.suffix != ".tflite" or placement.total != count:  # others count operators of their own
        return ()
    if placement.accelerated in (0, count):
        return (CPU if placement.accelerated == 0 else ACCELERATOR,) * count
    try:
        compiled_graph = graph.read(after)
    except ModelError:
        return ()
    names = {operator.name for operator in before.operators}
    left = {
        compiled_graph.tensors[index].name
        for operator in compiled_graph.operators
        if operator.name in names
        for index in operator.outputs
    }
    places = tuple(
        CPU if any(before.tensors[index].name in left for index in operator.outputs) else ACCELERATOR
        for operator in before.operators
    )
    return places if places.count(CPU) == count - placement.accelerated else ()
