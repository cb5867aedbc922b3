"""OpenVINO, Intel's compiler and runtime: quantizes a float model with NNCF, or reads a `.tflite` as is."""

from __future__ import annotations

import logging
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts, hardware
from edgelab import graph, quantization
from edgelab.targets import onnx_model
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import CpuTarget, thread_count
from edgelab.texts import tr, tr_alternatives

HINTS = ("LATENCY", "THROUGHPUT")
PRECISIONS = ("int8", "float32")
MEMBERS = ("model.xml", "model.bin")  # OpenVINO's own pair of files, kept together in one archive
# What the CPU does beside computing: constants, ends of the graph, changes of form and order.
NOT_COMPUTING = ("Const", "Input", "Output", "Reshape", "Reorder", "Memory", "Concatenation", "Split")


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"OpenVINO {hardware.version_of('openvino')}"


def _first_line(error: Exception) -> str:
    """The line of a message that says something: OpenVINO puts source files and check failures around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check ", "at ", "src/"))]
    return (told or lines or [type(error).__name__])[0]


class OpenVinoSession(ClosesAtEnd):
    """A model compiled for one of OpenVINO's devices. Made by `OpenVinoTarget.open`."""

    target = "openvino"
    provenance = "measured"
    placement: Placement | None = None
    fault = ""

    def __init__(self, model: Any, core: Any, target: OpenVinoTarget, known: dict[str, TensorSpec]) -> None:
        self._compiled = target.compiled_for_device(model, core)
        self._request = self._compiled.create_infer_request()
        self._requests: list[Any] = []
        self.inputs = tuple(_spec(port, known) for port in self._compiled.inputs)
        self.outputs = tuple(_spec(port, known) for port in self._compiled.outputs)
        self.threads, self.hint = target.threads, target.hint
        self.parallel_requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.device = core.get_property(target.device, "FULL_DEVICE_NAME").strip()
        if target.device == "CPU":
            self.device = hardware.processor_name()
        self.runtime_version = runtime_version()

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, waited for.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed, or the model fails on this input.
        """
        self._check_open()
        check_inputs(self.inputs, inputs)
        try:
            results = self._request.infer(list(inputs), share_inputs=True)
        except RuntimeError as error:
            raise ModelError(
                tr("The model failed while it ran."), why=_first_line(error), fix=tr("convert it again")
            ) from error
        return tuple(results[index] for index in range(len(self.outputs)))

    def run_many(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Many inferences, as many at once as the hint asked for; each takes one input and gives one output.

        Args:
            batches: arrays for `run`.

        Returns:
            The first output of each, in order.
        """
        self._check_open()
        for batch in batches:
            check_inputs(self.inputs, (batch,))
        if not self._requests:
            made = range(self.parallel_requests)
            self._requests = [self._compiled.create_infer_request() for _ in made]
        found = []
        for index in range(len(batches) + len(self._requests)):
            # No callbacks: OpenVINO's own queue waits for Python's lock when it is freed, forever.
            request = self._requests[index % len(self._requests)]
            if index >= len(self._requests) and len(found) < len(batches):
                request.wait()
                found.append(request.get_output_tensor(0).data.copy())
            if index < len(batches):
                request.start_async([batches[index]], share_inputs=True)
        return found

    def executed_kernels(self) -> tuple[dict[str, Any], ...]:
        """What the device executes, after fusing: rows as of `targets.onnxruntime.executed_kernels`.

        Returns:
            One row per kind of kernel: "kernel", "count", "computes in" ("8 bits", "float" or "converts") and
            "implementation", by which name the vendor's library knows it.
        """
        self._check_open()
        kernels: Counter[tuple[str, str, str]] = Counter()
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            facts = {key: value.astype(str) for key, value in node.get_rt_info().items()}
            kind, name = facts.get("layerType", "?"), facts.get("primitiveType", "")
            is_integer = name.upper().endswith("I8") or facts.get("runtimePrecision", "") in ("u8", "i8")
            computes = "converts" if kind in NOT_COMPUTING else "8 bits" if is_integer else "float"
            if kind not in ("Const", "Input", "Output"):
                kernels[kind, computes, name] += 1
        return tuple(
            {"kernel": kind, "count": count, "computes in": computes, "implementation": name}
            for (kind, computes, name), count in kernels.most_common()
        )

    def _check_open(self) -> None:
        if self._compiled is None:
            raise ModelError(tr("This session is closed."), fix=tr("open the model again"))

    def close(self) -> None:
        """Free the model and the device. A second call does nothing."""
        self._requests, self._request, self._compiled = [], None, None


class OpenVinoTarget:
    """OpenVINO on this machine.

    Args:
        threads: on the CPU; None for one per processor, at most four.
        hint: "LATENCY": one inference as soon as possible. "THROUGHPUT": several side by side, each on fewer
            threads; needs `OpenVinoSession.run_many` to have any effect.
        precision: "int8": quantized by NNCF with calibration images. "float32": as the file is.
        device: "CPU", or "GPU" and "NPU" where Intel's drivers offer them.
    """

    name = "openvino"
    takes = "float32"
    suffix = ".zip"

    def __init__(
        self,
        threads: int | None = None,
        hint: str = "LATENCY",
        precision: str = "int8",
        device: str = "CPU",
    ) -> None:
        if hint not in HINTS or precision not in PRECISIONS:
            raise InputError(
                tr("There is no hint {hint!r} with precision {precision!r}.", hint=hint, precision=precision),
                fix=tr(
                    "hint: {hints}; precision: {precisions}",
                    hints=tr_alternatives(HINTS),
                    precisions=tr_alternatives(PRECISIONS),
                ),
            )
        self.threads = thread_count(threads)
        self.hint, self.precision, self.device = hint, precision, device

    @property
    def settings(self) -> dict[str, Any]:
        """The precision, and the versions of the tools; threads and hint do not change the file."""
        versions = {package: hardware.version_of(package) for package in ("openvino", "nncf")}
        return {"precision": self.precision, **versions}

    def probe(self) -> Availability:
        """Whether the packages are installed."""
        missing = [package for package in ("openvino", "nncf") if not hardware.version_of(package)]
        return Availability(
            can_compile=not missing or (missing == ["nncf"] and self.precision == "float32"),
            can_run="openvino" not in missing,
            detail=tr("{missing} not installed", missing=", ".join(missing))
            if missing
            else runtime_version(),
            why_it_matters=tr(
                "the fastest path on many Intel processors, and the one to their GPUs and NPUs"
            ),
            fix=onnx_model.INSTALL if missing else "",
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Quantize a float `.tflite` with NNCF, and keep OpenVINO's pair of files in one archive.

        All operators run on the device; `log_rows` tell which of its kernels compute in 8 bits.

        Raises:
            InputError: no calibration images, or images that do not fit.
            ModelError: a damaged or quantized model, or an operator that OpenVINO lacks.
            TargetError: a package is missing.
            StorageError: `out` cannot be written.
        """
        started = time.perf_counter()
        ov = onnx_model.load("openvino")
        core = ov.Core()
        network = _read_tflite(core, Path(model))
        if self.precision == "int8":
            network = _quantized(network, Path(model), calibration)
        with tempfile.TemporaryDirectory() as folder:
            ov.save_model(network, str(Path(folder) / MEMBERS[0]), compress_to_fp16=False)
            with (
                artifacts.atomic_path(out) as temporary,
                zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
            ):
                for name in MEMBERS:
                    archive.write(Path(folder) / name, name)
        with OpenVinoSession(network, core, self, {}) as session:
            rows = session.executed_kernels()
        total = sum(row["count"] for row in rows if row["computes in"] != "converts")
        return Compiled(
            path=Path(out),
            target=self.name,
            log_rows=rows,
            placement=Placement(total, total),
            duration_s=time.perf_counter() - started,
            size_bytes=Path(out).stat().st_size,
        )

    def open(self, model: Path | Compiled) -> OpenVinoSession:
        """Load what `compile` gave, or a `.tflite` file, float or int8, as it is.

        Raises:
            ModelError: missing, damaged, or refused by OpenVINO.
            TargetError: openvino is not installed, or has no such device here.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        core = onnx_model.load("openvino").Core()
        if path.suffix == ".tflite":
            network, found = _read_tflite(core, path), graph.read(path)
            ends = (*found.inputs, *found.outputs)
            known = {found.tensors[i].name: quantization.tensor_spec(found.tensors[i]) for i in ends}
            return OpenVinoSession(network, core, self, known)
        return OpenVinoSession(_read_archive(core, path), core, self, {})

    def compiled_for_device(self, network: Any, core: Any) -> Any:
        """The network, compiled in memory for the device.

        Raises:
            ModelError: the device cannot run it.
            TargetError: there is no such device.
        """
        if self.device not in core.available_devices:
            raise TargetError(
                tr("OpenVINO finds no {device} here.", device=self.device),
                why=tr("it sees {devices}", devices=", ".join(core.available_devices)),
                fix=tr(
                    "install Intel's driver for it (docs.openvino.ai, configurations for Intel GPU and NPU)"
                ),
            )
        options = {"PERFORMANCE_HINT": self.hint}
        if self.device == "CPU":
            # Float stays float32: by itself it would take bfloat16 where the processor has it.
            options |= {"INFERENCE_NUM_THREADS": self.threads, "INFERENCE_PRECISION_HINT": "f32"}
            # A thread tied to one processor waits for whatever else runs there: ten times as long was seen.
            options["ENABLE_CPU_PINNING"] = False
        try:
            with onnx_model.silence():
                return core.compile_model(network, self.device, options)
        except RuntimeError as error:
            raise ModelError(
                tr("OpenVINO cannot compile this model for {device}.", device=self.device),
                why=_first_line(error),
                fix=tr("try the CPU, or convert the model again"),
            ) from error


def _spec(port: Any, known: dict[str, TensorSpec]) -> TensorSpec:
    name = port.any_name
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in port.partial_shape)
    spec = known.get(name)
    dtype = np.dtype(port.element_type.to_dtype())
    if spec is None or spec.dtype != dtype:
        return TensorSpec(name, shape, dtype)
    return TensorSpec(name, shape, dtype, spec.scale, spec.zero_point)


def _read_tflite(core: Any, path: Path) -> Any:
    # LiteRT in a child process first: a damaged file that passes every check may still end native code.
    with CpuTarget(threads=1).open(path):
        pass
    try:
        with onnx_model.silence():
            return core.read_model(str(path))
    except RuntimeError as error:
        raise ModelError(
            tr("OpenVINO cannot read {path}.", path=path.name),
            why=_first_line(error),
            fix=tr("look for an operator it lacks with edgelab.graph, and convert the model without it"),
        ) from error


def _read_archive(core: Any, path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            xml, weights = (archive.read(name) for name in MEMBERS)
        with onnx_model.silence():
            return core.read_model(model=xml, weights=weights)
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise ModelError(
            tr("{path} is not a model that OpenVINO can open.", path=path.name),
            why=_first_line(error),
            fix=tr("compile it again, or pass a .tflite file"),
        ) from error


def _quantized(network: Any, model: Path, calibration: np.ndarray | None) -> Any:
    """The network with NNCF's FakeQuantize operators, their ranges from the images."""
    found = graph.read(model)
    if any(tensor.is_quantized for tensor in found.tensors):
        raise ModelError(
            tr("{model} is quantized already, at least in part.", model=model.name),
            why=tr("NNCF starts from a float model"),
            fix=tr('open it as it is, or start from chain.converted("float32")'),
        )
    images = onnx_model.check_images(calibration, quantization.tensor_spec(found.tensors[found.inputs[0]]))
    nncf = onnx_model.load("nncf")
    nncf.set_log_level(logging.ERROR)
    try:
        with onnx_model.silence():
            return nncf.quantize(
                network,
                nncf.Dataset(list(images), lambda image: {0: image[np.newaxis].astype(np.float32)}),
                subset_size=len(images),
            )
    except Exception as error:  # NNCF raises many kinds, from OpenVINO below it too
        raise ModelError(
            tr("NNCF cannot quantize {model}.", model=model.name),
            why=_first_line(error),
            fix=tr('use precision="float32"'),
        ) from error
