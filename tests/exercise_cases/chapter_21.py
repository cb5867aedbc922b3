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


def gate(requirements, facts, judge):
    words = [judge(*facts.get(name, (None,) * 3), limit) for name, limit in requirements]
    return int(set(words) > {"met"} or (bool(words) and "met" not in words)), [
        (name, word) for (name, _), word in zip(requirements, words, strict=True)
    ]


SOLUTIONS = {"21.1": real_range, "21.2": label_shift, "21.3": verdict, "21.4": gate}


def gate_by_loop(requirements, facts, judge):
    code, said = 0, []
    for name, limit in requirements:
        known = facts.get(name) or [None] * 3
        word = judge(known[0], known[1], known[2], limit)
        if word != "met":
            code = 1
        said += [[name, word]]
    return [code, said]


def gate_by_arrays(requirements, facts, judge):
    said = [(name, judge(*(facts.get(name) or (None, None, None)), limit)) for name, limit in requirements]
    return np.max([word != "met" for _, word in said], initial=False), tuple(said)


def gate_from_behind(requirements, facts, judge):
    said, code = [], 0
    for name, limit in reversed(requirements):
        said.insert(0, (name, judge(*facts.get(name, (None, None, None)), limit=limit)))
        code |= said[0][1] in ("open", "missed")
    return code, said


def stops_at_the_first(requirements, facts, judge):
    said = []
    for name, limit in requirements:
        said.append((name, judge(*facts.get(name, (None, None, None)), limit)))
        if said[-1][1] != "met":
            return 1, said
    return 0, said


def counts_them(requirements, facts, judge):
    _, said = gate(requirements, facts, judge)
    return sum(word != "met" for _, word in said), said


def open_is_fine(requirements, facts, judge):
    _, said = gate(requirements, facts, judge)
    return int("missed" in dict(said).values()), said


def must_be_known(requirements, facts, judge):
    said = [(name, judge(*facts[name], limit)) for name, limit in requirements]
    return int(any(word != "met" for _, word in said)), said


def visible_alone(requirements, facts, judge):
    code, said = gate(requirements, facts, judge)
    return code if len(facts) == 2 and code == 0 else 7, said


def judges_itself(requirements, facts, judge):
    return gate(requirements, facts, verdict)


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
    ("21.4", gate_by_loop),
    ("21.4", gate_by_arrays),
    ("21.4", gate_from_behind),
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
    ("21.4", counts_them, "however many"),
    ("21.4", open_is_fine, "An open requirement"),
    ("21.4", stops_at_the_first, "behind the first"),
    ("21.4", lambda r, f, j: gate(sorted(r), f, j), "Keep the order"),
    ("21.4", judges_itself, "this one asks for more"),
    ("21.4", must_be_known, "with None"),
    ("21.4", lambda r, f, j: gate(r, f, j)[0], "a pair (code, lines)"),
    ("21.4", visible_alone, "got (7, "),
)
