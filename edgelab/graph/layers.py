"""Equal layers written from nothing, without TensorFlow: networks in which only shape and type count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError
from edgelab.graph.packing import written
from edgelab.texts import tr

KINDS = ("conv", "depthwise", "dense")
DTYPES = ("float32", "int8")
STEP, ZERO_POINT = 0.05, -128  # of int8 activations after ReLU: 0 to 12.75


@dataclass(frozen=True)
class Layers:
    """Some equal layers with ReLU and random weights, one after the other.

    Attributes:
        kind: "conv" and "depthwise" keep the size of the map, with stride 1; "dense" is fully connected.
        size: side of the map; of "dense" the rows of a batch.
        channels: going in and coming out.
        kernel: side of the window; "dense" has none.
        count: of layers.
        dtype: "float32", or "int8" with a scale for each output channel.
    """

    kind: str
    size: int
    channels: int
    kernel: int = 3
    count: int = 4
    dtype: str = "float32"

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference."""
        if self.kind == "dense":
            return self.count * self.size * self.channels**2
        inputs = 1 if self.kind == "depthwise" else self.channels
        return self.count * self.size**2 * self.kernel**2 * inputs * self.channels

    def __str__(self) -> str:
        if self.kind == "dense":
            return f"dense {self.channels}, batch {self.size}, {self.dtype}"
        window = f"{self.kernel}x{self.kernel}"
        return f"{self.kind} {window}, {self.size}x{self.size}x{self.channels}, {self.dtype}"


def network(layers: Layers, seed: int = 0) -> bytes:
    """The content of a `.tflite` file of these layers. It computes nothing of use.

    Args:
        layers: what it holds.
        seed: of the weights.

    Raises:
        InputError: an unknown kind or type, or a size below 1.
    """
    numbers = (layers.size, layers.channels, layers.kernel, layers.count)
    if layers.kind not in KINDS or layers.dtype not in DTYPES or min(numbers) < 1:
        raise InputError(
            tr("These layers cannot be written: {layers}.", layers=layers),
            why=tr("kinds are {kinds}, types {dtypes}", kinds=", ".join(KINDS), dtypes=", ".join(DTYPES)),
            fix=tr("choose one of them, and sizes of at least 1"),
        )
    rng = np.random.default_rng(seed)
    buffers, tensors, operators = [schema.BufferT()], [_activation(layers, "input")], []
    for number in range(layers.count):
        kernel, bias, scales = _weights(layers, rng)
        for name, values, own in (("kernel", kernel, scales), ("bias", bias, _times(scales, STEP))):
            buffers.append(_stored(values))
            tensors.append(_constant(f"{name}_{number}", values, len(buffers) - 1, own, _axis(layers, name)))
        tensors.append(_activation(layers, f"output_{number}"))
        first = 3 * number
        operators.append(_operator(layers, [first, first + 1, first + 2], first + 3))
    return written(
        buffers,
        tensors,
        operators,
        [_code(layers)],
        inputs=[0],
        outputs=[len(tensors) - 1],
        description="layers with random weights",
    )


def _times(scales: list[float], factor: float) -> list[float]:
    return [scale * factor for scale in scales]


def _axis(layers: Layers, name: str) -> int:
    """Along which axis the output channels lie."""
    return 3 if layers.kind == "depthwise" and name == "kernel" else 0


def _weights(layers: Layers, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Kernel, bias, and the scales of the output channels; none in float."""
    n, k = layers.channels, layers.kernel
    shape = {"conv": (n, k, k, n), "depthwise": (1, k, k, n), "dense": (n, n)}[layers.kind]
    reads = layers.macs // layers.count // (layers.size ** (1 if layers.kind == "dense" else 2)) // n
    deviation = np.sqrt(2 / reads)  # He et al. 2015: activations neither grow nor die
    kernel = rng.normal(0, deviation, shape).astype(np.float32)
    if layers.dtype == "float32":
        return kernel, np.zeros(n, np.float32), []
    scale = 4 * deviation / 127
    codes = np.clip(np.rint(kernel / scale), -127, 127).astype(np.int8)
    return codes, np.zeros(n, np.int32), [float(scale)] * n


def _stored(values: np.ndarray) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    return buffer


TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


def _quantization(
    scales: list[float], zero_points: list[int], axis: int = 0
) -> schema.QuantizationParametersT:
    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint, found.quantizedDimension = scales, zero_points, axis
    return found


def _activation(layers: Layers, name: str) -> schema.TensorT:
    tensor = schema.TensorT()
    if layers.kind == "dense":
        tensor.shape = [layers.size, layers.channels]
    else:
        tensor.shape = [1, layers.size, layers.size, layers.channels]
    tensor.name, tensor.type, tensor.buffer = name.encode(), TYPES[layers.dtype], 0
    if layers.dtype == "int8":
        tensor.quantization = _quantization([STEP], [ZERO_POINT])
    return tensor


def _constant(name: str, values: np.ndarray, buffer: int, scales: list[float], axis: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), list(values.shape), buffer
    tensor.type = TYPES[str(values.dtype)]
    if scales:
        tensor.quantization = _quantization(scales, [0] * len(scales), axis)
    return tensor


BUILTIN = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "dense": "FULLY_CONNECTED"}
OPTIONS = {"conv": "Conv2DOptions", "depthwise": "DepthwiseConv2DOptions", "dense": "FullyConnectedOptions"}


def _operator(layers: Layers, inputs: list[int], output: int) -> schema.OperatorT:
    name, operator = OPTIONS[layers.kind], schema.OperatorT()
    options = getattr(schema, name + "T")()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    if layers.kind != "dense":
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    if layers.kind == "depthwise":
        options.depthMultiplier = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    operator.builtinOptions = options
    return operator


def _code(layers: Layers) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, BUILTIN[layers.kind])
    code.version = 3 if layers.dtype == "int8" else 1
    return code
