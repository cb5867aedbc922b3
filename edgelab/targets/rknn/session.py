"""A model in Rockchip's runtime or simulator."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from edgelab import environment
from edgelab.errors import TargetError
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd
from edgelab.targets.rknn.engine import BUILD_LIMIT_S, RUN_LIMIT_S, START_LIMIT_S, Engine, to_channels_first
from edgelab.targets.rknn.log import parse_errors


class RknnSession(ClosesAtEnd):
    """A model in Rockchip's runtime or simulator. Made by `RknnTarget.open`; for one thread at a time."""

    target = "rknn"
    fault = ""

    def __init__(
        self,
        engine: Engine,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        *,
        device: str,
        provenance: str,
        placement: Placement | None,
        start: Mapping[str, Any],
        adb_before: frozenset[int] | None = None,
    ) -> None:
        self.inputs, self.outputs = specs
        self._engine = engine
        self._shared = []
        for index, spec in enumerate(self.inputs):
            shape = to_channels_first(np.empty(spec.shape, np.uint8)).shape
            path = engine.folder / f"input-{index}.npy"
            self._shared.append(np.lib.format.open_memmap(path, "w+", spec.dtype, shape))
        self._paths = [str(array.filename) for array in self._shared]
        engine.ask("start", START_LIMIT_S, inputs=self._paths, **start)
        self.device, self.provenance, self.placement = device, provenance, placement
        self.runtime_version = environment.rknn_version()
        self._adb = adb_before

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Args:
            *inputs: one array for each of `self.inputs`; images `[1, H, W, C]`, turned round within.

        Returns:
            One float32 array for each of `self.outputs`.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, the toolkit died, or the board is gone.
        """
        self._hand_over(inputs)
        answer = self._engine.ask("run", RUN_LIMIT_S, out="output-")
        found = [np.load(self._engine.folder / f"output-{i}.npy") for i in range(len(answer["outputs"]))]
        return tuple(one.reshape(spec.shape) for one, spec in zip(found, self.outputs, strict=True))

    def time_runs(self, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
        """Milliseconds of each of `count` runs, by the clock beside the runtime, without our files between.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: as `run`; or the board hangs on a cable, through which no clock of it is read.
        """
        if self._adb is not None:
            raise TargetError(
                tr("Through adb no latency is read."),
                why=tr("the time would be that of the cable as well"),
                fix=tr(
                    "run this on the board itself, with rknn-toolkit-lite2; adb serves to compare outputs"
                ),
            )
        self._hand_over(inputs)
        return self._engine.ask("time_runs", RUN_LIMIT_S, count=count)["times_ms"]

    def _hand_over(self, inputs: tuple[np.ndarray, ...]) -> None:
        if not self._shared:
            raise TargetError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        for shared, array in zip(self._shared, inputs, strict=True):
            shared[...] = to_channels_first(array)

    def layer_errors(self, image: np.ndarray) -> pd.DataFrame:
        """The toolkit's accuracy analysis: how far each layer is from float, on one image.

        Args:
            image: as for `run`, or uint8.

        Returns:
            As `parse_errors`, a frame.

        Raises:
            TargetError: not in the simulator, or it failed.
        """
        import pandas as pd

        if self.provenance != "simulated":
            raise TargetError(
                tr("Layers are analysed in the simulator."), fix=tr('RknnTarget(where="simulator")')
            )
        [shared] = self._shared
        shared[...] = to_channels_first(np.asarray(image).reshape(self.inputs[0].shape))
        shared.flush()
        return pd.DataFrame(
            parse_errors(self._engine.ask("analyse", BUILD_LIMIT_S, inputs=self._paths)["text"])
        )

    def close(self) -> None:
        """Free the model and the device. A second call does nothing."""
        self._shared = []
        self._engine.close()
        if self._adb is not None:
            end_adb(except_for=self._adb)
            self._adb = None

    def __repr__(self) -> str:
        return f"<RKNN session: {self.device}, {self.placement}>"


def adb_servers() -> frozenset[int]:
    """Process ids of adb servers; the toolkit starts one and leaves it behind."""
    return frozenset(p.pid for p in psutil.process_iter(["name"]) if p.info["name"] in ("adb", "adb.exe"))


def end_adb(except_for: frozenset[int]) -> None:
    """End the adb servers that the toolkit has started and left behind."""
    for pid in adb_servers() - except_for:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()
