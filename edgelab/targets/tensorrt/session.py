"""An engine loaded on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgelab.errors import ModelError
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.tensorrt.engine import RUN_LIMIT_S, START_LIMIT_S, Engine
from edgelab.texts import tr


class TensorRtSession(ClosesAtEnd):
    """An engine loaded on the GPU, in a child process. Made by `TensorRtTarget.open`.

    Arrays reach the child process as files, which takes longer than many an inference: `benchmark` therefore
    asks for `time_runs`.
    """

    target = "tensorrt"
    provenance = "measured"
    fault = ""

    def __init__(self, content: bytes, facts: dict[str, Any], placement: Placement) -> None:
        self.placement: Placement | None = placement
        self._engine = Engine()
        try:
            path = self._engine.folder / "model.engine"
            path.write_bytes(content)
            answer = self._engine.ask({"do": "open", "path": str(path), "facts": facts}, START_LIMIT_S)
        except BaseException:
            self._engine.close()
            raise
        self.inputs = tuple(_spec(entry) for entry in answer["inputs"])
        self.outputs = tuple(_spec(entry) for entry in answer["outputs"])
        self.device = self._engine.machine["gpu"]
        self.runtime_version = f"TensorRT {self._engine.machine['tensorrt']}"
        self._is_open = True

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference; waits for the results.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed.
            TargetError: the GPU failed, was taken away, or the child process died.
        """
        self._hand_over(inputs)
        self._engine.ask({"do": "run"}, RUN_LIMIT_S)
        return tuple(
            np.load(self._engine.folder / f"output{number}.npy") for number in range(len(self.outputs))
        )

    def time_runs(self, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
        """Latencies in ms, timed in the child process: copy to the GPU, run, copy back, wait.

        Raises:
            InputError, ModelError, TargetError: as `run`.
        """
        self._hand_over(inputs)
        return self._engine.ask({"do": "time", "count": count}, RUN_LIMIT_S)["latencies_ms"]

    def _hand_over(self, inputs: tuple[np.ndarray, ...]) -> None:
        if not self._is_open:
            raise ModelError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        for number, array in enumerate(inputs):
            np.save(self._engine.folder / f"input{number}.npy", np.ascontiguousarray(array))

    def close(self) -> None:
        """Free the engine and the GPU's memory, end the child process. A second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._engine.close()


def _spec(entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(entry["name"], tuple(entry["shape"]), np.dtype(entry["dtype"]))
