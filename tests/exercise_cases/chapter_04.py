"""Chapter 4: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np

from edgelab.exercises import chapter_04

SOLUTIONS = {
    "04.1": chapter_04.scale_and_zero_point,
    "04.2": chapter_04.int8_bytes,
    "04.3": chapter_04.read_output,
    "04.4": chapter_04.LETTERED,
    "04.5": chapter_04.calibration,
    "04.6": chapter_04.quantize_per_channel,
}


def without_zero(low, high):
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def by_256(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    return (high - low) / 256, round(-128 - low * 256 / (high - low))


def for_uint8(low, high):
    scale, zero_point = chapter_04.scale_and_zero_point(low, high)
    return scale, zero_point + 128


def unrounded(low, high):
    scale, _ = chapter_04.scale_and_zero_point(low, high)
    return scale, -128 - min(low, 0.0) / scale


def cut_off(low, high):
    scale, _ = chapter_04.scale_and_zero_point(low, high)
    return scale, int(-128 - min(low, 0.0) / scale)


def half_the_codes(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    return (high - low) / 127, 0


def wrapped_around(codes, scale, zero_point):
    with np.errstate(over="ignore"):
        return int(codes.argmax()), float(scale * (codes - codes.dtype.type(zero_point)).max())


def renamed(*pairs):
    """The right modes, but for these letters."""
    return {**chapter_04.LETTERED, **dict(pairs)}


def images_of_the_test(data, count):
    return data.test_images[:count]


def sorted_images(data, count):
    return data.train_images[:count]


def scaled_images(data, count):
    return chapter_04.calibration(data, count) / 255


def noise(data, count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def repeated(data, count):
    return data.train_images[np.random.default_rng(0).choice(100, count, replace=True)]


def drawn_anew(data, count):
    return data.train_images[np.random.default_rng().choice(100, count, replace=False)]


def per_tensor(weights):
    scale = np.abs(weights).max() / 127
    return np.rint(weights / scale).astype(np.int8), np.full(4, scale)


def per_input_channel(weights):
    scales = np.abs(weights).max(axis=(0, 1, 2)) / 127
    return np.rint(weights / scales).astype(np.int8), scales


def truncated(weights):
    _, scales = chapter_04.quantize_per_channel(weights)
    return (weights / scales.reshape(-1, 1, 1, 1)).astype(np.int8), scales


def without_abs(weights):
    scales = weights.max(axis=(1, 2, 3)) / 127
    return np.rint(weights / scales.reshape(-1, 1, 1, 1)).astype(np.int8), scales


def too_wide(weights):
    codes, scales = chapter_04.quantize_per_channel(weights)
    return codes, scales * 127 / 128


def uncast(weights):
    codes, scales = chapter_04.quantize_per_channel(weights)
    return codes.astype(np.float64), scales


WRONG = (
    ("04.1", without_zero, "Real 0 must have an exact code"),
    ("04.1", by_256, "255 steps"),
    ("04.1", for_uint8, "zero point of uint8"),
    ("04.1", unrounded, "round it"),
    ("04.1", cut_off, "int() cuts"),
    ("04.1", half_the_codes, "use all of it"),
    ("04.1", lambda low, high: (high - low) / 255, "Return (scale, zero_point)"),
    ("04.2", lambda h, w, i, o: h * w * i * o, "biases are missing"),
    ("04.2", lambda h, w, i, o: h * w * i * o + o, "keeps 32 bits"),
    ("04.2", lambda h, w, i, o: 4 * (h * w * i * o + o), "float32 layer"),
    ("04.2", lambda h, w, i, o: h * w * i * o + 4 * i, "per output channel"),
    ("04.3", lambda codes, scale, zero: (int(codes.argmax()), float(codes.max())), "the code itself"),
    (
        "04.3",
        lambda codes, scale, zero: (int(codes.argmax()), 100 * scale * (int(codes.max()) - zero)),
        "per cent",
    ),
    (
        "04.3",
        lambda codes, scale, zero: (int(codes.argmax()), scale * int(codes.max())),
        "zero point is missing",
    ),
    ("04.3", lambda codes, scale, zero: (int(codes.argmax()), int(codes.max()) / 255), "no output needs 255"),
    (
        "04.3",
        lambda codes, scale, zero: (int(codes.max()), scale * (int(codes.max()) - zero)),
        "argmax gives",
    ),
    ("04.3", lambda codes, scale, zero: scale * (int(codes.max()) - zero), "Return (index, confidence)"),
    ("04.3", wrapped_around, "left the range"),
    ("04.4", renamed(("B", "int8"), ("C", "dynamic_range")), "What flows between"),
    ("04.4", renamed(("A", "int8"), ("C", "int16x8")), "activations x weights"),
    ("04.4", renamed(("D", "float32"), ("E", "float16")), "half the bytes"),
    ("04.4", renamed(("A", "int4")), "The modes are"),
    ("04.4", ["int8"] * 5, "a mode for each of the letters"),
    ("04.5", images_of_the_test, "no longer be honest"),
    ("04.5", sorted_images, "sorted by class"),
    ("04.5", scaled_images, "scales them itself"),
    ("04.5", noise, "Noise and changed images"),
    ("04.5", repeated, "replace=False"),
    ("04.5", drawn_anew, "fixed seed"),
    ("04.5", lambda data, count: chapter_04.calibration(data, 10), "expected 40 images"),
    ("04.6", per_tensor, "decides for all"),
    ("04.6", truncated, "cuts the fraction off"),
    ("04.6", without_abs, "absolute values"),
    ("04.6", too_wide, "divide by 127"),
    ("04.6", uncast, "astype(np.int8)"),
    ("04.6", lambda weights: weights, "Return (codes, scales)"),
    ("04.6", per_input_channel, "the first axis"),
)
