"""A loaded Core ML package: computed in NumPy anywhere, or by Core ML itself on a Mac."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgelab.errors import TargetError
from edgelab.machine import hardware
from edgelab.runtime import ClosesAtEnd, check_inputs
from edgelab.targets.coreml import interpreter
from edgelab.targets.coreml.engine import RUN_LIMIT_S, START_LIMIT_S, Engine
from edgelab.targets.coreml.package import Program
from edgelab.texts import tr


class ProgramSession(ClosesAtEnd):
    """A package's program, computed operator by operator in NumPy. Right numbers, no speed.

    Raises:
        TargetError: it holds an operator that is not computed here.
    """

    target, provenance, placement, fault = "coreml", "simulated", None, ""

    def __init__(self, program: Program) -> None:
        interpreter.check(program)
        # Weights of 16 bits as float32, which every operator computes with: once, not at each run.
        wide = {
            name: value.astype(np.float32) if value.dtype == np.float16 else value
            for name, value in program.constants.items()
        }
        self._program: Program | None = replace(program, constants=wide)
        self.inputs, self.outputs = program.inputs, program.outputs
        self.device = "Core ML program in NumPy"
        self.runtime_version = f"NumPy {np.__version__}"

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed.
        """
        if self._program is None:
            raise TargetError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        return interpreter.run(self._program, *inputs)

    def close(self) -> None:
        """Free the weights. A second call does nothing."""
        self._program = None


class MacSession(ClosesAtEnd):
    """A package in Apple's runtime on a Mac, which places its operators by itself and does not tell where.

    Args:
        package: the folder.
        program: what is in it.
        device: the Mac's chip.

    Raises:
        TargetError: coremltools is missing, died or hung; or this is no Mac.
    """

    target, provenance, placement, fault = "coreml", "measured", None, ""

    def __init__(self, package: Path, program: Program, device: str) -> None:
        self.inputs, self.outputs, self.device = program.inputs, program.outputs, device
        self.runtime_version = f"Core ML by coremltools {hardware.version_of('coremltools')}"
        self._engine = Engine()
        try:
            self._engine.ask("load", START_LIMIT_S, package=str(package.resolve()))
        except BaseException:
            self._engine.close()
            raise

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, or the runtime died.
        """
        paths = {
            spec.name: str(self._engine.folder / f"output-{index}.npy")
            for index, spec in enumerate(self.outputs)
        }
        self._engine.ask("run", RUN_LIMIT_S, inputs=self._handed_over(inputs), outputs=paths)
        return tuple(
            np.load(paths[spec.name]).reshape(spec.shape).astype(spec.dtype) for spec in self.outputs
        )

    def time_runs(self, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
        """Milliseconds of each of `count` runs, by the clock beside the runtime, without our files between.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: as `run`.
        """
        asked = {"inputs": self._handed_over(inputs), "count": count}
        return self._engine.ask("time_runs", RUN_LIMIT_S, **asked)["times_ms"]

    def _handed_over(self, inputs: tuple[np.ndarray, ...]) -> Mapping[str, str]:
        check_inputs(self.inputs, inputs)
        paths = {}
        for index, (spec, array) in enumerate(zip(self.inputs, inputs, strict=True)):
            paths[spec.name] = str(self._engine.folder / f"input-{index}.npy")
            np.save(paths[spec.name], array)
        return paths

    def close(self) -> None:
        """End the runtime's process. A second call does nothing."""
        self._engine.close()
