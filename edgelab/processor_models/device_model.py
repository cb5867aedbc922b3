"""Accelerators as arrays of multipliers with memories: what a model needs of one, read off its graph.

`edgelab.estimate` turns these quantities into milliseconds with costs that are fitted on published figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edgelab import graph
from edgelab.errors import ModelError
from edgelab.targets.edgetpu import rules as edgetpu_rules
from edgelab.texts import tr

EIGHT_BIT = ("int8", "uint8")
NOT_EIGHT_BIT = ("QUANTIZE", "DEQUANTIZE", "CAST", "ARG_MAX", "SHAPE")  # they may take or give other types
MATRIX_OPERATORS = ("CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
# They move nothing of their own: a reshape renames, a split is an offset, and a change of scale or a sigmoid
# is done on the way by the operator before it.
FREE_OPERATORS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SPLIT", "QUANTIZE", "LOGISTIC")
# Products of two activations, and what stands between them.
ATTENTION_OPERATORS = ("BATCH_MATMUL", "SOFTMAX", "TRANSPOSE")
# A picture has too few channels to fill a block; its channels are spread over the taps of the kernel.
PICTURE_CHANNELS = 4
# Bytes on the chip per weight, since blocks are padded. EfficientNet-EdgeTPU S and M, Edge TPU compiler 16.0:
# 6,727 and 8,571 KiB on and off the chip, from files of 6,001 and 7,639 KiB.
PACKING = 1.12
# Bytes of weights that arrive while the array does one step: a 32-bit memory at the array's clock.
FETCH_BYTES = 4

# What the accelerators other than the Edge TPU take: Vela's list (`vela --supported-ops-report`, int8), whose
# kinds occur in the networks that Rockchip published too.
NPU_OPERATORS = (
    "ABS", "ADD", "ARG_MAX", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "CONV_2D",
    "DEPTHWISE_CONV_2D", "ELU", "EXP", "EXPAND_DIMS", "FULLY_CONNECTED", "GELU", "HARD_SWISH",
    "LEAKY_RELU", "LOG", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL",
    "NEG", "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2",
    "RSQRT", "SLICE", "SOFTMAX", "SPLIT", "SPLIT_V", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE",
    "SUB", "SUM", "TANH", "TILE", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
)  # fmt: skip

QUANTITIES = {
    "matrix": "ms of the array at one step per cycle, for convolutions and dense layers",
    "depthwise": "ms of one row of the array at one step per cycle, for depthwise convolutions",
    "activations": "ms to move the activations, one byte per cycle, but for the next two",
    "concatenated": "ms to move what is concatenated, one byte per cycle",
    "attention": "ms to move what attention multiplies, normalizes and transposes, one byte per cycle",
    "weights": "ms to fetch, one byte per cycle, the weights that do not arrive while the array computes",
    "streamed": "MB of weights that the chip cannot keep",
    "transfer": "MB of input and output",
    "start": "1 where the accelerator is called",
    "cpu_macs": "10⁹ multiply-accumulates on the CPU",
    "cpu_values": "10⁶ values computed on the CPU",
}
CPU_QUANTITIES = ("cpu_macs", "cpu_values")


@dataclass(frozen=True)
class Device:
    """An accelerator as the model sees it.

    Attributes:
        name: what it is called here.
        target: as in `edgelab.targets`.
        chip: the device of its published figures.
        processor: whose published times tell how fast the CPU does what stays there.
        inputs: input channels that the array multiplies at once.
        outputs: output channels that it computes at once.
        pixels: places of a feature map that it works on at once.
        clock_mhz: of the array.
        on_chip_bytes: memory that keeps weights from one inference to the next, filled over a cable; 0 where
            weights come from the board's memory while the array computes.
        costs: the costs that are fitted, and the quantities that each multiplies.
        fixed: costs of further quantities that are not fitted; what is in neither costs nothing.
        family: devices of one family are fitted together, and share their costs.
        source: where array, clock and memory stand.
    """

    name: str
    target: str
    chip: str
    processor: str
    inputs: int
    outputs: int
    pixels: int
    clock_mhz: float
    on_chip_bytes: int
    costs: Mapping[str, tuple[str, ...]]
    fixed: Mapping[str, float]
    family: str
    source: str

    @property
    def multipliers(self) -> int:
        """How many there are in the array."""
        return self.inputs * self.outputs * self.pixels

    @property
    def peak_tops(self) -> float:
        """10¹² operations per second if every multiplier worked in every cycle; a multiply-add is two."""
        return 2 * self.multipliers * self.clock_mhz / 1e6

    def __str__(self) -> str:
        array = f"{self.multipliers} multipliers at {self.clock_mhz:.0f} MHz"
        return f"{self.chip}: {array}, {self.peak_tops:.2g} TOPS"


# What is concatenated is copied: the chip's compiler gives each branch a buffer of its own.
_CORAL = {
    "matrix": ("matrix",), "depthwise": ("depthwise",), "link": ("streamed", "transfer"), "start": ("start",),
    "copies": ("concatenated",),
}  # fmt: skip
_TRAFFIC = ("activations", "concatenated", "attention", "weights")
_RK3588 = {"array": ("matrix", "depthwise"), "memory": _TRAFFIC}
# Rockchip's compiler puts softmax and a transposition on this chip's CPU; of the RK3588, nothing.
_RK3566 = {
    "array": ("matrix", "depthwise"), "memory": ("activations", "concatenated", "weights"),
    "attention": ("attention",),
}  # fmt: skip
_ETHOS = {"memory": _TRAFFIC}
_A53 = "Cortex-A53, TensorFlow Lite of 2019"

DEVICES = {
    device.name: device
    for device in (
        Device(
            "edgetpu", "edgetpu", "Coral USB Accelerator", "Xeon E5-1650 v4, TensorFlow Lite of 2019",
            64, 64, 1, 480.0, 7680 * 1024, _CORAL, {}, "edgetpu",
            "coral.ai: 4 TOPS, which 64x64 multipliers reach at 480 MHz; 7,680 KiB for weights: compiler log",
        ),
        Device(
            "rk3588", "rknn", "RK3588, one NPU core", _A53,
            32, 32, 1, 1000.0, 0, _RK3588, {}, "rk3588",
            "technical reference manual: three cores, each 1,024 multiply-accumulates per cycle at 1 GHz",
        ),
        Device(
            "rk3566", "rknn", "RK3566", _A53,
            32, 16, 1, 900.0, 0, _RK3566, {}, "rk3566",
            "data sheet: 0.8 to 1 TOPS, which 512 multipliers reach at 0.8 to 1 GHz",
        ),
        Device(
            "ethos-u55-128", "ethosu", "Ethos-U55-128, 500 MHz", "STM32H747 Cortex-M7 400 MHz",
            8, 8, 2, 500.0, 0, _ETHOS, {"matrix": 1.0, "depthwise": 1.0}, "ethos-u55",
            "Vela: blocks of 8 input and 8 output channels at 2 places; clock of Arm's evaluation kit",
        ),
        Device(
            "ethos-u55-256", "ethosu", "Ethos-U55-256, 400 MHz", "STM32H747 Cortex-M7 400 MHz",
            8, 8, 4, 400.0, 0, _ETHOS, {"matrix": 1.0, "depthwise": 1.0}, "ethos-u55",
            "Vela: blocks of 8 input and 8 output channels at 4 places; clock of Alif's Ensemble",
        ),
    )
}  # fmt: skip


def layers(model: Path | str | bytes) -> pd.DataFrame:
    """What each operator of a `.tflite` file computes and moves.

    Args:
        model: the file, or its content.

    Returns:
        One row per operator: `operator`; `macs`; `weights`, learnt numbers; `taken` and `given`, values of
        activations in and out; `output`, its shape without the batch; `kernel`, the shape of its weights;
        `edgetpu`, whether the Edge TPU takes it; `why`, the reason where it does not.

    Raises:
        ModelError: not a whole TFLite model, compiled already, not of 8 bits throughout, with dynamic shapes,
            control flow or custom operators.
    """
    found = graph.read(model)
    placement = edgetpu_rules.placement(model)  # refuses a compiled model
    _check(found)
    rows = []
    for operator, placed in zip(found.operators, placement.operators, strict=True):
        inputs = [found.tensors[index] for index in operator.inputs if index >= 0]
        outputs = [found.tensors[index] for index in operator.outputs]
        parameters = [tensor for tensor in inputs if tensor.is_parameter]
        kernel = next((tensor.shape for tensor in parameters if len(tensor.shape) > 1), ())
        rows.append(
            {
                "operator": operator.name,
                "macs": operator.macs,
                "weights": sum(tensor.element_count for tensor in parameters),
                "taken": sum(tensor.element_count for tensor in inputs if not tensor.is_constant),
                "given": sum(tensor.element_count for tensor in outputs),
                "output": "x".join(map(str, outputs[0].shape[1:])) if outputs else "",
                "kernel": "x".join(map(str, kernel)),
                "edgetpu": placed.where == "Edge TPU",
                "why": placed.reason,
            }
        )
    return pd.DataFrame(rows)


def _check(found: graph.Graph) -> None:
    """Refuse what cannot be estimated, with the reason."""
    if found.branches:
        raise ModelError(
            tr("A model with control flow cannot be estimated."),
            why=tr("the file does not say how often WHILE and IF run their branches"),
            fix=tr("unroll the loop before converting (Keras: unroll=True)"),
        )
    for operator in found.operators:
        tensors = [found.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        flowing = [tensor for tensor in tensors if not tensor.is_constant]
        loose = next((tensor for tensor in flowing if tensor.is_dynamic), None)
        if loose:
            raise ModelError(
                tr("A dimension of {tensor} is left open.", tensor=loose.name),
                why=tr("how much there is to compute is only known when the model runs"),
                fix=tr("fix every dimension, the batch at 1, before converting"),
            )
        if operator.is_custom:
            raise ModelError(
                tr("The model holds the custom operator {operator}.", operator=operator.name),
                why=tr("it stays on the CPU, and nobody has published how long it takes there"),
                fix=tr("cut the model before it, and measure that operator by itself"),
            )
        weights = [tensor for tensor in tensors if tensor.is_constant and tensor.dtype.startswith("float")]
        wide = [tensor for tensor in flowing if tensor.dtype not in EIGHT_BIT]
        if operator.name not in NOT_EIGHT_BIT and (wide or weights):
            raise ModelError(
                tr(
                    "The model is not int8 throughout: {operator} ({index}) works on {dtype}.",
                    operator=operator.name,
                    index=operator.index,
                    dtype=(wide or weights)[0].dtype,
                ),
                why=tr("the published figures are of models whose weights and activations have 8 bits"),
                fix=tr('convert it with calibration images: chain.converted("int8"), chapter 4'),
            )


def placed(frame: pd.DataFrame, device: Device) -> pd.DataFrame:
    """The layers with a column `accelerated`, and in `why` the reason where that is False."""
    if device.target == "edgetpu":
        return frame.assign(accelerated=frame["edgetpu"].astype(bool))
    known = frame["operator"].isin(NPU_OPERATORS)
    return frame.assign(
        accelerated=known, why=np.where(known, "", f"not in the operator list of {device.chip}")
    )


def array_steps(row: Any, device: Device) -> float:
    """Steps of the array for one operator.

    One step multiplies a block of input channels with a block of output channels, for one tap of the kernel
    and a few places. A block that is not full takes as long as a full one. In a depthwise convolution every
    output channel has a single input channel, so that only one row of the array works.

    Args:
        row: one row of `layers`.
        device: whose array.
    """
    if row.operator == "DEPTHWISE_CONV_2D":
        return row.macs / device.inputs / device.pixels
    if row.operator not in MATRIX_OPERATORS or not row.kernel:
        return row.macs / device.multipliers  # a product of two activations: its blocks are unknown
    outputs, *taps, inputs = (int(size) for size in row.kernel.split("x"))
    tap_count = math.prod(taps)
    places = row.macs / (outputs * inputs * tap_count)
    if inputs <= PICTURE_CHANNELS:
        blocks = math.ceil(tap_count * inputs / device.inputs)
    else:
        blocks = tap_count * math.ceil(inputs / device.inputs)
    return math.ceil(places / device.pixels) * blocks * math.ceil(outputs / device.outputs)


def quantities(frame: pd.DataFrame, device: Device) -> pd.DataFrame:
    """What each operator needs of the device.

    Args:
        frame: from `placed`.
        device: one of `DEVICES`.

    Returns:
        One row per operator, and the columns `QUANTITIES`.
    """
    on = frame["accelerated"].to_numpy(float)
    steps = np.array([array_steps(row, device) for row in frame.itertuples()])
    is_depthwise = (frame["operator"] == "DEPTHWISE_CONV_2D").to_numpy()
    moves = ~frame["operator"].isin(FREE_OPERATORS).to_numpy()
    taken, given, weights, macs = (
        frame[name].to_numpy(float) for name in ("taken", "given", "weights", "macs")
    )
    ms_per_cycle = 1 / device.clock_mhz / 1e3

    found = pd.DataFrame(0.0, index=frame.index, columns=list(QUANTITIES))
    found["matrix"] = on * ~is_depthwise * steps * ms_per_cycle
    found["depthwise"] = on * is_depthwise * steps * ms_per_cycle
    moved_ms = on * moves * (taken + given) * ms_per_cycle
    found["concatenated"] = moved_ms * (frame["operator"] == "CONCATENATION").to_numpy()
    found["attention"] = moved_ms * frame["operator"].isin(ATTENTION_OPERATORS).to_numpy()
    found["activations"] = moved_ms - found["concatenated"] - found["attention"]
    found["weights"] = on * np.maximum(0, weights - steps * FETCH_BYTES) * ms_per_cycle
    beyond = np.maximum(0, np.cumsum(on * weights) * PACKING - device.on_chip_bytes)
    found["streamed"] = np.diff(beyond, prepend=0.0) / 1e6
    places = np.flatnonzero(on)
    if len(places):
        found.loc[places[0], ["transfer", "start"]] = taken[places[0]] / 1e6, 1.0
        found.loc[places[-1], "transfer"] += given[places[-1]] / 1e6
    found["cpu_macs"] = (1 - on) * macs / 1e9
    found["cpu_values"] = (1 - on) * moves * given / 1e6
    return found
