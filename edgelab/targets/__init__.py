"""One file per accelerator, behind one protocol: probe, compile, open, run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgelab.errors import TargetError
from edgelab.targets.base import Target
from edgelab.texts import tr

# Loaded when asked for: a target's runtime may take seconds to import, or be missing.
_CLASSES = {
    "cpu": "edgelab.targets.cpu.target:CpuTarget",
    "keras": "edgelab.targets.keras.target:KerasTarget",
    "gpu": "edgelab.targets.gpu.target:GpuTarget",
    "edgetpu": "edgelab.targets.edgetpu.target:EdgeTpuTarget",
    "rknn": "edgelab.targets.rknn.target:RknnTarget",
    "tensorrt": "edgelab.targets.tensorrt.target:TensorRtTarget",
    "openvino": "edgelab.targets.openvino.target:OpenVinoTarget",
    "onnxruntime": "edgelab.targets.onnxruntime.target:OnnxRuntimeTarget",
    "ethosu": "edgelab.targets.ethosu.target:EthosUTarget",
    "micro": "edgelab.targets.micro.target:MicroTarget",
}


def names() -> tuple[str, ...]:
    """The targets that the course knows."""
    return tuple(_CLASSES)


def get(name: str, **options: Any) -> Target:
    """The target of that name.

    Args:
        name: one of `names()`.
        **options: as for the target's class, such as `threads=2` for "cpu".

    Raises:
        TargetError: there is none of that name.
    """
    if name not in _CLASSES:
        raise TargetError(
            tr("There is no target {name!r}.", name=name),
            fix=tr("choose from {names}", names=", ".join(_CLASSES)),
        )
    module, class_name = _CLASSES[name].split(":")
    return getattr(import_module(module), class_name)(**options)
