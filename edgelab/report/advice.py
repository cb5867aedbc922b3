"""What to change, and what each change promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgelab.report.smells import Smell
from edgelab.report.subject import Subject
from edgelab.texts import tr


@dataclass(frozen=True)
class Advice:
    """One change.

    Attributes:
        action: what to do.
        gain: what it promises.
        chapter: the number of the chapter that shows how.
        is_mechanical: whether `--fix` does it.
    """

    action: str
    gain: str
    chapter: str
    is_mechanical: bool = False


def advice(subject: Subject, found: Iterable[Smell]) -> tuple[Advice, ...]:
    """The changes that a model's smells call for, in their order: the most costly smell first."""
    makers = {
        "control_flow": lambda: Advice(
            tr("Unroll loops before converting (Keras: unroll=True)"),
            tr("the model can be placed, estimated and compiled at all"), "12"),
        "custom_operator": lambda: Advice(
            tr("Replace the custom operators, or cut the model before them and compute them outside"),
            tr("every runtime can load it"), "12"),
        "open_size": lambda: Advice(
            tr("Convert again with one fixed input size"), tr("accelerators take it"), "12"),
        "strings": lambda: Advice(
            tr("Turn text into numbers before the model"), tr("the rest can be accelerated"), "12"),
        "not_quantized": lambda: Advice(
            tr("Quantize to int8 with pictures of your own (the Keras or ONNX model with --images)"),
            tr("a quarter of the size ({saved:.1f} MB less), and NPUs take it",
               saved=0.75 * subject.graph.weight_bytes / 1e6), "04"),
        "float_island": lambda: Advice(
            tr("Replace the operators left in float by ones that have int8 kernels"),
            tr("no way back to the CPU in the middle of the model"), "04"),
        "per_tensor_depthwise": lambda: Advice(
            tr("Quantize again per channel, as today's converter does by itself"),
            tr("accuracy: depthwise channels differ in range by factors of 10 and more"), "04"),
        "input_range": lambda: Advice(
            tr("Check what the input was calibrated on, and feed pixels in just that range"),
            tr("accuracy: a wrong range answers confidently and wrongly"), "04"),
        "saturated": lambda: Advice(
            tr("Calibrate again, with 100 and more of the pictures that it will see"),
            tr("accuracy: what is cut off is lost"), "04"),
        "wide_type": lambda: Advice(
            tr("Use int32 in place of 64 bits"), tr("these operators can leave the CPU"), "12"),
        "new_version": lambda: Advice(
            tr("Convert with an older TensorFlow, or update the runtime on the device"),
            tr("old runtimes load it"), "05"),
        "open_batch": lambda: Advice(
            tr("Fix the batch at 1"), tr("compilers that want fixed shapes take it"), "12", True),
        "float_ends": lambda: Advice(
            tr("Take and give integers (io_dtype=\"uint8\")"),
            tr("no conversion on the CPU in every inference, a quarter of the input's bytes to send"), "04",
            True),
    }  # fmt: skip
    return tuple(makers[smell.key]() for smell in found if smell.key in makers)
