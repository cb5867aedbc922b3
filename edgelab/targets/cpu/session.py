"""A model loaded in LiteRT on the CPU."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np

from edgelab.errors import InputError, ModelError
from edgelab.machine import quiet
from edgelab.machine.hardware import processor_name
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.texts import tr

# "xnnpack": optimised kernels in one delegate; "builtin": LiteRT's own, operator by operator;
# "reference": the plainest C++, slow, the arbiter when two others disagree.
OPEN_SIZES = (64, 224, 1)  # tried in this order for a dimension that the model leaves open
RESOLVERS = {"xnnpack": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"LiteRT {metadata.version('ai-edge-litert')}"


def trial_input(spec: TensorSpec, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An input that any valid model accepts: fixed noise, and zeros where integers may be indices.

    Args:
        spec: what the model takes.
        shape: of the input; needed where the specification leaves sizes open.
    """
    shape = spec.shape if shape is None else shape
    if spec.dtype in (np.uint8, np.int8, np.float32):
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return noise.view(spec.dtype) if spec.dtype == np.int8 else noise.astype(spec.dtype)
    return np.zeros(shape, spec.dtype)


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
                _allocate(interpreter, batch_size)
            details = interpreter.get_tensor_details() if keep_tensors else []
            self._kept = {entry["index"]: _spec(entry) for entry in details}
            self.inputs, self._input_indices = _specs(interpreter.get_input_details())
            self._shapes = tuple(tuple(entry["shape"].tolist()) for entry in interpreter.get_input_details())
            self.outputs, self._output_indices = _specs(interpreter.get_output_details())
        except (RuntimeError, ValueError) as error:
            raise refusal(str(error)) from error
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
            self._resize(tuple(array.shape for array in inputs))
            for index, array in zip(self._input_indices, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise refusal(str(error)) from error
        return tuple(map(self._output, self._output_indices))

    def _output(self, index: int) -> np.ndarray:
        details = next(one for one in self._interpreter.get_output_details() if one["index"] == index)
        if 0 in details["shape"]:  # LiteRT has no array of no values
            return np.empty(details["shape"], details["dtype"])
        return self._interpreter.get_tensor(index)

    @property
    def trial_inputs(self) -> tuple[np.ndarray, ...]:
        """Inputs of the size that the model was loaded with; where its sizes are open, a small one."""
        return tuple(map(trial_input, self.inputs, self._shapes))

    def _resize(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        if shapes != self._shapes:
            for index, shape in zip(self._input_indices, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes

    def tensor(self, index: int) -> np.ndarray:
        """What the last run left in a tensor, as real numbers (float32, dequantized).

        Args:
            index: as in `graph.read`; the session was opened with `keep_tensors=True`.

        Raises:
            InputError: tensors were not kept, or there is none of that index.
        """
        stored = self.stored(index)
        return self._kept[index].dequantize(stored)

    def stored(self, index: int) -> np.ndarray:
        """As `tensor`, but what is stored: the integers of a quantized tensor."""
        if index not in self._kept:
            raise InputError(
                tr("Tensor {index} was not kept.", index=index),
                fix=tr("open the model with keep_tensors=True"),
            )
        return self._interpreter.get_tensor(index)

    def close(self) -> None:
        """Free the model's memory. A second call does nothing."""
        self._interpreter = None

    def __repr__(self) -> str:
        return f"<CPU session: {self.kernels}, {self.threads} threads, batch {self.batch_size}>"


def _allocate(interpreter: Any, batch_size: int) -> None:
    """Give every input its batch, and where its other sizes are open a small size that the model bears."""
    details = interpreter.get_input_details()
    is_open = any(-1 in entry["shape_signature"][1:] for entry in details)
    for size in OPEN_SIZES if is_open else (0,):
        for entry in details:
            shape = _loaded_shape(entry, batch_size, size)
            if shape != entry["shape"].tolist():
                interpreter.resize_tensor_input(entry["index"], shape)
        try:
            interpreter.allocate_tensors()
            return
        except (RuntimeError, ValueError):
            if not is_open or size == OPEN_SIZES[-1]:
                raise


def _loaded_shape(entry: dict, batch_size: int, size: int) -> list[int]:
    shape = entry["shape"].tolist()
    if batch_size != 1 and shape:
        shape[0] = batch_size
    opened = entry["shape_signature"].tolist()[1:]
    return shape[:1] + [size if sign < 0 else have for sign, have in zip(opened, shape[1:], strict=True)]


def _spec(entry: dict) -> TensorSpec:
    """A tensor's specification, -1 where any size is taken; an open batch is what the session has."""
    scale, zero_point = entry["quantization"]
    shape = [int(size) for size in entry["shape"]]
    signature = entry["shape_signature"].tolist()
    if len(signature) == len(shape):
        shape[1:] = [-1 if sign < 0 else have for sign, have in zip(signature[1:], shape[1:], strict=True)]
    return TensorSpec(entry["name"], tuple(shape), np.dtype(entry["dtype"]), float(scale), int(zero_point))


def _specs(details: list[dict]) -> tuple[tuple[TensorSpec, ...], tuple[int, ...]]:
    return tuple(map(_spec, details)), tuple(entry["index"] for entry in details)


def refusal(reason: str, name: str = "The model") -> ModelError:
    """The error for a model that LiteRT does not take, with the fix for its reason."""
    if "unresolved custom op" in reason:
        fix = tr("it was made for another runtime or accelerator: open the file it was compiled from")
    else:
        fix = tr("convert it again for this runtime; where a batch was asked for, try batch_size=1")
    return ModelError(tr("{name} cannot be run on the CPU.", name=name), why=reason.strip(), fix=fix)
