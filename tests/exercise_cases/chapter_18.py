"""Cases of the exercises of chapter 18."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

PAD, UNKNOWN = "[pad]", "[unknown]"


def vocabulary(texts, size):
    counts = Counter(word for text in texts for word in text)
    return [PAD, UNKNOWN, *sorted(counts, key=lambda word: (-counts[word], word))[: size - 2]]


def encode(words, lines, length):
    number_of = {word: number for number, word in enumerate(lines)}
    numbers = [number_of.get(word, 1) for word in words][-length:]
    return np.array([0] * (length - len(numbers)) + numbers, np.int32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step(x, h, c, kernel, recurrent, bias):
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def read_sentence(step, vectors, units):
    h = c = np.zeros(units)
    for x in vectors:
        h, c = step(x, h, c)
    return h


def lines_that_fit(found, budget_bytes):
    lookup = next(operator for operator in found.operators if operator.name == "GATHER")
    words = found.tensors[lookup.inputs[0]]
    row_bytes = words.size_bytes // words.shape[0]
    return max(0, (budget_bytes - found.size_bytes + words.size_bytes) // row_bytes)


SOLUTIONS = {
    "18.1": vocabulary,
    "18.2": encode,
    "18.3": lstm_step,
    "18.4": read_sentence,
    "18.5": lines_that_fit,
}


def by_two_sorts(texts, size):
    counts = defaultdict(int)
    for text in texts:
        for word in text:
            counts[word] += 1
    ordered = sorted(counts)
    ordered.sort(key=counts.get, reverse=True)
    return (PAD, UNKNOWN, *ordered)[:size]


def by_most_common(texts, size):
    words = sorted(word for text in texts for word in text)
    return [PAD, UNKNOWN] + [word for word, _ in Counter(words).most_common(size - 2)]


def by_joined_text(texts, size):
    words = [word for text in texts for word in text]
    found = sorted(set(words), key=lambda word: (words.count(word) * -1, word))
    lines = [PAD, UNKNOWN]
    for word in found:
        if len(lines) == size:
            break
        lines.append(word)
    return lines


def into_zeros(words, lines, length):
    found = np.zeros(length, np.int32)
    last = list(words)[-length:]
    for place, word in enumerate(last, start=length - len(last)):
        found[place] = lines.index(word) if word in lines else 1
    return found


def padded_by_numpy(words, lines, length):
    numbers = [lines.index(word) if word in lines else 1 for word in words]
    return np.pad(np.array(numbers, np.int32), (length, 0))[-length:]


def words_padded_first(words, lines, length):
    filled = [PAD] * length + list(words)
    return np.array([lines.index(w) if w in lines else 1 for w in filled[-length:]], dtype="int32")


def by_slices(x, h, c, kernel, recurrent, bias):
    units, z = len(h), np.dot(x, kernel) + np.dot(h, recurrent) + bias
    gate = [z[n * units : (n + 1) * units] for n in range(4)]
    memory = c / (1 + np.exp(-gate[1])) + np.tanh(gate[2]) / (1 + np.exp(-gate[0]))
    return [np.tanh(memory) / (1 + np.exp(-gate[3])), memory]


def by_rows(x, h, c, kernel, recurrent, bias):
    z = (np.concatenate([x, h])[np.newaxis] @ np.vstack([kernel, recurrent]) + bias).reshape(4, -1)
    i, f, o = sigmoid(z[[0, 1, 3]])
    c *= f
    c += i * np.tanh(z[2])
    return o * np.tanh(c), c


def with_loops(x, h, c, kernel, recurrent, bias):
    units = len(h)
    z = [bias[k] + sum(x * kernel[:, k]) + sum(h * recurrent[:, k]) for k in range(4 * units)]
    new_c = [sigmoid(z[units + n]) * c[n] + sigmoid(z[n]) * np.tanh(z[2 * units + n]) for n in range(units)]
    new_h = [sigmoid(z[3 * units + n]) * np.tanh(new_c[n]) for n in range(units)]
    return np.array(new_h), np.array(new_c)


def by_while(step, vectors, units):
    place, state = 0, (np.zeros(units), np.zeros(units))
    while place < len(vectors):
        state = step(vectors[place], *state)
        place += 1
    return state[0]


def by_reduce(step, vectors, units):
    from functools import reduce

    return reduce(lambda state, x: step(x, *state), vectors, (np.zeros(units), np.zeros(units)))[0]


def by_recursion(step, vectors, units):
    def state_after(count):
        if count == 0:
            return np.zeros(units), np.zeros(units)
        h, c = state_after(count - 1)
        return step(vectors[count - 1], h, c)

    return state_after(len(vectors))[0]


def table_of(found):
    (lookup,) = [operator for operator in found.operators if operator.name == "GATHER"]
    return found.tensors[lookup.inputs[0]]


def lines_by_counting(found, budget_bytes):
    words, lines = table_of(found), 0
    size = found.size_bytes - words.size_bytes
    while size + words.size_bytes // len(range(words.shape[0])) <= budget_bytes:
        size, lines = size + words.size_bytes // words.shape[0], lines + 1
    return lines


def lines_more_than_now(found, budget_bytes):
    words = table_of(found)
    more = np.floor((budget_bytes - found.size_bytes) / (words.size_bytes / words.shape[0]))
    return np.int64(max(words.shape[0] + more, 0))


def lines_by_type(found, budget_bytes):
    words = table_of(found)
    row_bytes = words.shape[1] * {"int8": 1, "float16": 2, "float32": 4}[words.dtype]
    room = budget_bytes - (found.size_bytes - words.shape[0] * row_bytes)
    return room // row_bytes if room > 0 else 0


def lines_with(change):
    """A wrong rule of room for the table, bytes of a row, the table and the whole file."""

    def answer(found, budget_bytes):
        words = table_of(found)
        room = budget_bytes - found.size_bytes + words.size_bytes
        return change(room, words.size_bytes // words.shape[0], words, found)

    return answer


def lines_of_the_largest(found, budget_bytes):
    words = max((one for one in found.tensors if one.is_constant), key=lambda one: one.size_bytes)
    row_bytes = words.size_bytes // words.shape[0]
    return max(0, (budget_bytes - found.size_bytes + words.size_bytes) // row_bytes)


def with_gates(change):
    def step(x, h, c, kernel, recurrent, bias):
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        return change(i, f, g, o, c)

    return step


def memory_of(i, f, g, c):
    return sigmoid(f) * c + sigmoid(i) * np.tanh(g)


def left_over():
    """Keeps its state from call to call, as a fused operator does."""
    kept = {}

    def read(step, vectors, units):
        h, c = kept.get(units, (np.zeros(units), np.zeros(units)))
        for x in vectors:
            h, c = step(x, h, c)
        kept[units] = h, c
        return h

    return read


def memory_forgotten(step, vectors, units):
    h = np.zeros(units)
    for x in vectors:
        h, _ = step(x, np.zeros(units), np.zeros(units))
    return h


def memory_returned(step, vectors, units):
    h = c = np.zeros(units)
    for x in vectors:
        h, c = step(x, h, c)
    return c


def all_returned(step, vectors, units):
    h, c, found = np.zeros(units), np.zeros(units), []
    for x in vectors:
        h, c = step(x, h, c)
        found.append(h)
    return np.stack(found) if len(found) > 1 else np.zeros((2, units))


def known_only(words, lines, length):
    return encode([word for word in words if word in lines], lines, length)


def zeros_behind(words, lines, length):
    found = encode(words, lines, length)
    return np.roll(found, -max(0, length - len(words)))


ALSO_RIGHT = (
    ("18.1", by_two_sorts),
    ("18.1", by_most_common),
    ("18.1", by_joined_text),
    ("18.2", into_zeros),
    ("18.2", padded_by_numpy),
    ("18.2", words_padded_first),
    ("18.3", by_slices),
    ("18.3", by_rows),
    ("18.3", with_loops),
    ("18.4", by_while),
    ("18.4", by_reduce),
    ("18.4", by_recursion),
    ("18.5", lines_by_counting),
    ("18.5", lines_more_than_now),
    ("18.5", lines_by_type),
)

WRONG = (
    ("18.1", lambda texts, size: vocabulary(texts, size + 2), "count, too"),
    ("18.1", lambda texts, size: vocabulary(texts, size + 2)[2:], "both have a number"),
    ("18.1", lambda texts, size: vocabulary(texts, size)[::-1], "both have a number"),
    ("18.1", lambda texts, size: [PAD, UNKNOWN, *sorted(vocabulary(texts, size)[2:])], "in another order"),
    ("18.1", lambda texts, size: vocabulary(texts[:1], size), "over all texts"),
    ("18.1", lambda texts, size: "\n".join(vocabulary(texts, size)), "a list of words"),
    ("18.2", lambda words, lines, length: encode(words[:length], lines, length), "loses its first words"),
    ("18.2", zeros_behind, "stand in front"),
    ("18.2", known_only, "and its place"),
    ("18.2", lambda words, lines, length: encode(words, lines, len(words)), "exactly length numbers"),
    ("18.2", lambda words, lines, length: encode(words, lines, length).astype(np.float32), "takes int32"),
    (
        "18.2",
        lambda words, lines, length: encode(words, lines, length) * (encode(words, lines, length) != 1),
        "0 is padding",
    ),
    ("18.2", lambda words, lines, length: encode(words, lines[1:], length), "that of its line"),
    ("18.3", lambda x, h, c, k, r, b: lstm_step(x, h, c, k, r, b)[::-1], "memory second"),
    (
        "18.3",
        with_gates(
            lambda i, f, g, o, c: (sigmoid(o) * np.tanh(memory_of(f, i, g, c)), memory_of(f, i, g, c))
        ),
        "the order input",
    ),
    (
        "18.3",
        with_gates(lambda i, f, g, o, c: (sigmoid(o) * memory_of(i, f, g, c), memory_of(i, f, g, c))),
        "passes through tanh",
    ),
    (
        "18.3",
        with_gates(lambda i, f, g, o, c: (sigmoid(o) * np.tanh(c), memory_of(i, f, g, c))),
        "from the new memory",
    ),
    ("18.3", lambda x, h, c, k, r, b: lstm_step(x, h, 0 * c, k, r, b), "old memory is missing"),
    ("18.3", lambda x, h, c, k, r, b: lstm_step(x, h, c, k, r, 0 * b), "three parts"),
    ("18.3", lambda x, h, c, k, r, b: lstm_step(x, 0 * h, c, k, r, b), "three parts"),
    (
        "18.3",
        with_gates(lambda i, f, g, o, c: (sigmoid(o), sigmoid(f) * c + sigmoid(i) * sigmoid(g))),
        "times tanh(g)",
    ),
    ("18.3", lambda x, h, c, k, r, b: lstm_step(x, h, c, k, r, b)[0], "Return two arrays"),
    ("18.3", lambda x, h, c, k, r, b: (x @ k, x @ k), "as the cell has units"),
    ("18.4", left_over(), "Begin every sentence"),
    ("18.4", memory_forgotten, "output and memory of the word before"),
    ("18.4", memory_returned, "This is the memory"),
    ("18.4", lambda step, vectors, units: read_sentence(step, vectors[::-1], units), "first to the last"),
    ("18.4", lambda step, vectors, units: read_sentence(step, vectors[:-1], units), "last word counts"),
    ("18.4", all_returned, "one value a unit"),
    (
        "18.5",
        lambda found, budget: budget // (table_of(found).size_bytes // table_of(found).shape[0]),
        "needs its room",
    ),
    (
        "18.5",
        lines_with(lambda room, row, words, _: max(0, (room - words.size_bytes) // row)),
        "old table makes room",
    ),
    ("18.5", lines_with(lambda room, row, words, _: max(0, room // words.shape[1])), "not its values"),
    ("18.5", lines_with(lambda room, row, *_: room // row), "the answer is 0"),
    ("18.5", lines_with(lambda room, row, *_: max(0, -(-room // row))), "Round down"),
    ("18.5", lines_with(lambda room, row, *_: max(0, room / row)), "no half lines"),
    ("18.5", lines_of_the_largest, "not the largest constant"),
    ("18.5", lambda found, budget: 60, "not the largest constant"),
)

SURVIVORS = ()
