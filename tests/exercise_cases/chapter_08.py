"""Chapter 8: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math

import numpy as np


def paired_interval(lost, gained, count):
    b, c, n = lost + 1, gained + 1, count + 2
    loss = (b - c) / n
    standard_error = np.sqrt(b + c - (b - c) ** 2 / n) / n
    return 100 * (loss - 1.96 * standard_error), 100 * (loss + 1.96 * standard_error)


def chance_of_verdict(interval, lost_share, gained_share, count, threshold, draws):
    shares = [lost_share, gained_share, 1 - lost_share - gained_share]
    lost, gained, _ = np.random.default_rng(draws).multinomial(count, shares, size=draws).T
    low, high = interval(lost, gained, count)
    return np.mean((high < threshold) | (low > threshold))


def layer_snr_db(floats, codes, scales, zero_points):
    ratios = []
    for k, real in enumerate(floats):
        approximation = scales[k] * (codes[k].astype(np.float64) - zero_points[k])
        noise = np.sum((real - approximation) ** 2)
        ratios.append(10 * np.log10(np.sum(real**2) / noise))
    return ratios


def steepest_fall(snr_db, inputs):
    falls = np.full(len(snr_db), -np.inf)
    for layer, read in enumerate(inputs):
        if len(read):
            falls[layer] = min(snr_db[k] for k in read) - snr_db[layer]
    return int(np.argmax(falls))


def confusion_matrix(labels, answers, class_count):
    matrix = np.zeros((class_count, class_count), int)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def f1(confusion, index):
    return 2 * confusion[index, index] / (confusion[index].sum() + confusion[:, index].sum())


SOLUTIONS = {
    "08.1": paired_interval,
    "08.2": chance_of_verdict,
    "08.3": layer_snr_db,
    "08.4": steepest_fall,
    "08.5": confusion_matrix,
    "08.6": f1,
}


def by_variance(lost, gained, count):
    p, q = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    reach = 195.9964 * ((p + q - (p - q) ** 2) / (count + 2)) ** 0.5
    return np.array([100 * (p - q) - reach, 100 * (p - q) + reach])


def clipped(lost, gained, count):
    low, high = paired_interval(np.asarray(lost), np.asarray(gained), count)
    return np.maximum(low, -100), np.minimum(high, 100)


def in_fractions_first(lost, gained, count):
    n = float(count + 2)
    centre = (lost - gained) / n
    half = 1.96 * np.sqrt((lost + gained + 2) / n - centre**2) / np.sqrt(n)
    return [100 * centre - 100 * half, 100 * centre + 100 * half]


def in_a_loop(interval, lost_share, gained_share, count, threshold, draws):
    rng, decided = np.random.default_rng(), 0
    for _ in range(draws):
        kinds = rng.choice(3, size=count, p=[lost_share, gained_share, 1 - lost_share - gained_share])
        low, high = interval(int(np.sum(kinds == 0)), int(np.sum(kinds == 1)), count)
        decided += high < threshold or low > threshold
    return decided / draws


def by_two_binomials(interval, lost_share, gained_share, count, threshold, draws):
    rng = np.random.default_rng(5)
    lost = rng.binomial(count, lost_share, draws)
    gained = rng.binomial(count - lost, gained_share / (1 - lost_share))
    low, high = interval(lost, gained, count)
    return float(1 - np.mean((low <= threshold) & (threshold <= high)))


def verdict_by_verdict(interval, lost_share, gained_share, count, threshold, draws):
    shares = np.array([gained_share, lost_share, 1 - lost_share - gained_share])
    drawn = np.random.default_rng(1).multinomial(count, shares, size=draws)
    low, high = interval(drawn[:, 1], drawn[:, 0], count)
    return np.count_nonzero(high < threshold) / draws + np.count_nonzero(low > threshold) / draws


def by_amplitudes(floats, codes, scales, zero_points):
    ratios = np.empty(len(floats), np.float32)
    for k in range(len(floats)):
        real = np.float32(scales[k]) * (codes[k].astype(np.float32) - np.float32(zero_points[k]))
        ratios[k] = 20 * np.log10(np.linalg.norm(floats[k]) / np.linalg.norm(floats[k] - real))
    return ratios


def by_means(floats, codes, scales, zero_points):
    found = []
    for real, code, scale, zero_point in zip(floats, codes, scales, zero_points, strict=True):
        error = real.ravel() - (code.astype(int).ravel() - zero_point) * scale
        found.append(-10 * math.log10(float(np.mean(error**2) / np.mean(real.astype(float) ** 2))))
    return tuple(found)


def as_int32(floats, codes, scales, zero_points):
    steps = [code.astype(np.int32) - zero_point for code, zero_point in zip(codes, zero_points, strict=True)]
    noise = [np.square(real - s * step).sum() for real, s, step in zip(floats, scales, steps, strict=True)]
    return [10 * np.log10(np.square(real).sum() / one) for real, one in zip(floats, noise, strict=True)]


def fall_in_a_loop(snr_db, inputs):
    worst, place = -1000.0, 0
    for layer in range(len(snr_db)):
        for_this = [snr_db[k] for k in inputs[layer]]
        if for_this and min(for_this) - snr_db[layer] > worst:
            worst, place = min(for_this) - snr_db[layer], layer
    return place


def fall_by_max(snr_db, inputs):
    layers = [layer for layer, read in enumerate(inputs) if read]
    return max(layers, key=lambda layer: np.min(snr_db[inputs[layer]]) - snr_db[layer])


def fall_by_default(snr_db, inputs):
    gains = [
        own - min((snr_db[k] for k in read), default=-1e9) for own, read in zip(snr_db, inputs, strict=True)
    ]
    return np.argmin(gains)


def confusion_in_a_loop(labels, answers, class_count):
    matrix = [[0] * class_count for _ in range(class_count)]
    for truth, answer in zip(labels, answers, strict=True):
        matrix[truth][answer] += 1
    return matrix


def confusion_by_bincount(labels, answers, class_count):
    return np.bincount(labels * class_count + answers, minlength=class_count**2).reshape(class_count, -1)


def confusion_by_one_hot(labels, answers, class_count):
    return np.eye(class_count)[labels].T @ np.eye(class_count)[answers]


def f1_by_means(confusion, index):
    return 2 / (1 / recall(confusion, index) + 1 / precision(confusion, index))


def f1_in_a_loop(m, c):
    missed = sum(m[c, k] for k in range(len(m)) if k != c)
    false = sum(m[k, c] for k in range(len(m)) if k != c)
    return float(m[c, c] / (m[c, c] + (missed + false) / 2))


def f1_as_float32(m, c):
    return np.float32(2 * m[c][c]) / np.float32(np.sum(m[c, :]) + np.sum(m.T[c]))


ALSO_RIGHT = (
    ("08.1", by_variance),
    ("08.1", clipped),
    ("08.1", in_fractions_first),
    ("08.2", by_two_binomials),
    ("08.2", verdict_by_verdict),
    ("08.2", lambda interval, a, b, n, t, draws: chance_of_verdict(interval, a, b, n, t, 2 * draws)),
    ("08.3", by_amplitudes),
    ("08.3", by_means),
    ("08.3", as_int32),
    ("08.4", fall_in_a_loop),
    ("08.4", fall_by_max),
    ("08.4", fall_by_default),
    ("08.5", confusion_in_a_loop),
    ("08.5", confusion_by_bincount),
    ("08.5", confusion_by_one_hot),
    ("08.6", f1_by_means),
    ("08.6", f1_in_a_loop),
    ("08.6", f1_as_float32),
)


def only_for_numbers(lost, gained, count):
    b, c, n = lost + 1, gained + 1, count + 2
    error = math.sqrt(b + c - (b - c) ** 2 / n) / n
    return 100 * ((b - c) / n - 1.96 * error), 100 * ((b - c) / n + 1.96 * error)


def scaled(factor):
    def interval(lost, gained, count):
        low, high = paired_interval(lost, gained, count)
        return (low + high) / 2 - factor * (high - low) / 2, (low + high) / 2 + factor * (high - low) / 2

    return interval


def wald(lost, gained, count):
    loss, error = (lost - gained) / count, np.sqrt(lost + gained - (lost - gained) ** 2 / count) / count
    return 100 * (loss - 1.96 * error), 100 * (loss + 1.96 * error)


def the_visible_interval(lost, gained, count):
    return (-10.768, 19.859) if (lost, gained, count) == (1, 0, 20) else wald(lost, gained, count)


def fixed_wording(*arguments):
    return 0.5


def passes_only(interval, lost_share, gained_share, count, threshold, draws):
    shares = [lost_share, gained_share, 1 - lost_share - gained_share]
    lost, gained, _ = np.random.default_rng(draws).multinomial(count, shares, size=draws).T
    return np.mean(interval(lost, gained, count)[1] < threshold)


def fails_only(interval, lost_share, gained_share, count, threshold, draws):
    shares = [lost_share, gained_share, 1 - lost_share - gained_share]
    lost, gained, _ = np.random.default_rng(draws).multinomial(count, shares, size=draws).T
    return np.mean(interval(lost, gained, count)[0] > threshold)


def always_three(interval, lost_share, gained_share, count, threshold, draws):
    return chance_of_verdict(interval, lost_share, gained_share, count, 3.0, draws)


def own_interval(interval, *others):
    return chance_of_verdict(paired_interval, *others)


def undecided(*arguments):
    return 1 - chance_of_verdict(*arguments)


def without_zero_points(floats, codes, scales, zero_points):
    return layer_snr_db(floats, codes, scales, [0] * len(floats))


def wraps(floats, codes, scales, zero_points):
    steps = [code - np.int8(zero_point) for code, zero_point in zip(codes, zero_points, strict=True)]
    return layer_snr_db(floats, steps, scales, [0] * len(floats))


def raw_codes(floats, codes, scales, zero_points):
    return layer_snr_db(floats, codes, [1] * len(floats), [0] * len(floats))


def without_squares(floats, codes, scales, zero_points):
    reals = [s * (code.astype(float) - z) for code, s, z in zip(codes, scales, zero_points, strict=True)]
    pairs = zip(floats, reals, strict=True)
    return [10 * np.log10(np.sum(np.abs(real)) / np.sum(np.abs(real - other))) for real, other in pairs]


def listed_before(snr_db, inputs):
    return int(np.argmin(np.diff(snr_db))) + 1


def best_input(snr_db, inputs):
    return int(
        np.argmax([max((snr_db[k] for k in read), default=-99) - snr_db[i] for i, read in enumerate(inputs)])
    )


def first_above_15(snr_db, inputs):
    falls = [min((snr_db[k] for k in read), default=-99) - snr_db[i] for i, read in enumerate(inputs)]
    return next((i for i, fall in enumerate(falls) if fall > 15), int(np.argmax(falls)))


def counts_once(labels, answers, class_count):
    matrix = np.zeros((class_count, class_count), int)
    matrix[labels, answers] += 1
    return matrix


def as_large_as_needed(labels, answers, class_count):
    return confusion_matrix(labels, answers, int(labels.max()) + 1 if labels.max() >= answers.max() else 99)


def precision(confusion, index):
    return confusion[index, index] / confusion[:, index].sum()


def recall(confusion, index):
    return confusion[index, index] / confusion[index].sum()


WRONG = (
    ("08.1", wald, "an interval without width"),
    ("08.1", the_visible_interval, "an interval without width"),
    ("08.1", only_for_numbers, "take whole arrays"),
    ("08.1", lambda *counts: paired_interval(*counts)[1], "return low, high"),
    ("08.1", scaled(1.645 / 1.96), "leaves 5 % on each side"),
    ("08.1", scaled(1 / 1.96), "one standard error"),
    ("08.1", lambda *counts: paired_interval(*counts)[::-1], "comes first"),
    ("08.1", lambda lost, gained, count: paired_interval(gained, lost, count), "gained ones against it"),
    ("08.1", lambda *counts: tuple(end / 100 for end in paired_interval(*counts)), "times 100"),
    ("08.2", fixed_wording, "count the verdicts"),
    ("08.2", passes_only, "A fail is a verdict"),
    ("08.2", fails_only, "A pass is a verdict"),
    ("08.2", always_three, "not always 3"),
    ("08.2", own_interval, "that is handed in"),
    ("08.3", without_zero_points, "Where is the zero point?"),
    ("08.3", wraps, "and wraps"),
    ("08.3", raw_codes, "mean nothing"),
    ("08.3", without_squares, "before you add them up"),
    ("08.3", lambda *parts: [-ratio for ratio in layer_snr_db(*parts)], "large positive ratio"),
    ("08.3", lambda *parts: [2 * ratio for ratio in layer_snr_db(*parts)], "20 is for amplitudes"),
    ("08.3", lambda *parts: layer_snr_db(*parts)[:1], "return the list"),
    ("08.4", lambda snr_db, inputs: int(np.argmin(snr_db)), "inherited"),
    ("08.4", listed_before, "not always the one that is read"),
    ("08.4", best_input, "min, not max"),
    ("08.4", lambda snr_db, inputs: int(np.argmax(np.diff(snr_db))) + 1, "rises"),
    ("08.4", lambda snr_db, inputs: steepest_fall(snr_db, inputs) + 1, "a neighbour"),
    ("08.4", lambda snr_db, inputs: 3, "min, not max"),
    ("08.4", first_above_15, "another layer adds more"),
    ("08.5", counts_once, "only once"),
    ("08.5", lambda labels, answers, count: confusion_matrix(answers, labels, count), "other way round"),
    ("08.5", lambda *parts: confusion_matrix(*parts) / len(parts[0]), "not shares"),
    ("08.5", lambda *parts: np.diag(np.diag(confusion_matrix(*parts))), "what the matrix is for"),
    ("08.5", as_large_as_needed, "comes from class_count"),
    ("08.6", recall, "That is the recall"),
    ("08.6", precision, "That is the precision"),
    ("08.6", lambda m, c: (recall(m, c) + precision(m, c)) / 2, "harmonic"),
    ("08.6", lambda m, c: np.trace(m) / m.sum(), "all classes together"),
    ("08.6", lambda m, c: 100 * f1(m, c), "not a percentage"),
)

SURVIVORS = [
    (
        "08.2",
        "shares = [lost_share, gained_share, 1 - lost_share + gained_share]",
        "numpy takes what the other shares leave for the last one, whatever it says",
    ),
]
