"""The checks of chapter 7: two ways to quantize a range, what TensorRT refuses, throughput."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

Pair = tuple[str, str, tuple[int, ...]]


@exercise(
    "07.1",
    tr("The symmetric scale"),
    hints=(
        tr(
            "Codes -127 to 127 stand for -127 * scale to 127 * scale. Both ends of the range must lie within."
        ),
        tr("The end that lies farther from 0 decides."),
        tr("max(abs(low), abs(high)) / 127"),
    ),
    read=tr("the section “Two number lines” of this chapter"),
)
def check_symmetric_scale(answer: Callable[[float, float], float]) -> None:
    """The smallest scale that reaches both ends."""
    for low, high in ((-0.25, 3.5), (0.0, 6.0), (-1.0, 1.0), (-8.0, 2.0)):
        farthest = max(abs(low), abs(high))
        expected, got = farthest / 127, float(answer(low, high))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        known = {
            (high - low) / 255: tr(
                "That is the asymmetric scale: without a zero point it reaches only half as far."
            ),
            (high - low) / 254: tr(
                "Half of the width is not the farther end, unless the range is centred on 0."
            ),
            high / 127: tr("The lower end may lie farther from 0 than the upper one."),
            farthest / 128: tr("Code 128 does not exist in int8: the largest is 127."),
            farthest / 255: tr("There are 127 codes above 0, not 255."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "the range {low:g} to {high:g} needs scale {expected:.6g}, got {got:.6g}",
                low=low,
                high=high,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "07.2",
    tr("The asymmetric pair"),
    hints=(
        tr("256 codes have 255 steps between them. First make sure that the range contains 0."),
        tr("The zero point is the code of real 0: so many steps above the lower end, rounded."),
        tr(
            "low, high = min(low, 0), max(high, 0); scale = (high - low) / 255; zero point = "
            "round(-low / scale)"
        ),
    ),
    read=tr("the section “Two number lines” of this chapter"),
)
def check_asymmetric(answer: Callable[[float, float], tuple[float, int]]) -> None:
    """Scale and zero point for uint8."""
    for low, high in ((0.0, 6.0), (-1.0, 1.0), (-0.5, 4.6), (2.0, 6.0), (-6.0, -1.0)):
        inner, outer = min(low, 0.0), max(high, 0.0)
        scale = (outer - inner) / 255
        zero_point = round(-inner / scale)
        got = answer(low, high)
        if not isinstance(got, Sequence) or len(got) != 2:
            raise Mistake(tr("the answer is a pair (scale, zero_point), got {got!r}", got=got))
        if not math.isclose(float(got[0]), scale, rel_tol=1e-6):
            known = {
                (high - low) / 255: tr("This range does not contain 0: widen it first."),
                (outer - inner) / 256: tr("256 codes have 255 steps between them."),
            }
            hint = next((text for value, text in known.items() if math.isclose(got[0], value)), "")
            raise Mistake(
                tr(
                    "{low:g} to {high:g} has scale {scale:.6g}, got {got:.6g}",
                    low=low,
                    high=high,
                    scale=scale,
                    got=float(got[0]),
                ),
                hint,
            )
        if got[1] != zero_point:
            if got[1] == -zero_point:
                hint = tr(
                    "real = scale * (code - zero_point): at the lower end the code is 0. Mind the sign."
                )
            elif math.isclose(got[1], -inner / scale, rel_tol=1e-9):
                hint = tr("A zero point is a code: round it to a whole number.")
            elif got[1] == math.floor(-inner / scale):
                hint = tr("Cutting the fraction off is not rounding.")
            else:
                hint = tr("Which code gives real 0?")
            raise Mistake(
                tr(
                    "{low:g} to {high:g} has zero point {zero_point}, got {got}",
                    low=low,
                    high=high,
                    zero_point=zero_point,
                    got=got[1],
                ),
                hint,
            )


@exercise(
    "07.3",
    tr("What will TensorRT refuse?"),
    hints=(
        tr("Two rules: the codes are int8, and every zero point is 0."),
        tr("A tensor with one scale per channel has several zero points: any() looks at all of them."),
        tr('refused when dtype != "int8" or any(zero_points)'),
    ),
    read=tr("the pitfall “an int8 .tflite is quantized already” of this chapter"),
)
def check_refused(answer: Callable[[list[Pair]], list[str]]) -> None:
    """Names of the asymmetric tensors, in order."""
    cases: tuple[tuple[Pair, str], ...] = (
        (
            ("image", "uint8", (128,)),
            tr("uint8 with zero point 128 is int8 with 0, shifted; TensorRT takes int8."),
        ),
        (("weights1", "int8", (0, 0, 0, 0)), tr("All of its zero points are 0: nothing to refuse.")),
        (("relu1", "uint8", (0,)), tr("Its zero point is 0, but its codes are uint8.")),
        (("add1", "int8", (-3,)), tr("A zero point below 0 is not 0 either.")),
        (("add2", "int8", (0,)), tr("int8 with zero point 0 is what TensorRT wants.")),
        (
            ("weights2", "int8", (0, 0, 7)),
            tr("One channel is enough: look at all zero points, not at the first."),
        ),
        (("bias", "int32", (0,)), tr("TensorRT takes no int32 codes: biases stay float.")),
    )
    pairs = [pair for pair, _ in cases]
    expected = ["image", "relu1", "add1", "weights2", "bias"]
    got = list(answer(list(pairs)))
    if got == expected:
        return
    for (name, dtype, zero_points), hint in cases:
        if (name in got) != (name in expected):
            wanted = tr("is refused") if name in expected else tr("is not refused")
            raise Mistake(
                # Note: {wanted} is “is refused” or “is not refused”.
                tr(
                    "{name} ({dtype}, zero points {zero_points}) {wanted}",
                    name=name,
                    dtype=dtype,
                    zero_points=zero_points,
                    wanted=wanted,
                ),
                hint,
            )
    raise Mistake(
        tr("expected {expected}, got {got}", expected=expected, got=got),
        tr("Each name once, in the order of the list."),
    )


@exercise(
    "07.4",
    tr("Side by side"),
    hints=(
        tr("In the time of one latency, as many answers come as are on their way."),
        tr("1000 ms per second; divide by the latency, times how many are in flight."),
        tr("1000 * in_flight / latency_ms"),
    ),
    read=tr("the section “Latency or throughput?” of this chapter (it is Little's law)"),
)
def check_images_per_second(answer: Callable[[float, int], float]) -> None:
    """Throughput from latency and concurrency."""
    for latency_ms, in_flight in ((8.0, 1), (12.0, 4), (0.5, 2)):
        expected, got = 1000 * in_flight / latency_ms, float(answer(latency_ms, in_flight))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        known = {
            1000 / latency_ms: tr("That is one at a time; others are on their way meanwhile."),
            in_flight / latency_ms: tr("That is images per millisecond."),
            1000 / (latency_ms * in_flight): tr("More on their way give more answers, not fewer."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "{in_flight} in flight, {latency_ms:g} ms each: {expected:g} per second, got {got:g}",
                in_flight=in_flight,
                latency_ms=latency_ms,
                expected=expected,
                got=got,
            ),
            hint,
        )
