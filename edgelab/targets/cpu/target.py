"""The CPU: LiteRT with XNNPACK, or with its plain kernels, on as many threads as one likes.

It is the control before any accelerator: everything else is compared with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, ModelError, StorageError
from edgelab.machine import artifacts
from edgelab.machine.hardware import available_cpus, processor_name
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.cpu import trial
from edgelab.targets.cpu.session import RESOLVERS, CpuSession, refusal, runtime_version
from edgelab.texts import tr

KERNELS = tuple(RESOLVERS)
MOST_DEFAULT_THREADS = 4  # networks this small gain nothing beyond


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
            raise refusal(verdict.detail, path.name)
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

    def check(self, paths: list[Path]) -> list[trial.Verdict]:
        """Try files in child processes, and remember what was found under `artifacts/checked/`.

        A file that hung is tried again next time: a busy machine may have been the reason.
        """
        memories = [self._memory(path) for path in paths]
        verdicts = {
            memory: trial.Verdict(**json.loads(memory.read_text())) for memory in memories if memory.exists()
        }
        unknown = {
            memory: path for memory, path in zip(memories, paths, strict=True) if memory not in verdicts
        }
        found = trial.try_models(
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
