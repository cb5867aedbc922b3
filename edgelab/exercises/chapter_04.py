"""The checks of chapter 4: codes and real numbers, modes, calibration, channels' scales.

Those of the convolution in integers, 04.4 to 04.6, are in `chapter_04_layer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgelab import datasets
from edgelab.exercises import chapter_04_layer
from edgelab.exercises.chapter_04_layer import first_place, pair, refuse_other_arrays, slip_of
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# A code may be half a step away, and a hair more where it was computed in float32. At a tie two are right.
HALF_A_STEP = 0.5 + 1e-3


def _ranges() -> list[tuple[float, float]]:
    """Ranges that a lesson shows, ranges without 0, and some that nobody has seen."""
    shown = [(-1.0, 3.0), (-0.7, 3.0), (0.0, 6.0), (-2.0, 2.0), (1.0, 5.0), (-8.0, -3.0), (0.25, 0.5)]
    drawn = np.round(np.random.default_rng(41).uniform(-9, 9, (8, 2)), 3)
    return shown + [(float(min(pair)), float(max(pair))) for pair in drawn]


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
    for low, high in _ranges():
        scale, zero_point = pair(answer(low, high), "(scale, zero_point)")
        right_scale, right_zero_point = chapter_04_layer.scale_and_zero_point(low, high)
        where = tr("for {low} to {high}", low=low, high=high)
        if not math.isclose(scale, right_scale, rel_tol=1e-6):
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
                    "{where} the scale is {right_scale:.9g}, got {scale:.9g}",
                    where=where,
                    right_scale=right_scale,
                    scale=scale,
                ),
                hint,
            )
        exact = -128 - min(low, 0.0) / right_scale
        if float(zero_point).is_integer() and abs(zero_point - exact) <= HALF_A_STEP:
            continue
        hint = ""
        if not float(zero_point).is_integer():
            hint = tr("The zero point is a code: round it.")
        elif abs(zero_point - 128 - exact) <= HALF_A_STEP:
            hint = tr("That is the zero point of uint8, whose codes begin at 0; those of int8 begin at -128.")
        elif abs(zero_point - exact) < 1:
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


@exercise(
    "04.2",
    tr("Real numbers to codes"),
    hints=(
        tr("How many steps is each number above 0? real / scale. np.rint gives the nearest whole number."),
        tr("Real 0 has the code zero_point, so add it. Then np.clip to -128 and 127, the ends of int8."),
        tr("np.clip(np.rint(real / scale) + zero_point, -128, 127).astype(np.int8)"),
    ),
    read=tr("the section “One step, one offset” of this chapter"),
)
def check_quantize(answer: Callable[[np.ndarray, float, int], np.ndarray]) -> None:
    """int8 codes of arrays of real numbers, some of them beyond the range."""
    rng = np.random.default_rng(42)
    for number, (low, high) in enumerate(_ranges()):
        scale, zero_point = chapter_04_layer.scale_and_zero_point(low, high)
        width = 255 * scale
        real = rng.uniform(min(low, 0) - 0.4 * width, max(high, 0) + 0.4 * width, (4, 3, 2 + number % 3))
        real[0, 0, 0] = 0.0
        real = real.astype((np.float32, np.float64)[number % 2])
        codes = np.asarray(answer(real.copy(), scale, zero_point))
        refuse_other_arrays(codes, real.shape)
        _compare_codes(codes, real.astype(np.float64) / scale, scale, zero_point)


def _compare_codes(codes: np.ndarray, steps: np.ndarray, scale: float, zero_point: int) -> None:
    """A mistake where a code is more than half a step from its real number, given in steps."""
    exact = steps + zero_point
    wrong = np.abs(codes - np.clip(exact, -128, 127)) > HALF_A_STEP
    if not wrong.any():
        return

    def clipped(values: np.ndarray) -> np.ndarray:
        return np.clip(values, -128, 127).astype(np.int8)

    inside = (exact > -127.4) & (exact < 126.4)
    hint = slip_of(
        codes,
        (
            (clipped(np.trunc(exact)), tr("A cast cuts the fraction off: np.rint first.")),
            (clipped(np.trunc(steps) + zero_point), tr("A cast cuts the fraction off: np.rint first.")),
            (clipped(np.rint(steps)), tr("Real 0 must get the code zero_point: it is missing.")),
            (clipped(np.rint(steps) - zero_point), tr("The zero point is added to the number of steps.")),
            (np.maximum(clipped(np.rint(exact)), -127), tr("The lowest code of int8 is -128, not -127.")),
        ),
    )
    if not hint and not wrong[inside].any():
        hint = tr(
            "Beyond the range a code is that of the range's end: clip before the cast, which may wrap around."
        )
    place = first_place(wrong)
    raise Mistake(
        tr(
            "{real:.5g} with scale {scale:.6g} and zero point {zero_point} has the code {right}, got {code}",
            real=float(steps[place] * scale),
            scale=scale,
            zero_point=zero_point,
            right=int(np.clip(np.rint(exact[place]), -128, 127)),
            code=int(codes[place]),
        ),
        hint,
    )


@exercise(
    "04.3",
    tr("Codes to real numbers"),
    hints=(
        tr("Solve the formula for the other side: a code is (code - zero_point) steps away from 0."),
        tr("codes.astype(np.float32) first: the difference of two 8-bit numbers can need nine bits."),
        tr("scale * (codes.astype(np.float32) - zero_point)"),
    ),
    read=tr("the section “One step, one offset” of this chapter"),
)
def check_dequantize(answer: Callable[[np.ndarray, float, int], np.ndarray]) -> None:
    """The real numbers of all codes, int8 and uint8."""
    signed = np.arange(-128, 128).astype(np.int8).reshape(8, 32)
    every = ((signed, 4 / 255, -64), (signed, 0.031, 127), (signed, 0.5, -128), (signed[:, 3], 1.7, 19))
    for codes, scale, zero_point in (
        *every,
        (signed.view(np.uint8), 1 / 256, 0),
        (signed.view(np.uint8), 0.02, 201),
    ):
        real = np.asarray(answer(codes.copy(), scale, zero_point))
        right = chapter_04_layer.dequantize(codes.astype(np.int32), scale, zero_point)
        if real.shape != codes.shape:
            raise Mistake(
                tr(
                    "{count} codes stand for as many real numbers, got {got}", count=codes.size, got=real.size
                ),
                tr("Compute with the whole array: no loop is needed, and no argmax."),
            )
        # float32 keeps seven digits of the largest product; a wrong step or offset is far beyond that.
        wrong = ~(np.abs(real - right) <= 1e-3 * scale)
        if not wrong.any():
            continue
        number = codes.astype(np.float64)
        with np.errstate(over="ignore"):
            wrapped = scale * (codes - np.array(zero_point).astype(codes.dtype)).astype(np.float64)
        slips = (
            (
                wrapped,
                tr("The difference left the range of the codes' type: make the codes int or float first."),
            ),
            (scale * number, tr("The zero point is missing: its code stands for 0.")),
            (scale * (number + zero_point), tr("The zero point is subtracted from the code.")),
            ((number - zero_point) / scale, tr("One step is as large as the scale: multiply by it.")),
        )
        hint = next((text for values, text in slips if np.allclose(real, values)), "")
        place = first_place(wrong)
        raise Mistake(
            tr(
                "the {dtype} code {code}, scale {scale:.6g}, zero point {zero_point}, stands for "
                "{right:.9g}, got {got:.9g}",
                dtype=codes.dtype,
                code=int(codes[place]),
                scale=scale,
                zero_point=zero_point,
                right=float(right[place]),
                got=float(real[place]),
            ),
            hint,
        )


# What the lettered files of the lesson are.
LETTERED = dict(zip("ABCDE", ("int16x8", "dynamic_range", "int8", "float16", "float32"), strict=True))


@exercise(
    "04.7",
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


def toy_dataset(per_class: int = 25) -> datasets.Dataset:
    """Four classes in order; every training pixel is 100 or more, every test pixel less."""
    rng = np.random.default_rng(4)
    train_labels, test_labels = np.repeat(np.arange(4), per_class), np.repeat(np.arange(4), 10)
    train = rng.integers(100, 256, (4 * per_class, 8, 8, 3)).astype(np.uint8)
    test = rng.integers(0, 100, (40, 8, 8, 3)).astype(np.uint8)
    return datasets.Dataset(
        "toy", train, train_labels, test, test_labels, ("a", "b", "c", "d"), "toy", "made for the check"
    )


def calibration(dataset: datasets.Dataset, count: int) -> np.ndarray:
    """Training images, drawn at random so that every class takes part."""
    chosen = np.random.default_rng(0).choice(len(dataset.train_images), count, replace=False)
    return dataset.train_images[chosen]


@exercise(
    "04.8",
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
    for data, count in ((toy_dataset(), 40), (toy_dataset(40), 30)):
        _check_drawn(data, count, np.asarray(answer(data, count)))
        if not np.array_equal(answer(data, count), answer(data, count)):
            raise Mistake(
                tr("a second call gives other images"),
                tr("Use a fixed seed, or nobody can repeat your conversion."),
            )


def _check_drawn(data: datasets.Dataset, count: int, got: np.ndarray) -> None:
    """A mistake where the images are not raw training images of all classes, each once."""
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


def quantize_per_channel(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes from -127 to 127 and one scale per output channel, the first axis."""
    highest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
    scales = np.where(highest > 0, highest, 127) / 127
    codes = np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
    return codes.astype(np.int8), scales


@exercise(
    "04.9",
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
    rng = np.random.default_rng(49)
    for shape, sizes in (((4, 3, 3, 2), (0.01, 1, 5, 0.3)), ((6, 1, 1, 5), (2, 0.7, 40, 0, 1e-3, 9))):
        weights = rng.normal(size=shape) * np.array(sizes).reshape(-1, 1, 1, 1)
        codes, scales = pair(answer(weights.copy()), "(codes, scales)")
        _compare_channels(weights, np.asarray(codes), np.asarray(scales, np.float64))


def _compare_channels(weights: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> None:
    """A mistake where scales or codes are not those of the channels; a channel of zeros has any scale."""
    right_codes, right_scales = quantize_per_channel(weights)
    if scales.size == 1 or np.ptp(scales) == 0:
        raise Mistake(
            tr("all channels share one scale"),
            tr("The channel with the largest weights then decides for all: take the maximum per channel."),
        )
    if scales.size != len(weights):
        raise Mistake(
            tr(
                "{channels} channels need {channels} scales, got {got}",
                channels=len(weights),
                got=scales.size,
            ),
            tr("The output channel is the first axis: take the maximum over axis=(1, 2, 3)."),
        )
    scales, alive = scales.ravel(), right_codes.any(axis=(1, 2, 3))
    if not (np.isfinite(scales[~alive]) & (scales[~alive] > 0)).all():
        raise Mistake(
            tr("the scale of a channel of zeros is {scale}", scale=scales[~alive][0]),
            tr("0 / 0 is no number: where all weights are 0, any scale above 0 gives the codes 0."),
        )
    wrong = alive & ~np.isclose(scales, right_scales, rtol=1e-6)
    if wrong.any():
        (channel,) = first_place(wrong)
        hint = ""
        if np.allclose(scales[alive], np.maximum(weights.max(axis=(1, 2, 3)), 0)[alive] / 127):
            hint = tr("Take absolute values first: the largest weight may be negative.")
        elif np.allclose(scales[alive], right_scales[alive] * 127 / 128):
            hint = tr("The largest weight gets code 127: divide by 127.")
        raise Mistake(
            tr(
                "the scale of channel {channel} is {right:.9g}, got {got:.9g}",
                channel=channel,
                right=right_scales[channel],
                got=scales[channel],
            ),
            hint,
        )
    refuse_other_arrays(codes, weights.shape)
    steps = weights / right_scales.reshape(-1, 1, 1, 1)
    off = np.abs(codes - steps) > HALF_A_STEP
    if not off.any():
        return
    cut = np.array_equal(codes, np.trunc(steps))
    raise Mistake(
        tr(
            "the weight {weight:.5g} of channel {channel} has the code {right}, got {got}",
            weight=weights[first_place(off)],
            channel=first_place(off)[0],
            right=int(right_codes[first_place(off)]),
            got=int(codes[first_place(off)]),
        ),
        tr("A cast cuts the fraction off: np.rint first. That halves the error.") if cut else "",
    )
