"""What a model's file holds: tensors, operators, and what follows from them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import ModelError
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd

# Operators whose multiply-accumulates are counted; all others count 0 (they add, compare, move or look up).
COUNTED_OPERATORS = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
)  # fmt: skip
BITS = {
    "bool": 8, "int2": 2, "int4": 4, "uint4": 4, "bfloat16": 16, "float8_e4m3fn": 8, "float8_e5m2": 8,
    **{f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "float16": 16, "float32": 32, "float64": 64, "complex64": 64, "complex128": 128,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One edge of the graph: a weight, or what flows between operators.

    Attributes:
        index: its number in the file.
        name: as the converter wrote it.
        shape: dimensions as stored; an open one is stored as 1.
        dtype: "float32", "int8", "int4"...
        scales: real value of one step: none, one, or one per channel.
        zero_points: the integers that stand for real 0, as many as scales.
        quantized_dimension: the axis of the channels that `scales` run along.
        is_constant: its values are in the file.
        is_variable: its values survive from one inference to the next (the state of an LSTM).
        open_axes: dimensions that the file leaves open.
        is_dynamic: a dimension other than an open batch is only known when the model runs. An open batch
            counts as 1, as every runtime takes it.
        size_bytes: of its values; 0 for strings that are not in the file.
        buffer_index: the buffer that holds its values; tensors may share one.
        file_offset: of its first byte in the file; -1 when its values are not there.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int
    is_constant: bool
    is_variable: bool
    open_axes: tuple[int, ...]
    is_dynamic: bool
    size_bytes: int
    buffer_index: int
    file_offset: int = -1
    _data: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def scale(self) -> float:
        """The scale of the whole tensor, or of its first channel; 0.0 when it is not quantized."""
        return self.scales[0] if self.scales else 0.0

    @property
    def zero_point(self) -> int:
        """The zero point of the whole tensor, or of its first channel."""
        return self.zero_points[0] if self.zero_points else 0

    @property
    def is_quantized(self) -> bool:
        """Whether its integers stand for real numbers."""
        return bool(self.scales)

    @property
    def is_per_channel(self) -> bool:
        """Whether each channel has a scale of its own."""
        return len(self.scales) > 1

    @property
    def element_count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def is_parameter(self) -> bool:
        """Whether it is a learnt constant: floats, or integers with a scale; not a shape or an axis."""
        return self.is_constant and (self.dtype.startswith(("float", "bfloat")) or self.is_quantized)

    def values(self) -> np.ndarray:
        """The constant's stored values (integers are not dequantized), read-only, in its shape.

        Raises:
            ModelError: it is not a constant, or of a type that numpy does not have.
        """
        if self._data is None or self.dtype not in np.sctypeDict or self.size_bytes != self._data.size:
            raise ModelError(
                tr("Tensor {index} ({name}) has no values to read.", index=self.index, name=self.name),
                why=tr("it is a constant, of type {dtype}", dtype=self.dtype)
                if self.is_constant
                else tr("it is not a constant, of type {dtype}", dtype=self.dtype),
                fix=tr("run the model to see what flows through it, or choose a constant of a plain type"),
            )
        return self._data.view(self.dtype).reshape(self.shape)

    def real_values(self) -> np.ndarray:
        """The constant's real numbers, float64: `scale * (stored - zero_point)`, per channel where it is so.

        Raises:
            ModelError: as for `values`.
        """
        stored = self.values().astype(np.float64)
        if not self.is_quantized:
            return stored
        along = [1] * len(self.shape)
        if self.is_per_channel:
            along[self.quantized_dimension] = -1
        return (stored - np.reshape(self.zero_points, along)) * np.reshape(self.scales, along)


@dataclass(frozen=True)
class Operator:
    """One node of the graph.

    Attributes:
        index: its place in the order of execution.
        name: "CONV_2D"..., or the custom operator's own name.
        version: of the operator's definition; an old runtime refuses a newer one.
        inputs: tensor indices; -1 where an optional input is missing.
        outputs: tensor indices.
        macs: multiply-accumulate operations of one inference; 0 for uncounted kinds (`COUNTED_OPERATORS`).
        options: strides, padding, fused activation... by name.
        is_custom: not one of the builtin operators.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int
    options: dict[str, Any]
    is_custom: bool


@dataclass(frozen=True, repr=False)
class Graph:
    """A model as its file describes it.

    Attributes:
        operators: in order of execution.
        tensors: by index.
        inputs: indices of the tensors that the model takes.
        outputs: indices of the tensors that the model gives.
        description: what wrote the file, in its own words.
        size_bytes: of the file.
        branches: graphs that control-flow operators (WHILE, IF) call; their weights count, their MACs do not,
            since the file does not say how often they run.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str
    size_bytes: int
    branches: tuple[Graph, ...] = field(default=(), repr=False)

    @property
    def has_open_batch(self) -> bool:
        """Whether the number of items is left open; everything here is told for one."""
        return any(0 in self.tensors[index].open_axes for index in self.inputs)

    @property
    def operator_counts(self) -> dict[str, int]:
        """How many operators of each kind, the most frequent first."""
        counts = Counter(operator.name for operator in self.operators)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(operator.macs for operator in self.operators)

    @cached_property
    def parameters(self) -> tuple[Tensor, ...]:
        """The constants that were learnt, each stored buffer once."""
        every = [tensor for graph in (self, *self.branches) for tensor in graph.tensors]
        return tuple({tensor.buffer_index: tensor for tensor in every if tensor.is_parameter}.values())

    @property
    def parameter_count(self) -> int:
        """Learnt numbers in the file; fewer than in training, since BatchNorm is folded into convolutions."""
        return sum(tensor.element_count for tensor in self.parameters)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the learnt numbers."""
        return sum(self.weight_bytes_by_dtype.values())

    @property
    def weight_bytes_by_dtype(self) -> dict[str, int]:
        """Bytes of the learnt numbers, by their type."""
        sizes: Counter[str] = Counter()
        for tensor in self.parameters:
            sizes[tensor.dtype] += tensor.size_bytes
        return dict(sizes)

    @cached_property
    def activation_bytes(self) -> tuple[int, ...]:
        """For each operator, the bytes of all activations that must exist while it runs.

        Liveness analysis: a tensor lives from the operator that writes it (a model input: from the start) to
        the last one that reads it (a model output: to the end); a variable lives always. Constants are not
        counted, nor what is computed from constants alone (float16 weights made float32), which a runtime
        does once, at load time.
        """
        end = len(self.operators)
        fixed = {tensor.index for tensor in self.tensors if tensor.is_constant}
        first, last = dict.fromkeys(self.inputs, 0), dict.fromkeys(self.inputs, 0)
        for operator in self.operators:
            read = [index for index in operator.inputs if index >= 0 and index not in fixed]
            if operator.inputs and not read:
                fixed.update(operator.outputs)
                continue
            for index in (*read, *operator.outputs):
                first.setdefault(index, operator.index)
                last[index] = operator.index
        last.update(dict.fromkeys((index for index in self.outputs if index in first), end - 1))
        for tensor in self.tensors:
            if tensor.is_variable:
                first[tensor.index], last[tensor.index] = 0, end - 1
        change = [0] * (end + 1)
        for index, start in first.items():
            change[start] += self.tensors[index].size_bytes
            change[min(end, last[index] + 1)] -= self.tensors[index].size_bytes
        return tuple(int(live) for live in np.cumsum(np.array(change[:end], dtype=object)))

    @property
    def peak_activation_bytes(self) -> int:
        """Bytes of activations alive at the busiest operator: no memory plan that keeps operators' inputs and
        outputs apart can do with less. The real arena adds alignment, gaps and scratch buffers.
        """
        return max(self.activation_bytes, default=0)

    def frame(self) -> pd.DataFrame:
        """One row per operator: name, version, output shape and type, MACs, weight and activation bytes."""
        import pandas as pd

        rows = []
        for operator, live_bytes in zip(self.operators, self.activation_bytes, strict=True):
            output = self.tensors[operator.outputs[0]] if operator.outputs else None
            weights = [self.tensors[i] for i in operator.inputs if i >= 0 and self.tensors[i].is_parameter]
            rows.append(
                {
                    "operator": operator.name,
                    "version": operator.version,
                    "output_shape": "x".join(map(str, output.shape)) if output else "",
                    "output_dtype": output.dtype if output else "",
                    "macs": operator.macs,
                    "weight_bytes": sum(tensor.size_bytes for tensor in weights),
                    "activation_bytes": live_bytes,
                }
            )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        inputs = [self.tensors[index] for index in self.inputs]
        if any(set(one.open_axes) - {0} for one in inputs):
            left_open = tr("; its sizes are left open, so that MACs and activations are those of one pixel")
        else:
            left_open = tr("; the batch is left open and counts as 1") if self.has_open_batch else ""
        return (
            f"{len(self.operators)} operators, {self.parameter_count / 1e3:,.1f} k parameters "
            f"({self.weight_bytes / 1e3:,.1f} kB), {self.macs / 1e6:,.2f} M MACs, "
            f"{self.peak_activation_bytes / 1e3:,.1f} kB of activations at the peak{left_open}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.operator_counts.items())
        return f"<p>{self}</p><p>{counts}</p>"
