"""A model loaded on an Edge TPU, in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import TargetError
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.edgetpu import worker
from edgelab.texts import tr

if TYPE_CHECKING:
    from edgelab.targets.edgetpu.target import EdgeTpuTarget

OPEN_LIMIT_S = 60.0  # the first model loads firmware into a USB device
RUN_LIMIT_S = 30.0


class EdgeTpuSession(ClosesAtEnd):
    """A compiled model on a device. Made by `EdgeTpuTarget.open`.

    A run hands the tensors to another process and back through shared memory: a few hundredths of a
    millisecond for a small image.
    """

    target = "edgetpu"
    provenance = "measured"
    fault = ""

    def __init__(self, model: Path, target: EdgeTpuTarget, placed: Placement) -> None:
        self._worker, self._folder = target.start_worker()
        request = {"do": "open", "model": str(Path(model).resolve()), "runtime": target.runtime}
        try:
            about = target.ask(self._worker, request, OPEN_LIMIT_S)
            self.inputs = tuple(_spec(entry) for entry in about["inputs"])
            self.outputs = tuple(_spec(entry) for entry in about["outputs"])
            folder = Path(self._folder.name)
            self._sent = _mapped(folder, "input", self.inputs)
            self._received = _mapped(folder, "output", self.outputs)
        except BaseException:
            self._worker.close()
            self._folder.cleanup()
            raise
        self._target = target
        self.device = f"Coral Edge TPU {target.device}".strip()
        self.runtime_version = about["version"]
        self.placement: Placement | None = placed

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Args:
            *inputs: one array for each of `self.inputs`, of exactly its shape and type.

        Returns:
            One array for each of `self.outputs`; quantized outputs stay integers.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, or the device is gone.
        """
        if not self._sent:
            raise TargetError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        for shared, array in zip(self._sent, inputs, strict=True):
            shared[...] = array
        self._target.ask(self._worker, {"do": "run"}, RUN_LIMIT_S)
        return tuple(np.array(shared) for shared in self._received)

    def close(self) -> None:
        """Free the device. A second call does nothing."""
        self._worker.close()
        self._sent = self._received = ()  # a mapped file cannot be deleted on Windows
        self._folder.cleanup()

    def __repr__(self) -> str:
        return f"<Edge TPU session: {self.device}, {self.placement}>"


def _spec(entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(**(entry | {"shape": tuple(entry["shape"]), "dtype": np.dtype(entry["dtype"])}))


def _mapped(folder: Path, stem: str, specs: tuple[TensorSpec, ...]) -> tuple[np.memmap, ...]:
    """The files that the worker made for these tensors."""
    return tuple(
        worker.mapped(folder / f"{stem}{place}.bin", spec.shape, spec.dtype)
        for place, spec in enumerate(specs)
    )
