"""One file per accelerator, behind one protocol: probe, compile, open, run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgelab.errors import TargetError
from edgelab.targets.base import Target
from edgelab.texts import tr

# Loaded when asked for: a target's runtime may take seconds to import, or be missing.
_CLASSES = {
    "cpu": "edgelab.targets.cpu:CpuTarget",
    "keras": "edgelab.targets.keras_model:KerasTarget",
    "gpu": "edgelab.targets.gpu:GpuTarget",
    "edgetpu": "edgelab.targets.edgetpu:EdgeTpuTarget",
    "rknn": "edgelab.targets.rknn:RknnTarget",
    "tensorrt": "edgelab.targets.tensorrt:TensorRtTarget",
    "openvino": "edgelab.targets.openvino:OpenVinoTarget",
    "onnxruntime": "edgelab.targets.onnxruntime:OnnxRuntimeTarget",
    "ethosu": "edgelab.targets.ethosu:EthosUTarget",
    "micro": "edgelab.targets.micro:MicroTarget",
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
