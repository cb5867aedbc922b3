"""Chapter 5: right answers, and the mistakes that students make, each with words of the hint it must get."""

import re

import numpy as np

from edgelab.exercises.chapter_05 import beyond_limit, kept, reasons_for, why_not
from edgelab.targets.edgetpu import target as edgetpu


def log(text):
    lines = [line.split(maxsplit=2) for line in text.splitlines()[2:]]
    mapped = sum(int(count) for _, count, status in lines if status == "Mapped to Edge TPU")
    return mapped, sum(int(count) for _, count, _ in lines)


def streamed(sizes, room):
    found = []
    for size in sizes:
        stays = min(size, room)
        room -= stays
        found.append(size - stays)
    return found


SOLUTIONS = {"05.1": why_not, "05.2": kept, "05.3": beyond_limit, "05.4": log, "05.5": streamed}


def name_first(operator, supported):
    """Every applicable reason will do, whichever is asked for first."""
    if operator["name"] not in set(supported):
        return "operator"
    types = np.array([tensor["dtype"] for tensor in operator["flows"]])
    if not np.isin(types, ["int8", "uint8"]).all():
        return np.str_("type")
    if not all(tensor["scaled"] for tensor in operator["flows"]):
        return "scale"
    outer = [np.prod(tensor["shape"][:-3], dtype=int) for tensor in operator["flows"]]
    return "shape" if max(outer) > 1 or not all(tensor["fixed"] for tensor in operator["flows"]) else ""


def last_reason(operator, supported):
    return max(reasons_for(operator, supported), default="")


def by_flags(operators, reasons):
    on_cpu = np.zeros(len(operators), bool)
    lost = np.zeros(len(operators), bool)
    for i in range(len(operators)):
        op = operators[i]
        free = op["name"] in {"CAST", "QUANTIZE"} and len(op["reads"]) == 0
        behind = lost[op["reads"]].any() if op["reads"] else False
        on_cpu[i] = bool(reasons[i]) or behind
        lost[i] = on_cpu[i] and not free
    return np.flatnonzero(~on_cpu)


def by_recursion(operators, reasons):
    def spoils(i):
        if any(spoils(j) for j in operators[i]["reads"]):
            return True
        if reasons[i] == "":
            return False
        return not (operators[i]["reads"] == [] and operators[i]["name"] in ("QUANTIZE", "CAST"))

    return {i for i in range(len(operators)) if not reasons[i] and not spoils(i)}


def backwards(operators, reasons):
    return list(reversed(kept(operators, reasons)))


def by_product(operator):
    kind = operator["name"].split("_")[0]
    before, after = (np.array(operator["flows"][place]["shape"]) for place in (0, -1))
    if kind == "SOFTMAX":
        return np.prod(before) != before[-1]
    return kind == "RESIZE" and bool((after[1:3] > 8 * before[1:3]).any())


def limit_by_height_and_width(operator):
    _, *before = operator["flows"][0]["shape"]
    if operator["name"] == "SOFTMAX":
        return 1 if sum(before[:-1]) > len(before) - 1 else 0
    if operator["name"] not in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        return 0
    _, height, width, _ = operator["flows"][-1]["shape"]
    return int(height / before[0] > 8 or width / before[1] > 8)


def limit_squared(operator):
    if operator["name"] == "SOFTMAX":
        return operator["flows"][0]["shape"][:-1] != (1,) * (len(operator["flows"][0]["shape"]) - 1)
    shapes = [tensor["shape"][1:3] for tensor in operator["flows"]]
    grown = [large / small for small, large in zip(shapes[0], shapes[-1], strict=False)]
    return "RESIZE" in operator["name"] and not all(factor <= 8 for factor in grown)


def log_by_pattern(text):
    rows = re.findall(r"^\S+\s+(\d+)\s+(.+?)$", text.split("\n\n", 1)[1], re.MULTILINE)
    counts = np.array([int(count) for count, _ in rows])
    return counts[[status == "Mapped to Edge TPU" for _, status in rows]].sum(), counts.sum()


def log_with_loop(text):
    mapped, total = 0, 0
    for line in text.split("\n")[2:]:
        words = line.split()
        if not words:
            continue
        total = total + int(words[1])
        if words[2:] == ["Mapped", "to", "Edge", "TPU"]:
            mapped = mapped + int(words[1])
    return [mapped, total]


def log_in_an_array(text):
    return np.array(log(text))


def streamed_by_sums(sizes, room):
    ends = np.cumsum(sizes)
    beyond = np.maximum(ends - room, 0)
    return np.diff(beyond, prepend=0)


def streamed_backwards(sizes, room):
    return [max(0, min(size, sum(sizes[: place + 1]) - room)) for place, size in enumerate(sizes)]


def streamed_as_floats(sizes, room):
    return tuple(float(size) for size in streamed(sizes, room))


ALSO_RIGHT = (
    ("05.1", name_first),
    ("05.1", last_reason),
    ("05.1", lambda operator, supported: next(iter(reasons_for(operator, supported)), "")),
    ("05.2", by_flags),
    ("05.2", by_recursion),
    ("05.2", backwards),
    ("05.3", by_product),
    ("05.3", limit_by_height_and_width),
    ("05.3", limit_squared),
    ("05.4", log_by_pattern),
    ("05.4", log_with_loop),
    ("05.4", log_in_an_array),
    ("05.5", streamed_by_sums),
    ("05.5", streamed_backwards),
    ("05.5", streamed_as_floats),
)


def first_tensor_only(operator, supported):
    return why_not(operator | {"flows": operator["flows"][:1]}, supported)


def ignores(*fields, **values):
    """The rule for operators whose tensors are said to be all right in some way."""

    def answer(operator, supported):
        flows = [tensor | {field: values[field] for field in fields} for tensor in operator["flows"]]
        return why_not(operator | {"flows": flows}, supported)

    return answer


def int8_only(operator, supported):
    if any(tensor["dtype"] == "uint8" for tensor in operator["flows"]):
        return "type"
    return why_not(operator, supported)


def no_name(operator, supported):
    return why_not(operator, [operator["name"]])


def first_dimension_only(operator, supported):
    flows = [tensor | {"shape": (*tensor["shape"][:1], 1, 1, 1)} for tensor in operator["flows"]]
    return why_not(operator | {"flows": flows}, supported)


def every_supported(operators, reasons):
    return [place for place, reason in enumerate(reasons) if not reason]


def until_the_first(operators, reasons):
    return list(range(next((place for place, reason in enumerate(reasons) if reason), len(reasons))))


def one_step_back(operators, reasons):
    return [
        place
        for place, operator in enumerate(operators)
        if not reasons[place] and all(not reasons[read] for read in operator["reads"])
    ]


def nothing_is_free(operators, reasons):
    return kept([operator | {"name": "CONV_2D"} for operator in operators], reasons)


def all_conversions_free(operators, reasons):
    free = [
        operator | {"reads": []} if operator["name"] in ("QUANTIZE", "CAST") and reason else operator
        for operator, reason in zip(operators, reasons, strict=True)
    ]
    return kept(free, reasons)


def every_start_free(operators, reasons):
    names = [operator["name"] if operator["reads"] else "CAST" for operator in operators]
    return kept([o | {"name": name} for o, name in zip(operators, names, strict=True)], reasons)


def resize_at_eight(operator):
    before, after = operator["flows"][0]["shape"], operator["flows"][-1]["shape"]
    return beyond_limit(operator) or (operator["name"][:6] == "RESIZE" and after[1] == 8 * before[1])


def height_only(operator):
    before, after = operator["flows"][0]["shape"], operator["flows"][-1]["shape"]
    if operator["name"].startswith("RESIZE"):
        return after[1] / before[1] > 8
    return beyond_limit(operator)


def any_softmax(operator):
    return operator["name"] == "SOFTMAX" or beyond_limit(operator)


def any_growth(operator):
    before, after = operator["flows"][0]["shape"], operator["flows"][-1]["shape"]
    return beyond_limit(operator) or (len(before) == 4 and after[1] / before[1] > 8)


def shrinks(operator):
    if operator["name"].startswith("RESIZE"):
        return beyond_limit(operator) or beyond_limit(operator | {"flows": operator["flows"][::-1]})
    return beyond_limit(operator)


def lines_of(text):
    return [line.split(maxsplit=2) for line in text.splitlines()[2:]]


def counts_lines(text):
    lines = lines_of(text)
    return sum(status == "Mapped to Edge TPU" for *_, status in lines), len(lines)


def mapped_where(test):
    return lambda text: (sum(int(c) for _, c, status in lines_of(text) if test(status)), log(text)[1])


def helper(text):
    found = edgetpu.parse(text)
    return found.mapped or 0, found.total or 0


WRONG = (
    ("05.1", lambda operator, supported: "", "not in `supported`"),
    ("05.1", ignores("fixed", fixed=True), "not fixed"),
    ("05.1", ignores("shape", shape=(1, 1)), "last three"),
    ("05.1", ignores("dtype", dtype="int8"), "only types"),
    ("05.1", ignores("scaled", scaled=True), "without a scale"),
    ("05.1", first_tensor_only, "not fixed"),
    ("05.1", first_dimension_only, "Everything about"),
    ("05.1", int8_only, "Everything about"),
    ("05.1", no_name, "not in `supported`"),
    ("05.1", lambda operator, supported: bool(why_not(operator, supported)), "the word itself"),
    ("05.2", every_supported, "lost too"),
    ("05.2", until_the_first, "depends on the culprit"),
    ("05.2", one_step_back, "was kept"),
    ("05.2", nothing_is_free, "takes nothing with it"),
    ("05.2", all_conversions_free, "reads from another"),
    ("05.2", every_start_free, "no other operator"),
    ("05.2", lambda operators, reasons: len(kept(operators, reasons)), "not its length"),
    ("05.3", lambda operator: operator["name"] == "RESIZE_BILINEAR", "one vector"),
    ("05.3", resize_at_eight, "still exact"),
    ("05.3", height_only, "larger factor"),
    ("05.3", any_softmax, "one vector"),
    ("05.3", any_growth, "two limits are"),
    ("05.3", shrinks, "first of flows"),
    ("05.4", counts_lines, "as its count says"),
    ("05.4", mapped_where(lambda status: "mapped" in status.lower()), "whole status"),
    ("05.4", mapped_where(lambda status: "Mapped" in status), "whole status"),
    ("05.4", mapped_where(lambda status: status.startswith("Mapped to")), "whole status"),
    ("05.4", lambda text: log(text)[::-1], "Mapped first"),
    ("05.4", lambda text: (log(text)[0], log(text)[0]), "belong to all"),
    ("05.4", lambda text: (8, 10), "got (8, 10)"),
    ("05.4", helper, "got (0, 97)"),
    ("05.5", lambda sizes, room: [max(0, size - room) for size in sizes], "share the room"),
    ("05.5", lambda sizes, room: [size - room for size in sizes], "not less than nothing"),
    ("05.5", lambda s, r: [size - rest for size, rest in zip(s, streamed(s, r), strict=True)], "asked for"),
    ("05.5", lambda sizes, room: streamed(sizes, 8 * 2**20), "second argument"),
    ("05.5", lambda sizes, room: [size if size > room else 0 for size in sizes], "only the rest"),
)

SURVIVORS = [
    (
        "05.2",
        "for place, (operator, reason) in enumerate(zip(operators, reasons, strict=False)):",
        "both lists are always of one length",
    ),
]
