"""Models as Coral's tutorials take them, whose outputs can be told beforehand."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from edgelab.graph.packing import packed, unpacked, written

HEIGHT, WIDTH, CHANNELS = 6, 8, 3
SCALE = 1 / 256
# What the detector below finds: ymin, xmin, ymax, xmax in parts of the input, its class, and its score.
BOXES = [(0.0, 0.0, 0.5, 0.5, 2, 0.9), (0.5, 0.5, 1.0, 1.0, 0, 0.625), (0.0, 0.5, 0.25, 0.75, 1, 0.25)]
MOST = 10  # places for objects: those that are not filled are padding


def _buffer(values: np.ndarray) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    return buffer


def _tensor(name: str, shape: tuple[int, ...], dtype: int, buffer: int = 0, quantized=None) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), dtype, buffer
    if quantized is not None:
        scale, zero_point = quantized
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    return tensor


def _code(builtin: int, custom: bytes | None = None) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.customCode, code.version = custom, 1
    return code


def classifier(dtype: int = schema.TensorType.UINT8, quantized=(SCALE, 3)) -> bytes:
    """A model whose classes are the pixels of its picture: the brightest value is the best class."""
    count = HEIGHT * WIDTH * CHANNELS
    tensors = [
        _tensor("picture", (1, HEIGHT, WIDTH, CHANNELS), dtype, quantized=quantized),
        _tensor("shape", (2,), schema.TensorType.INT32, 1),
        _tensor("scores", (1, count), dtype, quantized=quantized),
    ]
    reshape = schema.OperatorT()
    reshape.inputs, reshape.outputs = [0, 1], [2]
    buffers = [schema.BufferT(), _buffer(np.array([1, count], np.int32))]
    codes = [_code(schema.BuiltinOperator.RESHAPE)]
    return written(buffers, tensors, [reshape], codes, inputs=[0], outputs=[2], description="pixels")


def detector(order: tuple[int, ...] = (0, 1, 2, 3)) -> bytes:
    """An SSD's post-processing, by LiteRT's own operator, over boxes that are in the file.

    Args:
        order: of its outputs; as they are, they are boxes, classes, scores, count.
    """
    corners = np.array([box[:4] for box in BOXES], np.float32)
    sizes = corners[:, 2:] - corners[:, :2]
    anchors = np.concatenate([corners[:, :2] + sizes / 2, sizes], axis=1)  # centre and size, y before x
    scores = np.zeros((1, len(BOXES), 4), np.float32)  # the first class is the background
    for place, box in enumerate(BOXES):
        scores[0, place, 1 + box[4]] = box[5]
    kinds = schema.TensorType
    tensors = [
        _tensor("picture", (1, HEIGHT, WIDTH, CHANNELS), kinds.UINT8, quantized=(1 / 128, 128)),
        _tensor("moved by", (1, len(BOXES), 4), kinds.FLOAT32, 1),
        _tensor("class scores", scores.shape, kinds.FLOAT32, 2),
        _tensor("anchors", anchors.shape, kinds.FLOAT32, 3),
        _tensor("boxes", (1, MOST, 4), kinds.FLOAT32),
        _tensor("classes", (1, MOST), kinds.FLOAT32),
        _tensor("scores", (1, MOST), kinds.FLOAT32),
        _tensor("count", (1,), kinds.FLOAT32),
    ]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [1, 2, 3], [4, 5, 6, 7]
    settings = {"max_detections": MOST, "max_classes_per_detection": 1, "num_classes": 3,
                "nms_score_threshold": 0.1, "nms_iou_threshold": 0.6, "y_scale": 10.0, "x_scale": 10.0,
                "h_scale": 5.0, "w_scale": 5.0}  # fmt: skip
    operator.customOptions = np.frombuffer(flexbuffers.Dumps(settings), np.uint8)
    moved = np.zeros((1, len(BOXES), 4), np.float32)
    buffers = [schema.BufferT(), *map(_buffer, (moved, scores, anchors.astype(np.float32)))]
    codes = [_code(schema.BuiltinOperator.CUSTOM, b"TFLite_Detection_PostProcess")]
    outputs = [4 + place for place in order]
    return written(buffers, tensors, [operator], codes, inputs=[0], outputs=outputs, description="detector")


def with_signature(model: bytes, names: dict[str, int]) -> bytes:
    """The same model with one signature: the names of its outputs, each with its tensor's number."""
    whole = unpacked(model)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [_named("picture", 0)], [_named(*entry) for entry in names.items()]
    whole.signatureDefs = [signature]
    return packed(whole)


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry
