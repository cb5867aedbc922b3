"""Chapter 3's checks: the solution passes, untouched is open, each wrong idea gets its own hint."""

from __future__ import annotations

import math
import re

import pytest

from edgelab import exercises, models
from edgelab.exercises import chapter_03

SOLUTIONS = {
    "03.4": chapter_03.final_map,
    "03.2": chapter_03.warm_up_cosine,
    "03.3": chapter_03.early_stop,
    "03.1": chapter_03.bottleneck_macs,
}


def one_map_off(size, strides):
    return size // math.prod(strides)


def sum_of_strides(size, strides):
    return size // sum(strides)


def cosine_without_warm_up(step, steps, peak):
    return peak * (1 + math.cos(math.pi * step / steps)) / 2


def from_zero(step, steps, peak):
    rising = step < steps // 5
    return peak * step / (steps // 5) if rising else chapter_03.warm_up_cosine(step, steps, peak)


def cosine_from_the_start(step, steps, peak):
    rising = step < steps // 5
    return (
        chapter_03.warm_up_cosine(step, steps, peak) if rising else cosine_without_warm_up(step, steps, peak)
    )


def never_ends(step, steps, peak):
    return chapter_03.warm_up_cosine(min(step, 300), steps, peak)


def sees_the_future(val_accuracy, patience):
    return len(val_accuracy), max(range(len(val_accuracy)), key=val_accuracy.__getitem__) + 1


def keeps_the_last(val_accuracy, patience):
    epochs, _ = chapter_03.early_stop(val_accuracy, patience)
    return epochs, epochs


def counts_from_zero(val_accuracy, patience):
    epochs, best = chapter_03.early_stop(val_accuracy, patience)
    return epochs - 1, best - 1


def waits_too_long(val_accuracy, patience):
    return chapter_03.early_stop(val_accuracy, patience + 1)


def full_convolution(height, width, channels, expansion):
    wide = channels * expansion
    return height * width * (2 * channels * wide + 9 * wide * wide)


def no_projection(height, width, channels, expansion):
    wide = channels * expansion
    return height * width * (channels * wide + 9 * wide)


def weights_only(height, width, channels, expansion):
    return chapter_03.bottleneck_macs(1, 1, channels, expansion)


@pytest.mark.parametrize("key", SOLUTIONS)
def test_the_solution_passes(key):
    assert exercises.check(key, SOLUTIONS[key]).passed


@pytest.mark.parametrize("key", SOLUTIONS)
def test_untouched_is_not_done_yet(key):
    def stub(*arguments): ...

    assert exercises.check(key, stub).state == "open"


@pytest.mark.parametrize(
    ("key", "answer", "hint"),
    [
        ("03.4", one_map_off, "Round up"),
        ("03.4", sum_of_strides, "multiply"),
        ("03.2", cosine_without_warm_up, "line|cosine|rate|straight"),
        ("03.2", from_zero, "tenth"),
        ("03.2", cosine_from_the_start, "after the warm-up"),
        ("03.2", never_ends, "."),
        ("03.3", sees_the_future, "never run"),
        ("03.3", keeps_the_last, "best epoch"),
        ("03.3", counts_from_zero, "from 1"),
        ("03.3", waits_too_long, "too many"),
        ("03.1", full_convolution, "one channel at a time"),
        ("03.1", no_projection, "projection"),
        ("03.1", weights_only, "number of weights"),
    ],
)
def test_a_wrong_idea_gets_the_hint_that_answers_it(key, answer, hint):
    result = exercises.check(key, answer)
    assert result.state == "wrong" and result.what_differs
    assert re.search(hint, result.hints[0]), result


def test_the_checks_agree_with_the_course_code():
    import numpy as np

    from edgelab import training

    for strides in (models.FITTED_STRIDES, models.STOCK_STRIDES):
        built = models.mobilenet_v2(strides=strides)
        side = chapter_03.final_map(32, strides)
        assert models.final_map_size(built) == (side, side)
    schedule = training.warm_up_then_cosine(0.4, 500)
    for step in (0, 10, 100, 101, 350, 500):
        assert np.isclose(float(schedule(step)), chapter_03.warm_up_cosine(step, 500, 0.4), atol=1e-6)
