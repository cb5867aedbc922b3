"""The child process that TensorRT and the GPU's driver live in; `targets.tensorrt` talks to it.

A question is a line of JSON on stdin: {"do": "start" | "build" | "open" | "run" | "time", ...}. Arrays go
through .npy files in the working directory. For TensorRT 10 and 11, with strongly typed networks: every
operator computes in the type that the ONNX file gives it. The GPU's memory is handled by ctypes through the
library of the driver, so that no CUDA package is needed.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine.child import ANSWER_MARK
from edgelab.texts import tr

OLDEST = 10  # major version
WORKSPACE_BYTES = 1 << 30
DRIVER_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
TOO_OLD = (35, 803)  # CUDA_ERROR_INSUFFICIENT_DRIVER, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
LOST = (46, 100, 101, 214, 700, 719, 999)  # busy or gone: devices unavailable, none, ECC, fault, unknown


class Refusal(Exception):  # noqa: N818 - becomes an error on the other side
    """What cannot be done: what, why, and what to do."""

    def __init__(self, what: str, why: str, fix: str, *, is_model: bool = False) -> None:
        super().__init__(what)
        self.answer = {"error": {"what": what, "why": why, "fix": fix, "is_model": is_model}}


class Driver:
    """The few functions of the CUDA driver that inference needs, on the first GPU."""

    def __init__(self) -> None:
        self._library = self._load()
        self._call("cuInit", 0)
        version, device, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        # The context that the CUDA runtime inside TensorRT uses as well.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, 256, device)
        self.gpu = name.value.decode(errors="replace")
        # 12040 stands for CUDA 12.4: the newest that this driver runs.
        self.cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self.stream = stream.value

    def _load(self) -> ctypes.CDLL:
        reasons = []
        for name in DRIVER_LIBRARIES:
            try:
                return ctypes.WinDLL(name) if name.endswith(".dll") else ctypes.CDLL(name)
            except (OSError, AttributeError) as error:
                reasons.append(str(error))
        raise Refusal(
            tr("The NVIDIA driver's library cannot be loaded."),
            reasons[0],
            tr("install NVIDIA's driver, then restart"),
        )

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code == 0:
            return
        text = ctypes.c_char_p()
        self._library.cuGetErrorString(code, ctypes.byref(text))
        said = (text.value or b"unknown").decode(errors="replace")
        why = tr("{function} gave error {code}: {said}", function=function, code=code, said=said)
        if code in TOO_OLD:
            fix = tr("install a newer NVIDIA driver, or a TensorRT built for the older CUDA (tensorrt-cu12)")
            raise Refusal(tr("The NVIDIA driver is too old, or does not match its kernel module."), why, fix)
        if code == 2:  # CUDA_ERROR_OUT_OF_MEMORY
            raise Refusal(
                tr("The GPU's memory is full."), why, tr("end other programs on it (nvidia-smi lists them)")
            )
        fix = tr(
            "check with nvidia-smi that the GPU is there; another program may hold it; then open it again"
        )
        if code in LOST:
            raise Refusal(tr("The GPU is not available any more."), why, fix)
        raise Refusal(tr("The NVIDIA driver failed."), why, fix)

    def allocate(self, size_bytes: int) -> int:
        """Address of new memory on the GPU; freed when the process ends."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size_bytes)))
        return address.value

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy to the GPU, in the stream's order."""
        self._call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_void_p(self.stream),
        )

    def download(self, array: np.ndarray, address: int) -> None:
        """Copy from the GPU, in the stream's order."""
        self._call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_void_p(self.stream),
        )

    def wait(self) -> None:
        """Until everything in the stream is done."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))


class Engine:
    """What the questions are about: TensorRT, the driver, and the engine once it is open."""

    def __init__(self) -> None:
        try:
            import tensorrt
        except Exception as error:  # a half installed one raises whatever it trips over
            raise Refusal(
                tr("TensorRT's Python package cannot be loaded."),
                f"{type(error).__name__}: {error}",
                tr("install it whole, in the version for this driver's CUDA: pip install tensorrt"),
            ) from error
        self.trt = tensorrt
        version = getattr(tensorrt, "__version__", "0")
        if not hasattr(tensorrt, "Builder") or int(version.split(".")[0]) < OLDEST:
            raise Refusal(
                tr("This TensorRT ({version}) cannot be used.", version=version),
                tr("it is older than 10, or the lean runtime, which has no builder"),
                tr('install the full one: pip install "tensorrt>={oldest}"', oldest=OLDEST),
            )
        self.driver = Driver()
        self.messages: list[str] = []
        self.logger = self._make_logger()
        self.context = None

    def _make_logger(self) -> Any:
        trt, messages, levels = self.trt, self.messages, self.trt.ILogger.Severity

        class Logger(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (levels.INTERNAL_ERROR, levels.ERROR):
                    messages.append(message)

        return Logger()

    def facts(self) -> dict[str, str]:
        """What an engine is bound to."""
        return {"gpu": self.driver.gpu, "tensorrt": self.trt.__version__, "cuda": self.driver.cuda}

    def build(
        self, onnx: str, out: str, timing_cache: str, new_timing_cache: str
    ) -> dict[str, list[dict[str, Any]]]:
        """Write an engine and its timing cache; return its layers."""
        trt = self.trt
        builder = self._made(trt.Builder, self.logger)
        # TensorRT 10 must be told; in 11 every network is strongly typed.
        flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        parser = trt.OnnxParser(network, self.logger)
        if not parser.parse(Path(onnx).read_bytes()):
            reasons = [parser.get_error(number).desc() for number in range(parser.num_errors)]
            raise Refusal(
                tr("TensorRT cannot read this ONNX model."),
                "; ".join(reasons) or self._last_message(),
                tr(
                    "look for the operator it names with onnx_model.operator_counts; asymmetric zero "
                    "points are found by onnx_model.check_symmetric"
                ),
                is_model=True,
            )
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        cache = config.create_timing_cache(Path(timing_cache).read_bytes() if timing_cache else b"")
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise Refusal(
                tr("TensorRT could not build an engine."),
                self._last_message(),
                tr("free memory on the GPU, or try the other precision"),
                is_model=True,
            )
        Path(out).write_bytes(bytes(memoryview(plan)))
        Path(new_timing_cache).write_bytes(bytes(memoryview(config.get_timing_cache().serialize())))
        runtime = self._made(trt.Runtime, self.logger)
        engine = self._made(runtime.deserialize_cuda_engine, bytes(memoryview(plan)))
        return {"layers": self._layers(engine)}

    def _layers(self, engine: Any) -> list[dict[str, Any]]:
        """One row per layer of the engine: name, type, and types of its outputs."""
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(self.trt.LayerInformationFormat.JSON)
        rows = []
        for layer in json.loads(text).get("Layers", []):
            if not isinstance(layer, dict):  # with low verbosity only a name
                rows.append({"layer": str(layer), "type": "", "output": ""})
                continue
            # TensorRT 10 joins form and type in one text; 11 gives the type apart.
            outputs = [
                port.get("DataType") or port.get("Format/Datatype", "") for port in layer.get("Outputs", [])
            ]
            rows.append(
                {
                    "layer": layer.get("Name", ""),
                    "type": layer.get("LayerType", ""),
                    "output": ", ".join(map(str, outputs)),
                }
            )
        return rows

    def open(self, path: str, facts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """Load an engine and reserve memory for its inputs and outputs."""
        here = self.facts()
        for key, word in (("gpu", "GPU"), ("tensorrt", "TensorRT")):
            if facts.get(key) != here[key]:
                raise Refusal(
                    tr("This engine was built for another {word}.", word=word),
                    tr(
                        "it was built for {built}, here is {here}; an engine holds machine code, chosen by "
                        "timing on the GPU that it was built on",
                        built=facts.get(key),
                        here=here[key],
                    ),
                    tr("build it again on this machine, from the ONNX file"),
                    is_model=True,
                )
        trt = self.trt
        runtime = self._made(trt.Runtime, self.logger)
        engine = self._made(runtime.deserialize_cuda_engine, Path(path).read_bytes())
        self.runtime, self.engine = runtime, engine
        self.context = self._made(engine.create_execution_context)
        ports: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
        self.arrays: dict[str, list[tuple[np.ndarray, int]]] = {"inputs": [], "outputs": []}
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            shape, dtype = (
                tuple(map(int, engine.get_tensor_shape(name))),
                np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
            )
            if -1 in shape:
                raise Refusal(
                    tr("This engine takes inputs of any size."),
                    tr("{name} is {shape}", name=name, shape=shape),
                    tr("fix the shape"),
                    is_model=True,
                )
            side = "inputs" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "outputs"
            array = np.zeros(shape, dtype)
            address = self.driver.allocate(array.nbytes)
            self.context.set_tensor_address(name, address)
            self.arrays[side].append((array, address))
            ports[side].append({"name": name, "shape": shape, "dtype": dtype.name})
        return ports

    def run(self) -> dict[str, Any]:
        """One inference from the .npy files in this folder to those."""
        self._take_inputs()
        self._infer()
        for number, (array, _) in enumerate(self.arrays["outputs"]):
            np.save(f"output{number}.npy", array)
        return {}

    def time(self, count: int) -> dict[str, list[float]]:
        """Latencies of runs, the clock read here."""
        self._take_inputs()
        return {"latencies_ms": [self._infer() for _ in range(count)]}

    def _take_inputs(self) -> None:
        for number, (array, _) in enumerate(self.arrays["inputs"]):
            np.copyto(array, np.load(f"input{number}.npy"), casting="no")

    def _infer(self) -> float:
        """Copy in, run, copy out, wait; milliseconds."""
        started = time.perf_counter()
        for array, address in self.arrays["inputs"]:
            self.driver.upload(address, array)
        if not self.context.execute_async_v3(self.driver.stream):
            raise Refusal(tr("The engine failed while it ran."), self._last_message(), tr("open it again"))
        for array, address in self.arrays["outputs"]:
            self.driver.download(array, address)
        self.driver.wait()
        return 1000 * (time.perf_counter() - started)

    def _made(self, make: Any, *arguments: Any) -> Any:
        """What TensorRT makes; where it cannot, it gives None or a TypeError, and tells the logger why."""
        try:
            made = make(*arguments)
        except TypeError:
            made = None
        if made is None:
            raise Refusal(
                tr("TensorRT failed at {step}.", step=make.__name__),
                self._last_message(),
                tr(
                    "check that the driver, made for CUDA {cuda}, is new enough for TensorRT {version}, "
                    "and that the GPU has free memory (nvidia-smi)",
                    cuda=self.driver.cuda,
                    version=self.trt.__version__,
                ),
            )
        return made

    def _last_message(self) -> str:
        return self.messages[-1] if self.messages else "it gave no reason"


def main() -> None:
    """Answer questions until stdin ends."""
    engine: Engine | None = None
    for line in sys.stdin:
        question = json.loads(line)
        task = question.pop("do")
        try:
            if task == "start":
                engine = Engine()
                answer = engine.facts()
            else:
                answer = getattr(engine, task)(**question)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception as error:  # TensorRT's bindings raise RuntimeError, TypeError and others
            why = f"{type(error).__name__}: {error}"
            if engine is not None and engine.messages:
                why += "; " + tr("TensorRT said: {message}", message=engine.messages[-1])
            answer = Refusal(
                tr("TensorRT failed at {task!r}.", task=task), why, tr("open the model again")
            ).answer
        sys.stdout.write(ANSWER_MARK + json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
