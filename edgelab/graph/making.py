"""A `.tflite` file written from nothing, without TensorFlow: for lessons in which only its size counts."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError
from edgelab.graph.reading import FILE_IDENTIFIER
from edgelab.texts import tr

FLOAT32 = schema.TensorType.FLOAT32


def dense_network(width: int, layer_count: int, seed: int = 0) -> bytes:
    """A file of `layer_count` fully connected layers with ReLU, and random weights.

    It computes nothing of use. It has `4 * layer_count * width * (width + 1)` bytes of weights.

    Args:
        width: inputs and outputs of each layer, float32 `[1, width]`.
        layer_count: at least 1.
        seed: of the weights.

    Raises:
        InputError: a size below 1.
    """
    if width < 1 or layer_count < 1:
        raise InputError(
            tr("width {width}, {count} layers: both must be at least 1.", width=width, count=layer_count),
            fix=tr("ask for one layer at least"),
        )
    rng = np.random.default_rng(seed)
    buffers, tensors, operators = [schema.BufferT()], [_tensor("input", [1, width], 0)], []
    for layer in range(layer_count):
        kernel = rng.normal(0, np.sqrt(2 / width), (width, width))  # He et al. 2015: neither grows nor dies
        for name, values in (("kernel", kernel), ("bias", np.zeros(width))):
            stored = schema.BufferT()
            stored.data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
            buffers.append(stored)
            tensors.append(_tensor(f"{name}_{layer}", list(values.shape), len(buffers) - 1))
        tensors.append(_tensor(f"output_{layer}", [1, width], 0))
        first = 3 * layer
        operators.append(_fully_connected([first, first + 1, first + 2], first + 3))
    return _packed(buffers, tensors, operators)


def _tensor(name: str, shape: list[int], buffer: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name.encode(), FLOAT32, shape, buffer
    return tensor


def _fully_connected(inputs: list[int], output: int) -> schema.OperatorT:
    options, operator = schema.FullyConnectedOptionsT(), schema.OperatorT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = options
    return operator


def _packed(
    buffers: list[schema.BufferT], tensors: list[schema.TensorT], operators: list[schema.OperatorT]
) -> bytes:
    import flatbuffers

    part, whole, code = schema.SubGraphT(), schema.ModelT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    part.tensors, part.operators = tensors, operators
    part.inputs, part.outputs, part.name = [0], [len(tensors) - 1], b"main"
    whole.version, whole.description = 3, b"dense layers with random weights"
    whole.operatorCodes, whole.subgraphs, whole.buffers = [code], [part], buffers
    builder = flatbuffers.Builder(sum(len(b.data) for b in buffers if b.data is not None) + 1_000_000)
    builder.Finish(whole.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
