"""The checks of chapter 17: a head on frozen features, draws compared, BatchNorm, names, imprinting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

EPSILON = 1e-3  # of the BatchNorm layers of `edgelab.models`


def fit_head(features: np.ndarray, labels: np.ndarray, rounds: int, rate: float) -> tuple[np.ndarray, float]:
    """Weights and bias of one sigmoid unit, by gradient descent on the cross-entropy from zeros.

    Args:
        features: `[N, width]`, scaled.
        labels: `[N]`, 0 or 1.
        rounds: passes over all pictures.
        rate: learning rate.

    Returns:
        float64 `[width]`, and the bias.
    """
    weights, bias = np.zeros(features.shape[1]), 0.0
    for _ in range(rounds):
        error = 1 / (1 + np.exp(-(features @ weights + bias))) - labels
        weights = weights - rate * features.T @ error / len(labels)
        bias = bias - rate * error.mean()
    return weights, float(bias)


def seed_interval(first: Sequence[float], second: Sequence[float], t: float) -> tuple[float, float]:
    """Interval of the mean of what `second` has more than `first`, both of the same draws, by Student's t."""
    more = np.subtract(second, first)
    reach = t * more.std(ddof=1) / np.sqrt(len(more))
    return float(more.mean() - reach), float(more.mean() + reach)


def batch_norm(
    x: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    training: bool,
) -> np.ndarray:
    """What BatchNorm makes of `x`, `[N, H, W, C]`: by the batch's statistics in training, else the stored.

    Ioffe and Szegedy 2015. The other arrays are `[C]`.
    """
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def answers(outputs: np.ndarray, index_of: Mapping[str, int]) -> list[str]:
    """The name for each output of one sigmoid unit: class 1 from a half on, else class 0.

    Args:
        outputs: `[N, 1]`, the probability of class 1.
        index_of: from names to class numbers.
    """
    names = {index: name for name, index in index_of.items()}
    return [names[int(output >= 0.5)] for output in outputs[:, 0]]


def imprinted(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """One more row below `weights` `[classes, width]`: the direction in which `vectors` `[K, width]` point.

    Qi, Brown and Lowe 2018, "Low-shot learning with imprinted weights": each vector is brought to length 1,
    and so is their mean.
    """
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = directions.mean(axis=0)
    return np.vstack([weights, mean / np.linalg.norm(mean)])


# Pictures, width, rounds, rate.
HEADS = ((8, 5, 3, 0.5), (30, 12, 40, 1.0), (21, 3, 7, 2.0), (50, 20, 1, 0.3))


def _toy_features(seed: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds that overlap, more pictures of class 1, so that the bias matters."""
    rng = np.random.default_rng(170 + seed)
    labels = (rng.random(count) < 0.65).astype(np.int64)
    labels[:2] = 0, 1
    return rng.normal(size=(count, width)) + 0.8 * labels[:, np.newaxis] * rng.normal(size=width), labels


def _descended(features, labels, rounds, rate, *, squash=True, share=True, learns_bias=True):
    """`fit_head` with one of its parts left out, to name what an answer lacks."""
    weights, bias = np.zeros(features.shape[1]), 0.0
    for _ in range(rounds):
        found = features @ weights + bias
        error = (1 / (1 + np.exp(-found)) if squash else found) - labels
        weights = weights - rate * features.T @ error / (len(labels) if share else 1)
        bias = bias - learns_bias * rate * (error.mean() if share else error.sum())
    return weights, bias


def _head_hint(case: tuple, got: tuple[np.ndarray, float]) -> str:
    features, labels, rounds, rate = case

    def equals(other: tuple[np.ndarray, float]) -> bool:
        return bool(np.allclose(got[0], other[0]) and np.allclose(got[1], other[1]))

    with np.errstate(all="ignore"):
        if equals(_descended(features, labels, rounds, -rate)):
            return tr("This walks uphill: subtract the slope, or take the probability minus the label.")
        if equals(_descended(features, labels, rounds, rate, share=False)):
            return tr("The sum over all pictures is there: divide by their number, or steps grow with it.")
        if equals(_descended(features, labels, rounds, rate, learns_bias=False)):
            return tr("The bias learns, too: its slope is the mean of the errors.")
        if equals(_descended(features, labels, rounds, rate, squash=False)):
            return tr("The probability is missing: 1 / (1 + np.exp(-z)) of the weighted sum z.")
        if rounds > 1 and equals(_descended(features, labels, 1, rate)):
            return tr("One round is not all: go on from where the one before has left off.")
    return ""


@exercise(
    "17.1",
    tr("A head on frozen features"),
    hints=(
        tr("The error of a picture is its probability minus its label."),
        tr("features.T @ error / len(labels) is the slope of the weights, error.mean() that of the bias."),
        tr("In each round: error from the old weights and bias, then both move by rate times their slope."),
    ),
    read=tr("the section “A head of your own” of this chapter"),
)
def check_head(answer: Callable[..., tuple[np.ndarray, float]]) -> None:
    """Weights and bias of one sigmoid unit, by gradient descent from zeros."""
    for seed, (count, width, rounds, rate) in enumerate(HEADS):
        features, labels = _toy_features(seed, count, width)
        found = answer(features.copy(), labels.copy(), rounds, rate)
        what = tr("{count} pictures, {rounds} rounds, rate {rate}", count=count, rounds=rounds, rate=rate)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Mistake(what, tr("Return two things: the weights and the bias."))
        weights, bias = (np.asarray(part, np.float64) for part in found)
        if weights.shape != (width,) or bias.size != 1:
            raise Mistake(
                what + ": " + tr("weights of shape {shape}", shape=weights.shape),
                tr("There is one weight for each feature, and one bias."),
            )
        expected = fit_head(features, labels, rounds, rate)
        if np.allclose(weights, expected[0]) and np.allclose(bias, expected[1]):
            continue
        raise Mistake(
            what
            + ": "
            + tr(
                "expected the weights {expected} … and the bias {bias}, got {got} … and {got_bias}",
                expected=expected[0][:2].round(4).tolist(),
                bias=round(expected[1], 4),
                got=weights[:2].round(4).tolist(),
                got_bias=round(float(bias.ravel()[0]), 4),
            ),
            _head_hint((features, labels, rounds, rate), (weights, float(bias.ravel()[0]))),
        )


# Draws, and Student's t for them.
DRAWS = ((3, 4.303), (5, 2.776), (8, 2.365))


@exercise(
    "17.2",
    tr("Several draws, compared"),
    hints=(
        tr("The same draw gives a pair: take the difference of each pair first."),
        tr("The standard error is the standard deviation of the differences by the root of their number."),
        tr("np.std(…, ddof=1) divides by n - 1, as few draws need; the reach is t standard errors."),
    ),
    read=tr("the section “Several draws” of this chapter"),
)
def check_interval(answer: Callable[..., tuple[float, float]]) -> None:
    """Low and high end of the interval of the mean of paired differences, by Student's t."""
    for seed, (count, t) in enumerate(DRAWS):
        rng = np.random.default_rng(180 + seed)
        hard = rng.normal(0, 0.05, count)  # what both have in common
        first, second = 0.8 + hard + rng.normal(0, 0.01, count), 0.86 + hard + rng.normal(0, 0.01, count)
        got = np.asarray(answer(first.tolist(), second.tolist(), t), np.float64).ravel()
        expected = np.array(seed_interval(first, second, t))
        if got.shape == (2,) and np.allclose(got, expected):
            continue
        if got.shape != (2,):
            hint = tr("Return two numbers, the low and the high end.")
        elif np.allclose(got, -expected[::-1]):
            hint = tr("The question is what the second has more: second minus first.")
        else:
            hint = _interval_hint(got, first, second, t)
        raise Mistake(
            tr(
                "{count} draws, t = {t}: expected {expected}, got {got}",
                count=count,
                t=t,
                expected=expected.round(4).tolist(),
                got=got[:4].round(4).tolist(),
            ),
            hint,
        )


def _interval_hint(got: np.ndarray, first: np.ndarray, second: np.ndarray, t: float) -> str:
    more, half, count = second - first, np.ptp(got) / 2, len(first)
    reach = t * more.std(ddof=1) / np.sqrt(count)
    if np.isclose(half, reach * np.sqrt((count - 1) / count)):
        return tr("From few draws the plain standard deviation is too small: ddof=1.")
    if np.isclose(half, reach * np.sqrt(count)):
        return tr("That is where one draw lies; the mean of n lies nearer: divide by the root of n.")
    if np.isclose(half, reach / t) or np.isclose(half, reach * 1.96 / t):
        return tr("Few draws know their own spread badly, so the reach is t standard errors.")
    apart = np.sqrt(first.var(ddof=1) + second.var(ddof=1))
    if np.isclose(half, t * apart / np.sqrt(count)):
        return tr(
            "Both had the same draws: the spread that they share must not count, so subtract pair by pair."
        )
    return ""


# Shape of the batch, and whether it is in training.
BATCHES = (((4, 3, 3, 2), False), ((4, 3, 2, 3), True), ((1, 5, 4, 4), True), ((6, 2, 2, 5), False))


@exercise(
    "17.3",
    tr("The two modes of BatchNorm"),
    hints=(
        tr("Only the first step differs: which mean and which variance are used."),
        tr("In training: x.mean(axis=(0, 1, 2)) and x.var(axis=(0, 1, 2)), one number for each channel."),
        tr("gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, in both modes."),
    ),
    read=tr("the section “BatchNorm has two modes” of this chapter"),
)
def check_batch_norm(answer: Callable[..., np.ndarray]) -> None:
    """The normalised batch, by its own statistics in training mode, else by the stored ones."""
    for seed, (shape, training) in enumerate(BATCHES):
        rng = np.random.default_rng(190 + seed)
        x = rng.normal(1.0, 2.0, shape)
        mean, gamma, beta = (rng.normal(0.5, 1.0, shape[3]) for _ in range(3))
        variance = rng.uniform(0.02, 0.5, shape[3])
        stored = (mean, variance, gamma, beta)
        got = np.asarray(answer(x.copy(), *(values.copy() for values in stored), training), np.float64)
        expected = batch_norm(x, *stored, training)
        if got.shape == expected.shape and np.allclose(got, expected, rtol=1e-7):
            continue
        raise Mistake(
            tr(
                "a batch of shape {shape}, training={training}: expected {expected} …, got {got} …",
                shape=shape,
                training=training,
                expected=expected.ravel()[:3].round(4).tolist(),
                got=got.ravel()[:3].round(4).tolist(),
            ),
            _batch_norm_hint(got, x, stored, training),
        )


def _batch_norm_hint(got: np.ndarray, x: np.ndarray, stored: tuple, training: bool) -> str:
    mean, variance, gamma, beta = stored
    if got.shape != x.shape:
        return tr("The result has the shape of x.")
    if np.allclose(got, batch_norm(x, *stored, not training)):
        return tr(
            "This is the other mode: in training the batch's own statistics count, else the stored ones."
        )
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    if np.allclose(got, gamma * (x - mean) / (variance + EPSILON) + beta):
        return tr("Divide by the standard deviation, the root of the variance.")
    if np.allclose(got, (x - mean) / np.sqrt(variance + EPSILON)):
        return tr("gamma and beta are missing: what the layer has learnt.")
    if np.allclose(got, gamma * (x - mean) / np.sqrt(variance) + beta):
        return tr("A little is added under the root, 1e-3: a channel may well be constant.")
    if training:
        return tr("A channel has one mean and one variance, over pictures, rows and columns: axis=(0, 1, 2).")
    return ""


# Tables from names to class numbers; in some the second class comes first.
TABLES = ({"cat": 0, "dog": 1}, {"yes": 1, "no": 0}, {"dog": 1, "cat": 0})


@exercise(
    "17.4",
    tr("From a probability to a name"),
    hints=(
        tr("One column has nothing to compare: a threshold decides, a half."),
        tr("index_of leads from a name to its number; you need the way back."),
        tr("names = {index: name for name, index in index_of.items()}, then names[int(output >= 0.5)]."),
    ),
    read=tr("the section “On the device” of this chapter"),
)
def check_answers(answer: Callable[[np.ndarray, dict], list[str]]) -> None:
    """The names that one sigmoid unit gives, from a table that leads from names to numbers."""
    for seed, table in enumerate(TABLES):
        outputs = np.random.default_rng(200 + seed).random((9, 1))
        outputs[:3, 0] = 0.5, 0.1, 0.9
        expected = answers(outputs, table)
        found = answer(outputs.copy(), dict(table))
        got = [one if isinstance(one, str) else np.asarray(one).tolist() for one in found]
        if got == expected:
            continue
        raise Mistake(
            tr(
                "outputs {outputs}, table {table}: expected {expected}, got {got}",
                outputs=outputs[:4, 0].round(2).tolist(),
                table=table,
                expected=expected[:4],
                got=got[:4],
            ),
            _answers_hint(got, expected, outputs, table),
        )


def _answers_hint(got: list, expected: list[str], outputs: np.ndarray, table: dict[str, int]) -> str:
    if len(got) != len(expected):
        return tr("There is one name for each output.")
    if not all(isinstance(one, str) for one in got):
        return tr("These are numbers: turn the table round, so that it leads from a number to its name.")
    if len(set(got)) == 1:
        return tr("All are the same: in one column the largest is always the first, so argmax says 0.")
    swapped = dict(zip(table, reversed(table), strict=True))
    if got == [swapped[one] for one in expected]:
        return tr("Each name is the other one: the table's numbers count, not the order of its entries.")
    if got[1:] == expected[1:]:
        return tr("Exactly a half counts as class 1.")
    return tr("The unit gives the probability of class 1, from 0 to 1: the limit is a half.")


# Classes that are there, width, pictures of the new one.
IMPRINTS = ((2, 6, 5), (0, 7, 4), (3, 8, 1), (5, 4, 9))


@exercise(
    "17.5",
    tr("A new class without training"),
    hints=(
        tr("Only directions count: bring each vector to length 1 first, or long ones outvote the others."),
        tr(
            "np.linalg.norm(vectors, axis=1, keepdims=True) has the lengths; the mean needs length 1 as well."
        ),
        tr("np.vstack([weights, row]) puts the new row below the others."),
    ),
    read=tr("the section “A new class from five pictures” of this chapter"),
)
def check_imprinted(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """The matrix of directions with a row more: that of the new class."""
    for seed, (classes, width, count) in enumerate(IMPRINTS):
        rng = np.random.default_rng(210 + seed)
        weights = rng.normal(size=(classes, width))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        vectors = rng.normal(1.0, 1.0, (count, width)) * rng.uniform(0.5, 20, (count, 1))
        got = np.asarray(answer(weights.copy(), vectors.copy()), np.float64)
        expected = imprinted(weights, vectors)
        if got.shape == expected.shape and np.allclose(got, expected):
            continue
        raise Mistake(
            tr(
                "{classes} classes, {count} vectors of {width}: last row {expected} … expected, got {got} …",
                classes=classes,
                count=count,
                width=width,
                expected=expected[-1, :3].round(3).tolist(),
                got=got[-1].ravel()[:3].round(3).tolist() if got.ndim else got.tolist(),
            ),
            _imprint_hint(got, weights, vectors),
        )


def _imprint_hint(got: np.ndarray, weights: np.ndarray, vectors: np.ndarray) -> str:
    if got.shape != (len(weights) + 1, weights.shape[1]):
        return tr("The result has all rows that were there, and one more.")
    if not np.allclose(got[:-1], weights):
        return tr("The rows that are there stay as they are, in their places; the new one comes last.")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if np.allclose(got[-1], (vectors / length).mean(axis=0)):
        return tr("The mean of directions is shorter than 1: bring it to length 1 as well.")
    mean = vectors.mean(axis=0)
    if np.allclose(got[-1], mean / np.linalg.norm(mean)):
        return tr("Long vectors count more here: bring each to length 1 before the mean.")
    return ""
