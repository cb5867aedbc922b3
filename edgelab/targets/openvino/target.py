"""OpenVINO, Intel's compiler and runtime: quantizes a float model with NNCF, or reads a `.tflite` as is."""

from __future__ import annotations

import logging
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph, quantization
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, hardware
from edgelab.runtime import Availability, Placement
from edgelab.targets import foreign_onnx, onnx_model
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import CpuTarget, thread_count
from edgelab.targets.openvino.session import OpenVinoSession, first_line, runtime_version
from edgelab.texts import tr, tr_alternatives

HINTS = ("LATENCY", "THROUGHPUT")
PRECISIONS = ("int8", "float32")
MEMBERS = ("model.xml", "model.bin")  # OpenVINO's own pair of files, kept together in one archive


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
        return {"precision": self.precision, "ranges": "min and max", **versions}

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
        """Quantize a float `.tflite` or `.onnx` file with NNCF, and keep OpenVINO's two files in one archive.

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
        model = foreign_onnx.taken(model)
        network = _read(core, model)
        if self.precision == "int8":
            network = _quantized(network, model, calibration)
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
        """Load what `compile` gave, or a `.tflite` or `.onnx` file, float or int8, as it is.

        Raises:
            ModelError: missing, damaged, or refused by OpenVINO.
            TargetError: openvino is not installed, or has no such device here.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        core = onnx_model.load("openvino").Core()
        if path.suffix == ".tflite":
            network, found = _read(core, path), graph.read(path)
            ends = (*found.inputs, *found.outputs)
            known = {found.tensors[i].name: quantization.tensor_spec(found.tensors[i]) for i in ends}
            return OpenVinoSession(network, core, self, known)
        if foreign_onnx.is_onnx(path):
            return OpenVinoSession(_read(core, foreign_onnx.taken(path)), core, self, {})
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
                why=first_line(error),
                fix=tr("try the CPU, or convert the model again"),
            ) from error


def _read(core: Any, path: Path) -> Any:
    if not foreign_onnx.is_onnx(path):
        # LiteRT in a child process first: a damaged file that passes every check may still end native code.
        with CpuTarget(threads=1).open(path):
            pass
    try:
        with onnx_model.silence():
            return core.read_model(str(path))
    except RuntimeError as error:
        raise ModelError(
            tr("OpenVINO cannot read {path}.", path=path.name),
            why=first_line(error),
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
            why=first_line(error),
            fix=tr("compile it again, or pass a .tflite file"),
        ) from error


def _ranges(nncf: Any) -> Any:
    """Ranges of activations from the smallest to the largest value seen.

    NNCF's default drops outliers by statistics of each image, which costs small networks dear: outputs of the
    tests' network have 15.6 dB with it, and 25.6 dB with these.
    """
    estimators = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    return nncf.AdvancedQuantizationParameters(activations_range_estimator_params=estimators.MINMAX)


def _quantized(network: Any, model: Path, calibration: np.ndarray | None) -> Any:
    """The network with NNCF's FakeQuantize operators, their ranges from the images."""
    found = graph.read(model)
    if any(tensor.is_quantized for tensor in found.tensors):
        raise ModelError(
            tr("{model} is quantized already, at least in part.", model=model.name),
            why=tr("NNCF starts from a float model"),
            fix=tr('open it as it is, or start from chain.converted("float32")'),
        )
    if len(found.inputs) != 1:
        raise ModelError(
            tr("{model} has {count} inputs.", model=model.name, count=len(found.inputs)),
            why=tr("calibration feeds one image at a time"),
            fix=tr('join the inputs, or use precision="float32"'),
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
                advanced_parameters=_ranges(nncf),
            )
    except Exception as error:  # NNCF raises many kinds, from OpenVINO below it too
        raise ModelError(
            tr("NNCF cannot quantize {model}.", model=model.name),
            why=first_line(error),
            fix=tr('use precision="float32"'),
        ) from error
