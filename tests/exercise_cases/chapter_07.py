"""Chapter 7: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math


def symmetric_scale(low, high):
    return max(abs(low), abs(high)) / 127


def asymmetric(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-low / scale)


def refused(pairs):
    return [tensor for tensor, dtype, zero_points in pairs if dtype != "int8" or any(zero_points)]


def images_per_second(latency_ms, in_flight):
    return 1000 * in_flight / latency_ms


SOLUTIONS = {"07.1": symmetric_scale, "07.2": asymmetric, "07.3": refused, "07.4": images_per_second}


def widened(low, high):
    return min(low, 0.0), max(high, 0.0)


def not_widened(low, high):
    scale = (high - low) / 255
    return scale, round(-low / scale)


def with_256_steps(low, high):
    low, high = widened(low, high)
    scale = (high - low) / 256
    return scale, round(-low / scale)


def wrong_sign(low, high):
    scale, zero_point = asymmetric(low, high)
    return scale, -zero_point


def not_rounded(low, high):
    scale, _ = asymmetric(low, high)
    return scale, -min(low, 0.0) / scale


def cut_off(low, high):
    scale, _ = asymmetric(low, high)
    return scale, math.floor(-min(low, 0.0) / scale)


WRONG = (
    ("07.1", lambda low, high: (high - low) / 255, "asymmetric scale"),
    ("07.1", lambda low, high: (high - low) / 254, "Half of the width"),
    ("07.1", lambda low, high: high / 127, "lower end may lie farther"),
    ("07.1", lambda low, high: max(-low, high) / 128, "128 does not exist"),
    ("07.1", lambda low, high: max(-low, high) / 255, "127 codes above 0"),
    ("07.2", not_widened, "does not contain 0"),
    ("07.2", with_256_steps, "255 steps"),
    ("07.2", wrong_sign, "Mind the sign"),
    ("07.2", not_rounded, "round it"),
    ("07.2", cut_off, "not rounding"),
    ("07.2", lambda low, high: (high - low) / 255, "pair"),
    ("07.3", lambda pairs: [name for name, _, points in pairs if any(points)], "codes are uint8"),
    ("07.3", lambda ps: [n for n, kind, zero in ps if kind != "int8" or zero[0]], "One channel is enough"),
    ("07.3", lambda ps: [n for n, kind, zero in ps if kind == "uint8" or any(zero)], "biases stay float"),
    ("07.3", lambda pairs: [n for n, kind, zero in pairs if kind != "int8" or max(zero) > 0], "below 0"),
    ("07.3", lambda pairs: [n for n, _, points in pairs if points is not None], "nothing to refuse"),
    ("07.3", lambda pairs: sorted(refused(pairs)), "in the order"),
    ("07.4", lambda latency_ms, in_flight: 1000 / latency_ms, "one at a time"),
    ("07.4", lambda latency_ms, in_flight: in_flight / latency_ms, "per millisecond"),
    ("07.4", lambda latency_ms, in_flight: 1000 / (latency_ms * in_flight), "not fewer"),
)
