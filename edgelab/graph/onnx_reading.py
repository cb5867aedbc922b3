"""Read an ONNX file as a graph: the same operators, tensors and counts as of a `.tflite` file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import ModelError, TargetError
from edgelab.graph.records import BITS, Graph, Operator, Tensor
from edgelab.texts import tr

if TYPE_CHECKING:
    import onnx

# Where the weights of an operator stand among its inputs, for those whose multiply-accumulates are counted.
WEIGHTS = {
    "Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3, "Gemm": 1, "MatMul": 1,
    "MatMulInteger": 1, "QLinearMatMul": 3,
}  # fmt: skip
# What reading raises where the checker has let damage pass: types without a name, values of another size.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
NO_SCALES: tuple[tuple[float, ...], tuple[int, ...], int] = ((), (), 0)


def load(path: Path) -> onnx.ModelProto:
    """An ONNX file with all its weights, those that lie in files beside it included.

    Raises:
        ModelError: missing, damaged, breaks a rule of ONNX, or a file of weights is not beside it.
        TargetError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise TargetError(
            tr("onnx cannot be used."),
            why=str(error),
            fix=tr('install the tools again: pip install -e ".[targets]", or run make lab'),
        ) from error
    try:
        proto = _with_shapes(onnx.load_model(path))
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf's errors have no common class that can be imported safely
        raise damaged(path.name, error) from error
    return proto


def damaged(name: str, error: Exception) -> ModelError:
    """The reason why a file cannot be read, from whatever was raised."""
    return ModelError(
        tr("{path} is not a whole ONNX model.", path=name),
        why=next((line for line in str(error).splitlines() if line.strip()), type(error).__name__),
        fix=tr("export or copy it again, together with the files of weights that lie beside it"),
    )


def _with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that follow from its inputs; some exporters leave even the outputs' out."""
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(proto)
    except Exception:  # a custom operator, or more than protobuf's 2 GB
        return proto


def read_onnx(path: Path) -> Graph:
    """Read an ONNX file.

    Returns:
        Its graph. Operators have ONNX's names; a constant's values stay in the file. Tensors that pass a
        QuantizeLinear or DequantizeLinear node carry its scales.

    Raises:
        ModelError, TargetError: as `load`.
    """
    proto = load(path)
    versions = {one.domain: one.version for one in proto.opset_import}
    description = f"{proto.producer_name} {proto.producer_version}".strip()
    try:
        return _Reader(proto.graph, versions, description, path.stat().st_size).graph()
    except DAMAGE as error:
        raise damaged(path.name, error) from error


class _Reader:
    """One graph of a file: the main one, or the branch of a control-flow operator."""

    def __init__(
        self, found: onnx.GraphProto, versions: dict[str, int], description: str, size_bytes: int
    ) -> None:
        self._graph, self._versions = found, versions
        self._description, self._size_bytes = description, size_bytes
        constants = [node for node in found.node if node.op_type == "Constant"]
        self._nodes = [node for node in found.node if node.op_type != "Constant"]
        self._constants = {tensor.name: tensor for tensor in found.initializer}
        for node in constants:
            for attribute in node.attribute:
                if attribute.name == "value":
                    self._constants[node.output[0]] = attribute.t
        self._values = {
            one.name: one.type.tensor_type for one in (*found.input, *found.output, *found.value_info)
        }
        self._scales = self._find_scales()
        self._index: dict[str, int] = {}
        self._tensors: list[Tensor] = []

    def graph(self) -> Graph:
        inputs = tuple(self._number(one.name) for one in self._graph.input if one.name not in self._constants)
        operators = tuple(self._operator(number, node) for number, node in enumerate(self._nodes))
        outputs = tuple(self._number(one.name) for one in self._graph.output)
        return Graph(
            operators, tuple(self._tensors), inputs, outputs, self._description, self._size_bytes,
            tuple(self._branches()),
        )  # fmt: skip

    def _branches(self) -> Iterable[Graph]:
        for node in self._nodes:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield _Reader(attribute.g, self._versions, self._description, 0).graph()

    def _find_scales(self) -> dict[str, tuple[tuple[float, ...], tuple[int, ...], int]]:
        """Scales, zero points and axis of the integers at each QuantizeLinear and DequantizeLinear node."""
        from onnx import numpy_helper

        found = {}
        for node in self._nodes:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                continue
            parts = [self._constants.get(name) for name in node.input[1:3]]
            if parts[0] is None:
                continue  # computed in the run
            scales = numpy_helper.to_array(parts[0]).astype(np.float64).ravel()
            has_zero_points = len(parts) > 1 and parts[1] is not None
            zero_points = (
                numpy_helper.to_array(parts[1]).ravel() if has_zero_points else np.zeros(len(scales))
            )
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            integers = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            found[integers] = (tuple(map(float, scales)), tuple(int(one) for one in zero_points), axis)
        return found

    def _number(self, name: str) -> int:
        if name not in self._index:
            self._index[name] = len(self._tensors)
            self._tensors.append(self._tensor(len(self._tensors), name))
        return self._index[name]

    def _tensor(self, index: int, name: str) -> Tensor:
        constant = self._constants.get(name)
        kind = self._values.get(name)
        if constant is not None:
            sizes, dtype = [int(size) for size in constant.dims], _dtype_name(constant.data_type)
        elif kind is not None and kind.HasField("shape"):
            sizes = [one.dim_value if one.HasField("dim_value") else -1 for one in kind.shape.dim]
            dtype = _dtype_name(kind.elem_type)
        else:
            sizes, dtype = [-1, -1], _dtype_name(kind.elem_type) if kind is not None else "float32"
        open_axes = tuple(axis for axis, size in enumerate(sizes) if size < 1 and constant is None)
        shape = tuple(size if constant is not None else max(1, size) for size in sizes)
        scales, zero_points, axis = self._scales.get(name, NO_SCALES)
        return Tensor(
            index=index,
            name=name,
            shape=shape,
            dtype=dtype,
            scales=scales,
            zero_points=zero_points,
            quantized_dimension=axis,
            is_constant=constant is not None,
            is_variable=False,
            open_axes=open_axes,
            is_dynamic=bool(set(open_axes) - {0}),
            size_bytes=math.prod(shape) * BITS.get(dtype, 0) // 8,
            buffer_index=index,
        )

    def _operator(self, number: int, node: onnx.NodeProto) -> Operator:
        inputs = tuple(self._number(name) if name else -1 for name in node.input)
        outputs = tuple(self._number(name) for name in node.output if name)
        return Operator(
            index=number,
            name=node.op_type,
            version=self._versions.get(node.domain, 1),
            inputs=inputs,
            outputs=outputs,
            macs=self._macs(node, inputs, outputs),
            options={one.name: _plain(one) for one in node.attribute if not one.HasField("g")},
            is_custom=node.domain not in ("", "ai.onnx"),
        )

    def _macs(self, node: onnx.NodeProto, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> int:
        place = WEIGHTS.get(node.op_type)
        if place is None or len(inputs) <= place or not outputs:
            return 0
        weights = self._tensors[inputs[place]].shape
        given, made = self._tensors[inputs[0]].element_count, self._tensors[outputs[0]].element_count
        if node.op_type == "ConvTranspose":
            return given * math.prod(weights[1:])
        if "Conv" in node.op_type:
            return made * math.prod(weights[1:])
        is_turned = any(one.name == "transB" and one.i for one in node.attribute)
        return made * (weights[-1] if is_turned else weights[-2] if len(weights) > 1 else weights[0])


def _dtype_name(code: int) -> str:
    from onnx import TensorProto

    name = TensorProto.DataType.Name(code).lower() if code else "float32"
    return {"float": "float32", "double": "float64"}.get(name, name)


def _plain(attribute: onnx.AttributeProto) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, (int, float, str)) else str(value)[:80]
