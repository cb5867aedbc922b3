"""Chapter 3: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math

import numpy as np

from edgelab.exercises import chapter_03

SOLUTIONS = {
    "03.5": chapter_03.final_map,
    "03.3": chapter_03.warm_up_cosine,
    "03.4": chapter_03.early_stop,
    "03.1": chapter_03.bottleneck_macs,
    "03.2": chapter_03.training_step,
}


def macs_by_layer(height, width, channels, expansion):
    wide = expansion * channels
    layers = [(1, channels, wide), (3, 1, wide), (1, wide, channels)]
    return sum(height * width * side**2 * taken * given for side, taken, given in layers)


def macs_in_numpy(height, width, channels, expansion):
    return np.int64(height) * width * channels**2 * expansion * 2 + 9 * height * width * channels * expansion


def macs_as_float(h, w, c, e):
    return 1.0 * h * w * c * e * (2 * c + 9)


def step_one_by_one(weights, bias, inputs, labels, rate):
    """Row by row, with log-sum-exp."""
    slopes, offsets, loss = np.zeros_like(weights), np.zeros_like(bias), 0.0
    for row, label in zip(inputs, labels, strict=True):
        scores = row @ weights + bias
        highest = max(scores)
        total = sum(math.exp(score - highest) for score in scores)
        loss += highest + math.log(total) - scores[label]
        error = np.array([math.exp(score - highest) / total for score in scores])
        error[label] -= 1
        slopes += np.outer(row, error)
        offsets += error
    count = len(labels)
    return [weights - rate / count * slopes, bias - rate / count * offsets, loss / count]


def step_one_hot(weights, bias, inputs, labels, rate):
    scores = np.einsum("nf,fc->nc", inputs, weights) + bias
    logs = scores - np.logaddexp.reduce(scores, axis=1)[:, None]
    targets = np.eye(len(bias))[labels]
    error = (np.exp(logs) - targets) / inputs.shape[0]
    weights -= rate * np.tensordot(inputs, error, (0, 0))
    bias -= rate * error.sum(0)
    return weights, bias, np.float64(-(targets * logs).sum() / len(logs))


def step_in_float32(weights, bias, inputs, labels, rate):
    numbers = (part.astype(np.float32) for part in (weights, bias, inputs))
    return chapter_03.training_step(*numbers, labels.tolist(), np.float32(rate))


def rate_in_numpy(step, steps, peak):
    warm_up = steps // 5
    rising = np.interp(step, [0, max(warm_up, 1)], [peak / 10, peak])
    done = (step - warm_up) / (steps - warm_up)
    return np.where(step < warm_up, rising, peak * np.cos(np.pi * done / 2) ** 2)


def rate_in_float32(step, steps, peak):
    return np.float32(chapter_03.warm_up_cosine(step, steps, peak))


def rate_by_sine(step, steps, peak):
    start = steps // 5
    if step < start:
        return peak * (0.1 * (start - step) + step) / start
    return peak * (1 - math.sin(math.pi / 2 * (step - start) / (steps - start)) ** 2)


def stop_by_counting(val_accuracy, patience):
    best, kept, waited = float("-inf"), 0, 0
    for epoch, value in enumerate(val_accuracy, 1):
        waited += 1
        if value > best:
            best, kept, waited = value, epoch, 0
        if waited == patience:
            break
    return [epoch, kept]


def stop_by_slices(val_accuracy, patience):
    values = np.asarray(val_accuracy)
    for epoch in range(1, len(values) + 1):
        kept = int(np.argmax(values[:epoch])) + 1
        if epoch >= kept + patience:
            return np.int64(epoch), np.int64(kept)
    return len(values), kept


def stop_from_the_end(values, patience):
    """The first epoch whose last `patience` epochs bring nothing better than what was before them."""
    for epoch in range(patience + 1, len(values) + 1):
        if max(values[epoch - patience : epoch]) <= max(values[: epoch - patience]):
            return np.array([epoch, values.index(max(values[:epoch])) + 1])
    return len(values), values.index(max(values)) + 1


def map_by_ceil(size, strides):
    for stride in strides:
        size = math.ceil(size / stride)
    return size


def map_at_once(size, strides):
    return (size - 1) // math.prod(strides) + 1


def map_in_numpy(size, strides):
    return np.ceil(size / np.prod(strides))


ALSO_RIGHT = (
    ("03.1", macs_by_layer),
    ("03.1", macs_in_numpy),
    ("03.1", macs_as_float),
    ("03.2", step_one_by_one),
    ("03.2", step_one_hot),
    ("03.2", step_in_float32),
    ("03.3", rate_in_numpy),
    ("03.3", rate_in_float32),
    ("03.3", rate_by_sine),
    ("03.4", stop_by_counting),
    ("03.4", stop_by_slices),
    ("03.4", stop_from_the_end),
    ("03.5", map_by_ceil),
    ("03.5", map_at_once),
    ("03.5", map_in_numpy),
)


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


def the_visible_block(height, width, channels, expansion):
    return 442_368 if (height, width) == (8, 8) else chapter_03.bottleneck_macs(16, 8, 16, 6)


def straight_line(step, steps, peak):
    warm_up = steps // 5
    falling = peak * (1 - (step - warm_up) / (steps - warm_up))
    return chapter_03.warm_up_cosine(step, steps, peak) if step < warm_up else falling


def of_five_hundred_steps(step, steps, peak):
    return chapter_03.warm_up_cosine(step, 500, peak)


def of_the_visible_peak(step, steps, peak):
    return chapter_03.warm_up_cosine(step, steps, 0.4)


def the_visible_maps(size, strides):
    return {(32, 8): 4, (224, 32): 7, (100, 32): 4}.get((size, math.prod(strides)), 1)


def the_visible_curves(values, patience):
    known = {(0.3, 2): (4, 2), (0.1, 2): (3, 3), (0.5, 2): (3, 1), (0.4, 3): (1, 1)}
    return known.get((values[0], patience), (2, 1))


def changed_step(**changes):
    """The right step with one slip: each changes what `training_step` gives."""

    def step(weights, bias, inputs, labels, rate):
        new_weights, new_bias, loss = chapter_03.training_step(weights, bias, inputs, labels, rate)
        parts = {
            "old": (weights, bias),
            "new": (new_weights, new_bias, loss),
            "slopes": (weights - new_weights, bias - new_bias),
            "count": len(labels),
            "rate": rate,
        }
        made = {"weights": new_weights, "bias": new_bias, "loss": loss}
        made |= {name: change(parts) for name, change in changes.items()}
        return made["weights"], made["bias"], made["loss"]

    return step


def step_without_maximum(weights, bias, inputs, labels, rate):
    rows = np.arange(len(labels))
    with np.errstate(all="ignore"):
        powers = np.exp(inputs @ weights + bias)
        error = powers / powers.sum(axis=1, keepdims=True)
        loss = -np.log(error[rows, labels]).mean()
    error[rows, labels] -= 1
    error /= len(rows)
    return weights - rate * inputs.T @ error, bias - rate * error.sum(axis=0), loss


def step_without_labels(weights, bias, inputs, labels, rate):
    _, _, loss = chapter_03.training_step(weights, bias, inputs, labels, rate)
    scores = inputs @ weights + bias
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True) / len(labels)
    return weights - rate * inputs.T @ error, bias - rate * error.sum(axis=0), loss


def loss_after_the_update(weights, bias, *batch):
    weights, bias, _ = chapter_03.training_step(weights, bias, *batch)
    return weights, bias, chapter_03.training_step(weights, bias, *batch)[2]


def step_of_the_visible_rate(weights, bias, inputs, labels, rate):
    return chapter_03.training_step(weights, bias, inputs, labels, 0.5)


WRONG = (
    ("03.1", the_visible_block, "multiply-adds, got 442,368"),
    ("03.2", step_without_maximum, "largest score first"),
    ("03.2", step_without_labels, "labels are missing"),
    ("03.2", loss_after_the_update, "before the update"),
    ("03.2", changed_step(loss=lambda parts: parts["new"][2] * parts["count"]), "Take the mean"),
    ("03.2", changed_step(loss=lambda parts: parts["new"][2] / math.log(2)), "natural logarithm"),
    ("03.2", changed_step(loss=lambda parts: -parts["new"][2]), "the loss is -log"),
    ("03.2", changed_step(bias=lambda parts: parts["old"][1]), "have not changed"),
    ("03.2", changed_step(weights=lambda parts: parts["old"][0] + parts["slopes"][0]), "subtract it"),
    (
        "03.2",
        changed_step(weights=lambda parts: parts["old"][0] - parts["count"] * parts["slopes"][0]),
        "as the loss is a mean",
    ),
    (
        "03.2",
        changed_step(weights=lambda parts: parts["old"][0] - parts["slopes"][0] / parts["rate"]),
        "by the learning rate",
    ),
    ("03.2", step_of_the_visible_rate, "the rate 0.1"),
    ("03.2", lambda *values: chapter_03.training_step(*values)[0], "Return three things"),
    ("03.3", straight_line, "falls in a straight line"),
    ("03.3", of_five_hundred_steps, "somewhere between"),
    ("03.3", of_the_visible_peak, "somewhere between"),
    ("03.5", the_visible_maps, "284 pixels"),
    (
        "03.4",
        the_visible_curves,
        "accuracies [0.1, 0.8, 0.3",
    ),
    ("03.5", one_map_off, "Round up after"),
    ("03.5", sum_of_strides, "multiply"),
    ("03.5", lambda size, strides: size / math.prod(strides), "whole number"),
    ("03.3", cosine_without_warm_up, "no cosine yet"),
    ("03.3", from_zero, "tenth"),
    ("03.3", cosine_from_the_start, "begins after"),
    ("03.3", never_ends, "at the last step it is 1"),
    ("03.4", sees_the_future, "never run"),
    ("03.4", keeps_the_last, "best epoch"),
    ("03.4", counts_from_zero, "from 1"),
    ("03.4", waits_too_long, "too many"),
    ("03.4", equal_is_better, "only equals"),
    ("03.4", lambda *values: chapter_03.early_stop(*values)[::-1], "first, then"),
    ("03.1", full_convolution, "one channel at a time"),
    ("03.1", no_projection, "projection"),
    ("03.1", weights_only, "number of weights"),
    ("03.1", narrow_depthwise, "wide tensor"),
    ("03.1", lambda *block: 2 * chapter_03.bottleneck_macs(*block), "counts as one"),
)

# Lines of the given solution that may read otherwise: the answer is as right.
SURVIVORS = (("03.3", "if step <= warm_up:", "at the top the line and the cosine meet: both give the peak"),)
