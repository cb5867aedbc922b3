"""A model loaded in LiteRT's GPU path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from edgelab import graph
from edgelab.errors import TargetError
from edgelab.machine import gpu_adapter, quiet
from edgelab.machine.gpu_adapter import Adapter
from edgelab.machine.hardware import version_of
from edgelab.runtime import ClosesAtEnd, Placement, check_inputs
from edgelab.targets.cpu.session import runtime_version as litert_version
from edgelab.targets.gpu.trial import in_file_order
from edgelab.texts import tr

EXCLUDE_VARIABLE = "LITERT_GPU_DEBUG_EXCLUDE_NODES"


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
        found = [in_file_order(described, kind, names[kind], *rest) for kind, *rest in kinds]
        (self.inputs, self._given), (self.outputs, self._wanted) = found
        self.device, self.runtime_version = str(adapter), f"{litert_version()} GPU"
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
            raise failure(error) from error

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
            raise failure(error) from error

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


def runtime_version() -> str:
    """Version of LiteRT, or "" when it is not installed."""
    return version_of("ai-edge-litert")


def failure(error: Exception) -> TargetError:
    """The error for a GPU that gave up while it ran."""
    return TargetError(
        tr("The GPU failed."),
        why=str(error).strip().splitlines()[-1],
        fix=tr(
            "open the model again; if that fails too, restart the kernel, and see in chapter 2 "
            "whether the driver still answers"
        ),
    )
