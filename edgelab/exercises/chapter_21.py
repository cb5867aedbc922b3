"""The checks of chapter 21: the range of an input, shifted labels, a requirement with an interval, a gate."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
INPUTS = (
    (1.0, 0, "uint8"), (1.0, -128, "int8"), (1 / 255, 0, "uint8"), (0.0078125, 128, "uint8"),
    (0.0078125, 0, "int8"), (0.0186, -14, "int8"),
)  # fmt: skip


@exercise(
    "21.1",
    tr("What an input stands for"),
    hints=(
        tr("A stored integer stands for scale * (integer - zero point). Which integers are the ends?"),
        tr("int8 runs from -128 to 127, uint8 from 0 to 255."),
        tr("low = scale * (-128 - zero_point) for int8; high = scale * (127 - zero_point)"),
    ),
    read=tr("the section “What goes in?” of this chapter"),
)
def check_range(answer: Callable[[float, int, str], tuple[float, float]]) -> None:
    """The real numbers that a quantized input can hold."""
    for scale, zero_point, dtype in INPUTS:
        ends = LIMITS[dtype]
        expected = [scale * (end - zero_point) for end in ends]
        got = np.asarray(answer(scale, zero_point, dtype), np.float64).ravel()
        if got.shape == (2,) and np.allclose(got, expected, rtol=1e-6, atol=1e-9):
            continue
        others = LIMITS["int8" if dtype == "uint8" else "uint8"]
        wrong = {
            tr("Low first, then high."): expected[::-1],
            tr("The zero point is an integer: subtract it before you multiply."): [
                scale * end - zero_point for end in ends
            ],
            tr("The zero point is subtracted: it is the integer that stands for 0."): [
                scale * (end + zero_point) for end in ends
            ],
            tr("The type decides which integers there are."): [scale * (end - zero_point) for end in others],
            tr("8 bits hold 256 integers: the last of uint8 is 255, of int8 it is 127."): [
                scale * (ends[0] - zero_point),
                scale * (ends[1] + 1 - zero_point),
            ],
        }
        is_pair = got.shape == (2,)
        hint = next((text for text, value in wrong.items() if is_pair and np.allclose(got, value)), "")
        raise Mistake(
            tr(
                "scale {scale:.4g}, zero point {zero_point}, {dtype}: expected {expected}, got {got}",
                scale=scale,
                zero_point=zero_point,
                dtype=dtype,
                expected=_rounded(expected),
                got=_rounded(got),
            ),
            hint or ("" if is_pair else tr("Return two numbers, the lowest and the highest.")),
        )


def _rounded(values) -> list[float]:
    return [round(float(value), 4) for value in values]


def _answers(seed: int, shift: int, mistakes: float) -> tuple[np.ndarray, np.ndarray]:
    """Classes as a model counts them and as the labels do, with some answers wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, 300)
    predicted = truth + shift
    wrong = rng.random(300) < mistakes
    predicted[wrong] = rng.integers(0, 10, wrong.sum())
    return predicted, truth


# Seed, shift, share of answers that are wrong besides.
SHIFTS = ((1, 1, 0.2), (2, 0, 0.3), (3, -1, 0.4), (4, 5, 0.3), (5, 1, 0.6))


@exercise(
    "21.2",
    tr("Labels that are shifted"),
    hints=(
        tr("Subtract: what differs by the same number again and again?"),
        tr("Of all differences predicted - truth, you want the one that occurs most often."),
        tr("values, counts = np.unique(predicted - truth, return_counts=True), then the largest count"),
    ),
    read=tr("the pitfall “a label file with one line too many” of this chapter"),
)
def check_shift(answer: Callable[[np.ndarray, np.ndarray], int]) -> None:
    """By how much the model's count of classes is ahead of the labels'."""
    for seed, shift, mistakes in SHIFTS:
        predicted, truth = _answers(seed, shift, mistakes)
        got = answer(predicted.copy(), truth.copy())
        if isinstance(got, (int, float, np.number)) and got == shift:
            continue
        hint = ""
        if not isinstance(got, (int, float, np.number)):
            hint = tr("Return one whole number.")
        elif shift and got == -shift:
            hint = tr("The other way round: a model that answers 4 where the label says 3 is 1 ahead.")
        elif abs(float(got) - float(np.mean(predicted - truth))) < 0.51:
            hint = tr("Wrong answers pull an average away. Most common, not average.")
        elif not got:
            hint = tr("These labels are shifted; compare both, number by number.")
        raise Mistake(
            tr(
                "predicted {predicted} …, labels {truth} …: expected {expected}, got {got}",
                predicted=predicted[:6].tolist(),
                truth=truth[:6].tolist(),
                expected=shift,
                got=got,
            ),
            hint,
        )


# Value, interval and limit of "value < limit", and the verdict.
VERDICTS = (
    (10.0, 9.0, 11.0, 20.0, "met"), (10.0, 9.0, 11.0, 8.0, "missed"), (10.0, 8.0, 21.0, 20.0, "open"),
    (22.0, 18.0, 30.0, 20.0, "open"), (None, None, None, 20.0, "open"), (20.0, 20.0, 20.0, 20.0, "missed"),
    (19.0, 18.0, 20.0, 20.0, "open"), (25.0, 20.0, 30.0, 20.0, "missed"),
)  # fmt: skip


@exercise(
    "21.3",
    tr("A requirement and an interval"),
    hints=(
        tr("The truth may lie anywhere between low and high. When is the answer the same for all of them?"),
        tr("Below the limit with its upper end: met. At or above it with its lower end: missed."),
        tr("if value is None: open; if high < limit: met; if low >= limit: missed; else: open"),
    ),
    read=tr("the section “Is it good enough?” of this chapter"),
)
def check_verdict(answer: Callable[..., str]) -> None:
    """Whether "value < limit" is met, not met, or cannot be told."""
    for value, low, high, limit, expected in VERDICTS:
        try:
            got = answer(value, low, high, limit)
        except TypeError as error:
            if value is None:
                raise Mistake(
                    tr("the value is None: {error}", error=error), tr("What nobody knows meets nothing.")
                ) from error
            raise
        if got == expected:
            continue
        if got not in ("met", "missed", "open"):
            hint = tr('Return one of "met", "missed" and "open".')
        elif value is None:
            hint = tr("What nobody knows is open.")
        elif math.isclose(low, limit) or math.isclose(high, limit):
            hint = tr("The requirement is value < limit: the limit itself does not meet it.")
        elif expected == "open":
            hint = tr("The limit lies inside the interval: nobody can tell.")
        else:
            hint = tr("The whole interval lies on one side of the limit.")
        raise Mistake(
            tr(
                "{value} [{low}, {high}] < {limit}: expected {expected!r}, got {got!r}",
                value=value,
                low=low,
                high=high,
                limit=limit,
                expected=expected,
                got=got,
            ),
            hint,
        )


Fact = tuple[float | None, float | None, float | None]  # value, and both ends of its interval
UNKNOWN: Fact = (None, None, None)


def gate(
    requirements: Sequence[tuple[str, float]], facts: Mapping[str, Fact], judge: Callable[..., str]
) -> tuple[int, list[tuple[str, str]]]:
    """Whether a model may be shipped: the exit code, and what is said of each requirement.

    Args:
        requirements: names and limits; each asks that the value is below.
        facts: what is known, by name.
        judge: as in exercise 21.3.
    """
    said = [(name, judge(*facts.get(name, UNKNOWN), limit)) for name, limit in requirements]
    return (0 if {word for _, word in said} <= {"met"} else 1), said


def _gate_case(seed: int) -> tuple[list[tuple[str, float]], dict[str, Fact]]:
    """Requirements of which some are met, and facts of which some are missing."""
    rng = random.Random(seed)
    names = rng.sample(("size", "latency", "memory", "energy", "arena"), 2 + seed % 4)
    facts: dict[str, Fact] = {}
    for name in names:
        middle = rng.uniform(5, 15)
        if rng.random() < 0.8:
            facts[name] = (middle, middle - 1, middle + 1)
    return [(name, rng.choice((3.0, 10.0, 30.0, 30.0))) for name in names], facts


# All met, one missed and one open, one of which nothing is known, nothing asked.
GATE_CASES: tuple[tuple[list[tuple[str, float]], dict[str, Fact]], ...] = (
    ([("size", 10.0), ("latency", 20.0)], {"latency": (15.0, 14.0, 16.0), "size": (8.0, 8.0, 8.0)}),
    ([("size", 5.0), ("latency", 15.0)], {"latency": (15.0, 14.0, 16.0), "size": (8.0, 8.0, 8.0)}),
    ([("size", 10.0), ("energy", 5.0)], {"size": (8.0, 8.0, 8.0)}),
    ([("size", 10.0), ("latency", 15.0)], {"latency": (15.0, 14.0, 16.0), "size": (8.0, 8.0, 8.0)}),
    ([], {"size": (8.0, 8.0, 8.0)}),
)


def _judge(value: float | None, low: float | None, high: float | None, limit: float) -> str:
    """As exercise 21.3 wants it."""
    if value is None or low is None or high is None or low < limit <= high:
        return "open"
    return "met" if high < limit else "missed"


def _strict_judge(value: float | None, low: float | None, high: float | None, limit: float) -> str:
    """Another one: it wants half of the limit."""
    return _judge(value, low, high, limit / 2)


@exercise(
    "21.4",
    tr("May it be shipped?"),
    hints=(
        tr("Go through the requirements in their order, and ask the judge for each of them."),
        tr("facts.get(name, (None, None, None)) has three values also where nothing is known."),
        tr("The code is 0 only where all the words are met: open and missed both give 1."),
    ),
    read=tr("the section “One command” of this chapter"),
)
def check_gate(answer: Callable[..., tuple[int, list[tuple[str, str]]]]) -> None:
    """The exit code, and a word for every requirement."""
    for judge in (_judge, _strict_judge):
        for requirements, facts in (*GATE_CASES, *map(_gate_case, range(12))):
            code, said = gate(requirements, facts, judge)
            try:
                got = answer(list(requirements), dict(facts), judge)
            except KeyError as error:
                raise Mistake(
                    tr("nothing is known of {name}", name=error), tr("Ask the judge all the same, with None.")
                ) from error
            if not isinstance(got, (tuple, list)) or len(got) != 2:
                raise Mistake(tr("the answer is a pair (code, lines), got {got!r}", got=got))
            lines = [tuple(line) for line in got[1]]
            if got[0] == code and lines == said:
                continue
            raise Mistake(
                tr(
                    "{requirements} with {facts}: expected {expected}, got {got}",
                    requirements=requirements,
                    facts=facts,
                    expected=(code, said),
                    got=got,
                ),
                _gate_hint(got[0], lines, said, judge),
            )


def _gate_hint(code: Any, lines: list[tuple], said: list[tuple[str, str]], judge: Callable[..., str]) -> str:
    words = [word for _, word in said]
    if lines == said and code == words.count("missed") + words.count("open"):
        return tr("The exit code is 1, however many are not met.")
    if lines == said and code == 0 and "missed" not in words:
        return tr("An open requirement is not met: the code is 1.")
    if len(lines) < len(said):
        return tr("Tell of every requirement, also of those behind the first that fails.")
    if sorted(lines) == sorted(said) and lines != said:
        return tr("Keep the order in which the requirements are given.")
    if judge is _strict_judge:
        return tr("Leave the decision to the judge that is handed over: this one asks for more.")
    return ""
