"""What an experienced eye notices in a graph, each with the chapter that teaches it."""

from __future__ import annotations

from dataclasses import dataclass

from edgelab.graph import Graph, Operator, Tensor
from edgelab.report.subject import is_quantized
from edgelab.targets.edgetpu.rules import too_new
from edgelab.texts import tr

LISTED = 4
# Ranges of the first layer's input that people use on purpose, as real numbers.
USUAL_INPUT_RANGES = ((0, 255), (0, 1), (-1, 1), (-128, 127))
WIDE_TYPES = ("int64", "uint64", "float64", "complex64", "complex128")
RANGE_TOLERANCE = 0.05  # of the range's width


@dataclass(frozen=True)
class Smell:
    """Something that costs speed, memory or accuracy, or keeps the model from an accelerator.

    Attributes:
        key: a word for it, such as "float_island".
        text: what was found, as a sentence.
        operators: indices of the operators concerned.
        chapter: the number of the chapter that teaches it, such as "04".
    """

    key: str
    text: str
    operators: tuple[int, ...]
    chapter: str


def smells(found: Graph) -> tuple[Smell, ...]:
    """All that is noticed in a graph, the most costly first."""
    checks = (
        _control_flow, _custom, _open_sizes, _strings, _all_float, _float_islands, _per_tensor_depthwise,
        _input_range, _wide_integers, _new_versions, _open_batch, _float_ends,
    )  # fmt: skip
    return tuple(smell for check in checks if (smell := check(found)))


def named(operators: list[Operator]) -> str:
    """The first few operators by place and kind."""
    words = [f"{one.name} ({one.index})" for one in operators[:LISTED]]
    return ", ".join(words) + (", …" if len(operators) > LISTED else "")


def _smell(key: str, text: str, operators: list[Operator], chapter: str) -> Smell | None:
    if not operators:
        return None
    indices = tuple(one.index for one in operators)
    return Smell(key, f"{text}: {named(operators)}", indices, chapter)


def _control_flow(found: Graph) -> Smell | None:
    loops = [one for one in found.operators if one.name in ("WHILE", "IF", "CALL_ONCE")]
    return _smell("control_flow", tr("Control flow, which no accelerator here runs"), loops, "12")


def _custom(found: Graph) -> Smell | None:
    custom = [one for one in found.operators if one.is_custom]
    flex = [one for one in custom if one.name.startswith("Flex")]
    text = (
        tr("Operators of TensorFlow itself (Flex), which need its library beside the runtime")
        if flex
        else tr("Custom operators, which only the runtime they were made for knows")
    )
    return _smell("custom_operator", text, custom, "12")


def _open_inputs(found: Graph) -> list[Tensor]:
    return [found.tensors[index] for index in found.inputs if found.tensors[index].open_axes]


def _open_sizes(found: Graph) -> Smell | None:
    loose = [one for one in _open_inputs(found) if set(one.open_axes) - {0}]
    if loose:
        return Smell(
            "open_size",
            tr("The input {name} takes any size: accelerators need one", name=loose[0].name),
            (),
            "12",
        )
    dynamic = [
        one for one in found.operators if any(found.tensors[index].is_dynamic for index in one.outputs)
    ]
    return _smell("open_size", tr("Sizes that depend on values, known only in the run"), dynamic, "12")


def _open_batch(found: Graph) -> Smell | None:
    if not found.has_open_batch:
        return None
    return Smell(
        "open_batch", tr("The batch is left open: everything here is told for a batch of one"), (), "12"
    )


def _strings(found: Graph) -> Smell | None:
    text = [one for one in found.operators if any(found.tensors[i].dtype == "string" for i in one.outputs)]
    return _smell("strings", tr("Text is handled inside the model, which no accelerator does"), text, "12")


def _all_float(found: Graph) -> Smell | None:
    if is_quantized(found) or not found.operators:
        return None
    types = ", ".join(sorted(found.weight_bytes_by_dtype)) or "float32"
    return Smell(
        "not_quantized",
        tr("It computes in float (weights: {types}): NPUs and microcontrollers want int8", types=types),
        (),
        "04",
    )


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.startswith("float") and not tensor.is_constant


def _float_islands(found: Graph) -> Smell | None:
    # In ONNX a quantized operator stands in float between two conversions; runtimes fuse the three.
    if not is_quantized(found) or "DequantizeLinear" in found.operator_counts:
        return None
    computing = [
        one
        for one in found.operators
        if one.name not in ("QUANTIZE", "DEQUANTIZE")
        and any(_is_float(found.tensors[index]) for index in one.outputs)
    ]
    return _smell("float_island", tr("Computed in float inside a quantized model"), computing, "04")


def _per_tensor_depthwise(found: Graph) -> Smell | None:
    coarse = [
        one
        for one in found.operators
        if one.name == "DEPTHWISE_CONV_2D"
        and (weights := found.tensors[one.inputs[1]]).is_quantized
        and not weights.is_per_channel
        and weights.shape[-1] > 1
    ]
    return _smell(
        "per_tensor_depthwise",
        tr("One scale for all channels of a depthwise convolution, which costs accuracy"),
        coarse,
        "04",
    )


def real_range(tensor: Tensor) -> tuple[float, float] | None:
    """The real numbers that a quantized 8-bit tensor can hold."""
    limits = {"int8": (-128, 127), "uint8": (0, 255)}.get(tensor.dtype)
    if limits is None or not tensor.is_quantized:
        return None
    return tuple(tensor.scale * (limit - tensor.zero_point) for limit in limits)


def _input_range(found: Graph) -> Smell | None:
    for operator in found.operators:
        given = set(operator.inputs) & set(found.inputs)
        looked_at = given | (set(operator.outputs) if given and operator.name == "QUANTIZE" else set())
        for index in sorted(looked_at):
            low_high = real_range(found.tensors[index])
            if low_high and len(found.tensors[index].shape) == 4 and not _is_usual(*low_high):
                return Smell(
                    "input_range",
                    tr(
                        "The input stands for {low:.3g} to {high:.3g}, no usual range of pixels: calibrated "
                        "on few or wrongly scaled pictures, or normalized by mean and deviation",
                        low=low_high[0],
                        high=low_high[1],
                    ),
                    (operator.index,),
                    "04",
                )
    return None


def _is_usual(low: float, high: float) -> bool:
    for usual_low, usual_high in USUAL_INPUT_RANGES:
        slack = RANGE_TOLERANCE * (usual_high - usual_low)
        if abs(low - usual_low) <= slack and abs(high - usual_high) <= slack:
            return True
    return False


def _wide_integers(found: Graph) -> Smell | None:
    wide = [
        one
        for one in found.operators
        if any(found.tensors[index].dtype in WIDE_TYPES for index in one.outputs)
    ]
    return _smell("wide_type", tr("Numbers of 64 bits, which stay on the CPU"), wide, "12")


def _new_versions(found: Graph) -> Smell | None:
    newer = [one for one in found.operators if too_new(one)]
    return _smell(
        "new_version", tr("Newer versions of operators than old runtimes and compilers know"), newer, "05"
    )


def _float_ends(found: Graph) -> Smell | None:
    if not is_quantized(found):
        return None
    ends = [
        one
        for one in found.operators
        if (one.name == "QUANTIZE" and one.inputs[0] in found.inputs)
        or (one.name == "DEQUANTIZE" and one.outputs[0] in found.outputs)
    ]
    ends = [one for one in ends if any(_is_float(found.tensors[i]) for i in (*one.inputs, *one.outputs))]
    return _smell(
        "float_ends", tr("It takes or gives floats, converted on the CPU in every inference"), ends, "04"
    )
