"""ONNX Runtime on the CPU: takes the float model, quantizes it with uint8 activations and int8 weights."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts, hardware
from edgelab.runtime import Availability, Placement
from edgelab.targets import onnx_model
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import thread_count
from edgelab.targets.onnxruntime.session import OnnxRuntimeSession, executed_kernels, runtime_version
from edgelab.texts import tr

PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


def needs_reduced_range() -> bool:
    """Whether 8-bit weights may overflow here: x86 without VNNI adds two products in 16 bits."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return is_x86 and not any("VNNI" in name or "AMX" in name for name in hardware.instruction_sets())


class OnnxRuntimeTarget:
    """ONNX Runtime on this machine's processor.

    Args:
        threads: None for one per processor, at most four.
    """

    name = "onnxruntime"
    takes = "float32"
    suffix = ".onnx"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = thread_count(threads)

    @property
    def settings(self) -> dict[str, Any]:
        """The scheme, and the versions of the tools."""
        versions = {package: hardware.version_of(package) for package in PACKAGES}
        return {"scheme": onnx_model.ASYMMETRIC, "reduce_range": needs_reduced_range(), **versions}

    def probe(self) -> Availability:
        """Whether the packages are installed."""
        missing = [package for package in PACKAGES if not hardware.version_of(package)]
        return Availability(
            can_compile=not missing,
            can_run="onnxruntime" not in missing and "onnx" not in missing,
            detail=tr("{missing} not installed", missing=", ".join(missing))
            if missing
            else runtime_version(),
            why_it_matters=tr(
                "runs ONNX models, quantized with uint8 activations, on nearly every processor"
            ),
            fix=onnx_model.INSTALL if missing else "",
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Take a float `.tflite` or `.onnx` file, and quantize it with uint8 activations and int8 weights.

        All operators run on the CPU; `log_rows` tell which of its kernels compute in 8 bits.

        Raises:
            InputError: no calibration images, or images that do not fit.
            ModelError: a damaged, quantized or dynamic model, or an operator that ONNX lacks.
            TargetError: a package is missing.
            StorageError: `out` cannot be written.
        """
        started = time.perf_counter()
        float_onnx = onnx_model.from_model(model)
        quantized = onnx_model.quantize(
            float_onnx, calibration, onnx_model.ASYMMETRIC, reduce_range=needs_reduced_range()
        )
        rows = executed_kernels(quantized)
        content = quantized.read_bytes()
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        total = sum(row["count"] for row in rows if row["computes in"] != "converts")
        return Compiled(
            path=Path(out),
            target=self.name,
            log_rows=rows,
            placement=Placement(total, total),
            duration_s=time.perf_counter() - started,
            size_bytes=len(content),
        )

    def open(self, model: Path | Compiled) -> OnnxRuntimeSession:
        """Load an ONNX file, quantized or not.

        Raises:
            ModelError: missing, damaged, or refused by the runtime.
            TargetError: onnxruntime is not installed.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        return OnnxRuntimeSession(path, self.threads)
