"""The checks of chapter 18: a vocabulary, numbers for words, an LSTM's step and sentence, a table's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.graph import Graph, Operator, Tensor
from edgelab.language.tokenizer import PAD, UNKNOWN
from edgelab.texts import tr


def vocabulary(texts: Sequence[Sequence[str]], size: int) -> list[str]:
    """The lines of a vocabulary file.

    Args:
        texts: of the training set, each a list of its words.
        size: lines, with the two that stand first.

    Returns:
        `PAD`, `UNKNOWN`, then the most frequent words; among equally frequent ones the alphabet decides.
    """
    counts = Counter(word for text in texts for word in text)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return [PAD, UNKNOWN, *ordered[: size - 2]]


def encode(words: Sequence[str], lines: Sequence[str], length: int) -> np.ndarray:
    """The numbers of a text's words.

    Args:
        words: of one text, in order.
        lines: of the vocabulary file.
        length: numbers wanted.

    Returns:
        int32 `[length]`: zeros in front where the text is shorter, its last words where it is longer.
    """
    number_of = {word: number for number, word in enumerate(lines)}
    numbers = [number_of.get(word, 1) for word in words][-length:]
    return np.array([0] * (length - len(numbers)) + numbers, np.int32)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """From any number to 0 to 1."""
    return 1 / (1 + np.exp(-z))


def lstm_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One word read by an LSTM: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    Args:
        x: the word's vector `[width]`.
        h, c: output and memory after the word before, `[units]`.
        kernel, recurrent, bias: `[width, 4 * units]`, `[units, 4 * units]`, `[4 * units]`; gates in Keras's
            order: input, forget, candidate, output.

    Returns:
        Output and memory after this word.
    """
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def read_sentence(
    step: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    vectors: np.ndarray,
    units: int,
) -> np.ndarray:
    """The output after the last word.

    Args:
        step: takes `x`, `h`, `c`, gives the next `h`, `c`.
        vectors: of the words, `[length, width]`.
        units: size of `h` and `c`, which begin as zeros.
    """
    h = c = np.zeros(units)
    for x in vectors:
        h, c = step(x, h, c)
    return h


def lines_that_fit(found: Graph, budget_bytes: int) -> int:
    """How many lines the vocabulary of a model's file may have, so that the file keeps within a budget.

    Args:
        found: a graph with one GATHER, which reads the table of the words' vectors.
        budget_bytes: for the whole file.

    Returns:
        Rows of the table for which there is room beside the rest of the file; 0 where there is none.
    """
    table = next(found.tensors[one.inputs[0]] for one in found.operators if one.name == "GATHER")
    free_bytes = budget_bytes - found.size_bytes + table.size_bytes
    return max(0, free_bytes * table.shape[0] // table.size_bytes)


WORDS = ("the", "film", "is", "not", "good", "plot", "cast", "dull", ",", ".")
SIZES = (5, 4, 30)


def _texts(seed: int, count: int) -> list[list[str]]:
    """Texts of up to nine words, some of them more frequent than others, and an empty one."""
    rng = np.random.default_rng(170 + seed)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    drawn = [rng.choice(WORDS, rng.integers(1, 10), p=shares / shares.sum()).tolist() for _ in range(count)]
    return [*drawn, []]


@exercise(
    "18.1",
    tr("A vocabulary that ships"),
    hints=(
        tr("Count all words of all texts: Counter(word for text in texts for word in text)."),
        tr("sorted(counts, key=lambda word: (-counts[word], word)): frequent ones first, then the alphabet."),
        tr('Two lines stand in front: ["[pad]", "[unknown]", *ordered[: size - 2]].'),
    ),
    read=tr("the section “Words into numbers” of this chapter"),
)
def check_vocabulary(answer: Callable[[Sequence[Sequence[str]], int], Sequence[str]]) -> None:
    """Padding, unknown, then the most frequent words of the texts."""
    for texts, size in ((_texts(seed, 2 + seed), size) for seed in range(3) for size in SIZES):
        got, expected = answer([list(text) for text in texts], size), vocabulary(texts, size)
        if not isinstance(got, list | tuple) or not all(isinstance(word, str) for word in got):
            raise Mistake(
                tr("got {kind}", kind=type(got).__name__), tr("Return a list of words, a line each.")
            )
        if list(got) == expected:
            continue
        hint = ""
        if list(got[:2]) != [PAD, UNKNOWN]:
            hint = tr('Line 0 is "[pad]", line 1 is "[unknown]": both have a number of their own.')
        elif len(got) > size:
            hint = tr("The two lines in front count, too: the file has size lines at most.")
        elif set(got) == set(expected):
            hint = tr(
                "The right words in another order: frequent ones first, equally frequent by the alphabet."
            )
        elif len(got) == len(expected):
            hint = tr("Other words are more frequent: count over all texts together.")
        raise Mistake(
            tr(
                "{texts}, size {size}: expected {expected}, got {got}",
                texts=[" ".join(text) for text in texts],
                size=size,
                expected=expected,
                got=list(got),
            ),
            hint,
        )


LINES = (PAD, UNKNOWN, "the", "film", "is", "not", "good")
LENGTHS = (5, 3, 8, 1)


@exercise(
    "18.2",
    tr("Words into numbers"),
    hints=(
        tr("number_of = {word: number for number, word in enumerate(lines)} finds a word's number at once."),
        tr("number_of.get(word, 1) is 1 where the word is in no line; [-length:] keeps the last ones."),
        tr("np.array([0] * (length - len(numbers)) + numbers, np.int32) pads in front."),
    ),
    read=tr("the section “Words into numbers” of this chapter"),
)
def check_encode(answer: Callable[[Sequence[str], Sequence[str], int], np.ndarray]) -> None:
    """The last words' numbers, zeros in front, 1 for words that are in no line."""
    for words, length in ((words, length) for words in _texts(7, 12) for length in LENGTHS):
        got, expected = np.asarray(answer(list(words), list(LINES), length)), encode(words, LINES, length)
        what = tr("{words}, length {length}: ", words=words, length=length)
        if got.shape != expected.shape:
            raise Mistake(
                what + tr("expected the shape {expected}, got {got}", expected=expected.shape, got=got.shape),
                tr("Every text gives exactly length numbers."),
            )
        if got.dtype != np.int32:
            raise Mistake(
                what + tr("got {kind}", kind=got.dtype), tr("The network takes int32, and nothing else.")
            )
        if np.array_equal(got, expected):
            continue
        hint = tr("A word's number is that of its line, from 0.")
        known = [word for word in words if word in LINES]
        if np.array_equal(got, encode(words[:length], LINES, length)):
            hint = tr("What is too long loses its first words: the last ones stay.")
        elif np.array_equal(got, _padded_behind(words, length)):
            hint = tr("The zeros stand in front, so that the last word is read last.")
        elif np.array_equal(got, encode(known, LINES, length)):
            hint = tr("An unknown word is a word, too: it gets the number 1, and its place.")
        elif np.array_equal(got, np.where(expected == 1, 0, expected)):
            hint = tr("0 is padding; an unknown word has the number 1.")
        raise Mistake(
            what + tr("expected {expected}, got {got}", expected=expected.tolist(), got=got.tolist()), hint
        )


def _padded_behind(words: Sequence[str], length: int) -> np.ndarray:
    numbers = (
        encode(words[-length:], LINES, min(length, max(1, len(words)))) if words else np.zeros(0, np.int32)
    )
    return np.concatenate([numbers, np.zeros(length - len(numbers), np.int32)])


CELLS = ((5, 3), (2, 7), (4, 4))  # width, units


def _cell(seed: int, width: int, units: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(180 + seed)
    shapes = ((width,), (units,), (units,), (width, 4 * units), (units, 4 * units), (4 * units,))
    return tuple(rng.normal(0, 0.8, shape) for shape in shapes)


@exercise(
    "18.3",
    tr("One step of an LSTM"),
    hints=(
        tr("i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4) are the four gates' sums."),
        tr("The memory: sigmoid(f) of the old one stays, and sigmoid(i) * np.tanh(g) comes in."),
        tr("The output is sigmoid(o) * np.tanh(c), with the new c; return the output, then the memory."),
    ),
    read=tr("the section “Inside the LSTM” of this chapter"),
)
def check_step(answer: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Output and memory after one more word."""
    for seed, (width, units) in enumerate(CELLS):
        given = _cell(seed, width, units)
        got = answer(*(array.copy() for array in given))
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Mistake(
                tr("got {kind}", kind=type(got).__name__), tr("Return two arrays: output and memory.")
            )
        h, c = (np.asarray(one, float) for one in got)
        expected_h, expected_c = lstm_step(*given)
        if h.shape == c.shape == (units,) and np.allclose(h, expected_h) and np.allclose(c, expected_c):
            continue
        hint = ""
        if h.shape != (units,) or c.shape != (units,):
            hint = tr("Output and memory have as many values as the cell has units.")
        elif np.allclose(h, expected_c) and np.allclose(c, expected_h):
            hint = tr("The output stands first, the memory second.")
        elif not np.allclose(c, expected_c):
            hint = _about_memory(given, c)
        elif np.allclose(h, _gates(given)[3] * expected_c):
            hint = tr("The memory passes through tanh before the output gate lets it out.")
        else:
            hint = tr("The memory is right; the output is made from the new memory.")
        raise Mistake(
            tr(
                "{units} units: expected the output {expected}, got {got}",
                units=units,
                expected=np.round(expected_h, 3).tolist(),
                got=np.round(h, 3).tolist(),
            ),
            hint,
        )


def _gates(given: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Input, forget and candidate sums, and the output gate already opened."""
    x, h, _, kernel, recurrent, bias = given
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    return [i, f, g, sigmoid(o)]


def _about_memory(given: tuple[np.ndarray, ...], c: np.ndarray) -> str:
    x, h, before, kernel, recurrent, bias = given
    i, f, g, _ = _gates(given)
    if np.allclose(c, sigmoid(i) * before + sigmoid(f) * np.tanh(g)):
        return tr("The gates stand in the order input, forget, candidate, output.")
    if np.allclose(c, sigmoid(i) * np.tanh(g)):
        return tr("The old memory is missing: sigmoid(f) says how much of it stays.")
    for without in (
        lstm_step(x, h, before, kernel, recurrent, 0 * bias),
        lstm_step(x, 0 * h, before, kernel, recurrent, bias),
    ):
        if np.allclose(c, without[1]):
            return tr("The sum has three parts: of the word, of the output before, and the bias.")
    return tr("Of the memory sigmoid(f) stays, and sigmoid(i) times tanh(g) comes in.")


@exercise(
    "18.4",
    tr("Read a sentence"),
    hints=(
        tr("Output and memory are zeros before the first word: np.zeros(units)."),
        tr("For each vector in turn: h, c = step(x, h, c). The next word goes on with both."),
        tr("After the loop return h alone."),
    ),
    read=tr("the section “Inside the LSTM” of this chapter"),
)
def check_read(answer: Callable[..., np.ndarray]) -> None:
    """The output after the last word, from zeros; a second sentence begins anew."""
    for seed, (width, units) in enumerate(CELLS):
        given = _cell(10 + seed, width, units)

        def step(x: np.ndarray, h: np.ndarray, c: np.ndarray, arrays=given) -> tuple[np.ndarray, np.ndarray]:
            return lstm_step(x, h, c, *arrays[3:])

        rng = np.random.default_rng(190 + seed)
        for length in (4, 1, 6):
            vectors = rng.normal(size=(length, width))
            got = np.asarray(answer(step, vectors.copy(), units), float)
            expected = read_sentence(step, vectors, units)
            if got.shape == expected.shape and np.allclose(got, expected):
                continue
            raise Mistake(
                tr(
                    "{length} words: expected {expected}, got {got}",
                    length=length,
                    expected=np.round(expected, 3).tolist(),
                    got=np.round(got, 3).ravel().tolist()[:units],
                ),
                _about_reading(step, vectors, units, got),
            )


def _about_reading(step: Callable, vectors: np.ndarray, units: int, got: np.ndarray) -> str:
    zeros = np.zeros(units)
    if got.shape != zeros.shape:
        return tr("Return the output after the last word alone, one value a unit.")
    if np.allclose(got, read_sentence(step, vectors[::-1], units)):
        return tr("Read the words from the first to the last.")
    if np.allclose(got, step(vectors[-1], zeros, zeros)[0]):
        return tr("Each word goes on with output and memory of the word before.")
    h = c = zeros
    for x in vectors:
        h, c = step(x, h, c)
    if np.allclose(got, c):
        return tr("This is the memory; the output is asked for.")
    if len(vectors) > 1 and np.allclose(got, read_sentence(step, vectors[:-1], units)):
        return tr("The last word counts, too.")
    return tr("Begin every sentence with zeros: nothing of the sentence before may be left.")


# Rows and width of the table, its type, bytes of one value, bytes of the rest of the file.
TABLES = ((60, 24, "int8", 1, 9_000), (500, 16, "float32", 4, 20_300), (40, 8, "float16", 2, 70_001))


def _tensor(index: int, shape: tuple[int, ...], dtype: str, value_bytes: int, is_constant: bool) -> Tensor:
    size_bytes = value_bytes * int(np.prod(shape))
    place = {"open_axes": (), "is_dynamic": False, "buffer_index": index, "is_variable": False}
    return Tensor(
        index, f"tensor_{index}", shape, dtype, (), (), 0, is_constant, size_bytes=size_bytes, **place
    )


def _language_model(rows: int, width: int, dtype: str, value_bytes: int, rest_bytes: int) -> Graph:
    """A graph as `graph.read` gives it: a layer before the table is read, and a larger constant behind."""
    tensors = (
        _tensor(0, (1, 24), "int32", 4, False),
        _tensor(1, (width, 9 * rows), dtype, value_bytes, True),
        _tensor(2, (1, 24, width), dtype, value_bytes, False),
        _tensor(3, (rows, width), dtype, value_bytes, True),
        _tensor(4, (1, 24), "int32", 4, False),
        _tensor(5, (1, 9 * rows), dtype, value_bytes, False),
    )
    steps = (("CAST", (0,), (4,)), ("GATHER", (3, 4), (2,)), ("FULLY_CONNECTED", (2, 1), (5,)))
    operators = tuple(
        Operator(number, name, 1, inputs, outputs, 0, {}, is_custom=False)
        for number, (name, inputs, outputs) in enumerate(steps)
    )
    size_bytes = tensors[1].size_bytes + tensors[3].size_bytes + rest_bytes
    return Graph(operators, tensors, (0,), (5,), "drawn", size_bytes)


@exercise(
    "18.5",
    tr("Room for words"),
    hints=(
        tr("The table is the first input of the GATHER: found.tensors[lookup.inputs[0]] of that operator."),
        tr("A row has table.size_bytes // table.shape[0] bytes; the rest is the file without its table."),
        tr("(budget_bytes - rest) // row_bytes lines, and never fewer than 0."),
    ),
    read=tr("the section “Where it runs” of this chapter"),
)
def check_lines(answer: Callable[[Graph, int], int]) -> None:
    """The lines of a vocabulary that keep the file within a budget."""
    rng = np.random.default_rng(200)
    for facts in TABLES:
        found = _language_model(*facts)
        rows, width, _, value_bytes, _ = facts
        rest_bytes = found.size_bytes - rows * width * value_bytes
        for lines in (0, 1, rows, *rng.integers(rows + 1, 4_000, 2).tolist()):
            for more in (0, -1, width * value_bytes - 1):
                _check_lines(answer, found, rest_bytes + lines * width * value_bytes + more)
        _check_lines(answer, found, rest_bytes // 3)


def _check_lines(answer: Callable[[Graph, int], int], found: Graph, budget_bytes: int) -> None:
    got, expected = answer(found, budget_bytes), lines_that_fit(found, budget_bytes)
    is_whole = isinstance(got, int | np.integer) and not isinstance(got, bool)
    if is_whole and got == expected:
        return
    table = found.tensors[3]
    raise Mistake(
        tr(
            "a file of {size} bytes, table {shape} {dtype}, budget {budget}: expected {expected}, got {got}",
            size=found.size_bytes,
            shape=table.shape,
            dtype=table.dtype,
            budget=budget_bytes,
            expected=expected,
            got=repr(got)[:40],
        ),
        _lines_hint(found, budget_bytes, got)
        if is_whole
        else tr("Return one whole number: there are no half lines."),
    )


def _lines_hint(found: Graph, budget_bytes: int, got: int) -> str:
    table = found.tensors[3]
    row_bytes, values = table.size_bytes // table.shape[0], table.shape[1]
    rest_bytes = found.size_bytes - table.size_bytes
    if got < 0:
        return tr("Where not even the rest has room the answer is 0.")
    if got == budget_bytes // row_bytes:
        return tr("The rest of the file needs its room, too.")
    if got == max(0, (budget_bytes - found.size_bytes) // row_bytes):
        return tr("The old table makes room for the new one: only the rest of the file stays.")
    if got == max(0, budget_bytes - rest_bytes) // values:
        return tr("A value of float32 has four bytes: take the bytes of a row, not its values.")
    if got == -(-max(0, budget_bytes - rest_bytes) // row_bytes):
        return tr("Round down: a line that fits only in part does not fit.")
    return tr("The table is what GATHER reads, not the largest constant of the file.")
