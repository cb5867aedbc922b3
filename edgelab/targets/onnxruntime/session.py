"""A model loaded in ONNX Runtime, and the kernels that really ran."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.errors import ModelError
from edgelab.machine import hardware
from edgelab.runtime import ClosesAtEnd, Placement, check_inputs
from edgelab.targets import onnx_model
from edgelab.texts import tr

# In an optimised graph these change the form of numbers, or move them; the others compute.
CONVERSIONS = (*onnx_model.QUANTIZERS, "Cast", "ReorderInput", "ReorderOutput")
INTEGER_KERNELS = ("ConvInteger", "MatMulInteger", "QGemm", "QAttention")


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"ONNX Runtime {hardware.version_of('onnxruntime')}"


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


def in_eight_bits(rows: tuple[dict[str, Any], ...]) -> Placement:
    """Of the kernels that compute, how many do so in 8 bits."""
    computing = [row for row in rows if row["computes in"] != "converts"]
    others = [row for row in computing if row["computes in"] != "8 bits"]
    total = sum(row["count"] for row in computing)
    reasons = tuple(
        (f"{row['count']} x {row['kernel']}", f"computes in {row['computes in']}") for row in others
    )
    return Placement(total - sum(row["count"] for row in others), total, reasons)
