"""An ONNX file of any origin, as the targets of this course take it.

Exporters differ: weights in files beside it, 16-bit floats, an open batch, channels first, pixels scaled
outside. `prepared` makes of all that one file that takes raw pixels `[1, H, W, C]`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgelab.errors import ModelError
from edgelab.graph import onnx_reading
from edgelab.machine import artifacts, hardware
from edgelab.texts import tr

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET, OPSET = 13, 17  # scales per channel came with 13; 17 is what all targets read
CHANNELS = (1, 3, 4)
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
PIXELS = "edgelab_pixels"


def prepared(
    model: Path,
    *,
    input_shape: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Path:
    """One file, in the cache, that takes raw pixels `[1, H, W, C]` where the given one takes a picture.

    An open batch becomes 1, floats of 16 bits become float32, opsets before 13 become 17, and weights in
    files beside it come into it. A file that is like this already comes out the same.

    Args:
        model: an `.onnx` file.
        input_shape: of its first input, as the file has it (usually `[1, C, H, W]`), where sizes are open.
        mean, std: the network expects `(pixel - mean) / std` for pixels 0 to 255; one number, or one per
            channel. None where it takes raw pixels.

    Raises:
        ModelError: damaged, weights missing, sizes left open, or a shape or scaling that does not fit.
        TargetError: onnx is not installed.
        StorageError: the disk is full.
    """
    model = Path(model)
    proto = onnx_reading.load(model)
    try:
        content = proto.SerializeToString()
    except ValueError as error:
        raise ModelError(
            tr("{model} is larger than an ONNX file can be.", model=model.name),
            why=tr("with all its weights it has more than 2 GB"),
            fix=tr("split it, or take a smaller network: no target here would hold it"),
        ) from error
    parts = {
        "model": hashlib.sha256(content).hexdigest(),
        "input_shape": input_shape and list(input_shape),
        "scaling": [None if one is None else np.asarray(one, np.float64).tolist() for one in (mean, std)],
        "code": Path(__file__),
        "onnx": hardware.version_of("onnx"),
    }

    def build(path: Path) -> None:
        try:
            content = _changed(proto, model.name, input_shape, mean, std)
        except onnx_reading.DAMAGE as error:
            raise onnx_reading.damaged(model.name, error) from error
        path.write_bytes(content)

    return artifacts.cached("onnx", model.stem, ".onnx", parts, build)


def _changed(
    proto: onnx.ModelProto,
    name: str,
    input_shape: Sequence[int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> bytes:
    import onnx

    proto = _with_new_opset(proto)
    _make_float32(proto.graph)
    values = {one.name for one in proto.graph.initializer}
    inputs = [one for one in proto.graph.input if one.name not in values]
    if inputs:
        _fix_sizes(inputs[0], name, input_shape)
        for other in inputs[1:]:
            _fix_sizes(other, name, None)
        _forget_sizes(proto.graph)
        _take_raw_pixels(proto.graph, inputs[0], mean, std)
    proto = onnx.shape_inference.infer_shapes(proto)
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # as in `onnx_reading.load`
        raise ModelError(
            tr("{name} cannot be given one fixed input.", name=name),
            why=str(error).splitlines()[0],
            fix=tr("export it with a batch of 1 and a fixed size"),
        ) from error
    return proto.SerializeToString()


def _with_new_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import version_converter

    version = next((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), OPSET)
    if version >= OLDEST_OPSET:
        return proto
    try:
        return version_converter.convert_version(proto, OPSET)
    except Exception:  # no rule for one of its operators: the runtimes read old opsets, too
        return proto


def _graphs(found: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield found
    for node in found.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _make_float32(found: onnx.GraphProto) -> None:
    """Floats of 16 bits as float32: CPUs compute with these, and calibration needs them."""
    from onnx import TensorProto, numpy_helper

    short = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type in short:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    for one in _graphs(found):
        for tensor in one.initializer:
            widen(tensor)
        for value in (*one.input, *one.output, *one.value_info):
            if value.type.tensor_type.elem_type in short:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in one.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    widen(attribute.t)
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i in short:
                    attribute.i = TensorProto.FLOAT


def _fix_sizes(value: onnx.ValueInfoProto, name: str, wanted: Sequence[int] | None) -> None:
    sizes = value.type.tensor_type.shape.dim
    found = [size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else -1 for size in sizes]
    if wanted is None:
        wanted = [1 if axis == 0 and size == -1 else size for axis, size in enumerate(found)]
    fits = len(wanted) == len(found) and all(a in (-1, b) for a, b in zip(found, wanted, strict=True))
    if not fits or min(wanted, default=1) < 1:
        raise ModelError(
            tr(
                "{name} takes {input} {shape}, where -1 is left open.",
                name=name,
                input=value.name,
                shape=found,
            ),
            why=tr("an accelerator needs one size; asked for was {shape}", shape=list(wanted)),
            fix=tr(
                "give it, such as --input-shape 1,3,224,224 (input_shape=...), or export it with fixed sizes"
            ),
        )
    for size, fixed in zip(sizes, wanted, strict=True):
        size.dim_value = int(fixed)


def _forget_sizes(found: onnx.GraphProto) -> None:
    """Shapes noted for an open batch contradict the fixed one; inference finds them again."""
    del found.value_info[:]
    inner = {output for node in found.node for output in node.output}
    for value in found.output:
        if value.name in inner:
            for size in value.type.tensor_type.shape.dim:
                if size.HasField("dim_param"):
                    size.ClearField("dim_param")


def _take_raw_pixels(
    found: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> None:
    """Put before the picture's input what turns raw pixels `[1, H, W, C]` into what it takes."""
    from onnx import TensorProto, helper, numpy_helper

    kind = value.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim]
    is_first = len(sizes) == 4 and sizes[1] in CHANNELS
    is_picture = is_first or (len(sizes) == 4 and sizes[3] in CHANNELS)
    if not is_picture:
        if mean is not None or std is not None:
            raise ModelError(
                tr("{name} takes {shape}, which is no picture.", name=value.name, shape=sizes),
                fix=tr("leave mean and std out"),
            )
        return
    nodes, current, inner = [], f"{PIXELS}_{value.name}", value.name
    outer = current
    for step, (op_type, numbers) in enumerate((("Sub", mean), ("Div", std))):
        if numbers is None:
            continue
        channels = sizes[1] if is_first else sizes[3]
        constant = np.broadcast_to(np.asarray(numbers, np.float32).ravel(), (channels,)).copy()
        found.initializer.append(numpy_helper.from_array(constant, f"{PIXELS}_{op_type}_{value.name}"))
        made = f"{outer}_{step}"
        nodes.append(helper.make_node(op_type, [current, f"{PIXELS}_{op_type}_{value.name}"], [made]))
        current = made
    if is_first:
        nodes.append(helper.make_node("Transpose", [current], [inner], perm=TO_FIRST))
        sizes = [sizes[0], sizes[2], sizes[3], sizes[1]]
    elif nodes:
        nodes[-1].output[0] = inner
    if not nodes:
        return
    place = list(found.input).index(value)
    taken = helper.make_tensor_value_info(outer, kind.elem_type or TensorProto.FLOAT, sizes)
    found.input[place].CopyFrom(taken)
    old = list(found.node)
    del found.node[:]
    found.node.extend([*nodes, *old])


def channels_first(model: Path) -> bytes:
    """The content of a prepared file, its picture taken as `[1, C, H, W]`: so Rockchip's compiler wants it.

    Raises:
        ModelError, TargetError: as `prepared`.
    """
    from onnx import helper, shape_inference

    proto = onnx_reading.load(Path(model))
    found = proto.graph
    constants = {one.name for one in found.initializer}
    for value in [one for one in found.input if one.name not in constants]:
        sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
        if len(sizes) != 4 or sizes[3] not in CHANNELS:
            continue
        outer = f"{value.name}_channels_first"
        readers = [node for node in found.node if value.name in node.input]
        is_turned_at_once = len(readers) == 1 and _permutation(readers[0]) == TO_FIRST
        if is_turned_at_once:
            turned = readers[0].output[0]
            found.node.remove(readers[0])
            for node in found.node:
                node.input[:] = [outer if name == turned else name for name in node.input]
        else:
            found.node.insert(0, helper.make_node("Transpose", [outer], [value.name], perm=TO_LAST))
        kind = value.type.tensor_type.elem_type
        shape = [sizes[0], sizes[3], sizes[1], sizes[2]]
        found.input[list(found.input).index(value)].CopyFrom(
            helper.make_tensor_value_info(outer, kind, shape)
        )
    return shape_inference.infer_shapes(proto).SerializeToString()


def _permutation(node: onnx.NodeProto) -> list[int] | None:
    if node.op_type != "Transpose":
        return None
    return next((list(one.ints) for one in node.attribute if one.name == "perm"), None)


def taken(model: Path | str) -> Path:
    """The file itself; an ONNX file as `prepared`.

    Raises:
        ModelError, TargetError, StorageError: as `prepared`.
    """
    return prepared(Path(model)) if is_onnx(model) else Path(model)


def is_onnx(model: Path | str) -> bool:
    """Whether a path names an ONNX file."""
    return Path(model).suffix.lower() == ".onnx"
