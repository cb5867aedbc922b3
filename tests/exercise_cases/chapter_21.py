"""Chapter 21: right answers, and the mistakes that students make, each with words of the hint it must get."""

from collections import Counter

import numpy as np

ENDS = {"int8": (-128, 127), "uint8": (0, 255)}


def real_range(scale, zero_point, dtype):
    low, high = ENDS[dtype]
    return scale * (low - zero_point), scale * (high - zero_point)


def label_shift(predicted, truth):
    values, counts = np.unique(predicted - truth, return_counts=True)
    return int(values[counts.argmax()])


def verdict(value, low, high, limit):
    if value is None:
        return "open"
    if high < limit:
        return "met"
    return "missed" if low >= limit else "open"


SOLUTIONS = {"21.1": real_range, "21.2": label_shift, "21.3": verdict}


def by_loops(predicted, truth):
    return Counter(int(p) - int(t) for p, t in zip(predicted, truth, strict=True)).most_common(1)[0][0]


def from_numpy(scale, zero_point, dtype):
    found = np.iinfo(dtype)
    return np.array([found.min, found.max], np.float64) * scale - zero_point * scale


def in_another_order(value, low, high, limit):
    if value is not None and low >= limit:
        return "missed"
    return "met" if value is not None and high < limit else "open"


ALSO_RIGHT = (
    ("21.1", from_numpy),
    ("21.1", lambda s, z, d: [s * (e - z) for e in ((0, 255) if d.startswith("u") else (-128, 127))]),
    ("21.2", by_loops),
    ("21.2", lambda p, t: max(range(-9, 10), key=lambda shift: np.sum(p - t == shift))),
    ("21.2", lambda p, t: np.bincount(p - t + 20).argmax() - 20),
    ("21.3", in_another_order),
    ("21.3", lambda v, lo, hi, limit: "open" if v is None or lo < limit <= hi else verdict(v, lo, hi, limit)),
)

WRONG = (
    ("21.1", lambda s, z, d: real_range(s, z, d)[::-1], "Low first"),
    ("21.1", lambda s, z, d: tuple(s * e - z for e in ENDS[d]), "before you multiply"),
    ("21.1", lambda s, z, d: tuple(s * (e + z) for e in ENDS[d]), "stands for 0"),
    ("21.1", lambda s, z, d: real_range(s, z, "uint8"), "type decides"),
    ("21.1", lambda s, z, d: (s * (ENDS[d][0] - z), s * (ENDS[d][1] + 1 - z)), "256 integers"),
    ("21.1", lambda s, z, d: s * 255, "two numbers"),
    ("21.2", lambda p, t: label_shift(t, p), "other way round"),
    ("21.2", lambda p, t: round(float((p - t).mean())), "not average"),
    ("21.2", lambda p, t: 0, "are shifted"),
    ("21.2", lambda p, t: p - t, "one whole number"),
    ("21.3", lambda v, lo, hi, limit: "met" if v and v < limit else "missed", "inside the interval"),
    ("21.3", lambda v, lo, hi, limit: verdict(v or 0, lo or 0, hi or 0, limit), "nobody knows is open"),
    ("21.3", lambda v, lo, hi, limit: "met" if hi < limit else "missed", "inside the interval"),
    ("21.3", lambda v, lo, hi, limit: bool(v and v < limit), "Return one of"),
    (
        "21.3",
        lambda v, lo, hi, limit: "open" if v is None else verdict(v, lo, hi - 1e-9, limit),
        "limit itself",
    ),
)
