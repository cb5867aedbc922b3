"""Read a `.tflite` file, whatever its content.

The file is a flatbuffer: tables that point at each other. It is read through the schema's generated classes,
which check nothing, so everything is checked here. A damaged file gives a `ModelError`, quickly.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import ModelError
from edgelab.graph.onnx_reading import read_onnx
from edgelab.graph.records import BITS, COUNTED_OPERATORS, Graph, Operator, Tensor
from edgelab.texts import tr, tr_plural

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# What the generated classes raise on a damaged file: offsets outside it, lists longer than it, missing parts.
DAMAGE = (
    AssertionError, AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError,
    struct.error,
)  # fmt: skip


def _names(enum: type) -> dict[int, str]:
    """Number to name, of an enumeration in the schema."""
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


BUILTIN_OPERATORS = _names(schema.BuiltinOperator)
OPTION_TYPES = _names(schema.BuiltinOptions)
TENSOR_TYPES = {number: name.lower() for number, name in _names(schema.TensorType).items()}
# How many values these give depends on the values they take.
VALUE_DEPENDENT = {"WHERE", "UNIQUE", "RANGE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"}
OPTION_ENUMS = {
    "Padding": _names(schema.Padding),
    "FusedActivationFunction": _names(schema.ActivationFunctionType),
}


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
    signature = reader.numbers(table, "ShapeSignature")
    open_axes = tuple(axis for axis, size in enumerate(signature) if size < 0)
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
        open_axes=open_axes,
        is_dynamic=bool(open_axes),
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
    tensors = _with_batch_of_one(tensors, operators, inputs)
    return {"operators": tuple(operators), "tensors": tensors, "inputs": inputs, "outputs": outputs}


def _with_batch_of_one(
    tensors: tuple[Tensor, ...], operators: list[Operator], inputs: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """The same tensors; where only the batch of an input is open, they are not dynamic: it counts as 1."""
    if not any(0 in tensors[index].open_axes for index in inputs):
        return tensors
    found = set()  # what depends on values, and so on the run
    for operator in operators:
        if operator.name in VALUE_DEPENDENT or operator.is_custom or found.intersection(operator.inputs):
            found.update(operator.outputs)
    return tuple(
        replace(one, is_dynamic=False) if one.open_axes == (0,) and one.index not in found else one
        for one in tensors
    )


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
    """Read a `.tflite` file, or its bytes; or an `.onnx` file.

    Args:
        model: the file's path, or the content of a `.tflite` file.

    Returns:
        The main graph; graphs that it calls are in `branches`.

    Raises:
        ModelError: the file is missing, is no such model, or is damaged.
        TargetError: an `.onnx` file, and onnx is not installed.
    """
    if not isinstance(model, bytes) and Path(model).suffix.lower() == ".onnx":
        return read_onnx(Path(model))
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
