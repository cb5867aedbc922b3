"""A model as ONNX: the common language of TensorRT, ONNX Runtime and Rockchip's compiler.

`from_tflite` converts, `quantize` inserts QuantizeLinear and DequantizeLinear pairs ("QDQ") around what is to
be computed in 8 bits, and `check_symmetric` tells whether TensorRT will take the result.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from edgelab import graph, quantization
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.graph import onnx_reading
from edgelab.machine import artifacts, hardware, quiet
from edgelab.runtime import TensorSpec
from edgelab.targets import foreign_onnx
from edgelab.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

OPSET = 17  # the newest that all three read
INSTALL = tr('install the tools again: pip install -e ".[targets]", or run make lab')

SYMMETRIC, ASYMMETRIC = "symmetric", "asymmetric"
SCHEMES = (SYMMETRIC, ASYMMETRIC)
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
# TensorRT wants the pairs at the inputs of these, and none between a convolution and its activation function:
# it fuses the two into one kernel, which a pair between them would forbid.
TENSORRT_QUANTIZES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "GlobalAveragePool")
REARRANGING = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
TENSORRT_FUSES = ("Clip", "Relu", "Mul", "Sigmoid", "LeakyRelu")


def load(package: str) -> ModuleType:
    """Import a package of the extra "targets", which may be missing or broken.

    Raises:
        TargetError: it cannot be imported; says why, and what to install.
    """
    # NNCF makes up an identifier of this computer as soon as it can import this, whatever it is told.
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        with quiet.native_stderr():
            module = import_module(package)
        if module.__file__ is None:  # the folder is there, its files are not
            raise ImportError(tr("only an empty folder named {package} is left of it", package=package))
    except (ImportError, OSError, AttributeError) as error:
        raise TargetError(
            tr("{package} cannot be used.", package=package), why=str(error), fix=INSTALL
        ) from error
    if package == "onnxruntime":
        module.set_default_logger_severity(4)  # fatal; everything else comes as an exception
    return module


@contextmanager
def silence() -> Iterator[None]:
    """Keep what the tools print and log out of the lesson."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # what matters comes as an exception
    try:
        with quantization.silence():
            yield
    finally:
        logging.disable(before)


def read(model: Path) -> onnx.ModelProto:
    """Read and check an ONNX file.

    Raises:
        ModelError: it is missing, damaged, or breaks a rule of ONNX.
        TargetError: onnx is not installed.
    """
    load("onnx")
    return onnx_reading.load(Path(model))


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def from_tflite(model: Path, *, channels_first: bool = False) -> Path:
    """Convert a `.tflite` file to ONNX; a second call reuses the file.

    The converter folded BatchNorm into the convolutions already, so the ONNX graph has none.

    Args:
        model: float32 for a model that is to be quantized anew. An int8 one becomes QuantizeLinear and
            DequantizeLinear pairs with its own zero points.
        channels_first: take the image inputs as `[N, C, H, W]`, which Rockchip's compiler wants, in place of
            `[N, H, W, C]`. The numbers stay raw pixels, 0 to 255.

    Returns:
        The `.onnx` file, in the cache.

    Raises:
        ModelError: the file cannot be read, or holds an operator that ONNX lacks.
        TargetError: tf2onnx is not installed.
        StorageError: the disk is full.
    """
    found = graph.read(model)
    images = [found.tensors[i].name for i in found.inputs if len(found.tensors[i].shape) == 4]
    parts = {
        "model": Path(model),
        "channels_first": channels_first,
        "opset": OPSET,
        "tf2onnx": hardware.version_of("tf2onnx"),
    }

    def build(path: Path) -> None:
        quiet.import_tensorflow()
        load("tf2onnx")
        with silence(), tempfile.TemporaryDirectory() as folder:
            import tf2onnx.convert

            made = Path(folder) / "model.onnx"
            try:
                tf2onnx.convert.from_tflite(
                    str(model),
                    opset=OPSET,
                    inputs_as_nchw=images if channels_first else None,
                    output_path=str(made),
                )
                read(made)
            except Exception as error:  # tf2onnx raises whatever its many passes raise
                raise _not_convertible(Path(model), error) from error
            path.write_bytes(made.read_bytes())

    name = Path(model).stem + ("-nchw" if channels_first else "")
    return artifacts.cached("onnx", name, ".onnx", parts, build)


def from_model(model: Path) -> Path:
    """A model as ONNX that takes raw pixels `[1, H, W, C]`: a `.tflite` converted, an `.onnx` prepared.

    Raises:
        ModelError, TargetError, StorageError: as `from_tflite` and `foreign_onnx.prepared`.
    """
    return foreign_onnx.taken(model) if foreign_onnx.is_onnx(model) else from_tflite(model)


def _not_convertible(model: Path, error: Exception) -> ModelError:
    return ModelError(
        tr("{model} could not be converted to ONNX.", model=model.name),
        why=getattr(error, "why", "") or _first_line(error),
        fix=tr("look for custom operators or dynamic shapes with edgelab.graph, and convert it without them"),
    )


def specs(proto: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What a model takes and gives, with the scales of integer ones.

    ONNX keeps no scale with a tensor: it stands in the node that dequantizes an input or quantizes an output.
    """
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    scaling = {}
    for node in proto.graph.node:
        if node.op_type in QUANTIZERS and set(node.input[1:]) <= set(constants):
            edge = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
            scaling[edge] = [numpy_helper.to_array(constants[name]) for name in node.input[1:3]]
    # Optimizers move what only rearranges values between a model's end and its scale.
    rearranging = [node for node in proto.graph.node if node.op_type in REARRANGING]
    for node in reversed(rearranging):
        if node.output[0] in scaling:
            scaling.setdefault(node.input[0], scaling[node.output[0]])
    for node in rearranging:
        if node.input[0] in scaling:
            scaling.setdefault(node.output[0], scaling[node.input[0]])

    def spec(value: onnx.ValueInfoProto) -> TensorSpec:
        kind = value.type.tensor_type
        shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        scale, zero_point = 0.0, 0
        if np.issubdtype(dtype, np.integer) and scaling.get(value.name) and scaling[value.name][0].size == 1:
            scale = float(scaling[value.name][0].item())
            zero_point = int(scaling[value.name][1].item()) if len(scaling[value.name]) > 1 else 0
        return TensorSpec(value.name, shape, dtype, scale, zero_point)

    inputs = [value for value in proto.graph.input if value.name not in constants]
    return tuple(map(spec, inputs)), tuple(map(spec, proto.graph.output))


def image_spec(proto: onnx.ModelProto, name: str) -> TensorSpec:
    """The one image input of a model, its shape fixed.

    Raises:
        ModelError: there are several inputs, or a dimension is open.
    """
    inputs, _ = specs(proto)
    if len(inputs) != 1:
        raise ModelError(
            tr("{name} has {count} inputs.", name=name, count=len(inputs)),
            why=tr("calibration feeds one image at a time"),
            fix=tr("join the inputs, or split the model"),
        )
    if -1 in inputs[0].shape or len(inputs[0].shape) != 4:
        raise ModelError(
            tr("{name} takes {spec}.", name=name, spec=inputs[0]),
            why=tr("a compiler for an accelerator needs one image of a fixed size; -1 is a size left open"),
            fix=tr("convert it with a batch size of 1: quantization.convert does"),
        )
    return inputs[0]


def operator_counts(model: Path) -> dict[str, int]:
    """How many nodes of each kind, the most frequent first."""
    counts = Counter(node.op_type for node in read(model).graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def quantize(
    model: Path, calibration: np.ndarray, scheme: str = SYMMETRIC, *, reduce_range: bool = False
) -> Path:
    """Quantize a float ONNX model by calibration images, as QDQ; a second call reuses the file.

    Weights get one scale per output channel and zero point 0 in both schemes; biases stay exact.

    Args:
        model: a float `.onnx` file from `from_tflite`, with its image as `[1, H, W, 3]`.
        calibration: uint8 `[N, H, W, 3]`, from the training set. The ranges are the smallest and largest
            values seen.
        scheme: "symmetric" for TensorRT: activations int8, `real = scale * code`, every zero point 0, pairs
            where TensorRT fuses best, weights as float with a pair of their own, float biases. "asymmetric"
            for ONNX Runtime on a CPU: activations uint8, `real = scale * (code - zero point)`.
        reduce_range: weights of 7 bits, -64 to 64. Processors without VNNI add two products of 8 by 8 bits in
            16 bits, which 8-bit weights can overflow.

    Returns:
        The `.onnx` file, in the cache.

    Raises:
        InputError: an unknown scheme, or images that do not fit the model.
        ModelError: not a float model with one image input of fixed shape.
        TargetError: onnx or onnxruntime is not installed.
        StorageError: the disk is full.
    """
    if scheme not in SCHEMES:
        raise InputError(
            tr("There is no scheme {scheme!r}.", scheme=scheme),
            fix=tr("use one of {schemes}", schemes=", ".join(SCHEMES)),
        )
    model = Path(model)
    proto = read(model)
    found = sum(node.op_type in QUANTIZERS for node in proto.graph.node)
    spec = image_spec(proto, model.name)
    if found or spec.dtype != np.float32:
        raise ModelError(
            tr("{model} is quantized already, at least in part.", model=model.name),
            why=tr(
                "it has {found} QuantizeLinear and DequantizeLinear nodes, and takes {dtype}",
                found=found,
                dtype=spec.dtype,
            ),
            fix=tr('start from the float model: chain.converted("float32")'),
        )
    images = check_images(calibration, spec)
    parts = {
        "model": model,
        "calibration": hashlib.sha256(str(images.shape).encode() + images.tobytes()).hexdigest(),
        "scheme": scheme,
        "reduce_range": reduce_range,
        "placement": TENSORRT_QUANTIZES + TENSORRT_FUSES if scheme == SYMMETRIC else (),
        "onnxruntime": hardware.version_of("onnxruntime"),
    }

    def build(path: Path) -> None:
        load("onnxruntime")
        with silence(), tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "quantized.onnx"
            try:
                _quantize(model, made, images, spec, scheme, reduce_range)
                read(made)
            except Exception as error:  # the quantizer raises whatever its many passes raise
                raise ModelError(
                    tr("{model} could not be quantized.", model=model.name),
                    why=getattr(error, "why", "") or _first_line(error),
                    fix=tr(
                        "look for an operator that ONNX Runtime cannot run, with onnx_model.operator_counts"
                    ),
                ) from error
            path.write_bytes(made.read_bytes())

    return artifacts.cached("onnx", f"{model.stem.rsplit('-', 1)[0]}-{scheme}", ".onnx", parts, build)


def check_images(calibration: np.ndarray | None, spec: TensorSpec) -> np.ndarray:
    """Calibration images, after making sure that they fit a model's input.

    Raises:
        InputError: none, or of another shape or type.
    """
    images = None if calibration is None else np.ascontiguousarray(calibration)
    expected = spec.shape[1:]
    if images is None or len(images) == 0 or images.dtype != np.uint8 or images.shape[1:] != expected:
        got = tr("none") if images is None else f"{images.dtype} {list(images.shape)}"
        raise InputError(
            tr(
                "Calibration images: expected uint8 [N, {shape}], got {got}.",
                shape=", ".join(map(str, expected)),
                got=got,
            ),
            why=tr(
                "the ranges of the activations are only known from running the model on typical raw pixels"
            ),
            fix=tr("pass dataset.calibration_images(200), drawn from the training images"),
        )
    return images


def _quantize(
    model: Path, out: Path, images: np.ndarray, spec: TensorSpec, scheme: str, reduce_range: bool
) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {spec.name: image[np.newaxis].astype(np.float32)}

    symmetric = scheme == SYMMETRIC
    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,  # TensorRT takes no int32 DequantizeLinear
        "AddQDQPairToWeight": True,
        "DedicatedQDQPair": True,
        "OpTypesToExcludeOutputQuantization": [*TENSORRT_QUANTIZES, *TENSORRT_FUSES],
        "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
    }
    prepared = out.with_name("prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        out,
        Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=reduce_range,
        calibrate_method=CalibrationMethod.MinMax,
        op_types_to_quantize=list(TENSORRT_QUANTIZES) if symmetric else None,
        extra_options=options if symmetric else {},
    )


def to_float16(model: Path) -> Path:
    """A float32 ONNX model with weights and arithmetic of 16 bits; its inputs and outputs stay float32.

    TensorRT 11 computes in the types that the file names and has no "use float16" switch any more.

    Raises:
        ModelError: it is quantized, or cannot be converted.
        TargetError: onnx or onnxruntime is not installed.
    """
    model = Path(model)
    if any(node.op_type in QUANTIZERS for node in read(model).graph.node):
        raise ModelError(
            tr("{model} is quantized already.", model=model.name), fix=tr("start from the float model")
        )
    parts = {"model": model, "float16": True, "onnxruntime": hardware.version_of("onnxruntime")}

    def build(path: Path) -> None:
        onnx = load("onnx")
        load("onnxruntime")
        with silence():
            from onnxruntime.transformers.float16 import convert_float_to_float16
            from onnxruntime.transformers.onnx_model import OnnxModel

            try:
                made = OnnxModel(convert_float_to_float16(onnx.load_model(model), keep_io_types=True))
                made.topological_sort()
                path.write_bytes(made.model.SerializeToString())
                read(path)
            except Exception as error:
                raise ModelError(
                    tr("{model} could not be converted to float16.", model=model.name),
                    why=getattr(error, "why", "") or _first_line(error),
                    fix=tr('use precision="int8"'),
                ) from error

    return artifacts.cached("onnx", f"{model.stem.rsplit('-', 1)[0]}-float16", ".onnx", parts, build)


@dataclass(frozen=True)
class ZeroPoint:
    """The zero points of one QuantizeLinear or DequantizeLinear node.

    Attributes:
        node: its name.
        operator: which of the two it is.
        tensor: what it quantizes or dequantizes.
        dtype: of the codes: "int8", "uint8", "int32"...
        values: one, or one per channel.
        scales: as many.
        is_weight: it stands at a constant rather than at an activation.
    """

    node: str
    operator: str
    tensor: str
    dtype: str
    values: tuple[int, ...]
    scales: tuple[float, ...]
    is_weight: bool

    @property
    def is_symmetric(self) -> bool:
        """Whether TensorRT takes it: int8 codes, and 0 stands for 0."""
        return self.dtype == "int8" and not any(self.values)


def zero_points(model: Path) -> tuple[ZeroPoint, ...]:
    """The zero points of every QuantizeLinear and DequantizeLinear node, in the order of the graph.

    Raises:
        ModelError: the file cannot be read, or computes zero points while it runs.
    """
    proto = read(model)
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    fixed = set(constants)  # what hangs on constants alone
    found = []
    for node in proto.graph.node:
        if node.op_type not in QUANTIZERS:
            continue
        if node.input[0] in fixed:
            fixed.update(node.output)
        if not set(filter(None, node.input[1:])) <= set(constants):
            raise ModelError(
                tr(
                    "{op_type} {node} in {model} computes its scale while it runs.",
                    op_type=node.op_type,
                    node=node.name,
                    model=Path(model).name,
                ),
                why=tr("no compiler for an accelerator takes such dynamic quantization"),
                fix=tr("quantize by calibration images: onnx_model.quantize"),
            )
        scales = numpy_helper.to_array(constants[node.input[1]]).ravel()
        if len(node.input) > 2 and node.input[2]:
            codes = numpy_helper.to_array(constants[node.input[2]]).ravel()
        else:  # ONNX: no zero point means 0, and uint8 where it quantizes
            kind = constants.get(node.input[0])
            dtype = np.uint8 if kind is None else numpy_helper.to_array(kind).dtype
            codes = np.zeros(scales.shape, dtype)
        values = tuple(int(code) for code in codes)
        tensor = node.input[0] if node.op_type == "QuantizeLinear" else node.output[0]
        found.append(
            ZeroPoint(
                node.name,
                node.op_type,
                tensor,
                str(codes.dtype),
                values,
                tuple(map(float, scales)),
                node.input[0] in fixed,
            )
        )
    return tuple(found)


def check_symmetric(model: Path) -> tuple[ZeroPoint, ...]:
    """Make sure that TensorRT will take a quantized model: int8 everywhere, every zero point 0.

    Returns:
        All its zero points.

    Raises:
        ModelError: it is not quantized, or some pair is asymmetric: names the first and explains.
    """
    found = zero_points(model)
    name = Path(model).name
    if not found:
        raise ModelError(
            tr("{name} is not quantized.", name=name),
            why=tr("it has no QuantizeLinear nodes, so TensorRT would compute it all in float"),
            fix=tr('onnx_model.quantize(model, images, "symmetric")'),
        )
    wrong = [entry for entry in found if not entry.is_symmetric]
    if wrong:
        first = next((entry for entry in wrong if any(entry.values)), wrong[0])
        worst = max(first.values, key=abs)
        raise ModelError(
            tr(
                "{name} is quantized asymmetrically: {count} of {total} QuantizeLinear and "
                "DequantizeLinear nodes have another zero point than int8 0. TensorRT refuses it.",
                name=name,
                count=len(wrong),
                total=len(found),
            ),
            why=tr(
                "{operator} of {tensor}: {dtype}, zero point {worst}; TensorRT computes real = scale "
                "* code and leaves the zero point out",
                operator=first.operator,
                tensor=first.tensor,
                dtype=first.dtype,
                worst=worst,
            ),
            fix=tr('quantize the float model anew: onnx_model.quantize(float_onnx, images, "symmetric")'),
        )
    return found
