"""One room per accelerator, behind one protocol: probe, compile, open, run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgelab.errors import TargetError
from edgelab.targets.base import Target
from edgelab.texts import tr

# Each in `targets/NAME/target.py`, loaded when asked for: a runtime may be missing, or slow to import.
_CLASSES = {
    "cpu": "CpuTarget",
    "keras": "KerasTarget",
    "gpu": "GpuTarget",
    "edgetpu": "EdgeTpuTarget",
    "rknn": "RknnTarget",
    "qualcomm": "QualcommTarget",
    "tensorrt": "TensorRtTarget",
    "openvino": "OpenVinoTarget",
    "onnxruntime": "OnnxRuntimeTarget",
    "ethosu": "EthosUTarget",
    "micro": "MicroTarget",
    "web": "WebTarget",
    "coreml": "CoreMlTarget",
}


def names() -> tuple[str, ...]:
    """The targets that the course knows."""
    return tuple(_CLASSES)


def module_of(name: str) -> str:
    """The full name of the module that holds a target, which need not be imported yet."""
    return f"{__name__}.{name}.target"


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
    return getattr(import_module(module_of(name)), _CLASSES[name])(**options)
