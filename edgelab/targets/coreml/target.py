"""Core ML: the package that an app for iPhone, iPad or Mac ships, made and checked on a laptop.

Apple's coremltools converts a Keras model to a program of plain operators, with weights of 16 bits, of 8, or
as numbers of a palette. Only Apple's systems run it; elsewhere the program is computed in NumPy, which checks
its numbers and times nothing. Which operators go to the processor, the GPU or the Neural Engine, Core ML
decides on the device, so no placement is reported here.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import environment
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, child, hardware
from edgelab.runtime import Availability
from edgelab.targets.base import Compiled
from edgelab.targets.coreml import package
from edgelab.targets.coreml.engine import CONVERT_LIMIT_S, Engine
from edgelab.targets.coreml.session import MacSession, ProgramSession
from edgelab.targets.coreml.worker import BITS, DEPLOYMENT
from edgelab.texts import tr

PRECISIONS = ("float16", "int8 weights", *BITS)
WHERE = ("auto", "device", "simulator")
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
WHY_IT_MATTERS = tr("it is how a network gets to the GPU and the Neural Engine of iPhones and Macs")


class CoreMlTarget:
    """Apple's Core ML.

    Args:
        precision: "float16": weights and arithmetic of 16 bits. The others keep the larger weights smaller,
            "int8 weights" or numbers of a palette of 64, 16 or 4 values ("6-bit palette", "4-bit palette",
            "2-bit palette"), and compute in 16 bits all the same.
        where: "auto" runs packages by Core ML on a Mac, in NumPy elsewhere; or say "device" or "simulator".
    """

    name = "coreml"
    takes = "keras"
    suffix = package.SUFFIX

    def __init__(self, precision: str = "float16", *, where: str = "auto") -> None:
        for value, allowed in ((precision, PRECISIONS), (where, WHERE)):
            if value not in allowed:
                raise InputError(
                    tr("Core ML: {value!r} is not known.", value=value),
                    fix=tr("choose from {allowed}", allowed=", ".join(allowed)),
                )
        self.precision, self.where = precision, where

    @property
    def settings(self) -> dict[str, Any]:
        """Precision, the oldest system that the package is for, and the version of coremltools."""
        return {
            "precision": self.precision,
            "deployment": DEPLOYMENT,
            "coremltools": hardware.version_of("coremltools"),
        }

    def probe(self) -> Availability:
        """Whether coremltools is installed; a package made elsewhere can be checked on any machine."""
        tools = environment.coreml_tools()
        can_compile = tools.status == environment.OK
        is_mac = _runs_core_ml()
        simulated = self.where == "simulator" or not is_mac
        runs = tr("programs are computed in NumPy") if simulated else hardware.processor_name()
        can_run = self.where != "device" or is_mac
        fix = tools.fix or ("" if can_run else tr("open packages on a Mac, after make coreml there"))
        return Availability(
            can_compile, can_run, f"{tools.detail}; {runs}", WHY_IT_MATTERS, fix, is_simulated=simulated
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Convert a Keras model to a package, in a process of its own; half a minute.

        Args:
            model: a `.keras` or `.h5` file, or the folder of a SavedModel; coremltools reads no `.tflite`.
            out: the `.mlpackage` folder to write; an earlier package there is replaced.
            calibration: not needed: weights alone are made smaller.

        Returns:
            Its log rows count the program's operators, and the weights by how they are kept. It has no
            placement: where operators run is decided on the device.

        Raises:
            InputError: `out` has another ending, or holds something else than a package.
            ModelError: no Keras model, or one that coremltools does not convert.
            TargetError: coremltools is missing, died or hung.
            StorageError: `out` cannot be written.
        """
        model, out = Path(model), Path(out)
        _check_source(model)
        _check_out(out)
        tools = environment.coreml_tools()
        if tools.status != environment.OK:
            raise TargetError(tr("Apple's converter is not here."), why=tools.detail, fix=tools.fix)
        started = time.perf_counter()
        with child.clock(tr("converting {model} for Core ML", model=model.name)), Engine() as engine:
            made = engine.folder / f"model{package.SUFFIX}"
            question = {"model": str(model.resolve()), "out": str(made), "precision": self.precision}
            engine.ask("convert", CONVERT_LIMIT_S, **question)
            program, size_bytes = package.read(made), package.size_bytes(made)
            with artifacts.atomic_path(out) as temporary:
                package.copy(made, temporary)
                artifacts.remove(out)
        rows = _rows("operator", program.operator_counts) + _rows("weights kept as", program.compressed)
        return Compiled(out, self.name, rows, None, time.perf_counter() - started, size_bytes)

    def open(self, model: Path | Compiled) -> MacSession | ProgramSession:
        """Load a package: in Core ML on a Mac, else to be computed in NumPy.

        Raises:
            ModelError: missing, damaged, or no package of a program.
            TargetError: NumPy is to compute an operator that it does not know here; or Core ML refuses.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        program = package.read(path)
        if self.where == "device" or (self.where == "auto" and _runs_core_ml()):
            if not _runs_core_ml():
                raise TargetError(
                    tr("Core ML does not run here."),
                    why=tr("it is part of Apple's systems"),
                    fix=tr("open the package on a Mac after make coreml, or here with where='simulator'"),
                )
            return MacSession(path, program, hardware.processor_name())
        return ProgramSession(program)


def _rows(title: str, counts: dict[str, int]) -> tuple[dict[str, Any], ...]:
    return tuple({title: kind, "count": count} for kind, count in counts.items())


def _runs_core_ml() -> bool:
    return sys.platform == "darwin" and environment.coreml_tools().status == environment.OK


def _check_source(model: Path) -> None:
    if model.is_dir() or (model.suffix.lower() in KERAS_SUFFIXES and model.exists()):
        return
    if not model.exists():
        raise ModelError(tr("There is no {path}.", path=model), fix=tr("check the path"))
    raise ModelError(
        tr("coremltools does not read {model}.", model=model.name),
        why=tr("it converts Keras and TensorFlow models; a .tflite or .onnx file is the end of another way"),
        fix=tr("give the Keras model that this was made from: model.keras, or the folder of model.export"),
    )


def _check_out(out: Path) -> None:
    """Only a package may be replaced: nothing that somebody keeps in a folder of that name."""
    if out.suffix != package.SUFFIX:
        raise InputError(
            tr("{path} is no name for a Core ML package.", path=out.name),
            fix=tr("let it end in {suffix}", suffix=package.SUFFIX),
        )
    if out.exists() and not (out / package.MANIFEST).is_file():
        raise InputError(
            tr("{path} is there already, and is no Core ML package.", path=out.name),
            why=tr("nothing of yours is overwritten"),
            fix=tr("choose another name, or move it elsewhere"),
        )
