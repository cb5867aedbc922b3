"""The CPU: LiteRT with XNNPACK, or with its plain kernels, on as many threads as one likes.

It is the control before any accelerator: everything else is compared with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import numpy as np

from edgelab.machine import artifacts, quiet
from edgelab import graph
from edgelab.errors import InputError, ModelError, StorageError
from edgelab.machine.hardware import processor_name
from edgelab.targets.cpu import trial as probe
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.base import Compiled
from edgelab.texts import tr

# "xnnpack": optimised kernels in one delegate; "builtin": LiteRT's own, operator by operator;
# "reference": the plainest C++, slow, the arbiter when two others disagree.
RESOLVERS = {"xnnpack": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
KERNELS = tuple(RESOLVERS)
MOST_DEFAULT_THREADS = 4  # networks this small gain nothing beyond


def available_cpus() -> int:
    """Logical processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """How many threads a runtime gets: as many as asked for, or one per processor up to four.

    Raises:
        InputError: fewer than one.
    """
    if threads is None:
        return min(available_cpus(), MOST_DEFAULT_THREADS)
    if threads < 1:
        raise InputError(
            tr("threads must be at least 1, got {threads}.", threads=threads),
            fix=tr(
                "leave threads out to use every processor, {most} at most",
                most=MOST_DEFAULT_THREADS,
            ),
        )
    return threads


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"LiteRT {metadata.version('ai-edge-litert')}"


def trial_input(spec: TensorSpec) -> np.ndarray:
    """An input that any valid model accepts: fixed noise, and zeros where integers may be indices."""
    if spec.dtype in (np.uint8, np.int8, np.float32):
        noise = np.random.default_rng(0).integers(0, 256, spec.shape, np.uint8)
        return noise.view(spec.dtype) if spec.dtype == np.int8 else noise.astype(spec.dtype)
    return np.zeros(spec.shape, spec.dtype)


class CpuSession(ClosesAtEnd):
    """A model loaded on the CPU. Made by `CpuTarget.open`; one thread at a time may run it."""

    target = "cpu"
    provenance = "measured"
    placement: Placement | None = None
    fault = ""

    def __init__(
        self, content: bytes, *, kernels: str, threads: int, batch_size: int, keep_tensors: bool = False
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # The content rather than the path: LiteRT would map the file, and die if it is overwritten meanwhile.
        try:
            with quiet.native_stderr():
                interpreter = Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_op_resolver_type=OpResolverType[RESOLVERS[kernels]],
                    experimental_preserve_all_tensors=keep_tensors,
                )
                if batch_size != 1:
                    for details in interpreter.get_input_details():
                        shape = (batch_size, *details["shape"][1:])
                        interpreter.resize_tensor_input(details["index"], shape)
                interpreter.allocate_tensors()
            details = interpreter.get_tensor_details() if keep_tensors else []
            self._kept = {entry["index"]: _spec(entry) for entry in details}
            self.inputs, self._input_indices = _specs(interpreter.get_input_details())
            self.outputs, self._output_indices = _specs(interpreter.get_output_details())
        except (RuntimeError, ValueError) as error:
            raise _refused(str(error)) from error
        self._interpreter = interpreter
        self.kernels, self.threads, self.batch_size = kernels, threads, batch_size
        self.device, self.runtime_version = processor_name(), runtime_version()

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Args:
            *inputs: one array for each of `self.inputs`, of exactly its shape and type.

        Returns:
            One array for each of `self.outputs`, as the model gives it: quantized outputs stay integers.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed, or the model fails on this input.
        """
        if self._interpreter is None:
            raise ModelError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('cpu').open(path)")
            )
        check_inputs(self.inputs, inputs)
        try:
            for index, array in zip(self._input_indices, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise _refused(str(error)) from error
        return tuple(self._interpreter.get_tensor(index) for index in self._output_indices)

    def tensor(self, index: int) -> np.ndarray:
        """What the last run left in a tensor, as real numbers (float32, dequantized).

        Args:
            index: as in `graph.read`; the session was opened with `keep_tensors=True`.

        Raises:
            InputError: tensors were not kept, or there is none of that index.
        """
        if index not in self._kept:
            raise InputError(
                tr("Tensor {index} was not kept.", index=index),
                fix=tr("open the model with keep_tensors=True"),
            )
        return self._kept[index].dequantize(self._interpreter.get_tensor(index))

    def close(self) -> None:
        """Free the model's memory. A second call does nothing."""
        self._interpreter = None

    def __repr__(self) -> str:
        return f"<CPU session: {self.kernels}, {self.threads} threads, batch {self.batch_size}>"


class CpuTarget:
    """LiteRT on this machine's processor.

    Args:
        threads: None for one per processor, at most four.
        kernels: "xnnpack" (fast), "builtin" (LiteRT's own) or "reference" (plain C++, slow).
        batch_size: images per inference; the model's input is resized to it.
    """

    name = "cpu"
    takes = "int8"
    suffix = ".tflite"
    settings: ClassVar[dict] = {}  # copied as it is

    def __init__(self, threads: int | None = None, kernels: str = "xnnpack", batch_size: int = 1) -> None:
        if kernels not in RESOLVERS:
            raise InputError(
                tr("There are no kernels {kernels!r}.", kernels=kernels),
                fix=tr("choose from {names}", names=", ".join(KERNELS)),
            )
        if batch_size < 1:
            raise InputError(
                tr("batch_size must be at least 1, got {batch_size}.", batch_size=batch_size),
                fix=tr("leave it out for one image"),
            )
        self.threads, self.kernels, self.batch_size = thread_count(threads), kernels, batch_size

    def probe(self) -> Availability:
        """The CPU is always here; nothing needs compiling."""
        return Availability(
            can_compile=True,
            can_run=True,
            detail=tr(
                "{processor}, {count} processors, {version}",
                processor=processor_name(),
                count=available_cpus(),
                version=runtime_version(),
            ),
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Copy the model: the CPU runs a `.tflite` file as it is.

        Raises:
            ModelError: not a readable model.
            StorageError: `out` cannot be written.
        """
        content = _read(model)
        total = len(graph.read(content).operators)
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        return Compiled(Path(out), self.name, (), Placement(total, total), 0.0, len(content))

    def open(self, model: Path | Compiled, *, keep_tensors: bool = False) -> CpuSession:
        """Load a model, after a file never seen before has proved harmless in a child process.

        Args:
            model: a `.tflite` file, or what `compile` gave.
            keep_tensors: keep every intermediate result, to look at with `CpuSession.tensor`. Needs more
                memory, and kernels that compute one operator at a time: "builtin" or "reference".

        Raises:
            ModelError: missing, corrupt, or one that the runtime refuses or dies of.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        content = _read(path)
        graph.read(content)
        [verdict] = self.check([path])
        if verdict.status == "refused":
            raise _refused(verdict.detail, path.name)
        if verdict.status != "runs":
            raise ModelError(
                tr(
                    "{path} cannot be run: the runtime {status} on it.", path=path.name, status=verdict.status
                ),
                why=tr(
                    "tried in a process of its own ({detail}); the file is most likely corrupt",
                    detail=verdict.detail,
                ),
                fix=tr("convert or download it again"),
            )
        return CpuSession(
            content,
            kernels=self.kernels,
            threads=self.threads,
            batch_size=self.batch_size,
            keep_tensors=keep_tensors,
        )

    def check(self, paths: list[Path]) -> list[probe.Verdict]:
        """Try files in child processes, and remember what was found under `artifacts/checked/`.

        A file that hung is tried again next time: a busy machine may have been the reason.
        """
        memories = [self._memory(path) for path in paths]
        verdicts = {
            memory: probe.Verdict(**json.loads(memory.read_text())) for memory in memories if memory.exists()
        }
        unknown = {
            memory: path for memory, path in zip(memories, paths, strict=True) if memory not in verdicts
        }
        found = probe.try_models(
            list(unknown.values()), kernels=self.kernels, threads=self.threads, batch_size=self.batch_size
        )
        for memory, verdict in zip(unknown, found, strict=True):
            verdicts[memory] = verdict
            if verdict.status != "hung":
                # A full disk costs another try, not the lesson.
                with contextlib.suppress(StorageError), artifacts.atomic_path(memory) as temporary:
                    temporary.write_text(json.dumps(asdict(verdict)))
        return [verdicts[memory] for memory in memories]

    def _memory(self, path: Path) -> Path:
        key = artifacts.content_key(
            content=hashlib.sha256(_read(path)).digest(),
            kernels=self.kernels,
            batch_size=self.batch_size,
            runtime=runtime_version(),
            platform=platform.platform(),
        )
        return artifacts.artifacts_dir() / "checked" / f"{key}.json"


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(
            tr("Cannot read {path}.", path=path), why=error.strerror or str(error), fix=tr("check the path")
        ) from error


def _spec(entry: dict) -> TensorSpec:
    scale, zero_point = entry["quantization"]
    shape = tuple(int(size) for size in entry["shape"])
    return TensorSpec(entry["name"], shape, np.dtype(entry["dtype"]), float(scale), int(zero_point))


def _specs(details: list[dict]) -> tuple[tuple[TensorSpec, ...], tuple[int, ...]]:
    return tuple(map(_spec, details)), tuple(entry["index"] for entry in details)


def _refused(reason: str, name: str = "The model") -> ModelError:
    if "unresolved custom op" in reason:
        fix = tr("it was made for another runtime or accelerator: open the file it was compiled from")
    else:
        fix = tr("convert it again for this runtime; where a batch was asked for, try batch_size=1")
    return ModelError(tr("{name} cannot be run on the CPU.", name=name), why=reason.strip(), fix=fix)
