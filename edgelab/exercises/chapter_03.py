"""The checks of chapter 3: cost of a bottleneck, learning-rate schedule, early stopping, feature-map size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
    "03.4",
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
    for size, strides in [*cases, (100, models.STOCK_STRIDES)]:
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


def warm_up_cosine(step: int, steps: int, peak: float) -> float:
    """Learning rate: from a tenth of the peak up in a fifth of the steps, then along a cosine to zero."""
    warm_up_steps = steps // 5
    if step < warm_up_steps:
        return peak / 10 + (peak - peak / 10) * step / warm_up_steps
    done = (step - warm_up_steps) / (steps - warm_up_steps)
    return peak * (1 + math.cos(math.pi * done)) / 2


@exercise(
    "03.2",
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
    steps, peak = 500, 0.4
    for step, where in (
        (0, tr("at the start")),
        (50, tr("half way up")),
        (100, tr("at the top")),
        (300, tr("half way down")),
    ):
        expected, got = warm_up_cosine(step, steps, peak), float(answer(step, steps, peak))
        if math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-9):
            continue
        from_the_start = peak * (1 + math.cos(math.pi * step / steps)) / 2
        known = {
            0.0: tr("The warm-up begins at a tenth of the peak, not at zero."),
            peak / 10 + peak * step / (steps // 5): tr(
                "The line ends at the peak: it climbs 0.9 peak, not 1.0."
            ),
            peak * step / (steps // 5): tr("The warm-up begins at a tenth of the peak, not at zero."),
            from_the_start: (
                tr("The first fifth of the steps is a straight line up: no cosine yet.")
                if step < steps // 5
                else tr("The cosine begins after the warm-up: count its steps from there.")
            ),
            peak * math.cos(math.pi * (step - 100) / 400): tr("Lift the cosine into 0 to 1: (1 + cos) / 2."),
        }
        raise Mistake(
            # Note: {where} is a place in the course of training, such as “half way up”.
            tr(
                "step {step} of {steps} ({where}): {expected:.4g} for a peak of {peak}, got {got:.4g}",
                step=step,
                steps=steps,
                where=where,
                expected=expected,
                peak=peak,
                got=got,
            ),
            _known_hint(got, known),
        )
    end = float(answer(steps, steps, peak))
    if abs(end) > 1e-6:
        raise Mistake(
            tr("the rate at the last step is {end:.4g}, but it should reach 0", end=end),
            tr(
                "The part of the fall that is done goes from 0 after the warm-up to 1: at the last "
                "step it is 1."
            ),
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
    "03.3",
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
    )
    for values, patience in cases:
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
    for height, width, channels, expansion in ((8, 8, 24, 6), (16, 8, 16, 6), (4, 4, 56, 3)):
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
