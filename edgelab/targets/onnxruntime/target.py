"""ONNX Runtime on the CPU: takes the float model, quantizes it with uint8 activations and int8 weights."""

from __future__ import annotations

import platform
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts, hardware
from edgelab.targets import onnx_model
from edgelab.errors import ModelError
from edgelab.runtime import Availability, ClosesAtEnd, Placement, check_inputs
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import thread_count
from edgelab.texts import tr

PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
# In an optimised graph these change the form of numbers, or move them; the others compute.
CONVERSIONS = (*onnx_model.QUANTIZERS, "Cast", "ReorderInput", "ReorderOutput")
INTEGER_KERNELS = ("ConvInteger", "MatMulInteger", "QGemm", "QAttention")


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"ONNX Runtime {hardware.version_of('onnxruntime')}"


def needs_reduced_range() -> bool:
    """Whether 8-bit weights may overflow here: x86 without VNNI adds two products in 16 bits."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return is_x86 and not any("VNNI" in name or "AMX" in name for name in hardware.instruction_sets())


def _options(threads: int) -> Any:
    options = onnx_model.load("onnxruntime").SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # Its threads wait for more work by turning round and round; between two runs that is at others' expense.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _load(content: bytes, options: Any, name: str) -> Any:
    """ONNX Runtime's own session.

    Raises:
        ModelError: it refuses the model.
    """
    ort = onnx_model.load("onnxruntime")
    try:
        with onnx_model.silence():
            return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class that is public
        raise ModelError(
            tr("{name} cannot be run by ONNX Runtime.", name=name),
            why=str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__,
            fix=tr(
                "convert it again with onnx_model.from_tflite; look at its operators with operator_counts"
            ),
        ) from error


class OnnxRuntimeSession(ClosesAtEnd):
    """An ONNX model loaded on the CPU. Made by `OnnxRuntimeTarget.open`."""

    target = "onnxruntime"
    provenance = "measured"
    placement: Placement | None = None
    fault = ""

    def __init__(self, path: Path, threads: int) -> None:
        proto = onnx_model.read(path)
        self.inputs, self.outputs = onnx_model.specs(proto)
        self._session = _load(proto.SerializeToString(), _options(threads), path.name)
        self._names = [spec.name for spec in self.inputs]
        self.threads = threads
        self.device, self.runtime_version = hardware.processor_name(), runtime_version()

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed, or the model fails on this input.
        """
        if self._session is None:
            raise ModelError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        try:
            return tuple(self._session.run(None, dict(zip(self._names, inputs, strict=True))))
        except Exception as error:
            raise ModelError(
                tr("The model failed while it ran."),
                why=str(error).splitlines()[0],
                fix=tr("convert it again"),
            ) from error

    def close(self) -> None:
        """Free the model's memory and threads. A second call does nothing."""
        self._session = None


def executed_kernels(model: Path) -> tuple[dict[str, Any], ...]:
    """What ONNX Runtime really executes, after it has optimised the graph for this processor.

    Returns:
        One row per kind of kernel: "kernel", "count", and "computes in": "8 bits", "float", or
        "converts" where it only changes the form of numbers.

    Raises:
        ModelError, TargetError: as `OnnxRuntimeTarget.open`.
    """
    proto = onnx_model.read(model)
    with tempfile.TemporaryDirectory() as folder:
        options = _options(1)
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        _load(proto.SerializeToString(), options, Path(model).name)
        optimised = onnx_model.load("onnx").load_model(options.optimized_model_filepath)
    integers = {spec.name for spec in onnx_model.specs(proto)[0] if np.issubdtype(spec.dtype, np.integer)}
    kernels: Counter[tuple[str, str]] = Counter()
    for node in optimised.graph.node:
        is_integer = node.op_type.startswith("QLinear") or node.op_type in INTEGER_KERNELS
        moves_integers = node.op_type != "DequantizeLinear" and node.input[0] in integers
        if is_integer or moves_integers or node.op_type == "QuantizeLinear":
            integers.update(node.output)
        kind = "8 bits" if is_integer or moves_integers else "float"
        kernels[node.op_type, "converts" if node.op_type in CONVERSIONS else kind] += 1
    return tuple(
        {"kernel": kernel, "count": count, "computes in": kind}
        for (kernel, kind), count in kernels.most_common()
    )


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
        """Convert a float `.tflite` to ONNX and quantize it with uint8 activations and int8 weights.

        All operators run on the CPU; `log_rows` tell which of its kernels compute in 8 bits.

        Raises:
            InputError: no calibration images, or images that do not fit.
            ModelError: a damaged, quantized or dynamic model, or an operator that ONNX lacks.
            TargetError: a package is missing.
            StorageError: `out` cannot be written.
        """
        started = time.perf_counter()
        float_onnx = onnx_model.from_tflite(model)
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


def in_eight_bits(rows: tuple[dict[str, Any], ...]) -> Placement:
    """Of the kernels that compute, how many do so in 8 bits."""
    computing = [row for row in rows if row["computes in"] != "converts"]
    others = [row for row in computing if row["computes in"] != "8 bits"]
    total = sum(row["count"] for row in computing)
    reasons = tuple(
        (f"{row['count']} x {row['kernel']}", f"computes in {row['computes in']}") for row in others
    )
    return Placement(total - sum(row["count"] for row in others), total, reasons)
