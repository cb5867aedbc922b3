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
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, ModelError, StorageError, TargetError
from edgelab.machine import artifacts, child, gpu_adapter, quiet
from edgelab.machine.gpu_adapter import Adapter
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.gpu.session import GpuSession, failure, runtime_version
from edgelab.targets.gpu.trial import COMPLAINT, SAMPLES, VERDICT_MARK, Verdict, read_log, verdict_of
from edgelab.texts import tr

TIME_LIMIT_S = 180.0  # a driver compiles a program for each operator
WHY_IT_MATTERS = tr("a GPU runs large float models faster than the CPU, and it is in nearly every computer")
# The largest difference from the CPU that counts as rounding, relative to the size of the outputs (both root
# mean square, over all samples). A quantized model differs more: the GPU rounds in other places than the CPU,
# and each rounding that falls otherwise is carried through all later layers.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "quantized": 0.25}


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
        return self._options | {"device": str(gpu_adapter.find(self.software)), "runtime": runtime_version()}

    def probe(self) -> Availability:
        """Which GPU answers, tried by one addition in a child process; without one, why and the fix."""
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
                raise failure(error) from error

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
        with CpuTarget().open(path):
            content = path.read_bytes()
        _refuse_open_sizes(content, path.name)
        key = artifacts.content_key(content=hashlib.sha256(content).digest(), **self.settings)
        memory = artifacts.artifacts_dir() / "checked" / f"gpu-{key}.json"
        if memory.exists():
            verdict = verdict_of(json.loads(memory.read_text(encoding="utf-8")))
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
        command = [sys.executable, "-m", "edgelab.targets.gpu.worker", json.dumps(request)]
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
        record = json.loads(answers[0][len(VERDICT_MARK) :]) | read_log(done.stderr, complaints)
        return verdict_of(record | {"duration_s": done.duration_s})

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


def _is_quantized(content: bytes) -> bool:
    return any(tensor.is_quantized for tensor in graph.read(content).tensors)


def _refuse_open_sizes(content: bytes, name: str) -> None:
    """An image of any size would run as a single pixel."""
    described = graph.read(content)
    for index in described.inputs:
        tensor = described.tensors[index]
        if tensor.is_dynamic:
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
