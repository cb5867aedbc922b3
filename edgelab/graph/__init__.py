"""Look inside a `.tflite` file without running it: operators, tensors, MACs, bytes, activation memory.

The file is a flatbuffer: tables that point at each other. It is read through the schema's generated classes,
which check nothing, so everything is checked here. A damaged file gives a `ModelError`, quickly.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError, ModelError
from edgelab.texts import tr, tr_plural

if TYPE_CHECKING:
    import pandas as pd

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# What the generated classes raise on a damaged file: offsets outside it, lists longer than it, missing parts.
DAMAGE = (
    AssertionError, AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError,
    struct.error,
)  # fmt: skip

# Operators whose multiply-accumulates are counted; all others count 0 (they add, compare, move or look up).
COUNTED_OPERATORS = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
)  # fmt: skip


def _names(enum: type) -> dict[int, str]:
    """Number to name, of an enumeration in the schema."""
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


BUILTIN_OPERATORS = _names(schema.BuiltinOperator)
OPTION_TYPES = _names(schema.BuiltinOptions)
TENSOR_TYPES = {number: name.lower() for number, name in _names(schema.TensorType).items()}
OPTION_ENUMS = {
    "Padding": _names(schema.Padding),
    "FusedActivationFunction": _names(schema.ActivationFunctionType),
}
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
        shape: dimensions as stored; a dynamic one is stored as 1.
        dtype: "float32", "int8", "int4"...
        scales: real value of one step: none, one, or one per channel.
        zero_points: the integers that stand for real 0, as many as scales.
        quantized_dimension: the axis of the channels that `scales` run along.
        is_constant: its values are in the file.
        is_variable: its values survive from one inference to the next (the state of an LSTM).
        is_dynamic: a dimension is only known when the model runs.
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
        return (
            f"{len(self.operators)} operators, {self.parameter_count / 1e3:,.1f} k parameters "
            f"({self.weight_bytes / 1e3:,.1f} kB), {self.macs / 1e6:,.2f} M MACs, "
            f"{self.peak_activation_bytes / 1e3:,.1f} kB of activations at the peak"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.operator_counts.items())
        return f"<p>{self}</p><p>{counts}</p>"


class _StrictBytes(bytes):
    """Bytes that refuse a slice beyond their end, where plain bytes would silently give less."""

    def __getitem__(self, key):
        if isinstance(key, slice) and not 0 <= key.start <= key.stop <= len(self):
            raise IndexError(
                tr("bytes {start} to {stop} lie outside the file", start=key.start, stop=key.stop)
            )
        return super().__getitem__(key)


class _Reader:
    """Reads lists from the generated classes, on a budget: all together cannot outnumber the file's bytes."""

    def __init__(self, size_bytes: int) -> None:
        self.budget = size_bytes

    def _count(self, table: Any, name: str) -> int:
        count = getattr(table, f"{name}Length")()
        self.budget -= count
        if self.budget < 0:
            raise ValueError(tr("list {name} is longer than the file", name=name))
        return count

    def tables(self, table: Any, name: str) -> list:
        """All tables in the vector `name`."""
        get = getattr(table, name)
        return [get(position) for position in range(self._count(table, name))]

    def numbers(self, table: Any, name: str) -> tuple:
        """All numbers in the vector `name`, as Python's own."""
        return tuple(getattr(table, f"{name}AsNumpy")().tolist()) if self._count(table, name) else ()


@cache
def _option_names(kind: str) -> tuple[str, ...]:
    """The plain fields of an options table, such as Conv2DOptions."""
    members = vars(getattr(schema, kind))
    return tuple(
        name
        for name, method in members.items()
        if name[0].isupper()
        and getattr(getattr(method, "__code__", None), "co_argcount", 0) == 1
        and not name.endswith(("AsNumpy", "Length", "IsNone"))
    )


def _options(operator: schema.Operator) -> dict[str, Any]:
    """Strides, padding, activation... of one operator, in snake case; empty where the kind has none."""
    kind = OPTION_TYPES.get(operator.BuiltinOptionsType(), "NONE")
    table = operator.BuiltinOptions()
    if kind == "NONE" or table is None:
        return {}
    typed = getattr(schema, kind)()
    typed.Init(table.Bytes, table.Pos)
    options = {}
    for name in _option_names(kind):
        value = getattr(typed, name)()
        key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        options[key] = OPTION_ENUMS[name][value] if name in OPTION_ENUMS else value
    return options


def _macs(name: str, inputs: list[Tensor | None], output: Tensor, options: dict[str, Any]) -> int:
    """Multiply-accumulates of one operator, from the shapes of its tensors.

    A convolution does one per output value and filter tap. An LSTM does, per time step and batch item, one
    per weight of its eight matrices (four gates, each fed by the input and by the last output).
    """
    if name not in COUNTED_OPERATORS:
        return 0
    weights = inputs[1].shape
    if name == "CONV_2D":  # weights [out, height, width, in per group]
        return output.element_count * math.prod(weights[1:])
    if name == "DEPTHWISE_CONV_2D":  # [1, height, width, out]
        return output.element_count * weights[1] * weights[2]
    if name == "CONV_3D":  # [depth, height, width, in, out]
        return output.element_count * math.prod(weights[:4])
    if name == "TRANSPOSE_CONV":  # [out, height, width, in]; each *input* value is spread over the filter
        return inputs[2].element_count * math.prod(weights[:3])
    if name == "FULLY_CONNECTED":  # [units, in]
        return output.element_count * weights[1]
    if name == "BATCH_MATMUL":
        return output.element_count * inputs[0].shape[-2 if options.get("adj_x") else -1]
    # UNIDIRECTIONAL_SEQUENCE_LSTM: inputs 1 to 8 are matrices; an input is [batch, time, features] or the
    # first two exchanged.
    steps = math.prod(inputs[0].shape[:-1])
    return steps * sum(matrix.element_count for matrix in inputs[1:9] if matrix is not None)


def _tensor(
    reader: _Reader, table: schema.Tensor, index: int, buffers: list[tuple[int, np.ndarray | None]]
) -> Tensor:
    """One tensor, checked against the buffer that holds its values."""
    shape = reader.numbers(table, "Shape")
    if any(size < 0 for size in shape):
        raise ValueError(tr("tensor {index} has a negative dimension", index=index))
    dtype = TENSOR_TYPES[table.Type()]
    offset, data = buffers[table.Buffer()] if not table.IsVariable() else (-1, None)
    bits = BITS.get(dtype)
    size_bytes = (math.prod(shape) * bits + 7) // 8 if bits else (0 if data is None else data.size)
    if data is not None and table.Sparsity() is None and data.size < size_bytes:
        raise ValueError(
            tr(
                "tensor {index} needs {size_bytes} bytes and its buffer holds {size}",
                index=index,
                size_bytes=size_bytes,
                size=data.size,
            )
        )
    quantization = table.Quantization()
    scales, zero_points, axis = (), (), 0
    if quantization is not None:
        scales = reader.numbers(quantization, "Scale")
        zero_points = reader.numbers(quantization, "ZeroPoint")
        axis = quantization.QuantizedDimension()
    if not all(math.isfinite(scale) and scale >= 0 for scale in scales):
        raise ValueError(tr("tensor {index} has a scale that is no positive number", index=index))
    if len(scales) > 1 and (not 0 <= axis < len(shape) or len(scales) != shape[axis]):
        raise ValueError(
            tr(
                "tensor {index} has {count} scales for another number of channels",
                index=index,
                count=len(scales),
            )
        )
    return Tensor(
        index=index,
        name=(table.Name() or b"").decode("utf-8", errors="replace"),
        shape=shape,
        dtype=dtype,
        scales=scales,
        zero_points=zero_points or (0,) * len(scales),
        quantized_dimension=axis,
        is_constant=data is not None,
        is_variable=bool(table.IsVariable()),
        is_dynamic=any(size < 0 for size in reader.numbers(table, "ShapeSignature")),
        size_bytes=size_bytes,
        buffer_index=table.Buffer(),
        file_offset=offset,
        _data=data,
    )


def _operator_code(table: schema.OperatorCode) -> tuple[str, int, bool]:
    """Name, version and whether it is custom. Codes above 126 do not fit the field that old files use."""
    code = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
    is_custom = code == schema.BuiltinOperator.CUSTOM
    name = table.CustomCode().decode("utf-8", errors="replace") if is_custom else BUILTIN_OPERATORS[code]
    return name, table.Version(), is_custom


def _subgraph(reader: _Reader, table: schema.SubGraph, codes: list, buffers: list) -> dict[str, tuple]:
    """Operators, tensors, inputs and outputs of one graph, every index checked."""
    tables = reader.tables(table, "Tensors")
    tensors = tuple(_tensor(reader, tensor, index, buffers) for index, tensor in enumerate(tables))

    def indices(owner: Any, name: str, lowest: int = 0) -> tuple[int, ...]:
        found = reader.numbers(owner, name)
        if any(not lowest <= index < len(tensors) for index in found):
            raise IndexError(tr("{name} name a tensor that does not exist", name=name))
        return found

    operators = []
    for index, operator in enumerate(reader.tables(table, "Operators")):
        name, version, is_custom = codes[operator.OpcodeIndex()]
        inputs, outputs = indices(operator, "Inputs", lowest=-1), indices(operator, "Outputs")
        options = _options(operator)
        taken = [tensors[i] if i >= 0 else None for i in inputs]
        macs = _macs(name, taken, tensors[outputs[0]], options) if outputs else 0
        operators.append(Operator(index, name, version, inputs, outputs, macs, options, is_custom))
    inputs, outputs = indices(table, "Inputs"), indices(table, "Outputs")
    return {"operators": tuple(operators), "tensors": tensors, "inputs": inputs, "outputs": outputs}


def _buffer(table: schema.Buffer, data: bytes) -> tuple[int, np.ndarray | None]:
    """Where one buffer begins, and a view of its bytes; (-1, None) when it is empty."""
    if table.Offset() > 1:  # very large ones lie behind the flatbuffer
        return table.Offset(), np.frombuffer(data, np.uint8, table.Size(), table.Offset())
    if not table.DataLength():
        return -1, None
    view = table.DataAsNumpy()
    return view.ctypes.data - np.frombuffer(data, np.uint8).ctypes.data, view


def _parse(data: bytes) -> Graph:
    """The graph in these bytes; raises one of `DAMAGE` where they make no sense."""
    data = _StrictBytes(data)
    if data[4:8] != FILE_IDENTIFIER:
        raise ValueError(tr("it does not carry the mark TFL3"))
    reader = _Reader(len(data))
    model = schema.Model.GetRootAs(data)
    if model.Version() != SCHEMA_VERSION:
        raise ValueError(
            tr(
                "it has schema version {version}, this reader knows {known}",
                version=model.Version(),
                known=SCHEMA_VERSION,
            )
        )
    buffers = [_buffer(table, data) for table in reader.tables(model, "Buffers")]
    codes = [_operator_code(table) for table in reader.tables(model, "OperatorCodes")]
    parts = [_subgraph(reader, table, codes, buffers) for table in reader.tables(model, "Subgraphs")]
    if not parts:
        raise ValueError(tr("it holds no graph"))
    about = {
        "description": (model.Description() or b"").decode("utf-8", errors="replace"),
        "size_bytes": len(data),
    }
    return Graph(**parts[0], **about, branches=tuple(Graph(**part, **about) for part in parts[1:]))


def read(model: Path | str | bytes) -> Graph:
    """Read a `.tflite` file, or its bytes.

    Args:
        model: the file's path, or its content.

    Returns:
        The main graph; graphs that it calls are in `branches`.

    Raises:
        ModelError: the file is missing, is not a TFLite model, or is damaged.
    """
    name = tr("The model") if isinstance(model, bytes) else Path(model).name
    try:
        data = model if isinstance(model, bytes) else Path(model).read_bytes()
    except OSError as error:
        raise ModelError(
            tr("{name} cannot be read.", name=name),
            why=str(error),
            fix=tr("check the path; convert the model first (chapter 4)"),
        ) from error
    try:
        return _parse(data)
    except DAMAGE as error:
        read = tr_plural("{count} byte was read", "{count} bytes were read", len(data))
        raise ModelError(
            tr("{name} is not a whole TFLite model.", name=name),
            why=f"{error} ({read})" if str(error) else read,
            fix=tr("convert or copy it again; a file saved with Keras ends in .keras and is converted first"),
        ) from error


def with_values(model: bytes, changes: Mapping[int, np.ndarray]) -> bytes:
    """The same model file with other constants: what pruning, rounding or clustering weights does to it.

    Args:
        model: the content of a `.tflite` file.
        changes: new stored values by tensor index, of the tensor's own shape and type. A tensor that shares
            its buffer with others changes them too.

    Returns:
        The changed content; nothing moves, so it is as long as before.

    Raises:
        ModelError: not a whole TFLite model, or a tensor that holds no plain constant.
        InputError: values of another shape or type.
    """
    found, content = read(model), bytearray(model)
    for index, values in changes.items():
        tensor = found.tensors[index]
        stored = tensor.values()
        if values.shape != stored.shape or values.dtype != stored.dtype:
            raise InputError(
                tr(
                    "Tensor {index}: expected {dtype} {shape}, got {got_dtype} {got_shape}.",
                    index=index,
                    dtype=stored.dtype,
                    shape=list(stored.shape),
                    got_dtype=values.dtype,
                    got_shape=list(values.shape),
                ),
                fix=tr("keep the shape, and cast with .astype"),
            )
        data = np.ascontiguousarray(values).tobytes()
        content[tensor.file_offset : tensor.file_offset + len(data)] = data
    return bytes(content)


def prefix(model: bytes, last_operator: int) -> bytes:
    """The model cut off after one operator: what that operator computes becomes the only output.

    Running both halves of a doubt on two runtimes finds the operator where their results part.

    Args:
        model: the content of a `.tflite` file, without control flow.
        last_operator: index of the operator to end with; those that it does not depend on are dropped.

    Returns:
        The content of a smaller `.tflite` file.

    Raises:
        ModelError: not a whole TFLite model, or one with control flow.
        InputError: there is no such operator, or it has no output.
    """
    import flatbuffers

    found = read(model)
    if found.branches:
        raise ModelError(
            tr("A model with control flow cannot be cut."),
            why=tr("WHILE and IF call graphs of their own"),
            fix=tr("unroll the loop before converting (Keras: unroll=True)"),
        )
    if not 0 <= last_operator < len(found.operators) or not found.operators[last_operator].outputs:
        raise InputError(
            tr("The model cannot be cut after operator {last_operator}.", last_operator=last_operator),
            fix=tr(
                "choose one of its operators, 0 to {last}, that computes something",
                last=len(found.operators) - 1,
            ),
        )
    kept, wanted = [], set(found.operators[last_operator].outputs)
    for operator in reversed(found.operators[: last_operator + 1]):
        if wanted & set(operator.outputs):
            kept.append(operator.index)
            wanted |= set(operator.inputs)
    whole = schema.ModelT.InitFromPackedBuf(model)
    part = whole.subgraphs[0]
    part.operators = [part.operators[index] for index in sorted(kept)]
    part.inputs = [index for index in found.inputs if index in wanted]
    part.outputs = [found.operators[last_operator].outputs[0]]
    whole.signatureDefs = None  # they name tensors that are inputs and outputs no longer
    used = {part.tensors[index].buffer for index in wanted if index >= 0}
    for index, stored in enumerate(whole.buffers):
        if index not in used:
            stored.data = None
    builder = flatbuffers.Builder(len(model))
    builder.Finish(whole.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())
