"""The checks of chapter 4: scale and zero point, bytes, outputs, modes, calibration, channels' scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgelab import datasets
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


def _pair(answer: Any, what: str) -> tuple:
    """The two parts of an answer, or a mistake that says that there must be two."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Mistake(
            tr("got {answer!r}", answer=answer),
            # Note: {what} is a pair in code, such as “(scale, zero_point)”.
            tr("Return {what}, in this order.", what=what),
        )
    return tuple(answer)


def scale_and_zero_point(low: float, high: float) -> tuple[float, int]:
    """The parameters of int8 for real numbers from low to high; 0 is always made part of the range."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


@exercise(
    "04.1",
    tr("From a range to scale and zero point"),
    hints=(
        tr("The 256 codes of int8 leave 255 steps between them: scale = (high - low) / 255."),
        tr(
            "The lowest code, -128, must stand for low: low = scale * (-128 - zero_point). Solve "
            "it, and round."
        ),
        tr("Before all that: low = min(low, 0.0) and high = max(high, 0.0)."),
    ),
    read=tr("the section “One step, one offset” of this chapter"),
)
def check_range(answer: Callable[[float, float], tuple[float, int]]) -> None:
    """Scale and zero point of int8 for a range."""
    for low, high in ((-1.0, 3.0), (-0.7, 3.0), (0.0, 6.0), (-2.0, 2.0), (1.0, 5.0), (-8.0, -3.0)):
        scale, zero_point = _pair(answer(low, high), "(scale, zero_point)")
        right_scale, right_zero_point = scale_and_zero_point(low, high)
        where = tr("for {low} to {high}", low=low, high=high)
        if not math.isclose(scale, right_scale, rel_tol=1e-9):
            known = {
                (high - low) / 256: tr("256 codes have 255 steps between them."),
                (high - low) / 255: tr(
                    "Real 0 must have an exact code, since padding writes it: widen the range to include 0."
                ),
                (right_scale * 255) / 256: tr("256 codes have 255 steps between them."),
                (right_scale * 255) / 127: tr("int8 goes from -128 to 127: use all of it."),
            }
            hint = next((text for value, text in known.items() if math.isclose(scale, value)), "")
            raise Mistake(
                # Note: {where} is “for … to …”.
                tr(
                    "{where} the scale is {right_scale:.6g}, got {scale:.6g}",
                    where=where,
                    right_scale=right_scale,
                    scale=scale,
                ),
                hint,
            )
        if zero_point == right_zero_point and float(zero_point).is_integer():
            continue
        hint = ""
        if zero_point == right_zero_point + 128:
            hint = tr("That is the zero point of uint8, whose codes begin at 0; those of int8 begin at -128.")
        elif not float(zero_point).is_integer():
            hint = tr("The zero point is a code: round it.")
        elif abs(zero_point - right_zero_point) == 1:
            hint = tr("Round to the nearest code; int() cuts the fraction off.")
        raise Mistake(
            # Note: {where} is “for … to …”.
            tr(
                "{where} the zero point is {right_zero_point}, got {zero_point}",
                where=where,
                right_zero_point=right_zero_point,
                zero_point=zero_point,
            ),
            hint,
        )


def int8_bytes(height: int, width: int, channels_in: int, channels_out: int) -> int:
    """Weights of one byte each, and an int32 bias per output channel."""
    return height * width * channels_in * channels_out + 4 * channels_out


@exercise(
    "04.2",
    tr("Bytes of a quantized convolution"),
    hints=(
        tr("height * width * channels_in weights for each output channel, one byte each."),
        tr("One bias per output channel, which is added to the 32-bit sum: it has 4 bytes."),
        tr("height * width * channels_in * channels_out + 4 * channels_out"),
    ),
    read=tr("the section “Inside the file” of this chapter"),
)
def check_bytes(answer: Callable[[int, int, int, int], int]) -> None:
    """Bytes of weights and biases of an int8 convolution."""
    for height, width, channels_in, channels_out in ((3, 3, 3, 16), (1, 1, 96, 24), (5, 3, 8, 8)):
        expected = int8_bytes(height, width, channels_in, channels_out)
        got = answer(height, width, channels_in, channels_out)
        if got == expected:
            continue
        weights = expected - 4 * channels_out
        known = {
            weights: tr("The biases are missing."),
            weights + channels_out: tr("A bias is added to a 32-bit sum, so it keeps 32 bits."),
            4 * (weights + channels_out): tr("That is the float32 layer."),
            weights + 4 * channels_in: tr("There is one bias per output channel, not per input channel."),
        }
        raise Mistake(
            tr(
                "{height}x{width} filters, {channels_in} to {channels_out} channels: {expected:,} "
                "bytes, got {got:,}",
                height=height,
                width=width,
                channels_in=channels_in,
                channels_out=channels_out,
                expected=expected,
                got=got,
            ),
            known.get(got, ""),
        )


def read_output(codes: np.ndarray, scale: float, zero_point: int) -> tuple[int, float]:
    """The class with the highest score, and that score as a probability."""
    return int(codes.argmax()), float(scale * (int(codes.max()) - zero_point))


@exercise(
    "04.3",
    tr("A confidence from codes"),
    hints=(
        tr("The class is the index of the largest code. Its confidence is a real number: dequantize it."),
        tr("int(codes.max()) first: int8 minus an int can leave the range of int8."),
        tr("return int(codes.argmax()), scale * (int(codes.max()) - zero_point)"),
    ),
    read=tr("the section “The interpreter” of this chapter"),
)
def check_confidence(answer: Callable[[np.ndarray, float, int], tuple[int, float]]) -> None:
    """The class and the confidence that the output codes of one image stand for."""
    outputs = (
        (np.array([3, 230, 20, 3], np.uint8), 1 / 256, 0),
        (np.array([-128, -100, 100, -128], np.int8), 1 / 256, -128),
        (np.array([10, 12, 90, 60], np.uint8), 0.01, 8),
    )
    for codes, scale, zero_point in outputs:
        number, confidence = _pair(answer(codes.copy(), scale, zero_point), "(index, confidence)")
        right_number, right = read_output(codes, scale, zero_point)
        where = tr(
            "for the {dtype} codes {codes}, scale {scale:.6g}, zero point {zero_point}:",
            dtype=codes.dtype,
            codes=codes.tolist(),
            scale=scale,
            zero_point=zero_point,
        )
        if np.size(number) != 1 or number != right_number:
            raise Mistake(
                # Note: {where} tells the codes, the scale and the zero point.
                tr("{where} the class is {right}, got {got!r}", where=where, right=right_number, got=number),
                tr("argmax gives the index of the largest code, max its value."),
            )
        if np.size(confidence) == 1 and math.isclose(confidence, right, rel_tol=1e-4):
            continue
        highest = int(codes.max())
        known = {
            float(highest): tr("That is the code itself. What real number does it stand for?"),
            100 * right: tr("Give a fraction from 0 to 1, not per cent."),
            scale * highest: tr("The zero point is missing."),
            scale * (highest + zero_point): tr("The zero point is subtracted from the code."),
            highest / 255: tr("Use the scale and zero point of this output: no output needs 255."),
            float(scale * (codes - codes.dtype.type(zero_point)).max()): tr(
                "The subtraction left the range of the codes' type: turn the code into an int or float first."
            ),
        }
        hint = ""
        if np.size(confidence) == 1:
            hint = next((text for value, text in known.items() if math.isclose(confidence, value)), "")
        raise Mistake(
            # Note: {where} tells the codes, the scale and the zero point.
            tr(
                "{where} the confidence is {right:.4f}, got {got!r}", where=where, right=right, got=confidence
            ),
            hint,
        )


# What the lettered files of the lesson are.
LETTERED = dict(zip("ABCDE", ("int16x8", "dynamic_range", "int8", "float16", "float32"), strict=True))


@exercise(
    "04.4",
    tr("Five files without their names"),
    hints=(
        tr("Activations first: only one mode has int8 activations, only one int16."),
        tr("The other three compute in float32. They differ in how the constants are kept."),
        tr("int8 constants and float32 activations: dynamic_range. float16 constants: float16."),
    ),
    read=tr("the table at the head of “Five precisions”"),
)
def check_modes(answer: dict[str, str]) -> None:
    """The mode that made each of five files."""
    if not isinstance(answer, dict) or set(answer) != set(LETTERED):
        raise Mistake(
            tr("got {answer!r}", answer=answer),
            tr("Give a dictionary: a mode for each of the letters A to E."),
        )
    unknown = [mode for mode in answer.values() if mode not in LETTERED.values()]
    if unknown:
        raise Mistake(
            tr("there is no mode {unknown!r}", unknown=unknown[0]),
            tr("The modes are {modes}.", modes=", ".join(sorted(LETTERED.values()))),
        )
    wrong = {letter: mode for letter, mode in answer.items() if mode != LETTERED[letter]}
    if not wrong:
        return
    hints = {
        ("dynamic_range", "int8"): tr("Both keep int8 weights. What flows between the layers?"),
        ("int16x8", "int8"): tr("The name tells activations x weights: which file has int16 activations?"),
        ("float16", "float32"): tr(
            "Both compute in float32. Which one keeps its constants in half the bytes?"
        ),
    }
    mixed_up = tuple(sorted({*wrong.values(), *(LETTERED[letter] for letter in wrong)}))
    raise Mistake(
        tr("{right} of 5 are right; {letters} not", right=5 - len(wrong), letters=", ".join(sorted(wrong))),
        hints.get(mixed_up, ""),
    )


def toy_dataset() -> datasets.Dataset:
    """Four classes in order; every training pixel is 100 or more, every test pixel less."""
    rng = np.random.default_rng(4)
    train_labels, test_labels = np.repeat(np.arange(4), 25), np.repeat(np.arange(4), 10)
    train = rng.integers(100, 256, (100, 8, 8, 3)).astype(np.uint8)
    test = rng.integers(0, 100, (40, 8, 8, 3)).astype(np.uint8)
    return datasets.Dataset(
        "toy", train, train_labels, test, test_labels, ("a", "b", "c", "d"), "toy", "made for the check"
    )


def calibration(dataset: datasets.Dataset, count: int) -> np.ndarray:
    """Training images, drawn at random so that every class takes part."""
    chosen = np.random.default_rng(0).choice(len(dataset.train_images), count, replace=False)
    return dataset.train_images[chosen]


@exercise(
    "04.5",
    tr("Draw a calibration set"),
    hints=(
        tr("Only dataset.train_images will do: the test set is kept for the final number."),
        tr("The images are sorted by class, so the first show one class: draw indices at random, each once."),
        tr("chosen = np.random.default_rng(0).choice(len(dataset.train_images), count, replace=False)"),
    ),
    read=tr("the section “Calibration decides” of this chapter"),
)
def check_calibration(answer: Callable[[datasets.Dataset, int], np.ndarray]) -> None:
    """Raw training images of all classes, each once, the same at every call."""
    data, count = toy_dataset(), 40
    got = np.asarray(answer(data, count))
    if got.dtype != np.uint8:
        raise Mistake(
            tr("the images are {dtype}, uint8 was expected", dtype=got.dtype),
            tr("Hand over raw pixels: the model scales them itself, and scaling twice ruins every range."),
        )
    if got.shape != (count, 8, 8, 3):
        raise Mistake(tr("expected {count} images of 8x8x3, got {shape}", count=count, shape=list(got.shape)))
    number = {image.tobytes(): index for index, image in enumerate(data.train_images)}
    test = {image.tobytes() for image in data.test_images}
    found = [number.get(image.tobytes()) for image in got]
    if any(image.tobytes() in test for image in got):
        raise Mistake(
            tr("test images are among them"),
            tr("What has set the ranges has been seen: the test accuracy would no longer be honest."),
        )
    if None in found:
        raise Mistake(
            tr("not all of them are images of the training set"),
            tr("Noise and changed images have other ranges."),
        )
    classes = set(data.train_labels[found].tolist())
    if len(classes) < 4:
        raise Mistake(
            tr("only {count} of 4 classes take part", count=len(classes)),
            tr("The images are sorted by class: draw from all of them."),
        )
    if len(set(found)) < count:
        raise Mistake(tr("some images are there twice"), tr("Draw without replacement: replace=False."))
    if not np.array_equal(got, answer(data, count)):
        raise Mistake(
            tr("a second call gives other images"),
            tr("Use a fixed seed, or nobody can repeat your conversion."),
        )


def quantize_per_channel(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes from -127 to 127 and one scale per output channel, the first axis."""
    highest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
    scales = np.where(highest > 0, highest, 127) / 127
    codes = np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
    return codes.astype(np.int8), scales


@exercise(
    "04.6",
    tr("A scale for every channel"),
    hints=(
        tr("np.abs(weights).max(axis=...) over all axes but the first gives one number per output channel."),
        tr(
            "Divide it by 127 for the scale; reshape the scales to [-1, 1, 1, 1] to divide the "
            "weights by them."
        ),
        tr("codes = np.rint(weights / scales.reshape(-1, 1, 1, 1)).astype(np.int8)"),
    ),
    read=tr("the section “One scale, or one per channel” of this chapter"),
)
def check_per_channel(answer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    """Symmetric per-channel quantization of convolution weights [out, height, width, in]."""
    channels = np.array([0.01, 1.0, 5.0, 0.3]).reshape(-1, 1, 1, 1)
    weights = np.random.default_rng(7).normal(size=(4, 3, 3, 2)) * channels
    codes, scales = _pair(answer(weights.copy()), "(codes, scales)")
    codes, scales = np.asarray(codes), np.asarray(scales, np.float64)
    right_codes, right_scales = quantize_per_channel(weights)
    if scales.size == 1 or np.ptp(scales) == 0:
        raise Mistake(
            tr("all channels share one scale"),
            tr("The channel with the largest weights then decides for all: take the maximum per channel."),
        )
    if scales.shape != (4,) and scales.size == 4:
        scales = scales.ravel()
    if scales.shape != (4,):
        raise Mistake(
            tr("expected 4 scales, one per output channel, got {shape}", shape=list(scales.shape)),
            tr("The output channels are the first axis: take the maximum over the three others."),
        )
    if not np.allclose(scales, right_scales, rtol=1e-6):
        hint = ""
        if np.allclose(scales, weights.max(axis=(1, 2, 3)) / 127):
            hint = tr("The largest weight may be negative: take the maximum of the absolute values.")
        elif np.allclose(scales, right_scales * 127 / 128) or np.allclose(scales, right_scales * 127 / 255):
            hint = tr("Symmetric codes go from -127 to 127: divide by 127.")
        raise Mistake(
            tr(
                "the scales are {right_scales}, got {scales}",
                right_scales=right_scales.round(6),
                scales=scales.round(6),
            ),
            hint,
        )
    if codes.dtype != np.int8:
        raise Mistake(
            tr("the codes are {dtype}, int8 was expected", dtype=codes.dtype),
            tr("Cast with .astype(np.int8), last."),
        )
    if codes.shape != weights.shape:
        raise Mistake(
            tr("the codes have the shape {shape}, not that of the weights", shape=list(codes.shape))
        )
    if np.array_equal(codes, right_codes):
        return
    hint = ""
    if np.array_equal(codes, np.trunc(weights / right_scales.reshape(-1, 1, 1, 1)).astype(np.int8)):
        hint = tr("A cast cuts the fraction off: np.rint first. That halves the error.")
    worst = np.abs(codes.astype(int) - right_codes).max()
    raise Mistake(tr("the codes differ by up to {worst}", worst=worst), hint)
