"""The checks of chapter 4: scale and zero point, bytes of a layer, a calibration set, channels' scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgelab import datasets
from edgelab.exercises.core import Mistake, exercise


def _pair(answer: Any, what: str) -> tuple:
    """The two parts of an answer, or a mistake that says that there must be two."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Mistake(f"got {answer!r}", f"Return {what}, in this order.")
    return tuple(answer)


def scale_and_zero_point(low: float, high: float) -> tuple[float, int]:
    """The parameters of int8 for real numbers from low to high; 0 is always made part of the range."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


@exercise(
    "04.1",
    "From a range to scale and zero point",
    hints=(
        "The 256 codes of int8 leave 255 steps between them: scale = (high - low) / 255.",
        "The lowest code, -128, must stand for low: low = scale * (-128 - zero_point). Solve it, and round.",
        "Before all that: low = min(low, 0.0) and high = max(high, 0.0).",
    ),
    read="the section “One step, one offset” of this chapter",
)
def check_range(answer: Callable[[float, float], tuple[float, int]]) -> None:
    """Scale and zero point of int8 for a range."""
    for low, high in ((-1.0, 3.0), (0.0, 6.0), (-2.0, 2.0), (1.0, 5.0), (-8.0, -3.0)):
        scale, zero_point = _pair(answer(low, high), "(scale, zero_point)")
        right_scale, right_zero_point = scale_and_zero_point(low, high)
        where = f"for {low} to {high}"
        if not math.isclose(scale, right_scale, rel_tol=1e-9):
            known = {
                (high - low) / 256: "256 codes have 255 steps between them.",
                (high - low)
                / 255: "Real 0 must have an exact code, since padding writes it: widen the range "
                "to include 0.",
                (right_scale * 255) / 256: "256 codes have 255 steps between them.",
                (right_scale * 255) / 127: "int8 goes from -128 to 127: use all of it.",
            }
            hint = next((text for value, text in known.items() if math.isclose(scale, value)), "")
            raise Mistake(f"{where} the scale is {right_scale:.6g}, got {scale:.6g}", hint)
        if zero_point == right_zero_point and float(zero_point).is_integer():
            continue
        hint = ""
        if zero_point == right_zero_point + 128:
            hint = "That is the zero point of uint8, whose codes begin at 0; those of int8 begin at -128."
        elif not float(zero_point).is_integer():
            hint = "The zero point is a code: round it."
        elif abs(zero_point - right_zero_point) == 1:
            hint = "Round to the nearest code; int() cuts the fraction off."
        raise Mistake(f"{where} the zero point is {right_zero_point}, got {zero_point}", hint)


def int8_bytes(height: int, width: int, channels_in: int, channels_out: int) -> int:
    """Weights of one byte each, and an int32 bias per output channel."""
    return height * width * channels_in * channels_out + 4 * channels_out


@exercise(
    "04.2",
    "Bytes of a quantized convolution",
    hints=(
        "height * width * channels_in weights for each output channel, one byte each.",
        "One bias per output channel, which is added to the 32-bit sum: it has 4 bytes.",
        "height * width * channels_in * channels_out + 4 * channels_out",
    ),
    read="the section “Inside the file” of this chapter",
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
            weights: "The biases are missing.",
            weights + channels_out: "A bias is added to a 32-bit sum, so it keeps 32 bits.",
            4 * (weights + channels_out): "That is the float32 layer.",
            weights + 4 * channels_in: "There is one bias per output channel, not per input channel.",
        }
        raise Mistake(
            f"{height}x{width} filters, {channels_in} to {channels_out} channels: {expected:,} bytes, "
            f"got {got:,}",
            known.get(got, ""),
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
    "04.3",
    "Draw a calibration set",
    hints=(
        "Only dataset.train_images will do: the test set is kept for the final number.",
        "The images are sorted by class, so the first show one class: draw indices at random, each once.",
        "chosen = np.random.default_rng(0).choice(len(dataset.train_images), count, replace=False)",
    ),
    read="the section “Calibration decides” of this chapter",
)
def check_calibration(answer: Callable[[datasets.Dataset, int], np.ndarray]) -> None:
    """Raw training images of all classes, each once, the same at every call."""
    data, count = toy_dataset(), 40
    got = np.asarray(answer(data, count))
    if got.dtype != np.uint8:
        raise Mistake(
            f"the images are {got.dtype}, uint8 was expected",
            "Hand over raw pixels: the model scales them itself, and scaling twice ruins every range.",
        )
    if got.shape != (count, 8, 8, 3):
        raise Mistake(f"expected {count} images of 8x8x3, got {list(got.shape)}")
    number = {image.tobytes(): index for index, image in enumerate(data.train_images)}
    test = {image.tobytes() for image in data.test_images}
    found = [number.get(image.tobytes()) for image in got]
    if any(image.tobytes() in test for image in got):
        raise Mistake(
            "test images are among them",
            "What has set the ranges has been seen: the test accuracy would no longer be honest.",
        )
    if None in found:
        raise Mistake(
            "not all of them are images of the training set", "Noise and changed images have other ranges."
        )
    classes = set(data.train_labels[found].tolist())
    if len(classes) < 4:
        raise Mistake(
            f"only {len(classes)} of 4 classes take part",
            "The images are sorted by class: draw from all of them.",
        )
    if len(set(found)) < count:
        raise Mistake("some images are there twice", "Draw without replacement: replace=False.")
    if not np.array_equal(got, answer(data, count)):
        raise Mistake(
            "a second call gives other images", "Use a fixed seed, or nobody can repeat your conversion."
        )


def quantize_per_channel(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes from -127 to 127 and one scale per output channel, the first axis."""
    highest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
    scales = np.where(highest > 0, highest, 127) / 127
    codes = np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
    return codes.astype(np.int8), scales


@exercise(
    "04.4",
    "A scale for every channel",
    hints=(
        "np.abs(weights).max(axis=...) over all axes but the first gives one number per output channel.",
        "Divide it by 127 for the scale; reshape the scales to [-1, 1, 1, 1] to divide the weights by them.",
        "codes = np.rint(weights / scales.reshape(-1, 1, 1, 1)).astype(np.int8)",
    ),
    read="the section “One scale, or one per channel” of this chapter",
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
            "all channels share one scale",
            "The channel with the largest weights then decides for all: take the maximum per channel.",
        )
    if scales.shape != (4,) and scales.size == 4:
        scales = scales.ravel()
    if scales.shape != (4,):
        raise Mistake(f"expected 4 scales, one per output channel, got {list(scales.shape)}")
    if not np.allclose(scales, right_scales, rtol=1e-6):
        hint = ""
        if np.allclose(scales, weights.max(axis=(1, 2, 3)) / 127):
            hint = "The largest weight may be negative: take the maximum of the absolute values."
        elif np.allclose(scales, right_scales * 127 / 128) or np.allclose(scales, right_scales * 127 / 255):
            hint = "Symmetric codes go from -127 to 127: divide by 127."
        raise Mistake(f"the scales are {right_scales.round(6)}, got {scales.round(6)}", hint)
    if codes.dtype != np.int8:
        raise Mistake(f"the codes are {codes.dtype}, int8 was expected", "Cast with .astype(np.int8), last.")
    if codes.shape != weights.shape:
        raise Mistake(f"the codes have the shape {list(codes.shape)}, not that of the weights")
    if np.array_equal(codes, right_codes):
        return
    hint = ""
    if np.array_equal(codes, np.trunc(weights / right_scales.reshape(-1, 1, 1, 1)).astype(np.int8)):
        hint = "A cast cuts the fraction off: np.rint first. That halves the error."
    worst = np.abs(codes.astype(int) - right_codes).max()
    raise Mistake(f"the codes differ by up to {worst}", hint)
