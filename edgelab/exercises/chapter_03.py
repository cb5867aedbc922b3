"""The checks of chapter 3: a bottleneck's cost, a training step, learning rate, early stopping, map size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgelab import models
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


def _known_hint(got: float, known: dict[float, str]) -> str:
    """The explanation of a wrong value that a common slip produces."""
    return next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")


def final_map(size: int, strides: Sequence[int]) -> int:
    """Pixels on a side after convolutions with "same" padding: every stride divides, rounding up."""
    for stride in strides:
        size = -(-size // stride)
    return size


@exercise(
    "03.5",
    tr("How much of the picture is left?"),
    hints=(
        tr("Go through the strides one by one; each divides the current size."),
        tr('With "same" padding nothing is cut off: 7 pixels with stride 2 give 4, so round up.'),
        tr("for stride in strides: size = math.ceil(size / stride)"),
    ),
    read=tr("the section “Strides must fit the pictures” of this chapter"),
)
def check_final_map(answer: Callable[[int, Sequence[int]], int]) -> None:
    """Side of the last feature map."""
    cases = [(32, models.FITTED_STRIDES), (224, models.STOCK_STRIDES), (32, models.STOCK_STRIDES)]
    rng = np.random.default_rng(35)
    drawn = [(int(rng.integers(9, 300)), rng.integers(1, 4, 6).tolist()) for _ in range(8)]
    for size, strides in [*cases, (100, models.STOCK_STRIDES), *drawn]:
        expected, got = final_map(size, strides), answer(size, strides)
        if got == expected:
            continue
        known = {
            size // math.prod(strides): tr("Round up after every stride, not once and down at the end."),
            size / math.prod(strides): tr("A feature map has a whole number of pixels: round up."),
            size // sum(strides): tr("Strides multiply: two steps of stride 2 leave a quarter."),
        }
        raise Mistake(
            tr(
                "{size} pixels with strides {strides} leave {expected} pixels on a side, got {got}",
                size=size,
                strides=tuple(strides),
                expected=expected,
                got=got,
            ),
            _known_hint(got, known),
        )


def training_step(
    weights: np.ndarray, bias: np.ndarray, inputs: np.ndarray, labels: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Forward, loss, backward, update of one dense layer with softmax.

    Args:
        weights: [features, classes].
        bias: [classes].
        inputs: [N, features].
        labels: [N], numbers of the right classes.
        rate: the learning rate.

    Returns:
        New weights, new bias, and the mean loss before the update, in nats.
    """
    rows = np.arange(len(labels))
    scores = inputs @ weights + bias
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    loss = -np.log(probabilities[rows, labels]).mean()
    error = probabilities.copy()
    error[rows, labels] -= 1
    error /= len(labels)
    return weights - rate * inputs.T @ error, bias - rate * error.sum(axis=0), float(loss)


def _batches() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]]:
    """Weights, bias, inputs, labels and rate of several steps; the last has scores that overflow np.exp."""
    rng = np.random.default_rng(32)
    made = []
    for count, features, classes, rate, lift in ((6, 4, 3, 0.5, 0), (1, 5, 2, 0.1, 0), (9, 3, 7, 1.0, 800)):
        inputs = rng.normal(0, 1.5, (count, features))
        weights, bias = rng.normal(size=(features, classes)), rng.normal(size=classes) + lift
        made.append((weights, bias, inputs, rng.integers(0, classes, count), rate))
    return made


@exercise(
    "03.2",
    tr("One training step"),
    hints=(
        tr("Forward: scores = inputs @ weights + bias; then np.exp, divided by its sum along axis 1."),
        tr("Loss: -np.log of the probability that each row gives to its own label, and the mean of these."),
        tr("Backward: error = probabilities, less 1 at each row's label, divided by the number of rows."),
        tr("Update: weights - rate * inputs.T @ error, bias - rate * error.sum(axis=0)."),
    ),
    read=tr("the section “One training step” of this chapter"),
)
def check_training_step(answer: Callable[..., tuple[np.ndarray, np.ndarray, float]]) -> None:
    """Loss, weights and bias after one step on batches that nobody has seen."""
    for batch in _batches():
        weights, bias, inputs, labels, rate = batch
        got = answer(weights.copy(), bias.copy(), inputs.copy(), labels.copy(), rate)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise Mistake(
                tr("the step returned {kind}", kind=type(got).__name__),
                tr("Return three things: (weights, bias, loss)."),
            )
        right = training_step(*batch)
        _compare_loss(float(got[2]), right, batch)
        for name, given, old, new in (
            (tr("the weights"), got[0], weights, right[0]),
            (tr("the bias"), got[1], bias, right[1]),
        ):
            given = np.asarray(given)
            if given.shape == new.shape and np.allclose(given, new, rtol=0, atol=1e-3):
                continue
            raise Mistake(
                # Note: {name} is “the weights” or “the bias”.
                tr("{name} are not those after one step at the rate {rate}", name=name, rate=rate),
                _slip_of_update(given, old, new, batch),
            )


def _compare_loss(got: float, right: tuple, batch: tuple) -> None:
    """A mistake where the loss is another one."""
    # float32 keeps four digits of the differences of scores around 800.
    if math.isclose(got, right[2], rel_tol=1e-3):
        return
    known = {
        right[2] * len(batch[3]): tr("Take the mean over the batch, or its size would change the step."),
        right[2] / math.log(2): tr("The loss is the natural logarithm: np.log."),
        -right[2]: tr("The logarithm of a probability is negative: the loss is -log."),
        training_step(right[0], right[1], *batch[2:])[2]: tr(
            "The loss is that of the weights before the update."
        ),
    }
    hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-3)), "")
    if not math.isfinite(got):
        hint = tr("np.exp of a large score overflows: subtract each row's largest score first.")
    raise Mistake(tr("the loss is {right:.7g}, got {got:.7g}", right=right[2], got=got), hint)


def _slip_of_update(got: np.ndarray, old: np.ndarray, new: np.ndarray, batch: tuple) -> str:
    """The explanation of a wrong update."""
    if got.shape != new.shape:
        return tr("New weights have the shape of the old: inputs.T @ error, error.sum(axis=0).")
    labels = np.eye(batch[0].shape[1])[batch[3]]
    part = batch[2].T @ labels if got.ndim == 2 else labels.sum(axis=0)
    step = new - old
    slips = (
        (old, tr("They have not changed: every parameter gets its update.")),
        (old - step, tr("Step against the gradient: subtract it.")),
        (old + step * len(batch[3]), tr("Divide the gradient by the number of rows, as the loss is a mean.")),
        (old + step / batch[4], tr("Multiply the gradient by the learning rate.")),
        (
            old + step - batch[4] * part / len(batch[3]),
            tr("The error of a row is its probabilities less 1 at its label: the labels are missing."),
        ),
    )
    return next((text for values, text in slips if np.allclose(got, values, rtol=0, atol=1e-3)), "")


def warm_up_cosine(step: int, steps: int, peak: float) -> float:
    """Learning rate: from a tenth of the peak up in a fifth of the steps, then along a cosine to zero."""
    warm_up_steps = steps // 5
    if step < warm_up_steps:
        return peak / 10 + (peak - peak / 10) * step / warm_up_steps
    done = (step - warm_up_steps) / (steps - warm_up_steps)
    return peak * (1 + math.cos(math.pi * done)) / 2


@exercise(
    "03.3",
    tr("A learning-rate schedule"),
    hints=(
        tr(
            "Two parts: if step < steps // 5 the rate rises in a straight line, else it falls along a cosine."
        ),
        tr("Rising: peak / 10 + 0.9 * peak * step / (steps // 5)."),
        tr(
            "Falling: done = (step - warm_up) / (steps - warm_up); peak * (1 + math.cos(math.pi * done)) / 2."
        ),
    ),
    read=tr("the section “Learning rate and early stopping” of this chapter"),
)
def check_schedule(answer: Callable[[int, int, float], float]) -> None:
    """Warm-up, then cosine decay."""
    named = (
        (0, tr("at the start")),
        (50, tr("half way up")),
        (100, tr("at the top")),
        (300, tr("half way down")),
        (200, tr("a quarter of the way down")),
    )
    for step, where in named:
        _compare_rate(answer, step, 500, 0.4, where)
    end = float(answer(500, 500, 0.4))
    if abs(end) > 1e-6:
        raise Mistake(
            tr("the rate at the last step is {end:.4g}, but it should reach 0", end=end),
            tr(
                "The part of the fall that is done goes from 0 after the warm-up to 1: at the last "
                "step it is 1."
            ),
        )
    rng = np.random.default_rng(33)
    for _ in range(30):
        steps = int(rng.integers(5, 3000))
        step, peak = int(rng.integers(0, steps + 1)), round(float(rng.uniform(0.001, 2)), 4)
        _compare_rate(answer, step, steps, peak, tr("somewhere between"))


def _compare_rate(
    answer: Callable[[int, int, float], float], step: int, steps: int, peak: float, where: str
) -> None:
    """A mistake where the rate of one step is another one."""
    expected, got = warm_up_cosine(step, steps, peak), float(answer(step, steps, peak))
    # float32 keeps seven digits of numbers around 1, also where the cosine has nearly reached 0.
    if math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-6 * peak):
        return
    warm_up = steps // 5
    done = (step - warm_up) / (steps - warm_up)
    from_the_start = peak * (1 + math.cos(math.pi * step / steps)) / 2
    known = {
        0.0: tr("The warm-up begins at a tenth of the peak, not at zero."),
        peak / 10 + peak * step / warm_up: tr("The line ends at the peak: it climbs 0.9 peak, not 1.0."),
        peak * step / warm_up: tr("The warm-up begins at a tenth of the peak, not at zero."),
        from_the_start: (
            tr("The first fifth of the steps is a straight line up: no cosine yet.")
            if step < warm_up
            else tr("The cosine begins after the warm-up: count its steps from there.")
        ),
        peak * math.cos(math.pi * done): tr("Lift the cosine into 0 to 1: (1 + cos) / 2."),
        peak * (1 - done): tr(
            "That falls in a straight line: a cosine falls slowly, then fast, then slowly."
        ),
    }
    raise Mistake(
        # Note: {where} is a place in the course of training, such as “half way up”.
        tr(
            "step {step} of {steps} ({where}): {expected:.7g} for a peak of {peak}, got {got:.7g}",
            step=step,
            steps=steps,
            where=where,
            expected=expected,
            peak=peak,
            got=got,
        ),
        _known_hint(got, known),
    )


def early_stop(val_accuracy: Sequence[float], patience: int) -> tuple[int, int]:
    """Epochs run and best epoch, both counted from 1."""
    best = 0
    for epoch, accuracy in enumerate(val_accuracy):
        if accuracy > val_accuracy[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch + 1, best + 1
    return len(val_accuracy), best + 1


def _early_stop_where_equal_is_better(val_accuracy: Sequence[float], patience: int) -> tuple[int, int]:
    """The slip of writing >= for >: as if each epoch were a little better than an equal one before."""
    return early_stop([value + 1e-9 * epoch for epoch, value in enumerate(val_accuracy)], patience)


@exercise(
    "03.4",
    tr("Stop early, keep the best"),
    hints=(
        tr(
            "Remember the best epoch so far; an epoch counts as better only if its accuracy is "
            "strictly higher."
        ),
        tr("Stop when the current epoch is `patience` epochs after the best one."),
        tr(
            "for epoch, value in enumerate(val_accuracy, 1): update best; if epoch - best >= "
            "patience: return epoch, best. After the loop: return len(val_accuracy), best."
        ),
    ),
    read=tr("the section “Learning rate and early stopping” of this chapter"),
)
def check_early_stop(answer: Callable[[Sequence[float], int], tuple[int, int]]) -> None:
    """Which epoch is the last one run, and which one is kept."""
    cases = (
        ([0.3, 0.6, 0.5, 0.55, 0.58, 0.9], 2),
        ([0.3, 0.5, 0.5, 0.4, 0.4, 0.9], 2),
        ([0.1, 0.2, 0.3], 2),
        ([0.5, 0.4, 0.3, 0.2], 1),
        ([0.5, 0.5, 0.4, 0.3], 2),
        ([0.4], 3),
    )
    rng = np.random.default_rng(34)
    drawn = tuple(
        (np.round(rng.uniform(0.1, 0.9, 12), 1).tolist(), int(rng.integers(1, 6))) for _ in range(12)
    )
    for values, patience in (*cases, *drawn):
        expected, got = early_stop(values, patience), tuple(answer(list(values), patience))
        if got == expected:
            continue
        hint = ""
        if got == (len(values), max(range(len(values)), key=values.__getitem__) + 1):
            hint = tr("That looks at epochs which were never run: training stops before it can see them.")
        elif got == (expected[0], expected[0]):
            hint = tr("The weights kept are those of the best epoch, not those of the last.")
        elif got == _early_stop_where_equal_is_better(values, patience):
            hint = tr("An epoch that only equals the best is no improvement: ask for more, not for as much.")
        elif got == expected[::-1]:
            hint = tr("The number of epochs run comes first, then the epoch whose weights are kept.")
        elif got == (expected[0] - 1, expected[1] - 1):
            hint = tr("Count epochs from 1.")
        elif got[0] == expected[0] + 1:
            hint = tr(
                "One epoch too many: stop as soon as `patience` epochs have passed without a better one."
            )
        raise Mistake(
            tr(
                "accuracies {values}, patience {patience}: {expected} epochs run, epoch {best} "
                "kept; got {got}",
                values=values,
                patience=patience,
                expected=expected[0],
                best=expected[1],
                got=got,
            ),
            hint,
        )


def bottleneck_macs(height: int, width: int, channels: int, expansion: int) -> int:
    """Multiply-adds of expand 1x1, depthwise 3x3 and project 1x1 at stride 1, as many channels out as in."""
    wide = channels * expansion
    return height * width * (channels * wide + 9 * wide + wide * channels)


@exercise(
    "03.1",
    tr("What a bottleneck costs"),
    hints=(
        tr("Every output pixel of a 1x1 convolution costs channels_in * channels_out multiply-adds."),
        tr("Every output pixel of the depthwise 3x3 costs 9 per channel; those number channels * expansion."),
        tr("height * width * (c * w + 9 * w + w * c) with c = channels, w = c * expansion"),
    ),
    read=tr("the section “The inverted residual” of this chapter"),
)
def check_bottleneck(answer: Callable[[int, int, int, int], int]) -> None:
    """Multiply-adds of one inverted residual block."""
    drawn = np.random.default_rng(31).integers(2, 40, (4, 4)).tolist()
    for height, width, channels, expansion in ((8, 8, 24, 6), (16, 8, 16, 6), (4, 4, 56, 3), *drawn):
        wide, area = channels * expansion, height * width
        expected, got = (
            bottleneck_macs(height, width, channels, expansion),
            answer(height, width, channels, expansion),
        )
        if got == expected:
            continue
        known = {
            area * (2 * channels * wide + 9 * wide * wide): (
                tr("A depthwise step sees one channel at a time: 9 per channel, not per pair of channels.")
            ),
            area * (channels * wide + 9 * wide): tr("The projection back to few channels is missing."),
            area * (wide * channels + 9 * channels + wide * channels): (
                tr("The depthwise step works on the wide tensor.")
            ),
            2 * channels * wide + 9 * wide: tr(
                "That is the number of weights; every output pixel uses them once."
            ),
            2 * expected: tr("A multiply-add counts as one here."),
        }
        raise Mistake(
            tr(
                "{height}x{width} pixels, {channels} channels, expansion {expansion}: {expected:,} "
                "multiply-adds, got {got:,}",
                height=height,
                width=width,
                channels=channels,
                expansion=expansion,
                expected=expected,
                got=got,
            ),
            _known_hint(got, known),
        )
