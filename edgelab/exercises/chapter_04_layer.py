"""The steps of an int8 convolution as LiteRT's reference kernel computes it, to the last bit; and checks.

Each is compared on inputs that the lesson does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


def scale_and_zero_point(low: float, high: float) -> tuple[float, int]:
    """The parameters of int8 for real numbers from low to high; 0 is always made part of the range."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def quantize(real: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """int8 codes nearest to real numbers; beyond the range the code of its end."""
    return np.clip(np.rint(real / scale) + zero_point, -128, 127).astype(np.int8)


def dequantize(codes: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """The real numbers that int8 or uint8 codes stand for."""
    return scale * (codes.astype(np.float32) - zero_point)


def accumulate(codes: np.ndarray, zero_point: int, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Sums of products, int32 [H - h + 1, W - w + 1, out].

    Args:
        codes: int8 [H, W, in], padding included.
        zero_point: of the codes; weights have none.
        weights: int8 [out, h, w, in].
        bias: int32 [out], of the sums' own scale.
    """
    _, height, width, _ = weights.shape
    rows, columns = codes.shape[0] - height + 1, codes.shape[1] - width + 1
    offset = codes.astype(np.int32) - zero_point
    sums = np.zeros((rows, columns, len(bias)), np.int32) + bias
    for y in range(height):
        for x in range(width):
            sums += offset[y : y + rows, x : x + columns] @ weights[:, y, x].T
    return sums


def fixed_point(real: float) -> tuple[int, int]:
    """A number from 0 to 1 as `multiplier * 2**-31 * 2**-shift`, the multiplier from 2**30 to 2**31."""
    fraction, exponent = math.frexp(real)
    return round(fraction * 2**31), -exponent


def requantize(sums: np.ndarray, multipliers: np.ndarray, shifts: np.ndarray, zero_point: int) -> np.ndarray:
    """int8 codes of sums, both roundings as in gemmlowp's fixed-point arithmetic.

    Args:
        sums: int32 [..., out].
        multipliers: int64 [out].
        shifts: int64 [out], 0 to 31.
        zero_point: of the output.
    """
    upper = (sums.astype(np.int64) * multipliers + 2**30) >> 31
    half = (1 << shifts) >> 1
    steps = np.sign(upper) * ((np.abs(upper) + half) >> shifts)
    return np.clip(steps + zero_point, -128, 127).astype(np.int8)


def pair(answer: Any, what: str) -> tuple:
    """The two parts of an answer, or a mistake that says that there must be two."""
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        raise Mistake(
            tr("got {answer!r}", answer=answer),
            # Note: {what} is a pair in code, such as “(scale, zero_point)”.
            tr("Return {what}, in this order.", what=what),
        )
    return tuple(answer)


def first_place(wrong: np.ndarray) -> tuple[int, ...]:
    """Where the first of the values that differ is."""
    return tuple(int(index) for index in np.argwhere(wrong)[0])


def slip_of(got: np.ndarray, slips: tuple[tuple[np.ndarray, str], ...]) -> str:
    """The explanation of the slip that gives these very values, if one does."""
    return next((text for values, text in slips if np.array_equal(got, values)), "")


def refuse_other_arrays(codes: np.ndarray, shape: tuple[int, ...]) -> None:
    """A mistake where codes are not int8, or not one per value."""
    if codes.shape != shape:
        raise Mistake(
            tr(
                "the codes have the shape {shape}, expected {right}",
                shape=list(codes.shape),
                right=list(shape),
            )
        )
    if codes.dtype != np.int8:
        raise Mistake(
            tr("the codes are {dtype}, int8 was expected", dtype=codes.dtype),
            tr("Cast what is rounded and clipped: astype(np.int8)."),
        )


def _layers() -> list[tuple[np.ndarray, int, np.ndarray, np.ndarray]]:
    """Codes, zero point, weights and bias of small convolutions; the last has the largest sums there are."""
    rng = np.random.default_rng(44)
    made = []
    for picture, filters, zero_point in (
        ((6, 5, 3), (4, 3, 3), -1),
        ((4, 4, 8), (2, 1, 1), -128),
        ((5, 7, 2), (3, 2, 3), 127),
        ((7, 4, 5), (6, 5, 2), 22),
    ):
        codes = rng.integers(-128, 128, picture).astype(np.int8)
        weights = rng.integers(-127, 128, (*filters, picture[-1])).astype(np.int8)
        made.append((codes, zero_point, weights, rng.integers(-9000, 9000, filters[0]).astype(np.int32)))
    largest = np.full((4, 4, 40), 127, np.int8)
    made.append((largest, -128, np.full((2, 3, 3, 40), -127, np.int8), np.array([5, -7], np.int32)))
    return made


@exercise(
    "04.4",
    tr("The sums of an integer convolution"),
    hints=(
        tr("First codes.astype(np.int32) - zero_point: then padding is 0, and no product overflows."),
        tr(
            "Go through the filter's places (y, x): each adds the picture shifted by (y, x), cut to the "
            "size of the output, times weights[:, y, x]."
        ),
        tr("sums += offset[y : y + rows, x : x + columns] @ weights[:, y, x].T; begin with the bias."),
    ),
    read=tr("the section “One layer in integers” of this chapter"),
)
def check_accumulate(answer: Callable[[np.ndarray, int, np.ndarray, np.ndarray], np.ndarray]) -> None:
    """The int32 sums of convolutions of several sizes."""
    for codes, zero_point, weights, bias in _layers():
        sums = np.asarray(answer(codes.copy(), zero_point, weights.copy(), bias.copy()))
        right = accumulate(codes, zero_point, weights, bias)
        filters = "x".join(map(str, weights.shape[1:3]))
        picture = "x".join(map(str, codes.shape))
        if sums.shape != right.shape:
            raise Mistake(
                tr(
                    "{filters} filters on {picture} codes give sums of the shape {right}, got {got}",
                    filters=filters,
                    picture=picture,
                    right=list(right.shape),
                    got=list(sums.shape),
                ),
                tr("A filter fits in H - height + 1 places of H rows. Take its size from weights.shape."),
            )
        if sums.dtype.kind != "i":
            raise Mistake(
                tr("the sums are {dtype}, int32 was expected", dtype=sums.dtype),
                tr("Stay with integers: they are exact, and the next step shifts their bits."),
            )
        if np.array_equal(sums, right):
            continue
        place = first_place(sums != right)
        raise Mistake(
            tr(
                "{filters} filters on {picture} codes: the sum at {place} is {right}, got {got}",
                filters=filters,
                picture=picture,
                place=list(place),
                right=int(right[place]),
                got=int(sums[place]),
            ),
            slip_of(sums, _slips_of_accumulate(codes, zero_point, weights, bias)),
        )


def _slips_of_accumulate(
    codes: np.ndarray, zero_point: int, weights: np.ndarray, bias: np.ndarray
) -> tuple[tuple[np.ndarray, str], ...]:
    right = accumulate(codes, zero_point, weights, bias)
    narrow = tr("This sum has more bits than its type: compute in int32 from the start.")
    return (
        (accumulate(codes, 0, weights, bias), tr("Subtract the zero point from each code.")),
        (accumulate(codes, -zero_point, weights, bias), tr("The zero point is subtracted, not added.")),
        (accumulate(codes, zero_point, weights, 0 * bias), tr("The bias is missing.")),
        (
            accumulate(codes, zero_point, weights[:, ::-1, ::-1], bias),
            tr("Networks do not flip their filters: weights[:, y, x] meets the picture at (y, x)."),
        ),
        (accumulate(codes - np.int8(zero_point), 0, weights, bias), narrow),
        (right.astype(np.int8), narrow),
        (right.astype(np.int16), narrow),
    )


@exercise(
    "04.5",
    tr("A real factor as an integer and a shift"),
    hints=(
        tr("Double the number until it is at least 0.5, and count how often: that count is the shift."),
        tr("math.frexp(real) does it: it gives (fraction, exponent), and the shift is -exponent."),
        tr("fraction, exponent = math.frexp(real); return round(fraction * 2**31), -exponent"),
    ),
    read=tr("the section “One layer in integers” of this chapter"),
)
def check_fixed_point(answer: Callable[[float], tuple[int, int]]) -> None:
    """Multiplier and shift of factors from a billionth to almost 1."""
    drawn = np.exp(np.random.default_rng(45).uniform(-20, 0, 20))
    for real in (0.0037, 0.75, 0.25, 0.5, 0.9, *map(float, drawn)):
        multiplier, shift = pair(answer(real), "(multiplier, shift)")
        right = fixed_point(real)
        if not all(isinstance(part, int | np.integer) for part in (multiplier, shift)):
            raise Mistake(
                tr("got {multiplier!r} and {shift!r}", multiplier=multiplier, shift=shift),
                tr("Both are integers, so that the device needs no other numbers: round() gives one."),
            )
        exact = math.ldexp(real, 31 + right[1])
        if shift == right[1] and abs(multiplier - exact) <= 0.5:
            continue
        hint = ""
        if (shift, multiplier) == right:
            hint = tr("Return (multiplier, shift), in this order.")
        elif (multiplier, -shift) == right:
            hint = tr("The shift goes to the right: for a factor below 1 it counts upwards from 0.")
        elif shift == right[1] and abs(multiplier - exact) < 1:
            hint = tr("int() cuts the fraction off: round to the nearest multiplier.")
        elif 0 < multiplier < 2**30:
            hint = tr(
                "The multiplier must have all its 31 bits in use: at least 2**30, or precision is lost."
            )
        elif multiplier >= 2**31:
            hint = tr("The multiplier must fit into an int32: below 2**31.")
        raise Mistake(
            tr(
                "{real:.9g} is {right} * 2**-31 * 2**-{right_shift}; got the multiplier {multiplier} "
                "and the shift {shift}",
                real=real,
                right=right[0],
                right_shift=right[1],
                multiplier=multiplier,
                shift=shift,
            ),
            hint,
        )


def _sums() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Sums with factors and zero points: all ties that the two roundings can meet, then drawn ones."""
    halves = np.arange(-120, 121, dtype=np.int32).reshape(-1, 1) * np.ones(4, np.int32)
    made = [
        (halves, np.full(4, 2**30), np.array([0, 1, 2, 3]), 0),
        (halves[:, :2] * 2**20, np.array([2**31 - 1, 2**30]), np.array([16, 31]), -7),
    ]
    rng = np.random.default_rng(46)
    for zero_point in (-128, 3, 60):
        shifts = rng.integers(5, 12, 6)
        multipliers = rng.integers(2**30, 2**31, 6)
        # Most of them land within the codes, some of them beyond.
        sums = rng.normal(0, 90, (5, 4, 6)) * 2.0**shifts
        made.append((sums.astype(np.int32), multipliers, shifts, zero_point))
    return made


@exercise(
    "04.6",
    tr("From sums to output codes"),
    hints=(
        tr("product = sums.astype(np.int64) * multipliers: 62 bits do not fit into int32."),
        tr(
            "upper = (product + 2**30) >> 31 rounds to the nearest. The second shift rounds likewise, with "
            "half = (1 << shifts) >> 1, but without the sign: shift np.abs(upper), then give the sign back."
        ),
        tr("steps = np.sign(upper) * ((np.abs(upper) + half) >> shifts); then zero_point, np.clip and int8."),
    ),
    read=tr("the section “One layer in integers” of this chapter"),
)
def check_requantize(answer: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]) -> None:
    """Output codes, equal to the last bit."""
    for sums, multipliers, shifts, zero_point in _sums():
        codes = np.asarray(answer(sums.copy(), multipliers.copy(), shifts.copy(), zero_point))
        refuse_other_arrays(codes, sums.shape)
        right = requantize(sums, multipliers, shifts, zero_point)
        if np.array_equal(codes, right):
            continue
        place = first_place(codes != right)
        raise Mistake(
            tr(
                "the sum {total}, multiplier {multiplier}, shift {shift}, zero point {zero_point}: "
                "code {right}, got {got}",
                total=int(sums[place]),
                multiplier=int(multipliers[place[-1]]),
                shift=int(shifts[place[-1]]),
                zero_point=zero_point,
                right=int(right[place]),
                got=int(codes[place]),
            ),
            slip_of(codes, _slips_of_requantize(sums, multipliers, shifts, zero_point)),
        )


def _slips_of_requantize(
    sums: np.ndarray, multipliers: np.ndarray, shifts: np.ndarray, zero_point: int
) -> tuple[tuple[np.ndarray, str], ...]:
    product = sums.astype(np.int64) * multipliers
    upper = (product + 2**30) >> 31
    exact = product / 2.0 ** (31 + shifts)
    with np.errstate(over="ignore"):
        narrow = (sums * multipliers.astype(np.int32)).astype(np.int64)

    half = (1 << shifts) >> 1
    twice = np.sign(upper) * ((np.abs(upper) + half) >> shifts)

    def codes(steps: np.ndarray) -> np.ndarray:
        return np.clip(steps, -128, 127).astype(np.int8)

    too_narrow = tr("The product does not fit into int32: widen the sums first.")
    return (
        (
            codes(((product >> 31) >> shifts) + zero_point),
            tr("A shift alone cuts off downwards: add half of the step before."),
        ),
        (
            codes(((product + (1 << (30 + shifts))) >> (31 + shifts)) + zero_point),
            tr("One rounding at the end gives other ties: the kernel rounds twice, after each shift."),
        ),
        (
            codes(np.rint(exact) + zero_point),
            tr("That is float arithmetic, whose ties differ: multiply and shift integers."),
        ),
        (
            codes(((upper + half) >> shifts) + zero_point),
            tr("A tie of the second shift goes away from 0: -2.5 becomes -3."),
        ),
        (
            (twice + zero_point).astype(np.int8),
            tr("Clip to -128 and 127 before the cast, which may wrap around."),
        ),
        (codes(twice), tr("The output's zero point is added at the end: it is missing.")),
        (codes(twice - zero_point), tr("The output's zero point is added, not subtracted.")),
        (codes(((((narrow + 2**30) >> 31) + half) >> shifts) + zero_point), too_narrow),
    )
