"""Chapter 11: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def smallest_mask(weights, share):
    mask = np.ones(weights.size, bool)
    mask[np.argsort(np.abs(weights), axis=None)[: round(share * weights.size)]] = False
    return mask.reshape(weights.shape)


def two_of_four_mask(kernel):
    height, width, _, outputs = kernel.shape
    groups = np.abs(kernel).reshape(height, width, -1, 4, outputs)
    return (groups.argsort(axis=3).argsort(axis=3) >= 2).reshape(kernel.shape)


def clustered(weights, count=16, rounds=30, start=None):
    flat = weights.ravel()
    centres = np.linspace(flat.min(), flat.max(), count) if start is None else start
    for _ in range(rounds):
        nearest = np.abs(flat[:, np.newaxis] - centres).argmin(axis=1)
        for number in range(count):
            if np.any(nearest == number):
                centres[number] = flat[nearest == number].mean()
    return centres[np.abs(flat[:, np.newaxis] - centres).argmin(axis=1)].reshape(weights.shape)


def cut_block(block, kept):
    return {
        "expand": [block["expand"][0][..., kept]],
        "expand_bn": [values[kept] for values in block["expand_bn"]],
        "depthwise": [block["depthwise"][0][:, :, kept]],
        "depthwise_bn": [values[kept] for values in block["depthwise_bn"]],
        "project": [block["project"][0][:, :, kept]],
    }


def best_cut(times_us, cuts):
    return min(cuts, key=lambda cut: max(sum(times_us[: cut + 1]), sum(times_us[cut + 1 :])))


def softened(logits, temperature):
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


SOLUTIONS = {
    "11.1": smallest_mask,
    "11.2": two_of_four_mask,
    "11.3": clustered,
    "11.4": cut_block,
    "11.5": best_cut,
    "11.6": softened,
}


def by_threshold(weights, share):
    gone = round(share * weights.size)
    ordered = np.sort(np.abs(weights).ravel())
    return np.abs(weights) > (ordered[gone - 1] if gone else -1)


def one_by_one(weights, share):
    values = [abs(float(value)) for value in weights.ravel()]
    mask = [True] * len(values)
    for _ in range(round(share * len(values))):
        smallest = min((i for i, stays in enumerate(mask) if stays), key=values.__getitem__)
        mask[smallest] = False
    return np.array(mask).reshape(weights.shape)


def four_by_four(kernel):
    mask = np.zeros(kernel.shape)
    for h, w, out in np.ndindex(kernel.shape[0], kernel.shape[1], kernel.shape[3]):
        for first in range(0, kernel.shape[2], 4):
            four = kernel[h, w, first : first + 4, out]
            for place in sorted(range(4), key=lambda i: -abs(four[i]))[:2]:
                mask[h, w, first + place, out] = 1
    return mask


def above_the_second(kernel):
    groups = np.abs(kernel).reshape(*kernel.shape[:2], -1, 4, kernel.shape[3])
    return (groups > np.sort(groups, axis=3)[:, :, :, 1:2]).reshape(kernel.shape)


def two_arguments_of_max(kernel):
    columns = np.abs(kernel.transpose(0, 1, 3, 2)).reshape(-1, 4)
    mask = np.zeros(columns.shape, bool)
    np.put_along_axis(mask, np.argpartition(columns, 2, axis=1)[:, 2:], True, axis=1)
    height, width, inputs, outputs = kernel.shape
    return mask.reshape(height, width, outputs, inputs).transpose(0, 1, 3, 2)


def by_edges(weights, count):
    flat = weights.ravel()
    centres = np.linspace(flat.min(), flat.max(), count)
    for _ in range(50):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
        members = np.bincount(nearest, minlength=count)
        means = np.bincount(nearest, flat, count) / np.maximum(members, 1)
        centres = np.where(members, means, centres)
    return centres[np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)].reshape(weights.shape)


def with_loops(weights, count):
    low, high = float(weights.min()), float(weights.max())
    centres = [low + (high - low) * number / (count - 1) for number in range(count)]
    for _ in range(25):
        groups = [[] for _ in centres]
        for value in weights.flat:
            groups[min(range(count), key=lambda n: abs(value - centres[n]))].append(value)
        centres = [sum(g) / len(g) if g else old for g, old in zip(groups, centres, strict=True)]
    found = [min(centres, key=lambda centre: abs(value - centre)) for value in weights.flat]
    return np.array(found, np.float32).reshape(weights.shape)


def by_take(block, kept):
    axes = {"expand": -1, "expand_bn": 0, "depthwise": 2, "depthwise_bn": 0, "project": 2}
    return {name: [np.take(array, kept, axis=axes[name]) for array in block[name]] for name in axes}


def in_place(block, kept):
    block["expand"] = (block["expand"][0][:, :, :, kept],)
    block["depthwise"] = (block["depthwise"][0][:, :, kept, :],)
    block["project"] = (block["project"][0][:, :, kept, :],)
    for name in ("expand_bn", "depthwise_bn"):
        block[name] = [np.array([values[k] for k in kept]) for values in block[name]]
    return block


def width_decides(block, kept):
    """Wherever the width of the block is found: right only as long as no other axis has it."""
    expanded = block["depthwise"][0].shape[2]
    return {
        name: [array.take(kept, axis=array.shape.index(expanded)) for array in arrays]
        for name, arrays in block.items()
    }


def cut_by_cumsum(times_us, cuts):
    before = np.cumsum(times_us)[cuts]
    return cuts[int(np.argmin(np.maximum(before, np.sum(times_us) - before)))]


def cut_by_loop(times_us, cuts):
    best, least = None, float("inf")
    for cut in cuts:
        slower = max(sum(times_us[0 : cut + 1]), sum(times_us[cut + 1 :]))
        if slower < least:
            best, least = cut, slower
    return np.int64(best)


def cut_by_difference(times_us, cuts):
    return sorted(cuts, key=lambda cut: abs(sum(times_us[: cut + 1]) - sum(times_us[cut + 1 :])))[0]


def changed(name, cut):
    return lambda block, kept: {**cut_block(block, kept), name: cut(block[name], kept)}


def by_logarithm(logits, temperature):
    scaled = logits / temperature
    return np.exp(scaled - np.logaddexp.reduce(scaled, axis=1)[:, np.newaxis])


def row_by_row(logits, temperature):
    found = []
    for row in logits.tolist():
        largest = max(row)
        powers = [np.e ** ((value - largest) / temperature) for value in row]
        found.append([power / sum(powers) for power in powers])
    return found


def with_one_sum(logits, temperature):
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return powers / powers.sum()


def without_shift(logits, temperature):
    powers = np.exp(logits / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


ALSO_RIGHT = (
    ("11.1", by_threshold),
    ("11.1", one_by_one),
    ("11.1", lambda w, share: smallest_mask(weights=w, share=share).astype(np.float32)),
    ("11.2", four_by_four),
    ("11.2", above_the_second),
    ("11.2", two_arguments_of_max),
    ("11.3", by_edges),
    ("11.3", with_loops),
    ("11.3", lambda w, count: clustered(w, rounds=100, count=count)),
    ("11.4", by_take),
    ("11.4", in_place),
    ("11.4", lambda block, stay: by_take(block, stay.tolist())),
    ("11.5", cut_by_cumsum),
    ("11.5", cut_by_loop),
    ("11.5", cut_by_difference),
    ("11.6", by_logarithm),
    ("11.6", row_by_row),
    ("11.6", lambda logits, temperature: softened(logits + 3.0, temperature).astype(np.float32)),
)

WRONG = (
    ("11.1", lambda w, share: ~smallest_mask(w, share), "True for the large ones"),
    ("11.1", lambda w, share: smallest_mask(w - w.min(), share), "compare absolute values"),
    ("11.1", lambda w, share: np.abs(w) > share * np.abs(w).max(), "not of their largest value"),
    ("11.1", lambda w, share: w * smallest_mask(w, share), "not the weights themselves"),
    ("11.1", lambda w, share: smallest_mask(w, share).ravel(), "so it has their shape"),
    ("11.1", lambda w, share: smallest_mask(w, 0.25), "not of their largest value"),
    ("11.2", lambda k: ~two_of_four_mask(k), "the two large ones"),
    ("11.2", lambda k: two_of_four_mask(k - k.min()), "compare absolute values"),
    ("11.2", lambda k: np.abs(k) > 0.1, "so half of the kernel"),
    ("11.2", lambda k: smallest_mask(k, 0.5), "for each output alone"),
    ("11.2", lambda k: np.arange(k.size).reshape(k.shape) % 4 >= 2, "for each output alone"),
    ("11.2", lambda k: two_of_four_mask(k) * k, "not the weights themselves"),
    ("11.3", lambda w, count: clustered(w, count, rounds=0), "centres of the start"),
    ("11.3", lambda w, count: clustered(w, count, rounds=1), "at least 20 rounds"),
    ("11.3", lambda w, count: clustered(w, 16), "there are count centres"),
    ("11.3", lambda w, count: np.unique(clustered(w, count)), "the shape stays"),
    ("11.3", lambda w, count: np.where(w > 0.2, np.nan, clustered(w, count)), "leave an empty centre"),
    ("11.3", lambda w, count: w, "there are count centres"),
    ("11.3", lambda w, count: np.roll(clustered(w, count), 1, axis=2), "not their nearest"),
    ("11.4", changed("project", lambda arrays, kept: arrays), "all its channels still"),
    ("11.4", changed("expand_bn", lambda arrays, kept: arrays), "all its channels still"),
    ("11.4", changed("expand", lambda arrays, kept: [arrays[0][:, :, kept[kept < 3]]]), "another axis"),
    ("11.4", lambda block, kept: cut_block(block, np.arange(len(kept))), "other channels"),
    ("11.4", lambda block, kept: cut_block(block, np.sort(kept)), "other channels"),
    ("11.4", lambda block, kept: {"expand": block["expand"]}, "same five names"),
    ("11.4", changed("depthwise_bn", lambda arrays, kept: [arrays[0][kept]]), "four arrays"),
    ("11.4", width_decides, "another axis"),
    ("11.5", lambda times, cuts: best_cut(times, cuts) + len(times), "Return one of cuts"),
    ("11.5", lambda times, cuts: best_cut([0.0, *times], cuts), "belongs to the first part"),
    ("11.5", lambda times, cuts: min(cuts, key=lambda cut: abs(cut + 1 - len(times) / 2)), "Halve the time"),
    ("11.5", lambda times, cuts: min(cuts, key=lambda cut: sum(times[: cut + 1])), "sets the pace"),
    ("11.5", lambda times, cuts: cuts[0], "sets the pace"),
    ("11.6", lambda logits, temperature: softened(logits, 1.0), "without a temperature"),
    ("11.6", lambda logits, temperature: softened(logits * temperature, 1.0), "Divide by the temperature"),
    ("11.6", lambda logits, temperature: softened(logits, 1.0) / temperature, "not the probabilities"),
    ("11.6", without_shift, "the largest of each row"),
    ("11.6", with_one_sum, "with keepdims=True"),
    ("11.6", lambda logits, temperature: softened(logits, temperature)[0], "the shape stays"),
    ("11.6", lambda logits, temperature: softened(-logits, temperature), "divided by its own sum"),
)

SURVIVORS = (("11.3", "for _ in range(31):", "more rounds than are needed do no harm"),)
