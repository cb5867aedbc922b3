"""TensorRT: NVIDIA's compiler and runtime. The ONNX model is made and checked here, the engine on a GPU.

All native code of NVIDIA runs in a child process, `edgelab.targets.tensorrt.worker`: it may crash.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, hardware
from edgelab.runtime import Availability, Placement
from edgelab.targets import onnx_model
from edgelab.targets.base import Compiled
from edgelab.targets.tensorrt.engine import BUILD_LIMIT_S, Engine
from edgelab.targets.tensorrt.session import TensorRtSession
from edgelab.texts import tr

PRECISIONS = ("int8", "fp16")
# Wheels of the full library; "tensorrt-lean" and "tensorrt-dispatch" run engines but cannot build any.
PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
FULL_LIBRARY_FIX = tr(
    'pip install "tensorrt>=10" (the bindings are on PyPI, the libraries come from '
    "NVIDIA's own index), or NVIDIA's packages for the system; on a Jetson: sudo apt "
    "install nvidia-jetpack, and an environment made with --system-site-packages"
)
HEADER = b"edgelab tensorrt engine 1\n"


def _version() -> str:
    """Version of the Python package, "" when there is none."""
    return next(filter(None, map(hardware.version_of, PACKAGES)), "")


def _gpu() -> str:
    """Name, driver and memory of the GPU, as its driver tells; "" when none answers."""
    jetson = hardware.text_of(hardware.ROOT / "etc/nv_tegra_release").splitlines()[:1]
    return hardware.nvidia_card() or (jetson[0] if jetson else "")


class TensorRtTarget:
    """TensorRT on an NVIDIA GPU or a Jetson.

    Args:
        precision: "int8": symmetric QDQ from calibration images. "fp16": weights and arithmetic of 16 bits.
    """

    name = "tensorrt"
    takes = "float32"
    suffix = ".engine"

    def __init__(self, precision: str = "int8") -> None:
        if precision not in PRECISIONS:
            raise InputError(
                tr("There is no precision {precision!r}.", precision=precision),
                fix=tr("choose from {precisions}", precisions=", ".join(PRECISIONS)),
            )
        self.precision = precision

    @property
    def settings(self) -> dict[str, Any]:
        """Precision, tools, GPU and driver: an engine fits only the machine that it was built on."""
        versions = {package: hardware.version_of(package) for package in ("onnx", "onnxruntime", "tf2onnx")}
        return {"precision": self.precision, "tensorrt": _version(), "gpu": _gpu(), **versions}

    def probe(self) -> Availability:
        """Whether TensorRT and a GPU are here; what is loaded at all is loaded in a child process."""
        gpu, version = _gpu(), _version()
        is_lean = not version and any(map(hardware.version_of, ("tensorrt-lean", "tensorrt-dispatch")))
        why = tr(
            "the fastest path on an NVIDIA GPU; the quantized ONNX model is made and checked without one"
        )
        if not gpu:
            has_card = any(name.startswith("10de:") for name in hardware.pci_ids())
            detail = (
                tr("an NVIDIA GPU is here, its driver does not answer") if has_card else tr("no NVIDIA GPU")
            )
            fix = (
                tr("install NVIDIA's driver, then restart")
                if has_card
                else tr("a machine with an NVIDIA GPU")
            )
            return Availability(
                False,
                False,
                detail,
                why,
                tr("{fix}; then {library_fix}", fix=fix, library_fix=FULL_LIBRARY_FIX),
            )
        if is_lean:
            detail = tr(
                "{gpu}; only the lean runtime of TensorRT is installed, which cannot build engines", gpu=gpu
            )
            return Availability(False, False, detail, why, FULL_LIBRARY_FIX)
        if not version and not hardware.native("nvinfer")[0]:
            return Availability(
                False, False, tr("{gpu}; TensorRT is not installed", gpu=gpu), why, FULL_LIBRARY_FIX
            )
        installed = f"TensorRT {version}" if version else tr("TensorRT of the system")
        return Availability(True, True, f"{gpu}; {installed}", why)

    def prepare(self, model: Path, *, calibration: np.ndarray | None = None) -> Path:
        """The first half of `compile`, which needs no GPU: the ONNX file that TensorRT builds an engine from.

        Args:
            model: a float32 `.tflite` file, or an `.onnx` file.
            calibration: uint8 `[N, H, W, 3]`, for int8.

        Returns:
            For int8, symmetric QDQ, every zero point checked; for fp16, float16 weights. Valid ONNX that
            ONNX Runtime accepts.

        Raises:
            InputError: no calibration images, or images that do not fit.
            ModelError: a damaged, dynamic or quantized model, or an operator that ONNX lacks.
            TargetError: a package is missing.
        """
        float_onnx = onnx_model.from_model(model)
        onnx_model.image_spec(onnx_model.read(float_onnx), Path(model).name)
        if self.precision == "fp16":
            made = onnx_model.to_float16(float_onnx)
        else:
            made = onnx_model.quantize(float_onnx, calibration, onnx_model.SYMMETRIC)
            onnx_model.check_symmetric(made)
        from edgelab.targets.onnxruntime.target import OnnxRuntimeTarget

        with OnnxRuntimeTarget(threads=1).open(made) as session:
            session.run(*(np.zeros(spec.shape, spec.dtype) for spec in session.inputs))
        return made

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Build an engine for this machine's GPU. It runs on no other GPU, and with no other TensorRT.

        TensorRT tries many kernels for each layer; what it measured is kept in `artifacts/tensorrt/`, so that
        the next build is faster.

        Raises:
            InputError, ModelError: as `prepare`; or TensorRT refuses the model.
            TargetError: no TensorRT, no GPU, too old a driver, or it crashed or hung.
            StorageError: `out` cannot be written.
        """
        self._check_available()
        started = time.perf_counter()
        prepared = self.prepare(model, calibration=calibration)
        engine = Engine()
        try:
            cache_name = artifacts.content_key(**engine.machine)
            timing_cache = artifacts.artifacts_dir() / "tensorrt" / f"timing-{cache_name}.cache"
            built = engine.folder / "built.engine"
            request = {
                "do": "build",
                "onnx": str(prepared.resolve()),
                "out": str(built),
                "timing_cache": str(timing_cache.resolve()) if timing_cache.exists() else "",
                "new_timing_cache": str(engine.folder / "timing.cache"),
            }
            answer = engine.ask(request, BUILD_LIMIT_S)
            made_cache = engine.folder / "timing.cache"
            if made_cache.exists():
                with artifacts.atomic_path(timing_cache) as temporary:
                    temporary.write_bytes(made_cache.read_bytes())
            rows = tuple(answer["layers"])
            facts = {**engine.machine, "layers": len(rows), "precision": self.precision}
            content = HEADER + json.dumps(facts).encode() + b"\n" + built.read_bytes()
        finally:
            engine.close()
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        return Compiled(
            path=Path(out),
            target=self.name,
            log_rows=rows,
            placement=Placement(len(rows), len(rows)),
            duration_s=time.perf_counter() - started,
            size_bytes=len(content),
        )

    def open(self, model: Path | Compiled) -> TensorRtSession:
        """Load an engine.

        Raises:
            ModelError: it is no engine of ours, or was built for another GPU or by another TensorRT.
            TargetError: no TensorRT, no GPU, or the child process died.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        facts, content = _read(path)
        self._check_available()
        return TensorRtSession(content, facts, Placement(facts["layers"], facts["layers"]))

    def _check_available(self) -> None:
        found = self.probe()
        if not found.can_run:
            raise TargetError(
                tr("TensorRT cannot be used on this machine."),
                why=found.detail,
                fix=tr(
                    "{fix}. Without it, TensorRtTarget().prepare(model, calibration=images) gives the "
                    "ONNX file that an engine is built from",
                    fix=found.fix,
                ),
            )


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """What an engine was built for, and the engine itself."""
    try:
        content = path.read_bytes()
        if not content.startswith(HEADER):
            raise ValueError(tr("it does not begin as our engines do"))
        line, _, engine = content[len(HEADER) :].partition(b"\n")
        facts = json.loads(line)
        if not engine or not {"gpu", "tensorrt", "layers"} <= set(facts):
            raise ValueError(tr("it is cut off"))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            tr("{path} is not a TensorRT engine that can be opened.", path=path.name),
            why=str(error),
            fix=tr("build it on this machine: chain.compiled(targets.get('tensorrt'))"),
        ) from error
    return facts, engine
