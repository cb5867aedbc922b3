"""The checks of chapter 7: a scale, the price of zero points, ranges and pairs by hand, refusals, throughput.

`symmetric_scale`, `widen` and `with_pairs` are the course's own answers: later cells go on with them where
those of a student do not pass yet.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

Pair = tuple[str, str, tuple[int, ...]]
Node = tuple[str, list[str], list[str]]  # operator, names of what it reads, names of what it gives
Ranges = dict[str, tuple[float, float]]


def symmetric_scale(low: float, high: float) -> float:
    """The smallest scale with which codes -127 to 127 reach both ends."""
    return max(abs(low), abs(high)) / 127


def widen(ranges: Mapping[str, tuple[float, float]], batch: Mapping[str, np.ndarray]) -> Ranges:
    """The ranges so far, widened to what one batch has shown.

    Args:
        ranges: (smallest, largest) by the name of a tensor.
        batch: the values of tensors in one batch, by the same names.
    """
    wider = dict(ranges)
    for name, values in batch.items():
        low, high = wider.get(name, (np.inf, -np.inf))
        wider[name] = (min(low, values.min()), max(high, values.max()))
    return wider


def with_pairs(nodes: Sequence[Node], scaled: Sequence[str], operators: Sequence[str]) -> list[Node]:
    """A graph with a pair, QuantizeLinear and DequantizeLinear, at what some operators read.

    Args:
        nodes: in the order of execution.
        scaled: tensors that have a scale.
        operators: kinds of nodes that are to read them through a pair.
    """
    made: list[Node] = []
    done = set()
    for operator, inputs, outputs in nodes:
        if operator in operators:
            for name in inputs:
                if name in scaled and name not in done:
                    done.add(name)
                    ends = [f"{name}_scale", f"{name}_zero_point"]
                    made.append(("QuantizeLinear", [name, *ends], [f"{name}_codes"]))
                    made.append(("DequantizeLinear", [f"{name}_codes", *ends], [f"{name}_real"]))
            inputs = [f"{name}_real" if name in scaled else name for name in inputs]
        made.append((operator, inputs, outputs))
    return made


def _ranges_to_try(seed: int) -> Iterator[tuple[float, float]]:
    """Ranges around, above and below 0, after the visible ones."""
    yield from ((-0.25, 3.5), (0.0, 6.0), (-1.0, 1.0), (-8.0, 2.0))
    generator = random.Random(seed)
    for _ in range(6):
        yield round(generator.uniform(-9, -0.1), 2), round(generator.uniform(0.1, 9), 2)


@exercise(
    "07.1",
    tr("The symmetric scale"),
    hints=(
        tr(
            "Codes -127 to 127 stand for -127 * scale to 127 * scale. Both ends of the range must lie within."
        ),
        tr("The end that lies farther from 0 decides."),
        tr("max(abs(low), abs(high)) / 127"),
    ),
    read=tr("the section “Two number lines” of this chapter"),
)
def check_symmetric_scale(answer: Callable[[float, float], float]) -> None:
    """The smallest scale that reaches both ends."""
    for low, high in _ranges_to_try(71):
        farthest = max(abs(low), abs(high))
        expected, got = farthest / 127, float(answer(low, high))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        known = {
            (high - low) / 255: tr(
                "That is the asymmetric scale: without a zero point it reaches only half as far."
            ),
            (high - low) / 254: tr(
                "Half of the width is not the farther end, unless the range is centred on 0."
            ),
            high / 127: tr("The lower end may lie farther from 0 than the upper one."),
            farthest / 128: tr("Code 128 does not exist in int8: the largest is 127."),
            farthest / 255: tr("There are 127 codes above 0, not 255."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "the range {low:g} to {high:g} needs scale {expected:.6g}, got {got:.6g}",
                low=low,
                high=high,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "07.2",
    tr("What zero points cost"),
    hints=(
        tr("Multiply out: (code - a) * (weight - b) has four terms, and the first is in products."),
        tr("Summed over k: the weights' sum times a, the codes' sum times b, and a * b once for each k."),
        tr("products - a * weights.sum(axis=1) - b * codes.sum() + codes.size * a * b"),
    ),
    read=tr("the section “Two number lines” of this chapter"),
)
def check_corrected(answer: Callable[..., np.ndarray]) -> None:
    """Sums of products of codes, corrected for both zero points."""
    for seed, (inputs, outputs, a, b) in enumerate(
        ((3, 2, 5, 7), (9, 4, -128, 3), (5, 5, 0, 2), (6, 1, 4, 0))
    ):
        rng = np.random.default_rng(seed)
        codes = rng.integers(-128, 128, inputs)
        weights = rng.integers(-127, 128, (outputs, inputs))
        products = weights @ codes + 1000  # what the chip is said to have: no sum of these codes
        expected = ((codes - a) * (weights - b)).sum(axis=1) + 1000
        got = np.asarray(answer(products.copy(), codes.copy(), weights.copy(), a, b))
        if got.shape != expected.shape:
            raise Mistake(
                tr("{count} outputs, and your answer has the shape {shape}", count=outputs, shape=got.shape),
                tr("Each output has a row of weights: sum along axis=1."),
            )
        if np.array_equal(got, expected):
            continue
        of_both = inputs * a * b
        known = {
            tr("Begin with products: the chip has done that work."): expected - 1000,
            tr("a * b was taken away twice: it comes back once for each k."): expected - of_both,
            tr("a * b comes once for each k, not once."): expected - of_both + a * b,
            tr("The weights have a zero point, too: b."): products - a * weights.sum(axis=1),
            tr("a belongs to the codes, so it multiplies the sum of the weights."): products
            - b * weights.sum(axis=1)
            - a * codes.sum()
            + of_both,
            tr("Minus times minus is plus: the last term is added."): expected - 2 * of_both,
        }
        hint = next((text for text, value in known.items() if np.array_equal(got, value)), "")
        raise Mistake(
            tr(
                "codes {codes} with a = {a}, b = {b}: {expected}, got {got}",
                codes=codes,
                a=a,
                b=b,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "07.3",
    tr("Ranges from a calibration set"),
    hints=(
        tr("A tensor seen for the first time has the range of this batch; any other can only grow."),
        tr("ranges.get(name, (np.inf, -np.inf)) begins with a range that everything widens."),
        tr("low, high = …; wider[name] = (min(low, values.min()), max(high, values.max()))"),
    ),
    read=tr("the section “QDQ: quantization written into the graph” of this chapter"),
)
def check_widen(answer: Callable[[Ranges, dict[str, np.ndarray]], Ranges]) -> None:
    """Ranges after each of several batches."""
    for batches in _calibrations():
        expected: Ranges = {}
        got: Ranges = {}
        for batch in batches:
            expected = widen(expected, batch)
            given = {name: values.copy() for name, values in batch.items()}
            got = answer(dict(got), given)
            if not isinstance(got, Mapping):
                raise Mistake(
                    tr("a dict of ranges is asked for, got {got!r}", got=got),
                    tr("Return the ranges, the old and the new ones together."),
                )
            if set(got) != set(expected):
                raise Mistake(
                    tr(
                        "tensors with a range: {expected}, got {got}",
                        expected=sorted(expected),
                        got=sorted(got),
                    ),
                    tr("Keep tensors that this batch does not show, and take up those that are new."),
                )
            for name, (low, high) in expected.items():
                found = tuple(float(end) for end in got[name])
                if len(found) == 2 and math.isclose(found[0], low) and math.isclose(found[1], high):
                    continue
                raise Mistake(
                    tr(
                        "{name} ranges from {low:g} to {high:g} so far, got {found}",
                        name=name,
                        low=low,
                        high=high,
                        found=found,
                    ),
                    _range_hint(found, (float(low), float(high)), batch.get(name)),
                )


def _calibrations() -> Iterator[list[dict[str, np.ndarray]]]:
    """Batches in which ranges grow at either end, at none, below 0, and in which tensors come late."""
    generator = np.random.default_rng(73)
    yield [{"relu": np.array([0.0, 3.0, 1.0])}, {"relu": np.array([0.5, 6.0])}, {"relu": np.array([1.0])}]
    yield [{"add": np.array([-5.0, -2.0])}, {"add": np.array([-9.0, -4.0])}, {"add": np.array([-3.0, -1.0])}]
    yield [{"first": np.array([1.0, 2.0])}, {"late": np.array([3.0, 4.0])}, {"first": np.array([0.5])}]
    for _ in range(4):
        names = ["conv1", "conv2", "pool"]
        yield [
            {
                name: generator.normal(generator.normal(0, 4), 2, (1, 2, 3, 2)).astype(np.float32)
                for name in names
                if generator.random() < 0.8
            }
            for _ in range(5)
        ]


def _range_hint(found: tuple[float, ...], right: tuple[float, float], values: np.ndarray | None) -> str:
    if len(found) != 2:
        return tr("A range is a pair, (smallest, largest).")
    if found == right[::-1]:
        return tr("The order is: the smallest, then the largest.")
    if values is not None and np.allclose(found, (values.min(), values.max())):
        return tr("That is the range of the last batch alone: earlier ones count, too.")
    if 0.0 in found and 0.0 not in right:
        return tr("Do not begin with 0: a range may lie wholly above or below it.")
    if found[0] < right[0] or found[1] > right[1]:
        return tr("No value goes so far.")
    return tr("Some value lies outside of your range.")


@exercise(
    "07.4",
    tr("Pairs in the graph"),
    hints=(
        tr("Go through the nodes and build a new list. A node of another kind is taken as it is."),
        tr("Before it, put both nodes of a pair for each input that has a scale and no pair yet."),
        tr(
            'made.append(("QuantizeLinear", [name, name + "_scale", name + "_zero_point"], '
            '[name + "_codes"])), then a DequantizeLinear from these codes, which the operator reads'
        ),
    ),
    read=tr("the section “QDQ: quantization written into the graph” of this chapter"),
)
def check_with_pairs(answer: Callable[[list[Node], list[str], list[str]], list[Node]]) -> None:
    """The nodes with pairs; names of codes and real numbers, and how many share a pair, are free."""
    for nodes, scaled, operators in _graphs():
        given = [(operator, list(inputs), list(outputs)) for operator, inputs, outputs in nodes]
        got = [tuple(node) for node in answer(given, list(scaled), list(operators))]
        _check_pairs(got, nodes, scaled, operators)


def _graphs() -> Iterator[tuple[list[Node], list[str], list[str]]]:
    relu: Node = ("Clip", ["a", "min", "max"], ["b"])
    chain: list[Node] = [("Conv", ["x", "w1", "bias1"], ["a"]), relu, ("Conv", ["b", "w2", "bias2"], ["c"])]
    yield chain, ["x", "w1", "b", "w2"], ["Conv", "Add"]
    yield chain, ["x", "w1", "a", "b", "w2"], ["Conv", "Add"]  # "a" has a scale, but no Conv reads it
    yield [*chain, ("Add", ["b", "c"], ["y"])], ["b", "c", "w2"], ["Conv", "Add"]
    yield [*chain, ("Add", ["b", "c"], ["y"])], ["b", "c", "w2"], ["Add"]
    generator = random.Random(74)
    for _ in range(12):
        names, nodes = ["x"], []
        for place in range(generator.randrange(2, 7)):
            operator = generator.choice(("Conv", "Add", "Clip", "Gemm", "Softmax"))
            inputs = [
                generator.choice(names),
                *([generator.choice(names)] if operator == "Add" else [f"w{place}"]),
            ]
            nodes.append((operator, inputs, [f"t{place}"]))
            names.append(f"t{place}")
        weights = [inputs[1] for _, inputs, _ in nodes]
        scaled = [name for name in dict.fromkeys([*names, *weights]) if generator.random() < 0.7]
        yield nodes, scaled, generator.sample(("Conv", "Add", "Gemm"), 2)


def _check_pairs(got: list[Any], nodes: list[Node], scaled: list[str], operators: list[str]) -> None:
    """Whether these nodes are the old ones, in order, with a pair at each input that wants one.

    Raises:
        Mistake: the first thing that is wrong.
    """
    quantized: dict[str, tuple[str, list[str]]] = {}  # codes: what they are of, and scale with zero point
    real: dict[str, str] = {}  # what a DequantizeLinear gives: the tensor that it stands for
    left = list(nodes)
    for name, count in Counter(end for _, _, outputs in got for end in outputs).items():
        if count > 1:
            raise Mistake(
                tr("{count} nodes give {name}", count=count, name=name),
                tr("A tensor has one maker: use the pair that is there already."),
            )
    for operator, inputs, outputs in got:
        if operator == "QuantizeLinear":
            quantized[outputs[0]] = (inputs[0], list(inputs[1:]))
        elif operator == "DequantizeLinear":
            tensor, ends = quantized.get(inputs[0], ("", []))
            if not tensor:
                raise Mistake(
                    tr("DequantizeLinear reads {name}", name=inputs[0]),
                    tr("It reads the codes of a QuantizeLinear that comes before it."),
                )
            if [*inputs[1:]] != ends or ends != [f"{tensor}_scale", f"{tensor}_zero_point"]:
                raise Mistake(
                    tr(
                        "the pair at {tensor} reads {ends} and {others}",
                        tensor=tensor,
                        ends=ends,
                        others=inputs[1:],
                    ),
                    tr("Both nodes of a pair read its scale and its zero point, in this order."),
                )
            real[outputs[0]] = tensor
        else:
            _check_node((operator, list(inputs), list(outputs)), left, real, scaled, operators)
    if left:
        raise Mistake(tr("{operator} is missing", operator=left[0][0]), tr("Keep every node of the graph."))


def _check_node(
    node: Node, left: list[Node], real: dict[str, str], scaled: list[str], operators: list[str]
) -> None:
    """Whether the next old node is this one, and reads through pairs what it should.

    Raises:
        Mistake: it is another, or reads something else.
    """
    operator, inputs, outputs = node
    if not left or (operator, outputs) != (left[0][0], left[0][2]):
        raise Mistake(
            tr("{operator} giving {outputs} is not the next node", operator=operator, outputs=outputs),
            tr("The old nodes stay, in their order, and give what they gave."),
        )
    _, before, _ = left.pop(0)
    for place, name in enumerate(before):
        wants_pair = operator in operators and name in scaled
        read = inputs[place] if place < len(inputs) else ""
        if wants_pair and real.get(read) != name:
            raise Mistake(
                tr("{operator} reads {read} in place of {name}", operator=operator, read=read, name=name),
                tr("An input that has a scale is read through its pair, which comes before the node."),
            )
        if not wants_pair and read != name:
            raise Mistake(
                tr("{operator} reads {read} in place of {name}", operator=operator, read=read, name=name),
                tr("No pair here: the tensor has no scale, or the operator is none of those to quantize."),
            )


@exercise(
    "07.5",
    tr("What will TensorRT refuse?"),
    hints=(
        tr("Two rules: the codes are int8, and every zero point is 0."),
        tr("A tensor with one scale per channel has several zero points: any() looks at all of them."),
        tr('refused when dtype != "int8" or any(zero_points)'),
    ),
    read=tr("the pitfall “an int8 .tflite is quantized already” of this chapter"),
)
def check_refused(answer: Callable[[list[Pair]], list[str]]) -> None:
    """Names of the asymmetric tensors, in order."""
    cases: tuple[tuple[Pair, str], ...] = (
        (
            ("image", "uint8", (128,)),
            tr("uint8 with zero point 128 is int8 with 0, shifted; TensorRT takes int8."),
        ),
        (("weights1", "int8", (0, 0, 0, 0)), tr("All of its zero points are 0: nothing to refuse.")),
        (("relu1", "uint8", (0,)), tr("Its zero point is 0, but its codes are uint8.")),
        (("add1", "int8", (-3,)), tr("A zero point below 0 is not 0 either.")),
        (("add2", "int8", (0,)), tr("int8 with zero point 0 is what TensorRT wants.")),
        (
            ("weights2", "int8", (0, 0, 7)),
            tr("One channel is enough: look at all zero points, not at the first."),
        ),
        (("bias", "int32", (0,)), tr("TensorRT takes no int32 codes: biases stay float.")),
    )
    for chosen in _shuffled(cases):
        _check_names(list(answer([pair for pair, _ in chosen])), chosen)


def _shuffled(cases: tuple[tuple[Pair, str], ...]) -> Iterator[list[tuple[Pair, str]]]:
    """All cases, and some of them in other orders."""
    yield list(cases)
    generator = random.Random(75)
    for count in (1, 3, 4, 5, 6):
        yield generator.sample(cases, count)


def _check_names(got: list[str], cases: list[tuple[Pair, str]]) -> None:
    expected = [name for (name, dtype, points), _ in cases if dtype != "int8" or any(points)]
    if got == expected:
        return
    for (name, dtype, zero_points), hint in cases:
        if (name in got) != (name in expected):
            wanted = tr("is refused") if name in expected else tr("is not refused")
            raise Mistake(
                # Note: {wanted} is “is refused” or “is not refused”.
                tr(
                    "{name} ({dtype}, zero points {zero_points}) {wanted}",
                    name=name,
                    dtype=dtype,
                    zero_points=zero_points,
                    wanted=wanted,
                ),
                hint,
            )
    raise Mistake(
        tr("expected {expected}, got {got}", expected=expected, got=got),
        tr("Each name once, in the order of the list."),
    )


@exercise(
    "07.6",
    tr("Side by side"),
    hints=(
        tr("In the time of one latency, as many answers come as are on their way."),
        tr("1000 ms per second; divide by the latency, times how many are in flight."),
        tr("1000 * in_flight / latency_ms"),
    ),
    read=tr("the section “Latency or throughput?” of this chapter (it is Little's law)"),
)
def check_images_per_second(answer: Callable[[float, int], float]) -> None:
    """Throughput from latency and concurrency."""
    for latency_ms, in_flight in ((8.0, 1), (12.0, 4), (0.5, 2), (7.25, 3), (140.0, 11)):
        expected, got = 1000 * in_flight / latency_ms, float(answer(latency_ms, in_flight))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        known = {
            1000 / latency_ms: tr("That is one at a time; others are on their way meanwhile."),
            in_flight / latency_ms: tr("That is images per millisecond."),
            1000 / (latency_ms * in_flight): tr("More on their way give more answers, not fewer."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "{in_flight} in flight, {latency_ms:g} ms each: {expected:g} per second, got {got:g}",
                in_flight=in_flight,
                latency_ms=latency_ms,
                expected=expected,
                got=got,
            ),
            hint,
        )
