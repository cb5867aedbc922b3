"""Chapter 12: right answers, and the mistakes that students make, each with words of the hint it must get."""

import itertools
import math

import numpy as np


def fold(kernel, gamma, beta, mean, variance, epsilon):
    gain = gamma / np.sqrt(variance + epsilon)
    return kernel * gain, beta - mean * gain


def copies(reads, on_chip, where_input=False, result=True):
    moved = set()
    for own, parents in zip(on_chip, reads, strict=True):
        for parent in parents:
            made = on_chip[parent] if parent >= 0 else where_input
            if made != own:
                moved.add(parent)
    return len(moved) + (on_chip[-1] if result else 0)


def copies_by_producer(reads, on_chip):
    """For every tensor whether anybody reads it at the other side."""
    made = {-1: False, **dict(enumerate(on_chip))}
    count = int(on_chip[-1])
    for tensor, side in made.items():
        count += any(tensor in parents and on_chip[own] != side for own, parents in enumerate(reads))
    return count


def copies_by_pairs(reads, on_chip):
    pairs = {(p, on_chip[own]) for own, row in enumerate(reads) for p in row}
    return np.int64(sum((p >= 0 and on_chip[p]) != own for p, own in pairs) + on_chip[-1])


def copies_with_the_host_as_reader(reads, on_chip):
    """The host as one more operator, which reads the result."""
    reads, side = [*reads, [len(reads) - 1]], np.array([*on_chip, False, False])
    return len({parent for own, row in enumerate(reads) for parent in row if side[parent] ^ side[own]})


def gelu(x, tanh, half=0.5, cube=lambda x: x * x * x, added=1):
    return half * x * (added + tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * cube(x))))


def gelu_in_steps(x, tanh):
    square = x * x
    inner = x + np.float64(0.044715) * square * x
    return (x + x * tanh(inner * np.sqrt(2 / np.pi))) / 2


def gelu_expanded(x, tanh):
    return x / 2 + x / 2 * tanh(0.79788456 * x + 0.03567740814 * x**3)


def gelu_by_loops(x, tanh):
    return np.array([gelu(value, tanh) for value in x.ravel()]).reshape(x.shape)


def gelu_by_erf(x, tanh):
    return np.vectorize(lambda value: value * (1 + math.erf(value / math.sqrt(2))) / 2)(x)


def replaced(nodes, kind, parts, first=0, moved=True):
    result, place = [], {-1: -1}
    for number, (own, reads) in enumerate(nodes):
        inputs, start = [place[read] for read in reads] if moved else list(reads), len(result)
        if own == kind:
            for part, part_reads in parts:
                result.append((part, [inputs[first] if read < 0 else start + read for read in part_reads]))
        else:
            result.append((own, inputs))
        place[number] = len(result) - 1
    return result


def replaced_by_counting(nodes, kind, parts):
    """New numbers first: each replaced node before moves what follows by len(parts) - 1."""
    extra = [0, *np.cumsum([(len(parts) - 1) * (own == kind) for own, _ in nodes])]
    result = []
    for number, (own, reads) in enumerate(nodes):
        inputs = [read if read < 0 else read + extra[read + 1] for read in reads]
        if own != kind:
            result.append([own, inputs])
            continue
        for part, part_reads in parts:
            result.append([part, [inputs[0] if r < 0 else number + extra[number] + r for r in part_reads]])
    return result


def replaced_one_by_one(nodes, kind, parts):
    """Replace the first, renumber all that follow, and look again."""
    nodes = [(own, tuple(reads)) for own, reads in nodes]
    while kind in [own for own, _ in nodes]:
        at = [own for own, _ in nodes].index(kind)
        source, more = nodes[at][1][0], len(parts) - 1
        new = [(part, tuple(source if r == -1 else at + r for r in reads)) for part, reads in parts]
        behind = [(own, tuple(r + more * (r >= at) for r in reads)) for own, reads in nodes[at + 1 :]]
        nodes = nodes[:at] + new + behind
    return nodes


def replaced_by_recursion(nodes, kind, parts):
    """Operators as they are asked for: another order, the same computation."""
    result, done = [], {-1: -1}

    def number_of(index):
        if index not in done:
            own, reads = nodes[index]
            inputs = [number_of(read) for read in reads]
            start = len(result)
            for part, part_reads in parts if own == kind else [(own, range(len(inputs)))]:
                asked = part_reads if own == kind else []
                result.append((part, [inputs[0] if r < 0 else start + r for r in asked] or inputs))
            done[index] = len(result) - 1
        return done[index]

    for index in range(len(nodes)):
        number_of(index)
    return result


def replaced_once(nodes, kind, parts):
    at = [own for own, _ in nodes].index(kind)
    kept = [
        ("later" if own == kind and number > at else own, reads) for number, (own, reads) in enumerate(nodes)
    ]
    return [(kind if own == "later" else own, reads) for own, reads in replaced(kept, kind, parts)]


def parts_unshifted(nodes, kind, parts):
    result, place = [], {-1: -1}
    for number, (own, reads) in enumerate(nodes):
        inputs = [place[read] for read in reads]
        new = (
            [(p, [inputs[0] if r < 0 else r for r in rs]) for p, rs in parts]
            if own == kind
            else [(own, inputs)]
        )
        result += new
        place[number] = len(result) - 1
    return result


def parts_at_the_input(nodes, kind, parts):
    """-1 taken for the input of the model."""
    right = replaced(nodes, kind, parts)
    marked = replaced(nodes, kind, [(f"new {p}", rs) for p, rs in parts])
    starts = [i for i, (own, _) in enumerate(marked) if own.startswith("new")]
    result = list(right)
    for place, number in enumerate(starts):
        reads = parts[place % len(parts)][1]
        result[number] = (
            right[number][0],
            [-1 if r < 0 else now for r, now in zip(reads, right[number][1], strict=True)],
        )
    return result


SOLUTIONS = {"12.1": fold, "12.2": copies, "12.3": gelu, "12.4": replaced}
ALSO_RIGHT = (
    (
        "12.1",
        lambda k, g, b, m, v, e: [k * (g / (v + e) ** 0.5)[None, None, None], b - m * g / (v + e) ** 0.5],
    ),
    (
        "12.1",
        lambda k, g, b, m, v, e: (
            np.einsum("hwio,o->hwio", k, g * (v + e) ** -0.5),
            b - m * g * (v + e) ** -0.5,
        ),
    ),
    ("12.1", lambda k, g, b, m, v, e: tuple(part.astype(np.float32) for part in fold(k, g, b, m, v, e))),
    ("12.2", copies_by_producer),
    ("12.2", copies_by_pairs),
    ("12.2", copies_with_the_host_as_reader),
    ("12.3", gelu_in_steps),
    ("12.3", gelu_expanded),
    ("12.3", gelu_by_loops),
    ("12.4", replaced_by_counting),
    ("12.4", replaced_one_by_one),
    ("12.4", replaced_by_recursion),
)


def with_gain(gain, bias=lambda beta, mean, gain: beta - mean * gain):
    def answer(kernel, gamma, beta, mean, variance, epsilon):
        found = gain(gamma, variance, epsilon)
        return kernel * found, bias(beta, mean, found.ravel())

    return answer


def right_gain(gamma, variance, epsilon):
    return gamma / np.sqrt(variance + epsilon)


def each_reader(reads, on_chip):
    made = [*on_chip, False]
    return sum(made[p] != own for own, row in zip(on_chip, reads, strict=True) for p in row) + on_chip[-1]


def without_the_input(reads, on_chip):
    return copies([[parent for parent in row if parent >= 0] for row in reads], on_chip)


def changes_in_the_list(reads, on_chip):
    order = [False, *on_chip, False]
    return sum(before != after for before, after in itertools.pairwise(order))


WRONG = (
    ("12.1", with_gain(lambda g, v, e: g / np.sqrt(v)), "epsilon is added before the root"),
    ("12.1", with_gain(lambda g, v, e: g / (v + e)), "square root of the variance"),
    ("12.1", with_gain(lambda g, v, e: g / (np.sqrt(v) + e)), "under the root"),
    ("12.1", with_gain(lambda g, v, e: 1 / np.sqrt(v + e)), "gamma is missing"),
    ("12.1", with_gain(lambda g, v, e: right_gain(g, v, e)[:, None]), "the last axis"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta + mean * gain), "minus, not plus"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta - mean), "scaled as well"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta), "not been subtracted"),
    ("12.1", lambda kernel, *_: kernel, "Return two arrays"),
    ("12.2", each_reader, "however many operators read it"),
    ("12.2", lambda reads, on_chip: copies(reads, on_chip, result=False), "the host wants it"),
    (
        "12.2",
        without_the_input,
        "lies at the host",
    ),
    ("12.2", lambda reads, on_chip: copies(reads, on_chip, on_chip[-1]), "is the last operator"),
    ("12.2", changes_in_the_list, "not which operator is before it"),
    ("12.1", lambda k, g, b, m, v, e: fold(k, g, b, m, v, 1e-3), "not the same everywhere"),
    ("12.2", lambda reads, on_chip: 2 if len(reads) == 4 else 99, "got 99"),
    (
        "12.2",
        lambda reads, on_chip: copies(reads, on_chip) if len(reads) < 6 else -1,
        "got -1",
    ),
    ("12.3", lambda x, tanh: gelu(x, tanh, cube=lambda x: 0), "The cube is missing"),
    ("12.3", lambda x, tanh: gelu(x, tanh, half=1), "one half is missing"),
    ("12.3", lambda x, tanh: gelu(x, tanh, added=0), "1 is added"),
    ("12.3", lambda x, tanh: gelu(x, tanh, cube=lambda x: x * x), "not x * x"),
    ("12.3", lambda x, tanh: x * (1 + tanh(0.851 * x)) / 2, "off by up to 0.02"),
    ("12.3", lambda x, tanh: np.maximum(x, 0), "That is ReLU"),
    ("12.3", gelu_by_erf, "that is handed over"),
    ("12.3", lambda x, tanh: 0.8412, "one value for each"),
    ("12.4", replaced_once, "also the second one"),
    ("12.4", lambda nodes, kind, parts: replaced(nodes, kind, parts[-1:]), "as many nodes as"),
    ("12.4", lambda nodes, kind, parts: replaced(nodes, kind, parts, moved=False), "needs its new number"),
    ("12.4", parts_unshifted, "-1 is what the GELU reads"),
    (
        "12.4",
        lambda nodes, kind, parts: [(own, [len(nodes) + 9]) for own, _ in replaced(nodes, kind, parts)],
        "count the parts",
    ),
    ("12.4", parts_at_the_input, "-1 is what the GELU reads"),
    (
        "12.4",
        lambda nodes, kind, parts: [("ADD", reads) for _, reads in replaced(nodes, kind, parts)],
        "another order",
    ),
)
