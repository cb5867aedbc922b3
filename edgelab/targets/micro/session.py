"""A model in an arena, in a child process."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.errors import ModelError, TargetError
from edgelab.machine.hardware import processor_name
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.micro.engine import Child, RefusedError, last_words_of
from edgelab.texts import tr

NO_MEMORY = re.compile(r"Failed to (?:resize|allocate)|[Mm]issing: \d+|arena|Unable to allocate", re.ASCII)


class MicroSession(ClosesAtEnd):
    """A model in an arena, in a child process. Made by `MicroTarget.open`."""

    target = "micro"
    provenance = "simulated"  # the results are the chip's, the time is not
    placement: Placement | None = None
    fault = ""

    def __init__(self, model: Path, arena_bytes: int | None) -> None:
        found = checked(model)
        require()
        self.arena_bytes = arena_bytes or generous(found)
        self._child = Child(model.resolve())
        try:
            specs = self._child.load(self.arena_bytes, (len(found.inputs), len(found.outputs)))
        except BaseException as error:
            self._child.close()
            if isinstance(error, (RefusedError, TargetError)):
                raise explained(error, model, found, self.arena_bytes) from error
            raise
        self.inputs = specs_of(specs["inputs"], found, found.inputs)
        self.outputs = specs_of(specs["outputs"], found, found.outputs)
        self.device = f"microcontroller, imitated on {processor_name()}"
        self.runtime_version = f"tflite-micro {metadata.version('tflite-micro')}"
        self._model, self._graph = model, found

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, on arrays of exactly the shapes and types in `inputs`.

        Raises:
            InputError: wrong count, shape or type.
            ModelError, TargetError: the model fails, or the session is closed.
        """
        if self._child is None:
            raise ModelError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('micro').open(path)")
            )
        check_inputs(self.inputs, inputs)
        try:
            return self._child.run(inputs, len(self.outputs))
        except (RefusedError, TargetError) as error:
            self.close()
            raise explained(error, self._model, self._graph, self.arena_bytes) from error

    def close(self) -> None:
        """End the child. A second call does nothing."""
        if self._child is not None:
            self._child.close()
            self._child = None


def runtime_version() -> str:
    """Version of the interpreter, or "" when it is not installed."""
    try:
        return metadata.version("tflite-micro")
    except metadata.PackageNotFoundError:
        return ""


def availability() -> Availability:
    """Whether the interpreter is installed; there are wheels for Linux on x86-64 alone."""
    version = runtime_version()
    if version:
        return Availability(
            True, True, tr("tflite-micro {version}, on this computer", version=version), is_simulated=True
        )
    fits = sys.platform == "linux" and platform.machine() == "x86_64"
    return Availability(
        can_compile=False,
        can_run=False,
        detail=tr("tflite-micro is not installed"),
        why_it_matters=tr("without it nobody tells how much memory a model needs on a microcontroller"),
        fix=tr('pip install -e ".[targets]"')
        if fits
        else tr("wheels exist only for Linux on x86-64: use such a machine, WSL or a container"),
    )


def require() -> None:
    """Go on only where the interpreter is here.

    Raises:
        TargetError: it is not, with the fix.
    """
    found = availability()
    if not found.can_run:
        raise TargetError(tr("TensorFlow Lite Micro is not here."), why=found.why_it_matters, fix=found.fix)


def checked(model: Path) -> graph.Graph:
    """The model's graph, when a microcontroller could hold it at all.

    Raises:
        ModelError: unreadable, or with a dimension that is only known when it runs. The runtime would take
            that as 1 and give an answer.
    """
    found = graph.read(model)
    dynamic = [found.tensors[i] for i in found.inputs if found.tensors[i].is_dynamic]
    if dynamic:
        raise ModelError(
            tr("{model} has an input of unknown size: {tensor}.", model=model.name, tensor=dynamic[0].name),
            why=tr("the arena is planned once, before the first inference, so every dimension must be known"),
            fix=tr("convert a model whose Input has a shape and batch_size=1"),
        )
    return found


def generous(found: graph.Graph) -> int:
    """An arena that no model should fail in: four times all it could need."""
    return 2**20 + 4 * (found.size_bytes + all_tensors_bytes(found))


def specs_of(answers: list[dict[str, Any]], found: graph.Graph, indices: tuple[int, ...]) -> tuple:
    """What the interpreter tells of its tensors, with the names that the file gives them."""
    return tuple(
        TensorSpec(
            found.tensors[index].name,
            tuple(answer["shape"]),
            np.dtype(answer["dtype"]),
            answer["scale"],
            answer["zero_point"],
        )
        for index, answer in zip(indices, answers, strict=True)
    )


def explained(error: Exception, model: Path, found: graph.Graph, arena_bytes: int) -> Exception:
    """The error a student should see in place of the interpreter's."""
    if isinstance(error, TargetError):  # it died
        return TargetError(
            tr(
                "TensorFlow Lite Micro died of {model} in an arena of {arena_bytes:,} bytes.",
                model=model.name,
                arena_bytes=arena_bytes,
            ),
            why=last_words_of(error.why) or error.what,
            fix=tr(
                "give it a larger arena, or none; edgelab.targets.micro.arena.smallest_arena "
                "finds what it needs"
            ),
        )
    if "ImportError" in error.error or "ModuleNotFoundError" in error.error:
        return TargetError(
            tr("TensorFlow Lite Micro cannot be loaded."),
            why=error.error,
            fix=tr('install it again: pip install --force-reinstall "tflite-micro>=0.dev20261001"'),
        )
    missing = re.search(r"Didn't find op for builtin opcode '(\w+)'", error.words)
    if missing or "custom op" in error.words.lower():
        name = missing.group(1) if missing else tr("a custom operator")
        return ModelError(
            tr(
                "{model} cannot run on TensorFlow Lite Micro: it has no operator {name}.",
                model=model.name,
                name=name,
            ),
            why=tr("the model needs {operators}", operators=", ".join(found.operator_counts)),
            fix=tr("replace it by operators that MicroMutableOpResolver offers, or write that kernel"),
        )
    if NO_MEMORY.search(error.words):
        return TargetError(
            tr(
                "{model} does not fit into an arena of {arena_bytes:,} bytes.",
                model=model.name,
                arena_bytes=arena_bytes,
            ),
            why=error.words,
            fix=tr("give it a larger one; edgelab.targets.micro.arena.smallest_arena finds the smallest"),
        )
    if "Hybrid" in error.words:
        return ModelError(
            tr("{model} cannot run on TensorFlow Lite Micro.", model=model.name),
            why=tr(
                "its weights are 8-bit integers and its activations are not of the same kind: {words}",
                words=error.words,
            ),
            fix=tr('convert it with mode "int8", so that everything is int8'),
        )
    return ModelError(
        tr("{model} cannot run on TensorFlow Lite Micro.", model=model.name),
        why=error.words or error.error,
        fix=tr('convert it with mode "int8"; the message names the operator that refuses'),
    )


def all_tensors_bytes(found: graph.Graph) -> int:
    """All activations together, as if none shared memory with another: what the arena does *not* need."""
    return sum(tensor.size_bytes for tensor in found.tensors if not tensor.is_constant)
