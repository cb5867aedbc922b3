"""The GPU, by LiteRT's `CompiledModel`: any maker's, through Vulkan, Direct3D or Metal; no CUDA.

Three things make its numbers easy to get wrong, and each is met here. Starting a run only *enqueues* it: time
counts to the end of the read. Operators may stay on the CPU unseen: by default it is the GPU or nothing. And
some operators compute wrong results without an error: each model is compared with the CPU before its first
run, in a child process, and one that differs carries a `fault` that keeps it from being timed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts, child, gpu_adapter, quiet
from edgelab import graph
from edgelab.errors import InputError, ModelError, StorageError, TargetError
from edgelab.machine.gpu_adapter import Adapter
from edgelab.machine.hardware import version_of
from edgelab.targets.cpu import target as cpu
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.base import Compiled
from edgelab.machine.child import no_core_dumps
from edgelab.texts import tr

TIME_LIMIT_S = 180.0  # a driver compiles a program for each operator
SAMPLES = 8
VERDICT_MARK = "verdict "
WHY_IT_MATTERS = tr("a GPU runs large float models faster than the CPU, and it is in nearly every computer")
# The largest difference from the CPU that counts as rounding, relative to the size of the outputs (both root
# mean square, over all samples). A quantized model differs more: the GPU rounds in other places than the CPU,
# and each rounding that falls otherwise is carried through all later layers.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "quantized": 0.25}
EXCLUDE_VARIABLE = "LITERT_GPU_DEBUG_EXCLUDE_NODES"
COUNTS = re.compile(
    r"^(?P<gpu>\d+|No) operations will run on the GPU, and (?:the remaining|all) (?P<cpu>\d+) operations",
    re.MULTILINE,
)
UNSUPPORTED = re.compile(
    r"not supported by GPU delegate:\n(?P<rows>.*?)\n(?:\d+|No) operations will", re.DOTALL
)
COMPLAINT = re.compile(
    r"^(?:[EF]\d{4} [\d:.]+ +\d+ |ERROR: )(?:[\w.]+:\d+\] )?(?P<text>\w.{8,})", re.MULTILINE
)


@dataclass(frozen=True)
class Verdict:
    """What a child process found out about a model on a GPU.

    Attributes:
        status: "runs" or "refused" (the runtime said why).
        detail: the runtime's message.
        error: root mean square of the difference from the CPU's outputs, relative to theirs; of the worst.
        left_on_cpu: operators that the GPU does not take, by LiteRT's own count.
        counted: operators in that count; 0 where LiteRT did not count, since the GPU takes all.
        reasons: (operator, reason) for each kind that the GPU does not take.
        parts: pieces that the GPU runs, with operators on the CPU between them.
        complaints: what the GPU library wrote in its log as errors.
        duration_s: of the trial: compiling for the GPU, and the samples on both.
    """

    status: str
    detail: str = ""
    error: float = 0.0
    left_on_cpu: int = 0
    counted: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    parts: int = 0
    complaints: tuple[str, ...] = ()
    duration_s: float = 0.0


def sample_inputs(specs: tuple[TensorSpec, ...], count: int = SAMPLES) -> Iterator[tuple[np.ndarray, ...]]:
    """Inputs to compare on: black, white, then tinted noise of growing contrast; zeros for indices.

    Args:
        specs: of the model's inputs; values are pixels, 0 to 255.
        count: how many.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        arrays = []
        for spec in specs:
            if spec.dtype not in (np.uint8, np.int8, np.float32):
                arrays.append(np.zeros(spec.shape, spec.dtype))
                continue
            tint = rng.uniform(0, 255, spec.shape[-1:])
            noise = rng.uniform(-128, 128, spec.shape) * number / count
            pixels = (
                np.clip(tint + noise, 0, 255).round() if number > 1 else np.full(spec.shape, 255.0 * number)
            )
            arrays.append(spec.quantize(pixels) if spec.is_quantized else pixels.astype(spec.dtype))
        yield tuple(arrays)


def difference(reference: np.ndarray, found: np.ndarray) -> float:
    """Root mean square of the difference, relative to the reference's; infinite where only one is finite.

    Args:
        reference: real numbers, any shape.
        found: the same shape.
    """
    reference, found = np.asarray(reference, np.float64), np.asarray(found, np.float64)
    finite = np.isfinite(reference)
    if not np.isfinite(found[finite]).all() or (~finite).all():
        return float("inf")
    size = float(np.sqrt(np.mean(reference[finite] ** 2)))
    error = float(np.sqrt(np.mean((found[finite] - reference[finite]) ** 2)))
    return error / size if size > 0 else (0.0 if error == 0 else float("inf"))


@contextlib.contextmanager
def _kept_on_cpu(operators: tuple[int, ...]) -> Iterator[None]:
    """LiteRT's debugging variable, set while a model is compiled."""
    before = os.environ.pop(EXCLUDE_VARIABLE, None)
    if operators:
        os.environ[EXCLUDE_VARIABLE] = ",".join(map(str, operators))
    try:
        yield
    finally:
        os.environ.pop(EXCLUDE_VARIABLE, None)
        if before is not None:
            os.environ[EXCLUDE_VARIABLE] = before


class GpuSession(ClosesAtEnd):
    """A model loaded on the GPU. Made by `GpuTarget.open`; one thread at a time may run it."""

    target = "gpu"
    provenance = "measured"

    def __init__(
        self,
        content: bytes,
        adapter: Adapter,
        *,
        precision: str = "float32",
        fallback: bool = False,
        keep_on_cpu: tuple[int, ...] = (),
        placement: Placement | None = None,
        fault: str = "",
    ) -> None:
        described = graph.read(content)
        with _kept_on_cpu(keep_on_cpu):
            self._model = gpu_adapter.compile_model(
                content,
                folder=adapter.software_folder,
                float32=precision == "float32",
                fallback=fallback or bool(keep_on_cpu),
            )
        self._buffers = self._model.create_input_buffers(0), self._model.create_output_buffers(0)
        [(key, names), *_] = self._model.get_signature_list().items()
        details = self._model.get_input_tensor_details(key), self._model.get_output_tensor_details(key)
        kinds = zip(("inputs", "outputs"), details, self._buffers, strict=True)
        found = [_in_file_order(described, kind, names[kind], *rest) for kind, *rest in kinds]
        (self.inputs, self._given), (self.outputs, self._wanted) = found
        self.device, self.runtime_version = str(adapter), f"{cpu.runtime_version()} GPU"
        self.placement, self.fault = placement, fault
        # The first run compiles what is left and logs what it likes: it belongs to opening.
        self.run(*(np.zeros(spec.shape, spec.dtype) for spec in self.inputs))

    def enqueue(self, *inputs: np.ndarray) -> None:
        """Hand over the inputs and start one inference; on most GPUs this returns before it is done.

        Args:
            *inputs: one array for each of `self.inputs`, of exactly its shape and type.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, or the GPU fails.
        """
        if self._model is None:
            raise TargetError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('gpu').open(path)")
            )
        check_inputs(self.inputs, inputs)
        try:
            for buffer, array in zip(self._given, inputs, strict=True):
                buffer.write(array)
            self._model.run_by_index(0, *self._buffers)
        except RuntimeError as error:
            raise _failed(error) from error

    def read(self) -> tuple[np.ndarray, ...]:
        """Wait for the inference that was started last, and copy its results.

        Returns:
            One array for each of `self.outputs`, as the model gives it: quantized outputs stay integers.

        Raises:
            TargetError: the GPU fails.
        """
        try:
            return tuple(
                buffer.read(int(np.prod(spec.shape)), spec.dtype).reshape(spec.shape)
                for spec, buffer in zip(self.outputs, self._wanted, strict=True)
            )
        except RuntimeError as error:
            raise _failed(error) from error

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, to the end: `enqueue`, then `read`."""
        self.enqueue(*inputs)
        return self.read()

    def close(self) -> None:
        """Free the model and its buffers. A second call does nothing."""
        with quiet.native_stderr():
            self._model = self._buffers = self._given = self._wanted = None

    def __repr__(self) -> str:
        return f"<GPU session: {self.device}, {self.placement}>"


class GpuTarget:
    """LiteRT on this machine's GPU.

    Args:
        precision: "float32", or "float16" to let the GPU compute with 16 bits where it can, which is faster.
        fallback: let the CPU run what the GPU does not take. By default such a model is refused, so that a
            latency is the GPU's alone.
        keep_on_cpu: operators, by their place in the file, that the CPU is to run: to see what a cut costs.
        software: see `gpu_adapter.find`.
    """

    name = "gpu"
    takes = "float32"
    suffix = ".tflite"

    def __init__(
        self,
        precision: str = "float32",
        *,
        fallback: bool = False,
        keep_on_cpu: tuple[int, ...] = (),
        software: bool | None = None,
    ) -> None:
        if precision not in ("float32", "float16"):
            raise InputError(
                tr("There is no precision {precision!r}.", precision=precision),
                fix=tr("choose float32 or float16"),
            )
        self.precision, self.fallback, self.keep_on_cpu = precision, fallback, tuple(keep_on_cpu)
        self.software, self.time_limit_s = software, TIME_LIMIT_S

    @property
    def _options(self) -> dict[str, Any]:
        return {"precision": self.precision, "fallback": self.fallback, "keep_on_cpu": self.keep_on_cpu}

    @property
    def settings(self) -> dict[str, Any]:
        """What decides placement and results: options, device, runtime."""
        return self._options | {"device": str(gpu_adapter.find(self.software)), "runtime": _version()}

    def probe(self) -> Availability:
        """Which GPU answers, tried by one addition in a child process; without one, why and the mend."""
        adapter = gpu_adapter.find(self.software)
        here = bool(adapter.name)
        detail = (
            tr("{adapter}, by {library}", adapter=adapter, library=adapter.library) if here else str(adapter)
        )
        return Availability(here, here, detail, "" if here else WHY_IT_MATTERS, adapter.fix)

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Try the model on the GPU against the CPU, then copy it: each process compiles it anew.

        Raises:
            ModelError: not a readable model, or one that the GPU refuses.
            TargetError: no GPU, or its library ends or hangs on this model.
            StorageError: `out` cannot be written.
        """
        content, verdict = self._checked(Path(model))
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        rows = tuple({"message": text} for text in verdict.complaints)
        placement = self._placement(content, verdict)
        return Compiled(Path(out), self.name, rows, placement, verdict.duration_s, len(content))

    def open(self, model: Path | Compiled) -> GpuSession:
        """Load a model, after it has run in a child process and its results were compared with the CPU's.

        Raises:
            ModelError: missing, corrupt, or one that the GPU refuses.
            TargetError: no GPU, or its library ends or hangs on this model.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        content, verdict = self._checked(path)
        placement, fault = self._placement(content, verdict), self._fault(content, verdict)
        adapter = gpu_adapter.find(self.software)
        with quiet.native_stderr():
            try:
                return GpuSession(content, adapter, **self._options, placement=placement, fault=fault)
            except RuntimeError as error:
                raise _failed(error) from error

    def check(self, path: Path) -> Verdict:
        """Run a model on the GPU and on the CPU, and remember what was found under `artifacts/checked/`.

        A child process that died or hung is not remembered: the next driver, or a calmer machine, may do.

        Raises:
            ModelError: missing, corrupt, or the CPU refuses it.
            TargetError: no GPU, or its library ends or hangs on this model.
        """
        return self._checked(path)[1]

    def _checked(self, path: Path) -> tuple[bytes, Verdict]:
        adapter = gpu_adapter.find(self.software)
        if not adapter.name:
            raise TargetError(tr("No GPU that LiteRT can use."), why=adapter.reason, fix=adapter.fix)
        with cpu.CpuTarget().open(path):
            content = path.read_bytes()
        _refuse_open_sizes(content, path.name)
        key = artifacts.content_key(content=hashlib.sha256(content).digest(), **self.settings)
        memory = artifacts.artifacts_dir() / "checked" / f"gpu-{key}.json"
        if memory.exists():
            verdict = _verdict(json.loads(memory.read_text(encoding="utf-8")))
        else:
            verdict = self._try(path, adapter)
            # A full disk costs another try, not the lesson.
            with contextlib.suppress(StorageError), artifacts.atomic_path(memory) as temporary:
                temporary.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
        if verdict.status == "refused":
            raise _refused(path.name, verdict, len(graph.read(content).operators))
        return content, verdict

    def _try(self, path: Path, adapter: Adapter) -> Verdict:
        request = self._options | {"path": str(Path(path).resolve()), "adapter": asdict(adapter)}
        command = [sys.executable, "-m", "edgelab.targets.gpu.target", json.dumps(request)]
        with tempfile.TemporaryDirectory(prefix="edgelab-gpu-", ignore_cleanup_errors=True) as folder:
            done = child.run(command, folder=Path(folder), time_limit_s=self.time_limit_s)
        answers = [line for line in done.stdout.splitlines() if line.startswith(VERDICT_MARK)]
        complaints = tuple(dict.fromkeys(found["text"] for found in COMPLAINT.finditer(done.stderr)))
        if not answers:
            raise TargetError(
                tr(
                    "LiteRT's GPU library ends the process on {path} (exit code {returncode}).",
                    path=path.name,
                    returncode=done.returncode,
                ),
                why=complaints[-1] if complaints else done.tail,
                fix=tr("run it on another target, or find the operator to blame: GpuTarget(keep_on_cpu=...)"),
            )
        record = json.loads(answers[0][len(VERDICT_MARK) :]) | _read_log(done.stderr, complaints)
        return _verdict(record | {"duration_s": done.duration_s})

    def _placement(self, content: bytes, verdict: Verdict) -> Placement:
        operators = graph.read(content).operators
        kept = tuple(
            (f"{operators[index].name} {index}", "kept on the CPU by request")
            for index in self.keep_on_cpu
            if 0 <= index < len(operators)
        )
        total, reasons = len(operators), verdict.reasons + kept
        if verdict.counted not in (0, total):
            text = f"LiteRT counts {verdict.counted} operators, the file holds {total}: the split is unsure"
            reasons += (("unknown", text),)
        return Placement(max(0, total - len(kept) - verdict.left_on_cpu), total, reasons)

    def _fault(self, content: bytes, verdict: Verdict) -> str:
        kind = "quantized" if _is_quantized(content) else self.precision
        if verdict.error <= TOLERANCES[kind]:
            return ""
        complaint = verdict.complaints[0] if verdict.complaints else "not a word"
        return (
            f"on {SAMPLES} sample inputs they differ from the CPU's by {verdict.error:.0%} of their size; up "
            f"to {TOLERANCES[kind]:.1%} would be rounding. LiteRT's log: {complaint}"
        )


def _version() -> str:
    return version_of("ai-edge-litert")


def _verdict(record: dict[str, Any]) -> Verdict:
    reasons = tuple((operator, reason) for operator, reason in record["reasons"])
    return Verdict(**record | {"reasons": reasons, "complaints": tuple(record["complaints"])})


def _read_log(text: str, complaints: tuple[str, ...]) -> dict[str, Any]:
    """What LiteRT's log tells about placement."""
    counts, unsupported = COUNTS.search(text), UNSUPPORTED.search(text)
    rows = (row.partition(": ") for row in (unsupported["rows"].splitlines() if unsupported else []))
    # Behind the sentence stands the tensor's name, another for each operator of a kind.
    reasons = dict.fromkeys((operator, reason.partition(". ")[0].strip(". ")) for operator, _, reason in rows)
    on_gpu, on_cpu = (int(counts[key]) if counts and counts[key] != "No" else 0 for key in ("gpu", "cpu"))
    return {
        "left_on_cpu": on_cpu,
        "counted": on_gpu + on_cpu,
        "reasons": tuple(reasons),
        "parts": text.count("Initializing WebGPU-based API from graph"),
        "complaints": tuple(text for text in complaints if not text.startswith("Following operations")),
    }


def _in_file_order(
    described: graph.Graph, kind: str, names: list[str], details: dict[str, dict], buffers: list[Any]
) -> tuple[tuple[TensorSpec, ...], list[Any]]:
    """Specs and buffers of a model's inputs or outputs, in the file's order; a signature may have another."""
    by_tensor = {
        details[name]["index"]: (details[name], buffer) for name, buffer in zip(names, buffers, strict=True)
    }
    specs, ordered = [], []
    for index in getattr(described, kind):
        tensor = described.tensors[index]
        entry, buffer = by_tensor[index]
        shape = tuple(int(size) for size in entry["shape"])
        specs.append(
            TensorSpec(tensor.name, shape, np.dtype(entry["dtype"]), tensor.scale, tensor.zero_point)
        )
        ordered.append(buffer)
    return tuple(specs), ordered


def _is_quantized(content: bytes) -> bool:
    return any(tensor.is_quantized for tensor in graph.read(content).tensors)


def _refuse_open_sizes(content: bytes, name: str) -> None:
    """A batch of any size runs as 1; an image of any size would run as a single pixel."""
    described = graph.read(content)
    for index in described.inputs:
        tensor = described.tensors[index]
        if tensor.is_dynamic and 1 in tensor.shape[1:-1]:
            raise ModelError(
                tr("{name} takes inputs of any size.", name=name),
                why=tr("the GPU's programs are compiled for one size"),
                fix=tr("convert it with a fixed input: keras.Input((height, width, 3), batch_size=1)"),
            )


def _refused(name: str, verdict: Verdict, total: int) -> ModelError:
    if not verdict.left_on_cpu:
        return ModelError(
            tr("{name} cannot be run on the GPU.", name=name),
            why=verdict.detail,
            fix=tr("run it on the CPU, or convert it again"),
        )
    reasons = "; ".join(f"{operator}: {reason}" for operator, reason in verdict.reasons[:3])
    more = len(verdict.reasons) - 3
    return ModelError(
        tr(
            "The GPU takes {count} of the {total} operators of {name}.",
            count=total - verdict.left_on_cpu,
            total=total,
            name=name,
        ),
        why=reasons + (tr("; and {more} more", more=more) if more > 0 else ""),
        fix=tr(
            "convert it as float32, change these operators (chapter 12), or let the CPU run "
            "them: targets.get('gpu', fallback=True)"
        ),
    )


def _failed(error: Exception) -> TargetError:
    return TargetError(
        tr("The GPU failed."),
        why=str(error).strip().splitlines()[-1],
        fix=tr(
            "open the model again; if that fails too, restart the kernel, and see in chapter 2 "
            "whether the driver still answers"
        ),
    )


def _child(request: dict[str, Any]) -> dict[str, Any]:
    """Run the samples on the CPU and on the GPU; the log goes to stderr, for the parent to read."""
    content = Path(request.pop("path")).read_bytes()
    adapter = Adapter(**request.pop("adapter"))
    with cpu.CpuSession(content, kernels="xnnpack", threads=2, batch_size=1) as reference:
        samples = list(sample_inputs(reference.inputs))
        expected = [reference.run(*arrays) for arrays in samples]
        specs = reference.outputs
    try:
        with GpuSession(content, adapter, **request) as session:
            found = [session.run(*arrays) for arrays in samples]
    except (RuntimeError, ValueError, KeyError, TargetError) as error:
        return {"status": "refused", "detail": str(error).strip().splitlines()[-1].lstrip("└ ")}
    errors = [
        difference(
            np.stack([spec.dequantize(row[number]) for row in expected]),
            np.stack([spec.dequantize(row[number]) for row in found]),
        )
        for number, spec in enumerate(specs)
    ]
    return {"status": "runs", "error": max(errors, default=0.0)}


if __name__ == "__main__":
    no_core_dumps()
    print(VERDICT_MARK + json.dumps(_child(json.loads(sys.argv[1]))), flush=True)
