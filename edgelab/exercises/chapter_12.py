"""The checks of chapter 12: fold a BatchNorm, count the copies, write GELU out, rewrite a graph."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

EPSILON = 1e-3  # large beside the smallest variance below: who forgets it is told apart

# What an operator does, and the numbers of the operators that it reads; -1 is the model's input.
Node = tuple[str, Sequence[int]]


def _batch_norm(seed: int, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, ...]:
    """Kernel and the four vectors of a BatchNorm, none of them trivial."""
    rng = np.random.default_rng(seed)
    channels = shape[-1]
    variance = np.geomspace(0.002, 9.0, channels)
    gamma, beta, mean = rng.uniform(0.5, 2, channels), rng.normal(size=channels), rng.normal(size=channels)
    return rng.normal(size=shape), gamma, beta, mean, variance


@exercise(
    "12.1",
    tr("Fold a BatchNorm into a convolution"),
    hints=(
        tr(
            "BatchNorm gives gamma * (conv - mean) / sqrt(variance + epsilon) + beta: which "
            "factor meets conv?"
        ),
        tr("gain = gamma / np.sqrt(variance + epsilon); the kernel's last axis is its output channel."),
        tr("return kernel * gain, beta - mean * gain"),
    ),
    read=tr("the section “Fusion” of this chapter"),
)
def check_fold(answer: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Kernel and bias of the one convolution that does the work of both."""
    for seed, shape, epsilon in ((12, (3, 3, 5, 5), EPSILON), (13, (1, 1, 4, 6), 0.05)):
        _check_folded(answer, _batch_norm(seed, shape), epsilon)


def _check_folded(answer: Callable[..., Any], values: tuple[np.ndarray, ...], epsilon: float) -> None:
    kernel, gamma, beta, mean, variance = values
    gain = gamma / np.sqrt(variance + epsilon)
    expected = kernel * gain, beta - mean * gain
    got = answer(kernel.copy(), gamma, beta, mean, variance, epsilon)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mistake(tr("a kernel and a bias are expected, in this order"), tr("Return two arrays."))
    folded, bias = (np.asarray(part, np.float64) for part in got)
    if folded.shape != kernel.shape:
        raise Mistake(
            tr("the kernel has shape {got}, expected {expected}", got=folded.shape, expected=kernel.shape),
            tr("It keeps its shape."),
        )
    if not np.allclose(folded, expected[0]):
        wrong = {
            tr("sqrt(variance) alone: epsilon is added before the root."): kernel * gamma / np.sqrt(variance),
            tr("Divide by the square root of the variance."): kernel * gamma / (variance + epsilon),
            tr("epsilon belongs under the root."): kernel * gamma / (np.sqrt(variance) + epsilon),
            tr("gamma is missing."): kernel / np.sqrt(variance + epsilon),
            tr("epsilon is given: it is not the same everywhere."): kernel
            * gamma
            / np.sqrt(variance + EPSILON),
        }
        if kernel.shape[2] == kernel.shape[3]:
            text = tr(
                "That scales the input channels; a BatchNorm has one gain per output channel, the last axis."
            )
            wrong[text] = kernel * gain[:, np.newaxis]
        hint = next((text for text, value in wrong.items() if np.allclose(folded, value)), "")
        worst = int(np.abs(folded - expected[0]).argmax())
        raise Mistake(
            tr(
                "weight {index} is {got:.6g}, expected {expected:.6g}",
                index=[int(place) for place in np.unravel_index(worst, kernel.shape)],
                got=folded.flat[worst],
                expected=expected[0].flat[worst],
            ),
            hint,
        )
    if bias.shape != beta.shape or not np.allclose(bias, expected[1]):
        wrong = {
            tr("The mean is subtracted: minus, not plus."): beta + mean * gain,
            tr("The mean is scaled as well, before beta is added."): beta - mean,
            tr("The mean has not been subtracted yet."): beta,
        }
        same = bias.shape == beta.shape
        hint = next((text for text, value in wrong.items() if same and np.allclose(bias, value)), "")
        raise Mistake(
            tr(
                "the bias is {got}, expected {expected}",
                got=np.round(bias, 3),
                expected=np.round(expected[1], 3),
            ),
            hint,
        )


# What each operator reads (numbers of operators before it, -1 for the model's input), which operators run on
# the chip, and how many tensors are copied. The usual mistakes give other numbers, each its own.
COPY_CASES = (
    ([[-1], [-1, 0], [0], [0]], [True, False, True, False], 2),
    ([[-1], [0, -1], [-1, 1], [2, 1], [2, 0], [2, 3]], [False, False, False, True, True, True], 4),
)


def copies(reads: Sequence[Sequence[int]], on_chip: Sequence[bool]) -> int:
    """How many tensors are computed at one side and read at the other; input and result are at the host."""
    side = [*on_chip, False]  # its last place, -1, is the model's input
    flows = [(one, own) for own, parents in zip(on_chip, reads, strict=True) for one in parents]
    return len({one for one, own in flows if side[one] != own}) + bool(on_chip[-1])


def _copy_case(seed: int) -> tuple[list[list[int]], list[bool], int]:
    """A graph at random, each operator at one side or the other."""
    rng = random.Random(seed)
    count = 4 + seed
    reads = [rng.sample(range(-1, i), min(i + 1, rng.choice((1, 1, 2)))) for i in range(count)]
    on_chip = [rng.random() < 0.6 for _ in range(count)]
    return reads, on_chip, copies(reads, on_chip)


@exercise(
    "12.2",
    tr("Count the copies"),
    hints=(
        tr("Go through what each operator reads, and compare where it was computed with where it is read."),
        tr("Collect the numbers of the tensors that cross in a set: it holds each of them once."),
        tr("return len(moved) + on_chip[-1]: the result comes back to the host."),
    ),
    read=tr("the section “One bad operator” of this chapter"),
)
def check_copies(answer: Callable[[Sequence[Sequence[int]], Sequence[bool]], int]) -> None:
    """How many tensors are copied from host to chip and back."""
    for reads, on_chip, expected in (*COPY_CASES, *map(_copy_case, range(20))):
        got = answer([list(row) for row in reads], list(on_chip))
        if got != expected:
            raise Mistake(
                tr(
                    "with reads {reads} and on_chip {on_chip}: {expected}, got {got}",
                    reads=reads,
                    on_chip=on_chip,
                    expected=expected,
                    got=got,
                ),
                _copies_hint(reads, on_chip, got),
            )


def _copies_hint(reads: Sequence[Sequence[int]], on_chip: Sequence[bool], got: Any) -> str:
    side, back = [*on_chip, False], on_chip[-1]
    flows = [(one, own) for own, parents in enumerate(reads) for one in parents]
    crossing = [one for one, own in flows if side[one] != on_chip[own]]
    by_python = {one for one, own in flows if on_chip[one] != on_chip[own]}
    changes = sum(before != after for before, after in itertools.pairwise([False, *on_chip, False]))
    known = {
        tr("A tensor is copied once, however many operators read it over there."): len(crossing) + back,
        tr("The result lies on the chip, and the host wants it."): len(set(crossing)),
        tr("The model's input (-1) lies at the host: the chip needs a copy of it."): len({*crossing} - {-1})
        + back,
        tr("To Python on_chip[-1] is the last operator: ask first whether a read is -1."): len(by_python)
        + back,
        tr("Ask what each operator reads, not which operator is before it in the list."): changes,
    }
    return next((text for text, value in known.items() if got == value), "")


def written_gelu(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """GELU from multiplications, additions and tanh (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x * x * x)))


@exercise(
    "12.3",
    tr("GELU, written out"),
    hints=(
        tr("Turn the formula into Python; x is an array, and tanh is a function that you are handed."),
        tr("x**3 as x * x * x; math.sqrt(2 / math.pi) is 0.79788."),
        tr("return 0.5 * x * (1 + tanh(0.79788 * (x + 0.044715 * x * x * x)))"),
    ),
    read=tr("the section “Rewrite it, and keep the weights” of this chapter"),
)
def check_gelu(answer: Callable[[np.ndarray, Callable], np.ndarray]) -> None:
    """GELU within a thousandth, by nothing but multiplications, additions and the tanh that is given."""
    rng = np.random.default_rng(123)
    for x in (
        np.array([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0]),
        rng.uniform(-6, 6, (2, 3, 7)),
        rng.normal(size=40),
    ):
        exact = np.vectorize(lambda value: value * (1 + math.erf(value / math.sqrt(2))) / 2)(x)
        got = np.asarray(answer(x.copy(), np.tanh), np.float64)
        if got.shape != x.shape:
            raise Mistake(
                tr("{count} values went in, shape {got} came out", count=x.size, got=got.shape),
                tr("Return an array of the shape of x: one value for each."),
            )
        worst = int(np.abs(got - exact).argmax())
        if not abs(got.flat[worst] - exact.flat[worst]) <= 1e-3:
            raise Mistake(
                tr(
                    "GELU({x:.6g}) is {expected:.6g}, got {got:.6g}",
                    x=x.flat[worst],
                    expected=exact.flat[worst],
                    got=got.flat[worst],
                ),
                _gelu_hint(x, got),
            )
        without = np.asarray(answer(x.copy(), lambda value: 0 * value), np.float64)
        if without.shape != x.shape or not np.allclose(without, x / 2):
            raise Mistake(
                tr("with a tanh that is always 0, x / 2 is left; your function gives something else"),
                tr("Use the function tanh that is handed over: the chips have it, erf and exp they do not."),
            )


def _gelu_hint(x: np.ndarray, got: np.ndarray) -> str:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    known = {
        tr("The cube is missing: without it the error is larger than a thousandth."): 0.5
        * x
        * (1 + np.tanh(math.sqrt(2 / math.pi) * x)),
        tr("That is twice as much: the factor one half is missing."): x * (1 + np.tanh(inner)),
        tr("1 is added to tanh before it is multiplied."): 0.5 * x * np.tanh(inner),
        tr("The cube is of x: x * x * x, not x * x."): 0.5
        * x
        * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x))),
        tr("x * sigmoid(1.702 x) is shorter, but off by up to 0.02."): x / (1 + np.exp(-1.702 * x)),
        tr("That is ReLU, another function: the weights were trained for GELU."): np.maximum(x, 0),
    }
    return next((text for text, value in known.items() if np.allclose(got, value, atol=1e-6)), "")


def replaced(nodes: Sequence[Node], kind: str, parts: Sequence[Node]) -> list[Node]:
    """The graph with each node of a kind replaced by several; the last of them gives the result.

    Args:
        nodes: in order of execution, each with what it reads: numbers of earlier nodes, -1 the input.
        kind: what is replaced; such a node reads one tensor.
        parts: what replaces it, in the same form: -1 is what the replaced node reads.
    """
    result: list[Node] = []
    place = {-1: -1}  # number before: number now
    for number, (own, reads) in enumerate(nodes):
        inputs, start = [place[read] for read in reads], len(result)
        if own == kind:
            [source] = inputs
            for part, part_reads in parts:
                result.append((part, [source if read < 0 else start + read for read in part_reads]))
        else:
            result.append((own, inputs))
        place[number] = len(result) - 1
    return result


def _graph(seed: int) -> list[Node]:
    """A graph at random with shortcuts, and two to five nodes of the kind GELU."""
    rng = random.Random(seed)
    nodes: list[Node] = []
    for number in range(6 + seed):
        is_gelu = number in (1, 3 + seed // 2) or rng.random() < 0.15
        count = 1 if is_gelu else rng.choice((1, 1, 2))
        reads = [rng.randint(max(-1, number - 4), number - 1) for _ in range(count)]
        nodes.append(("GELU" if is_gelu else rng.choice(("CONV_2D", "ADD", "MEAN")), reads))
    return nodes


PARTS: tuple[list[Node], ...] = (
    [("LOGISTIC", [-1]), ("MUL", [-1, 0])],
    [("RELU", [-1])],
    [("MUL", [-1]), ("TANH", [0]), ("ADD", [1, 0]), ("MUL", [-1, 2])],
)


@exercise(
    "12.4",
    tr("Rewrite a graph"),
    hints=(
        tr("Go through the nodes in order, and note for each which number it has in the new list."),
        tr("Of a replaced node, read -1 becomes what the node reads, and read k becomes start + k."),
        tr("place[number] = len(result) - 1 after each node; readers look up place[read]."),
    ),
    read=tr("the section “Rewrite it, and keep the weights” of this chapter"),
)
def check_replaced(answer: Callable[[list[Node], str, list[Node]], Sequence[Node]]) -> None:
    """The same computation, written with other operators, in an order that can be executed."""
    for seed in range(12):
        nodes, parts = _graph(seed), PARTS[seed % len(PARTS)]
        given = [(kind, list(reads)) for kind, reads in nodes]
        found = answer(given, "GELU", [(kind, list(reads)) for kind, reads in parts])
        got = [(str(kind), [int(read) for read in reads]) for kind, reads in found]
        expected = replaced(nodes, "GELU", parts)
        hint = _rewriting_hint(nodes, parts, got, expected)
        if hint is not None:
            raise Mistake(
                tr(
                    "{nodes} with {parts}: {expected}, got {got}",
                    nodes=nodes,
                    parts=parts,
                    expected=expected,
                    got=got,
                ),
                hint,
            )


def _values(nodes: Sequence[Node]) -> list[int]:
    """A number for each node that tells what it computes, whatever its place in the list."""
    values = [0]  # of the input
    for kind, reads in nodes:
        values.append(hash((kind, tuple(values[read + 1] for read in reads))))
    return values[1:]


def _rewriting_hint(
    nodes: Sequence[Node], parts: Sequence[Node], got: Sequence[Node], expected: Sequence[Node]
) -> str | None:
    """What is wrong, "" where nobody knows, None where nothing is."""
    if any(kind == "GELU" for kind, _ in got):
        return tr("Every GELU must be gone, also the second one.")
    if len(got) != len(expected):
        return tr("Each GELU becomes as many nodes as there are parts; all others stay, one for one.")
    if any(not -1 <= read < number for number, (_, reads) in enumerate(got) for read in reads):
        return tr("A node reads what is computed before it: count the parts from where the first of them is.")
    found, wanted = _values(got), _values(expected)
    if sorted(found) == sorted(wanted) and found[-1] == wanted[-1]:
        return None
    for (kind, reads), (right, right_reads) in zip(got, expected, strict=True):
        if (kind, list(reads)) != (right, list(right_reads)):
            if kind != right:
                return tr(
                    "The nodes are of other kinds or in another order: parts belong where the GELU was."
                )
            if any(right == part for part, _ in parts):
                return tr("In the parts, -1 is what the GELU reads, and k is part k of the same GELU.")
            return tr("What is behind a GELU has moved: whoever reads it needs its new number.")
    return ""
