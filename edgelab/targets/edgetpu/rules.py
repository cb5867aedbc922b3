"""Which operators the Edge TPU takes, told from the model file alone: no compiler, no device.

Google's compiler follows a published table of operators, and leaves to the CPU everything after the first
operator that it cannot map. `placement` applies the same rules, and gives a reason in plain words for each
operator left on the CPU. The table is in `data/operators/edgetpu.csv`, with sources; the rules that it names
are the functions in `RULES`. They agree with eleven models that Google published before and after compiling.
"""

from __future__ import annotations

import csv
import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import graph
from edgelab.errors import ModelError
from edgelab.machine import artifacts
from edgelab.runtime import Placement
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd

OPERATORS_FILE = artifacts.PROJECT_ROOT / "data" / "operators" / "edgetpu.csv"
NEWER_VERSIONS_FILE = artifacts.PROJECT_ROOT / "data" / "operators" / "newer_versions.csv"
# The last compiler, 16.0 of July 2021, reads models with the TensorFlow Lite of that summer.
COMPILER_TENSORFLOW = "2.6"
COMPILED_OPERATOR = "edgetpu-custom-op"
ON_CHIP_BYTES = 8 * 2**20  # parameters that fit are kept; the rest is sent anew for every inference
EIGHT_BIT = ("int8", "uint8")
INNER_DIMENSIONS = 3
SOFTMAX_LIMIT = 16_000
# Interpolating by a factor s in both directions needs weights that are multiples of 1/s². In a signed 8-bit
# weight 1/64 is exact and 1/256 is not. Published models have 2x on the Edge TPU, and 15.5x and 33x on the
# CPU; what lies between is inferred.
LARGEST_EXACT_RESIZE = 8
LARGEST_SEEN_RESIZE = 2
LARGE_RESHAPE = 2**16
CONVERSIONS = ("CAST", "QUANTIZE")  # before the first operator that is mapped they may stay on the CPU

# Where each operator keeps what must be known when the model is compiled: weights, and sizes or axes. A size
# that is computed only when the model runs makes the tensors after it dynamic.
WEIGHTS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
    "PRELU": (1,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": tuple(range(1, 18)),
}
SIZES = {
    "TRANSPOSE_CONV": (0,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "MEAN": (1,),
    "SUM": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "SPLIT": (0,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "EXPAND_DIMS": (1,),
    "FILL": (0,),
    "BROADCAST_TO": (1,),
    "RANGE": (0, 1, 2),
}


@dataclass(frozen=True)
class PlacedOperator:
    """Where one operator runs.

    Attributes:
        index: its place in the order of execution.
        operator: its name.
        where: "Edge TPU" or "CPU".
        reason: why it stays on the CPU; empty on the Edge TPU.
        doubt: what the published rules leave open, for an operator that they allow.
    """

    index: int
    operator: str
    where: str
    reason: str = ""
    doubt: str = ""


@dataclass(frozen=True, repr=False)
class EdgeTpuPlacement:
    """Where each operator of a model runs once it is compiled for the Edge TPU.

    Attributes:
        operators: in order of execution.
        refusal: why the compiler would refuse the whole file; empty when it takes it.
        weight_bytes: of the learnt numbers that the mapped operators use; they fit on the chip up to
            `ON_CHIP_BYTES`, minus what the program itself takes.
    """

    operators: tuple[PlacedOperator, ...]
    refusal: str
    weight_bytes: int

    @property
    def mapped(self) -> tuple[PlacedOperator, ...]:
        """The operators on the Edge TPU."""
        return tuple(row for row in self.operators if row.where == "Edge TPU")

    @property
    def on_cpu(self) -> tuple[PlacedOperator, ...]:
        """The operators left on the CPU."""
        return tuple(row for row in self.operators if row.where == "CPU")

    @property
    def summary(self) -> Placement:
        """The same as every target tells it."""
        reasons = tuple((f"{row.operator} ({row.index})", row.reason) for row in self.on_cpu)
        return Placement(len(self.mapped), len(self.operators), reasons)

    def frame(self) -> pd.DataFrame:
        """One row per operator."""
        import pandas as pd

        rows = [(row.index, row.operator, row.where, row.reason or row.doubt) for row in self.operators]
        return pd.DataFrame(rows, columns=["index", "operator", "where", "why"])

    def __str__(self) -> str:
        return f"{self.summary} on the Edge TPU" + (f"; {self.refusal}" if self.refusal else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        refusal = f"<p><b>Refused.</b> {html.escape(self.refusal)}</p>" if self.refusal else ""
        return refusal + self.summary._repr_html_()


@dataclass(frozen=True)
class _Node:
    """An operator with its tensors at hand.

    Attributes:
        operator: as in the graph.
        inputs: its input tensors; None where an optional one is missing.
        outputs: its output tensors.
    """

    operator: graph.Operator
    inputs: tuple[graph.Tensor | None, ...]
    outputs: tuple[graph.Tensor, ...]

    @property
    def activations(self) -> tuple[graph.Tensor, ...]:
        """What flows: no constants, and not the state that an LSTM keeps to itself."""
        read = [
            tensor for tensor in self.inputs if tensor and not tensor.is_constant and not tensor.is_variable
        ]
        parameters = {id(self.input(place)) for place in SIZES.get(self.operator.name, ())}
        return (*(tensor for tensor in read if id(tensor) not in parameters), *self.outputs)

    def input(self, place: int) -> graph.Tensor | None:
        """The input at this place, None when the operator has fewer."""
        return self.inputs[place] if place < len(self.inputs) else None

    def numbers(self, place: int) -> list[int]:
        """The values of a constant input, such as axes; empty when there is none."""
        tensor = self.input(place)
        return [int(value) for value in tensor.values().ravel()] if tensor and tensor.is_constant else []

    def option(self, name: str, default: int = 0) -> int:
        """A number among the operator's options."""
        return int(self.operator.options.get(name, default))


def no_fused_activation(node: _Node) -> str:
    """No activation fused in."""
    activation = node.operator.options.get("fused_activation_function", "NONE")
    return "" if activation == "NONE" else f"it has {activation} fused in, which the Edge TPU's own lacks"


def constant_is_zero_padding(node: _Node) -> str:
    """A constant joined to another input is allowed only as padding with zeros."""
    constants = [tensor for tensor in node.inputs if tensor and tensor.is_constant]
    if not constants:
        return ""
    zero = all((tensor.values() == tensor.zero_point).all() for tensor in constants)
    if len(node.inputs) == 2 and zero:
        return ""
    return "it joins a constant: the Edge TPU takes one only beside a single other input, and only zeros"


def constant_weights(node: _Node) -> str:
    """Weights and biases are constants of 8 bits and 32 bits."""
    for place in WEIGHTS[node.operator.name]:
        tensor = node.input(place)
        if tensor is None or tensor.is_variable:
            continue
        if not tensor.is_constant:
            return "its weights are computed while the model runs; they must be constants"
        if tensor.dtype not in (*EIGHT_BIT, "int32"):
            return f"its weights are {tensor.dtype}; the Edge TPU multiplies 8-bit integers"
    weights = node.input(WEIGHTS[node.operator.name][0])
    if weights is not None and weights.is_per_channel and any(weights.zero_points):
        return "its weights have a zero point per channel other than 0"
    return ""


def equal_dilation(node: _Node) -> str:
    """Dilated alike in x and in y."""
    width, height = node.option("dilation_w_factor", 1), node.option("dilation_h_factor", 1)
    return "" if width == height else f"it is dilated by {width} in x and by {height} in y"


def default_weight_format(node: _Node) -> str:
    """Weights in the plain order."""
    return "its weights are stored in a shuffled format" if node.option("weights_format") else ""


def vector_output(node: _Node) -> str:
    """One vector comes out."""
    shape = node.outputs[0].shape
    if all(size == 1 for size in shape[:-1]):
        return ""
    return f"its output is {_shape(shape)}; a fully connected layer must give one vector"


def vector_slope(node: _Node) -> str:
    """One slope per channel."""
    shape = node.inputs[1].shape
    if all(size == 1 for size in shape[:-1]):
        return ""
    return "its slope differs from place to place; share it (Keras: shared_axes=[1, 2])"


def vector_of_at_most_16000(node: _Node) -> str:
    """One vector, not too long."""
    tensor = node.inputs[0]
    if any(size != 1 for size in tensor.shape[:-1]):
        return f"its input is {_shape(tensor.shape)}; the Edge TPU takes the softmax of one vector"
    if tensor.element_count > SOFTMAX_LIMIT:
        return f"it has {tensor.element_count} values, the Edge TPU takes {SOFTMAX_LIMIT}"
    return ""


def no_batch_axis(node: _Node) -> str:
    """Not along the batch."""
    # Along a dimension of size 1 nothing happens: the compiler maps such a split.
    return "it works along the batch, the first dimension" if _axes(node).get(0, 1) > 1 else ""


def depth_multiple_of_four(node: _Node) -> str:
    """Over the channels only when their number is a multiple of four."""
    last = len(node.inputs[0].shape) - 1
    channels = _axes(node).get(last, 0)
    return f"it averages over {channels} channels, not a multiple of four" if channels % 4 else ""


def no_batch_padding(node: _Node) -> str:
    """The batch is not padded."""
    return "it pads the batch" if any(node.numbers(1)[:2]) else ""


def no_batch_tiling(node: _Node) -> str:
    """The batch is not repeated."""
    return "it repeats the batch" if node.numbers(1)[:1] not in ([], [1]) else ""


def plain_slice(node: _Node) -> str:
    """Every value between two ends is taken."""
    if any(stride != 1 for stride in node.numbers(3)):
        return "it skips values: all its strides must be 1"
    if node.option("ellipsis_mask") or node.option("new_axis_mask"):
        return "it slices with an ellipsis or a new axis"
    return ""


def at_most_four_dimensions(node: _Node) -> str:
    """At most four dimensions."""
    count = len(node.inputs[0].shape)
    return "" if count <= 4 else f"it exchanges axes of a tensor of {count} dimensions; at most 4 are mapped"


def precise_resize(node: _Node) -> str:
    """Enlarged by no more than 8-bit interpolation can do exactly."""
    factor = _resize_factor(node)
    if factor <= LARGEST_EXACT_RESIZE:
        return ""
    return (
        f"it enlarges {factor:.3g} times, from {_shape(node.inputs[0].shape)} to "
        f"{_shape(node.outputs[0].shape)}: 8-bit interpolation would not be precise enough"
    )


def resize_fits(node: _Node) -> str:
    """Input and output fit into the memory on the chip."""
    size_bytes = node.inputs[0].size_bytes + node.outputs[0].size_bytes
    if size_bytes <= ON_CHIP_BYTES:
        return ""
    return f"its input and output take {size_bytes / 2**20:.1f} MiB; the chip has {ON_CHIP_BYTES >> 20} MiB"


RULES: dict[str, Callable[[_Node], str]] = {
    rule.__name__: rule
    for rule in (
        no_fused_activation, constant_is_zero_padding, constant_weights, equal_dilation,
        default_weight_format, vector_output, vector_slope, vector_of_at_most_16000, no_batch_axis,
        depth_multiple_of_four, no_batch_padding, no_batch_tiling, plain_slice, at_most_four_dimensions,
        precise_resize, resize_fits,
    )
}  # fmt: skip


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _axes(node: _Node) -> dict[int, int]:
    """The axes that an operator works along, counted from 0, and the size of each."""
    name = node.operator.name
    if name == "PACK":
        shape, axes = node.outputs[0].shape, [node.option("axis")]
    else:
        tensor, axes_at = (1, 0) if name == "SPLIT" else (0, 1)
        shape, axes = node.inputs[tensor].shape, node.numbers(axes_at)
    return {axis % len(shape): shape[axis % len(shape)] for axis in axes if shape}


def _resize_factor(node: _Node) -> float:
    """How many times a resize enlarges, in the direction where it does most."""
    before, after = node.inputs[0].shape[1:3], node.outputs[0].shape[1:3]
    return max(large / max(small, 1) for small, large in zip(before, after, strict=True))


@cache
def table() -> dict[str, dict[str, str]]:
    """The published table, by operator: its rules, its limitation in words, and the source."""
    with OPERATORS_FILE.open(encoding="utf-8", newline="") as file:
        return {row["operator"]: row for row in csv.DictReader(file)}


@cache
def _newer_versions() -> dict[str, dict[int, str]]:
    """The operator versions that came after the compiler, with the TensorFlow that brought them."""
    versions: dict[str, dict[int, str]] = {}
    with NEWER_VERSIONS_FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            versions.setdefault(row["operator"], {})[int(row["version"])] = row["tensorflow"]
    return versions


def too_new(operator: graph.Operator) -> str:
    """Why the compiler does not know this operator in this version; empty when it does."""
    newer = [
        (version, tensorflow)
        for version, tensorflow in _newer_versions().get(operator.name, {}).items()
        if version <= operator.version
    ]
    if not newer or operator.is_custom:
        return ""
    return (
        f"version {operator.version} of {operator.name} came with TensorFlow {max(newer)[1]}, and the last "
        f"compiler knows those of TensorFlow {COMPILER_TENSORFLOW} (July 2021)"
    )


def _dynamic(node: _Node) -> str:
    """Why an operator's shapes are not known before the model runs; empty when they are."""
    name = node.operator.name
    for place in SIZES.get(name, ()):
        tensor = node.input(place)
        if tensor is not None and not tensor.is_constant:
            return f"{name} computes its size while the model runs"
    loose = next((tensor for tensor in node.activations if tensor.is_dynamic), None)
    return f"a dimension of {loose.name} is left open" if loose else ""


def _own_reason(node: _Node) -> str:
    """Why this operator cannot run on the Edge TPU, whatever stands before it; empty when it can."""
    operator = node.operator
    if operator.is_custom:
        return "a custom operator: the Edge TPU knows only those of its table"
    if reason := too_new(operator) or _dynamic(node):
        return reason
    for tensor in node.activations:
        if tensor.dtype not in EIGHT_BIT:
            verb = "gives" if tensor in node.outputs else "takes"
            return f"it {verb} {tensor.dtype}; the Edge TPU computes with 8-bit integers only"
    if operator.name not in table():
        return f"{operator.name} is not in the table of operators that the Edge TPU has"
    for tensor in node.activations:
        if not tensor.is_quantized:
            return f"{tensor.name} holds plain {tensor.dtype} numbers: it has no scale"
        if any(size > 1 for size in tensor.shape[:-INNER_DIMENSIONS]):
            advice = "; use batch 1" if len(tensor.shape) == INNER_DIMENSIONS + 1 else ""
            shape = _shape(tensor.shape)
            return f"a tensor is {shape}: only its last {INNER_DIMENSIONS} dimensions may be above 1{advice}"
    for rule in table()[operator.name]["rules"].split():
        if reason := RULES[rule](node):
            return reason
    return ""


def _doubt(node: _Node) -> str:
    """What the published rules leave open about an operator that they allow."""
    name = node.operator.name
    if name == "RESHAPE" and node.outputs[0].element_count > LARGE_RESHAPE:
        return "a large reshape: the compiler leaves some on the CPU and does not say which"
    if name.startswith("RESIZE") and _resize_factor(node) > LARGEST_SEEN_RESIZE:
        return (
            f"published models have resizes by {LARGEST_SEEN_RESIZE} there; for larger ones this is inferred"
        )
    if name in ("TRANSPOSE", "TRANSPOSE_CONV"):
        return f"logs show {name} on both sides: {table()[name]['limitation']}"
    return ""


def _node(found: graph.Graph, operator: graph.Operator) -> _Node:
    inputs = tuple(found.tensors[i] if i >= 0 else None for i in operator.inputs)
    return _Node(operator, inputs, tuple(found.tensors[i] for i in operator.outputs))


def _converts_from_float(node: _Node) -> bool:
    """Whether an operator only makes other numbers of what it takes, and not all of them 8-bit integers."""
    wide = any(tensor.dtype not in EIGHT_BIT for tensor in node.activations)
    return node.operator.name in CONVERSIONS and wide


def _reasons(nodes: list[_Node]) -> list[str]:
    """For each operator why it stays on the CPU, empty for those on the Edge TPU.

    There is one part on the Edge TPU. It begins at the start of the graph, after conversions to 8 bits, and
    ends on every path at the first operator that cannot be mapped.
    """
    culprits: dict[
        int, _Node
    ] = {}  # for a tensor on the CPU, the first operator on its way that could not be mapped
    reasons = []
    for node in nodes:
        read = [tensor.index for tensor in node.inputs if tensor and tensor.index in culprits]
        reason = _own_reason(node)
        if reason and not read and _converts_from_float(node):
            reasons.append(f"{reason}. It comes first, so it keeps no other operator from the Edge TPU")
            continue
        culprit = culprits[read[0]] if read else node if reason else None
        if culprit:
            culprits.update((tensor.index, culprit) for tensor in node.outputs)
        if culprit and not reason:
            name = f"{culprit.operator.name} ({culprit.operator.index})"
            reason = (
                f"the Edge TPU has it, but it comes after {name}, which stays on the CPU: "
                "there is one part on the Edge TPU, and it ends there"
            )
        reasons.append(reason)
    return reasons


def _refusal(nodes: list[_Node], inputs: list[graph.Tensor]) -> str:
    """Why the compiler refuses the file as a whole; empty when it takes it."""
    for node in nodes:
        if reason := too_new(node.operator):
            return tr("the compiler cannot read the file: {reason}", reason=reason)
    loose = next((tensor for tensor in inputs if tensor.is_dynamic), None)
    if loose:
        return tr(
            "the compiler needs fixed shapes, and a dimension of the input {name} is left open",
            name=loose.name,
        )
    for node in nodes:
        if reason := _dynamic(node):
            return tr("the compiler needs fixed shapes: {reason}", reason=reason)
    if not any(
        tensor.dtype in EIGHT_BIT and tensor.is_quantized for node in nodes for tensor in node.activations
    ):
        return tr("the model is not quantized to 8 bits: nothing that flows through it is an 8-bit integer")
    return ""


def placement(model: Path | str | bytes) -> EdgeTpuPlacement:
    """Where each operator of a model would run, told from the file alone.

    Args:
        model: a `.tflite` file that has not been compiled, or its content.

    Returns:
        One row per operator of the main graph, with a reason for each that stays on the CPU.

    Raises:
        ModelError: it cannot be read, or is compiled already.
    """
    found = graph.read(model)
    if is_compiled(found):
        raise ModelError(
            tr("This model has been compiled for the Edge TPU already."),
            why=tr(
                "it holds {operator}, in which the mapped operators have vanished",
                operator=COMPILED_OPERATOR,
            ),
            fix=tr("look at the file it was compiled from"),
        )
    nodes = [_node(found, operator) for operator in found.operators]
    try:
        reasons = _reasons(nodes)
    except graph.DAMAGE as error:  # an operator without the inputs or options that its kind has
        raise ModelError(
            tr("The model is damaged: an operator lacks what its kind needs."),
            why=str(error),
            fix=tr("convert or copy it again"),
        ) from error
    refusal = _refusal(nodes, [found.tensors[i] for i in found.inputs])
    if refusal:
        reasons = [reason or f"it could run there, but {refusal}" for reason in reasons]
    rows = tuple(
        PlacedOperator(
            node.operator.index,
            node.operator.name,
            "CPU" if reason else "Edge TPU",
            reason,
            "" if reason else _doubt(node),
        )
        for node, reason in zip(nodes, reasons, strict=True)
    )
    weights = {
        tensor.buffer_index: tensor.size_bytes
        for node, row in zip(nodes, rows, strict=True)
        for tensor in node.inputs
        if tensor and tensor.is_parameter and row.where == "Edge TPU"
    }
    return EdgeTpuPlacement(rows, refusal, sum(weights.values()))


def is_compiled(found: graph.Graph) -> bool:
    """Whether a model has been through the Edge TPU compiler."""
    return any(operator.name == COMPILED_OPERATOR for operator in found.operators)
