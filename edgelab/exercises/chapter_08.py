"""The checks of chapter 8: a verdict, quantizing an input, the guilty layer, the score of a rare class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.runtime import TensorSpec
from edgelab.texts import tr

# Values that tell the ways of rounding apart, and values beyond the range on both sides.
REALS = np.array([0.0, 0.3, 0.6, 1.4, 1.6, -0.9, 63.7, -40.0, 300.0], np.float32)
QUANTIZATIONS = ((1.0, 0), (0.5, 128), (0.25, 10))


@exercise(
    "08.1",
    tr("A verdict"),
    hints=(
        tr(
            "Good means: even the worst loss in the interval is allowed. Bad means: even the best one is not."
        ),
        tr("Compare high with the threshold for 'pass', low for 'fail', and say 'undecided' between."),
        tr("'pass' if high < threshold else 'fail' if low > threshold else 'undecided'"),
    ),
    read=tr("the section “Three points, and how sure?” of this chapter"),
)
def check_verdict(answer: Callable[[float, float, float], str]) -> None:
    """Pass, fail or undecided, from the interval of the loss."""
    cases = (
        (0.2, 1.9, 3.0, "pass", ""),
        (3.5, 6.0, 3.0, "fail", ""),
        (
            2.0,
            5.5,
            3.0,
            "undecided",
            tr("The middle of the interval decides nothing: it may be anywhere in it."),
        ),
        (1.0, 3.4, 3.0, "undecided", tr("The loss may be as high as the upper end, 3.4 points.")),
        (-6.0, -4.0, 3.0, "pass", tr("A negative loss is a model that got better: no absolute values here.")),
        (-1.0, 0.5, 3.0, "pass", tr("An interval that contains 0 is a tie, and a tie is a pass.")),
        (0.5, 1.5, 1.0, "undecided", tr("The threshold is the third argument, not always 3.")),
    )
    for low, high, threshold, expected, hint in cases:
        got = answer(low, high, threshold)
        if got != expected:
            raise Mistake(
                tr(
                    "a loss between {low:g} and {high:g} points, {threshold:g} allowed, is {expected!r}, "
                    "got {got!r}",
                    low=low,
                    high=high,
                    threshold=threshold,
                    expected=expected,
                    got=got,
                ),
                hint,
            )


@exercise(
    "08.2",
    tr("Quantize an input"),
    hints=(
        tr("Divide by the scale, round, add the zero point; only then look at the range."),
        tr("np.rint rounds; np.clip(values, 0, 255) keeps them in the range of uint8; the cast comes last."),
        tr("np.clip(np.rint(real / scale) + zero_point, 0, 255).astype(np.uint8)"),
    ),
    read=tr("the section “What goes in, what comes out” of this chapter"),
)
def check_quantize(answer: Callable[[np.ndarray, float, int], np.ndarray]) -> None:
    """Real numbers to uint8."""
    for scale, zero_point in QUANTIZATIONS:
        expected = TensorSpec("input", REALS.shape, np.dtype(np.uint8), scale, zero_point).quantize(REALS)
        got = answer(REALS, scale, zero_point)
        if not isinstance(got, np.ndarray) or got.dtype != np.uint8:
            kind = got.dtype if isinstance(got, np.ndarray) else type(got).__name__
            raise Mistake(
                tr("the model takes uint8, got {kind}", kind=kind), tr("End with .astype(np.uint8).")
            )
        if np.array_equal(got, expected):
            continue
        wrong = int(np.argmax(got != expected))
        steps = REALS.astype(np.float64) / scale
        inside = (np.rint(steps) + zero_point >= 0) & (np.rint(steps) + zero_point <= 255)
        if not np.array_equal(got[inside], expected[inside]):
            if np.array_equal(got[inside], np.clip(np.rint(steps), 0, 255)[inside]):
                hint = tr("Where is the zero point?")
            elif np.array_equal(got, np.clip(np.clip(np.rint(steps), 0, 255) + zero_point, 0, 255)):
                hint = tr("Codes may lie below the zero point: add it before you clip.")
            elif np.all(np.abs(got[inside].astype(int) - expected[inside]) <= 1):
                hint = tr("A cast cuts the fraction off: 1.6 becomes 1. Round first.")
            else:
                hint = tr("real = scale * (code - zero_point): solve it for the code.")
        else:
            hint = tr("A value beyond the range must become the range's end: clip before the cast.")
        raise Mistake(
            tr(
                "{real:g} with scale {scale:g} and zero point {zero_point} is {expected}, got {got}",
                real=REALS[wrong],
                scale=scale,
                zero_point=zero_point,
                expected=expected[wrong],
                got=got[wrong],
            ),
            hint,
        )


@exercise(
    "08.3",
    tr("Where it goes wrong"),
    hints=(
        tr("Each layer inherits the error of those before it: compare it with the one before, not with all."),
        tr(
            "np.diff(snr_db) is the change from each layer to the next; the steepest fall is its "
            "smallest value."
        ),
        tr("int(np.argmin(np.diff(snr_db))) + 1"),
    ),
    read=tr("the section “Layer by layer” of this chapter"),
)
def check_fall(answer: Callable[[Sequence[float]], int]) -> None:
    """Index of the layer at which the signal-to-noise ratio falls most."""
    cases = (
        ([45.0, 43.0, 41.0, 18.0, 16.0, 15.5, 14.0, 12.0], 3),
        ([40.0, 12.0, 15.0, 14.0, 9.0], 1),
        ([30.0, 29.0, 33.0, 28.0, 8.0], 4),
    )
    for snr_db, expected in cases:
        got = answer(np.array(snr_db))
        if got == expected:
            continue
        if got == int(np.argmin(snr_db)):
            hint = tr("That is the worst layer, not the first culprit: it inherited most of its error.")
        elif got == expected - 1:
            hint = tr("np.diff has one value less: its first one belongs to layer 1, not to layer 0.")
        elif got == int(np.argmax(np.diff(snr_db))) + 1:
            hint = tr("That is where it rises; a fall is the most negative change.")
        elif got == expected + 1:
            hint = tr("Layers count from 0, as Python does.")
        else:
            hint = ""
        raise Mistake(
            tr(
                "of {snr_db} dB, layer {expected} falls most, got {got}",
                snr_db=snr_db,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "08.4",
    tr("F1 of a rare class"),
    hints=(
        tr("Hits stand on the diagonal; the row holds all images of the class, the column all named so."),
        tr(
            "recall = hits / row sum, precision = hits / column sum, F1 = 2 * precision * recall / their sum."
        ),
        tr("2 * m[c, c] / (m[c].sum() + m[:, c].sum())"),
    ),
    read=tr("the section “Beyond accuracy” of this chapter"),
)
def check_f1(answer: Callable[[np.ndarray, int], float]) -> None:
    """F1 from a confusion matrix whose rows are the true classes."""
    confusion = np.array([[920, 50, 5], [4, 12, 0], [3, 1, 5]])
    for index in range(3):
        hits, present, given = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
        expected, got = 2 * hits / (present + given), float(answer(confusion.copy(), index))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        known = {
            hits / present: tr("That is the recall: of the images of this class, the part that was found."),
            hits / given: tr("That is the precision: of the images named so, the part that is right."),
            (hits / present + hits / given) / 2: tr(
                "F1 is the harmonic mean: 2PR / (P + R), not the plain one."
            ),
            np.trace(confusion) / confusion.sum(): tr("That is the accuracy of all classes together."),
            100 * expected: tr("Give a fraction from 0 to 1, not a percentage."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr("class {index} has F1 {expected:.4f}, got {got:.4f}", index=index, expected=expected, got=got),
            hint,
        )
