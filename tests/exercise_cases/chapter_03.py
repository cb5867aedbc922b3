"""Chapter 3: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math

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


def equal_is_better(val_accuracy, patience):
    best = 0
    for epoch, accuracy in enumerate(val_accuracy):
        best = epoch if accuracy >= val_accuracy[best] else best
        if epoch - best >= patience:
            return epoch + 1, best + 1
    return len(val_accuracy), best + 1


def full_convolution(height, width, channels, expansion):
    wide = channels * expansion
    return height * width * (2 * channels * wide + 9 * wide * wide)


def no_projection(height, width, channels, expansion):
    wide = channels * expansion
    return height * width * (channels * wide + 9 * wide)


def narrow_depthwise(height, width, channels, expansion):
    return height * width * (2 * channels * channels * expansion + 9 * channels)


def weights_only(height, width, channels, expansion):
    return chapter_03.bottleneck_macs(1, 1, channels, expansion)


WRONG = (
    ("03.4", one_map_off, "Round up after"),
    ("03.4", sum_of_strides, "multiply"),
    ("03.4", lambda size, strides: size / math.prod(strides), "whole number"),
    ("03.2", cosine_without_warm_up, "no cosine yet"),
    ("03.2", from_zero, "tenth"),
    ("03.2", cosine_from_the_start, "begins after"),
    ("03.2", never_ends, "at the last step it is 1"),
    ("03.3", sees_the_future, "never run"),
    ("03.3", keeps_the_last, "best epoch"),
    ("03.3", counts_from_zero, "from 1"),
    ("03.3", waits_too_long, "too many"),
    ("03.3", equal_is_better, "only equals"),
    ("03.3", lambda *values: chapter_03.early_stop(*values)[::-1], "first, then"),
    ("03.1", full_convolution, "one channel at a time"),
    ("03.1", no_projection, "projection"),
    ("03.1", weights_only, "number of weights"),
    ("03.1", narrow_depthwise, "wide tensor"),
    ("03.1", lambda *block: 2 * chapter_03.bottleneck_macs(*block), "counts as one"),
)
