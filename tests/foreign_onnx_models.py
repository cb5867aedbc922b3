"""ONNX files as exporters of other frameworks write them: channels first, an open batch, weights anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, CLASSES = 16, 4


def network(*, batch: str | int = "N", size: str | int = SIZE, opset: int = 17) -> onnx.ModelProto:
    """Convolution, ReLU, global average, dense layer: float32 `[N, 3, H, W]` to `[N, 4]`."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "bias": rng.normal(0, 0.1, 8),
        "dense": rng.normal(0, 0.5, (CLASSES, 8)),
        "dense_bias": rng.normal(0, 0.1, CLASSES),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["conv"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "dense_bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(one.astype(np.float32), name) for name, one in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def answers(pixels: np.ndarray) -> np.ndarray:
    """What the network gives for float32 `[N, 3, H, W]`, by ONNX's reference implementation."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(network()).run(None, {"image": pixels})[0]


def with_external_weights(path: Path) -> Path:
    """The network, its weights in a file beside it."""
    onnx.save_model(
        network(), path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
    )
    return path


def in_float16(path: Path) -> Path:
    """The network with 16-bit weights, input and output."""
    made = network(batch=1)
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save_model(made, path)
    return path
