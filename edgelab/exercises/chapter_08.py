"""The checks of chapter 8: a paired interval, the chance of a verdict, layers' errors, a confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr
from edgelab.verification import chance_of_verdict, confusion_matrix, paired_interval

Z = 1.959964
DRAWS = 10_000
CHANCE_TOLERANCE = 0.03  # six standard errors of a share of `DRAWS`


@exercise(
    "08.1",
    tr("The interval of a paired difference"),
    hints=(
        tr("One imaginary image is lost, and one gained: b = lost + 1, c = gained + 1, n = count + 2."),
        tr("The standard error is np.sqrt(b + c - (b - c) ** 2 / n) / n; the interval reaches 1.96 of it."),
        tr("100 * (loss - 1.96 * standard_error), 100 * (loss + 1.96 * standard_error)"),
    ),
    read=tr("the section “Three points, and how sure?” of this chapter"),
)
def check_interval(answer: Callable[[Any, Any, int], tuple[Any, Any]]) -> None:
    """Bonett and Price's interval, for numbers and for arrays of counts."""
    rng = np.random.default_rng(8)
    counts = [20, 100, *(int(count) for count in rng.integers(50, 20_000, 10))]
    shares = [(0.05, 0.0), (0.0, 0.02), *(rng.random((10, 2)) * (0.08, 0.05))]
    for count, (lost_share, gained_share) in zip(counts, shares, strict=True):
        lost, gained = int(lost_share * count), int(gained_share * count)
        _compare_interval(answer(lost, gained, count), lost, gained, count)
    lost, gained = rng.integers(0, 40, (2, 6))
    try:
        found = answer(lost, gained, 700)
    except (TypeError, ValueError) as error:
        raise Mistake(
            # Note: {error} is Python's message.
            tr("arrays of counts are not taken: {error}", error=error),
            tr("np.sqrt, np.minimum and np.maximum take whole arrays; math.sqrt, min and max do not."),
        ) from error
    for index, (one_lost, one_gained) in enumerate(zip(lost, gained, strict=True)):
        _compare_interval([np.asarray(end)[index] for end in found], int(one_lost), int(one_gained), 700)


def _compare_interval(found: Any, lost: int, gained: int, count: int) -> None:
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError) as error:
        raise Mistake(
            tr("two numbers are asked, the ends of the interval, got {got!r}", got=found),
            tr("Return both: return low, high."),
        ) from error
    expected = paired_interval(lost, gained, count)
    reach = (expected[1] - expected[0]) / 2
    if max(abs(low - expected[0]), abs(high - expected[1])) < 1e-3 * reach:
        return
    raise Mistake(
        tr(
            "{lost} lost and {gained} gained of {count} images: {low:.3f} to {high:.3f} points, got {got}",
            lost=lost,
            gained=gained,
            count=count,
            low=expected[0],
            high=expected[1],
            got=f"{low:.3f} to {high:.3f}",
        ),
        _interval_hint((low, high), lost, gained, count),
    )


def _interval_hint(found: tuple[float, float], lost: int, gained: int, count: int) -> str:
    expected = np.array(paired_interval(lost, gained, count))
    centre = expected.mean()
    loss = (lost - gained) / count
    wald = Z * math.sqrt(max(0.0, lost + gained - (lost - gained) ** 2 / count)) / count
    known = (
        (expected[::-1], tr("The lower end comes first.")),
        (-expected[::-1], tr("Lost images count as a loss, gained ones against it: (b - c) / n.")),
        (expected / 100, tr("The interval is asked in percentage points: times 100.")),
        (
            (100 * (loss - wald), 100 * (loss + wald)),
            tr("Without the imaginary images, models that never disagree get an interval without width."),
        ),
        (
            centre + (expected - centre) * 1.645 / Z,
            tr("1.645 leaves 5 % on each side; 95 % in the middle takes 1.96."),
        ),
        (centre + (expected - centre) / Z, tr("That is one standard error to each side: 95 % takes 1.96.")),
    )
    for values, hint in known:
        if np.allclose(found, values, rtol=1e-3, atol=1e-4):
            return hint
    return ""


@exercise(
    "08.2",
    tr("The chance of a verdict"),
    hints=(
        tr("Draw the lost, the gained and all other images of many test sets at once: rng.multinomial."),
        tr(
            "low, high = interval(lost, gained, count) gives all intervals; which are clear of the threshold?"
        ),
        tr("np.mean((high < threshold) | (low > threshold))"),
    ),
    read=tr("the section “Three points, and how sure?” of this chapter"),
)
def check_chance(answer: Callable[..., float]) -> None:
    """The share of simulated test sets whose interval is clear of the threshold."""
    cases = (
        (0.04, 0.02, 2290, 3.0),
        (0.05, 0.01, 1200, 3.0),
        (0.03, 0.025, 500, 3.0),
        (0.04, 0.02, 800, 1.0),
    )
    for lost_share, gained_share, count, threshold in cases:
        found = float(answer(paired_interval, lost_share, gained_share, count, threshold, DRAWS))
        _compare_chance(found, lost_share, gained_share, count, threshold)
    for (low, high), expected in (((0.0, 1.0), 1), ((4.0, 9.0), 1), ((-1.0, 3.0), 0), ((3.0, 4.0), 0)):
        found = float(answer(_constant(low, high), 0.04, 0.02, 500, 3.0, 200))
        if found != expected:
            raise Mistake(
                tr(
                    "if every interval is {low:g} to {high:g} points and 3 are allowed, the chance of a "
                    "verdict is {expected}, got {got:g}",
                    low=low,
                    high=high,
                    expected=expected,
                    got=found,
                ),
                tr("Ask the function that is handed in, interval; an interval that touches is undecided."),
            )


def _constant(low: float, high: float) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def interval(lost: Any, gained: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full(np.shape(lost), low), np.full(np.shape(lost), high)

    return interval


def _compare_chance(found: float, lost: float, gained: float, count: int, threshold: float) -> None:
    expected = chance_of_verdict(lost + gained, 100 * (lost - gained), count, threshold)
    if abs(found - expected) < CHANCE_TOLERANCE:
        return
    rng = np.random.default_rng(0)
    draws = rng.multinomial(count, [lost, gained, 1 - lost - gained], size=DRAWS)
    low, high = paired_interval(draws[:, 0], draws[:, 1], count)
    known = (
        (np.mean(high < threshold), tr("A fail is a verdict, too: an interval wholly above the threshold.")),
        (np.mean(low > threshold), tr("A pass is a verdict, too: an interval wholly below the threshold.")),
        (np.mean((high < 3) | (low > 3)), tr("The threshold is an argument, not always 3.")),
        (1 - expected, tr("That is the chance of no verdict.")),
        (0.5, tr("Do not fix the number: draw test sets and count the verdicts.")),
    )
    hint = next((text for value, text in known if abs(found - value) < CHANCE_TOLERANCE), "")
    raise Mistake(
        tr(
            "{lost:.1%} lost, {gained:.1%} gained, {count} images, {threshold:g} points allowed: "
            "a verdict in {expected:.1%} of test sets, got {got:.1%}",
            lost=lost,
            gained=gained,
            count=count,
            threshold=threshold,
            expected=expected,
            got=found,
        ),
        hint,
    )


def _layers(rng: np.random.Generator) -> tuple[list, list, list, list]:
    """Layers as two runs leave them: real numbers, codes of int8, scales and zero points."""
    floats, codes, scales, zero_points = [], [], [], []
    for shape, scale, zero_point in (
        ((2, 4, 4, 3), 0.05, -128),
        ((2, 30), 0.4, 17),
        ((3, 5, 5, 2), 0.02, 90),
    ):
        code = rng.integers(-128, 128, shape).astype(np.int8)
        real = scale * (code.astype(float) - zero_point) + rng.uniform(-1.5, 1.5, shape) * scale
        floats.append(real.astype(np.float32))
        codes.append(code)
        scales.append(scale)
        zero_points.append(zero_point)
    return floats, codes, scales, zero_points


def _snr_db(real: np.ndarray, approximation: np.ndarray) -> float:
    noise = np.sum((real.astype(float) - approximation) ** 2)
    return float(10 * np.log10(np.sum(real.astype(float) ** 2) / noise))


@exercise(
    "08.3",
    tr("The error of each layer"),
    hints=(
        tr("real = scale * (code - zero_point), in floating point; then the ratio of two sums of squares."),
        tr("noise = np.sum((real - approximation) ** 2), and signal = np.sum(real ** 2)."),
        tr("10 * np.log10(signal / noise) for each layer, in a list"),
    ),
    read=tr("the section “Layer by layer” of this chapter"),
)
def check_layers(answer: Callable[..., Sequence[float]]) -> None:
    """Signal-to-noise ratio of each layer, from real numbers and codes."""
    for seed in range(3):
        floats, codes, scales, zero_points = _layers(np.random.default_rng(seed))
        count = seed + 1
        floats, codes, scales, zero_points = (part[-count:] for part in (floats, codes, scales, zero_points))
        found = [float(value) for value in answer(list(floats), list(codes), list(scales), list(zero_points))]
        if len(found) != count:
            raise Mistake(
                tr("{count} layers have as many ratios, got {got}", count=count, got=len(found)),
                tr("Append the ratio of each layer to a list, and return the list."),
            )
        for index, parts in enumerate(zip(floats, codes, scales, zero_points, strict=True)):
            _compare_layer(found[index], index, *parts)


def _compare_layer(
    found: float, index: int, real: np.ndarray, code: np.ndarray, scale: float, zero_point: int
) -> None:
    approximation = scale * (code.astype(float) - zero_point)
    expected = _snr_db(real, approximation)
    if abs(found - expected) < 0.01:
        return
    wrapped = scale * (code.astype(np.int64) - zero_point).astype(np.int8).astype(float)
    known = (
        (_snr_db(real, scale * code.astype(float)), tr("Where is the zero point?")),
        (
            _snr_db(real, wrapped),
            tr("Codes are int8: code - zero_point does not fit into it, and wraps. Make them float first."),
        ),
        (-expected, tr("Signal over noise: a good layer has a large positive ratio.")),
        (2 * expected, tr("Sums of squares take the factor 10; 20 is for amplitudes.")),
        (_snr_db(real, code.astype(float)), tr("Codes mean nothing without their scale and zero point.")),
        (
            10 * math.log10(np.sum(np.abs(real)) / np.sum(np.abs(real - approximation))),
            tr("Square both the values and the differences before you add them up."),
        ),
    )
    hint = next((text for value, text in known if abs(found - value) < 0.01), "")
    raise Mistake(
        tr(
            "layer {index} has {expected:.2f} dB, got {got:.2f} dB", index=index, expected=expected, got=found
        ),
        hint,
    )


# Ratios in dB, and the layers that each layer reads; [] reads the model's input.
GRAPHS: tuple[tuple[list[float], list[list[int]]], ...] = (
    ([45.0, 43.0, 41.0, 18.0, 16.0, 14.0], [[], [0], [1], [2], [3], [4]]),
    # Two branches: layer 3 reads layer 0, not layer 2 just before it; layer 4 adds the two.
    ([40.0, 26.0, 35.0, 22.0, 21.0, 10.0], [[], [0], [0], [0], [2, 3], [4]]),
    # The sum of a good and a bad branch is as bad as the bad one: that is inherited.
    ([40.0, 38.0, 26.0, 25.0, 12.0], [[], [0], [1], [0, 2], [3]]),
    # The lowest ratio comes last, a little below its neighbour.
    ([30.0, 12.0, 15.0, 14.0, 9.0], [[], [0], [1], [2], [3]]),
    # A fall of more than 15 dB, and later a greater one.
    ([60.0, 43.0, 41.0, 22.0, 21.0], [[], [0], [1], [2], [3]]),
)


@exercise(
    "08.4",
    tr("Where it goes wrong"),
    hints=(
        tr("A layer inherits the error of the worst layer that it reads, not of the one listed before it."),
        tr("fall = min(snr_db[k] for k in inputs[layer]) - snr_db[layer]; the largest one counts."),
        tr("Start with falls = np.full(len(snr_db), -np.inf), and end with int(np.argmax(falls))."),
    ),
    read=tr("the section “Layer by layer” of this chapter"),
)
def check_fall(answer: Callable[[Sequence[float], Sequence[Sequence[int]]], int]) -> None:
    """Index of the layer that adds most to what it inherits."""
    rng = np.random.default_rng(84)
    graphs = list(GRAPHS)
    for count in (6, 9, 14):
        inputs = [[]] + [sorted({int(k) for k in rng.integers(0, layer, 2)}) for layer in range(1, count)]
        graphs.append(([round(float(value), 1) for value in rng.uniform(5, 50, count)], inputs))
    for snr_db, inputs in graphs:
        falls = [
            min(snr_db[k] for k in read) - snr_db[layer] if read else -math.inf
            for layer, read in enumerate(inputs)
        ]
        expected = int(np.argmax(falls))
        got = answer(np.array(snr_db), [list(read) for read in inputs])
        if got == expected:
            continue
        raise Mistake(
            tr(
                "of {snr_db} dB with inputs {inputs}, layer {expected} falls most, got {got}",
                snr_db=snr_db,
                inputs=inputs,
                expected=expected,
                got=got,
            ),
            _fall_hint(got, falls, snr_db, inputs),
        )


def _fall_hint(got: Any, falls: list[float], snr_db: list[float], inputs: list[list[int]]) -> str:
    differences, expected = np.diff(snr_db), int(np.argmax(falls))
    from_best = [
        max((snr_db[k] for k in read), default=-math.inf) - snr_db[layer] for layer, read in enumerate(inputs)
    ]
    if got == int(np.argmin(snr_db)):
        return tr("That is the worst layer, not the first culprit: it inherited most of its error.")
    if got == int(np.argmax(from_best)):
        return tr("Of two inputs, the worse one decides what comes in: min, not max.")
    if got == int(np.argmax(differences)) + 1:
        return tr("That is where it rises; a fall goes from a high ratio to a low one.")
    if got == int(np.argmin(differences)) + 1:
        return tr("The layer listed before is not always the one that is read: look into inputs.")
    if got in (expected - 1, expected + 1):
        return tr("That is a neighbour of the layer: they count from 0, as Python does.")
    if got in range(len(falls)) and falls[got] > 0:
        return tr("It falls there, but another layer adds more: take the largest fall.")
    return ""


@exercise(
    "08.5",
    tr("A confusion matrix"),
    hints=(
        tr("Begin with np.zeros((class_count, class_count), int), and count one for each image."),
        tr("np.add.at(matrix, (labels, answers), 1) counts pairs that occur more than once, too."),
        tr("The true class is the row: matrix[labels[k], answers[k]] += 1 for every image k"),
    ),
    read=tr("the section “Beyond accuracy” of this chapter"),
)
def check_confusion(answer: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> None:
    """Counts of each pair of true class (row) and answer (column)."""
    rng = np.random.default_rng(85)
    for class_count, image_count in ((3, 12), (2, 40), (7, 25), (10, 600)):
        labels = rng.integers(0, max(class_count - 1, 1), image_count)  # the last class has no image
        answers = np.where(rng.random(image_count) < 0.6, labels, rng.integers(0, class_count, image_count))
        _compare_confusion(answer(labels.copy(), answers.copy(), class_count), labels, answers, class_count)


def _compare_confusion(got: Any, labels: np.ndarray, answers: np.ndarray, class_count: int) -> None:
    expected = confusion_matrix(labels, answers, class_count)
    found = np.asarray(got)
    if found.shape != expected.shape:
        raise Mistake(
            tr(
                "{count} classes make a matrix {expected}, got {got}",
                count=class_count,
                expected=list(expected.shape),
                got=list(found.shape),
            ),
            tr("The size comes from class_count: a class may have no image, or no answer."),
        )
    if np.array_equal(found, expected):
        return
    row, column = (int(place) for place in np.argwhere(found != expected)[0])
    seen_once = np.minimum(expected, 1)
    hint = ""
    if np.array_equal(found, expected.T):
        hint = tr("Rows are true classes, columns the answers: yours is the other way round.")
    elif np.array_equal(found, seen_once):
        hint = tr("matrix[labels, answers] += 1 counts each pair only once, however often it occurs.")
    elif np.allclose(found.sum(), 1) or np.allclose(found.sum(axis=1)[expected.sum(axis=1) > 0], 1):
        hint = tr("Counts are asked, not shares.")
    elif np.array_equal(found, np.diag(np.diag(expected))):
        hint = tr("Mistakes count, too: they are what the matrix is for.")
    raise Mistake(
        tr(
            "class {row} was taken for class {column} {expected} times, got {got:g}",
            row=row,
            column=column,
            expected=int(expected[row, column]),
            got=float(found[row, column]),
        ),
        hint,
    )


@exercise(
    "08.6",
    tr("F1 of a rare class"),
    hints=(
        tr("Hits are on the diagonal; the row holds all images of the class, the column all named so."),
        tr(
            "recall = hits / row sum, precision = hits / column sum, F1 = 2 * precision * recall / their sum."
        ),
        tr("2 * m[c, c] / (m[c].sum() + m[:, c].sum())"),
    ),
    read=tr("the section “Beyond accuracy” of this chapter"),
)
def check_f1(answer: Callable[[np.ndarray, int], float]) -> None:
    """F1 from a confusion matrix whose rows are the true classes."""
    rng = np.random.default_rng(86)
    matrices = [np.array([[920, 50, 5], [4, 12, 0], [3, 1, 5]])]
    matrices += [rng.integers(1, 60, (size, size)) for size in (2, 4, 7)]
    for confusion in matrices:
        for index in range(len(confusion)):
            _compare_f1(float(answer(confusion.copy(), index)), confusion, index)


def _compare_f1(got: float, confusion: np.ndarray, index: int) -> None:
    hits, present, given = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
    expected = 2 * hits / (present + given)
    if math.isclose(got, expected, rel_tol=1e-5):
        return
    known = {
        hits / present: tr("That is the recall: of the images of this class, the part that was found."),
        hits / given: tr("That is the precision: of the images named so, the part that is right."),
        (hits / present + hits / given) / 2: tr("F1 is the harmonic mean: 2PR / (P + R), not the plain one."),
        np.trace(confusion) / confusion.sum(): tr("That is the accuracy of all classes together."),
        100 * expected: tr("Give a fraction from 0 to 1, not a percentage."),
    }
    hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-5)), "")
    raise Mistake(
        tr("class {index} has F1 {expected:.5f}, got {got:.5f}", index=index, expected=expected, got=got),
        hint,
    )
