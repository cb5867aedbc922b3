"""The checks of chapter 9: a summary of timings, a batch size, a verdict with an interval, Amdahl's law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# Ninety-six quick runs and four slow ones, as a real machine gives them.
SAMPLES_MS = np.concatenate([np.linspace(1.9, 2.1, 96), [4.0, 6.0, 8.0, 30.0]])


def _close(got: Any, expected: float) -> bool:
    return isinstance(got, int | float | np.number) and math.isclose(float(got), expected, rel_tol=1e-3)


@exercise(
    "09.1",
    tr("Sum up a hundred runs"),
    hints=(
        tr("np.median and np.percentile(samples_ms, 95) give the first two."),
        tr("Throughput asks how many images were done in all the time that passed, slow runs included."),
        tr(
            "images_per_s = batch_size * len(samples_ms) / (samples_ms.sum() / 1000); return a "
            'dict with the keys "median_ms", "p95_ms" and "images_per_s".'
        ),
    ),
    read=tr("the section “One hundred runs” of this chapter"),
)
def check_summary(answer: Callable[[np.ndarray, int], Mapping[str, float]]) -> None:
    """Median, 95th percentile and images per second of timings in ms."""
    for batch_size in (1, 8):
        got = answer(SAMPLES_MS.copy(), batch_size)
        expected = {
            "median_ms": float(np.median(SAMPLES_MS)),
            "p95_ms": float(np.percentile(SAMPLES_MS, 95)),
            "images_per_s": 1e3 * batch_size / float(SAMPLES_MS.mean()),
        }
        missing = [name for name in expected if name not in got]
        if missing:
            raise Mistake(
                tr("the answer has no {missing}", missing=", ".join(missing)),
                tr("Return a dict with the three keys."),
            )
        for name, value in expected.items():
            if not _close(got[name], value):
                raise Mistake(
                    tr(
                        "{name} at batch {batch_size} is {value:.4g}, got {got!r}",
                        name=name,
                        batch_size=batch_size,
                        value=value,
                        got=got[name],
                    ),
                    _summary_hint(name, got[name], value, batch_size),
                )


def _summary_hint(name: str, got: Any, expected: float, batch_size: int) -> str:
    if name == "median_ms" and _close(got, float(SAMPLES_MS.mean())):
        return tr("That is the mean: four slow runs pulled it up.")
    if name == "p95_ms" and _close(got, float(np.percentile(SAMPLES_MS, 0.95))):
        return tr("np.percentile takes 95, not 0.95; np.quantile takes 0.95.")
    if name == "p95_ms" and _close(got, float(SAMPLES_MS.max())):
        return tr("That is the slowest run of all; the 95th percentile leaves five of a hundred above it.")
    if name == "images_per_s":
        if _close(got, 1e3 * batch_size / float(np.median(SAMPLES_MS))):
            return tr("That leaves the slow runs out, but their time passed too: divide by the whole time.")
        if _close(got, expected / batch_size):
            return tr("A run handles batch_size images.")
        if _close(got, expected / 1e3):
            return tr("The samples are in milliseconds: 1000 of them make a second.")
    return ""


@exercise(
    "09.3",
    tr("Faster, slower, or a tie?"),
    hints=(
        tr("A speed-up of 1 means equally fast. Where does 1 lie: below, inside or above the interval?"),
        tr("Above 1 means faster; but only if the lower end is above 1, not just the middle."),
        tr('if low > 1: "faster"; if high < 1: "slower"; otherwise "tie".'),
    ),
    read=tr("the section “Faster than what?” of this chapter"),
)
def check_verdict(answer: Callable[[float, float], str]) -> None:
    """The verdict that the interval of a speed-up allows."""
    cases = {
        (1.8, 2.2): "faster",
        (0.97, 1.30): "tie",
        (0.70, 1.05): "tie",
        (0.4, 0.9): "slower",
        (1.02, 1.04): "faster",
    }
    for (low, high), expected in cases.items():
        got = answer(low, high)
        if got == expected:
            continue
        hint = ""
        if expected == "tie" and got in ("faster", "slower"):
            hint = tr("The interval holds 1: both answers are possible, so the honest one is a tie.")
        elif {got, expected} == {"faster", "slower"}:
            hint = tr("A speed-up is old time by new time: above 1 the new one is faster.")
        elif expected != "tie" and got == "tie":
            hint = tr("The whole interval lies on one side of 1, however close: that is no tie.")
        raise Mistake(
            tr(
                "a speed-up in [{low}, {high}] is {expected!r}, got {got!r}",
                low=low,
                high=high,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "09.2",
    tr("The best batch within a budget"),
    hints=(
        tr("A batch that takes longer than the budget is out, however many images it does per second."),
        tr("Of those that are left, take the one with the most images per second: batch / latency."),
        tr(
            "fitting = [b for b in latency_ms if latency_ms[b] <= budget_ms], then max(fitting, "
            "key=lambda b: b / latency_ms[b]); 0 when none fits."
        ),
    ),
    read=tr("the section “Latency, frames per second, throughput” of this chapter"),
)
def check_batch(answer: Callable[[Mapping[int, float], float], int]) -> None:
    """The batch size with the highest throughput whose latency fits."""
    latency_ms = {1: 2.0, 4: 5.0, 16: 14.0, 64: 90.0}
    falling = {1: 1.0, 8: 10.0}
    cases = (
        (latency_ms, 33.0, 16),
        (latency_ms, 6.0, 4),
        (falling, 20.0, 1),
        (latency_ms, 1.0, 0),
        ({1: 5.0, 2: 5.0}, 5.0, 2),
    )
    for table, budget_ms, expected in cases:
        got = answer(dict(table), budget_ms)
        if got == expected:
            continue
        hint = ""
        if got in table and table[got] > budget_ms:
            hint = tr(
                "Batch {got} takes {latency_ms:g} ms: the first image would wait longer than allowed.",
                got=got,
                latency_ms=table[got],
            )
        elif got == 0 and budget_ms in table.values():
            hint = tr("A latency equal to the budget is allowed.")
        elif expected == 0:
            hint = tr("When no batch is quick enough, answer 0.")
        elif got == max(batch for batch in table if table[batch] <= budget_ms):
            hint = tr(
                "Batch {got} fits, but batch {expected} does more images per second.",
                got=got,
                expected=expected,
            )
        elif got in table:
            hint = tr("Batch {expected} fits too, and does more images per second.", expected=expected)
        raise Mistake(
            tr(
                "latencies {table} and a budget of {budget_ms:g} ms: {expected}, got {got!r}",
                table=table,
                budget_ms=budget_ms,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "09.4",
    tr("Amdahl's law"),
    hints=(
        tr("Call the old time 1. The part that is not made faster still takes 1 - share."),
        tr("The part that is made faster now takes share / factor. Add both: that is the new time."),
        tr("1 / ((1 - share) + share / factor)"),
    ),
    read=tr("the section “Why is int8 faster, or slower, here?” of this chapter"),
)
def check_amdahl(answer: Callable[[float, float], float]) -> None:
    """Speed-up of the whole when a share of its time becomes `factor` times faster."""
    for share, factor in ((0.78, 4.0), (0.5, 2.0), (0.0, 10.0), (1.0, 3.0), (0.6, 0.5)):
        expected, got = 1 / ((1 - share) + share / factor), answer(share, factor)
        if _close(got, expected):
            continue
        known = {
            share * factor: tr("The part that is not faster takes time too."),
            (1 - share) + share / factor: tr(
                "That is the new time beside the old: the speed-up is its inverse."
            ),
            1 + share * (factor - 1): tr("Times add up, not speeds: work out the new time first."),
            share * factor + (1 - share): tr("Times add up, not speeds: work out the new time first."),
        }
        hint = next((text for value, text in known.items() if _close(got, value)), "")
        raise Mistake(
            tr(
                "{share:.0%} of the time made {factor:g} times faster gives {expected:.3f}, got {got!r}",
                share=share,
                factor=factor,
                expected=expected,
                got=got,
            ),
            hint,
        )


# Need and published time of six networks; one of them is far off the rule.
NEEDS = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])
PUBLISHED_MS = np.array([2.1, 3.9, 6.3, 9.5, 30.0, 27.0])


def _left_out(
    fit_on_others: bool, *, inverse: bool = False, centre: Callable[[np.ndarray], float] = np.median
) -> np.ndarray:
    errors = []
    for index in range(len(NEEDS)):
        rows = np.arange(len(NEEDS)) != index if fit_on_others else np.full(len(NEEDS), True)
        estimate_ms = centre(PUBLISHED_MS[rows] / NEEDS[rows]) * NEEDS[index]
        ratio = PUBLISHED_MS[index] / estimate_ms if inverse else estimate_ms / PUBLISHED_MS[index]
        errors.append(100 * (ratio - 1))
    return np.array(errors)


@exercise(
    "09.5",
    tr("Leave one out"),
    hints=(
        tr("For figure i, compute the cost from all figures but i: np.delete(needs, i) leaves one out."),
        tr("cost = np.median(np.delete(published_ms, i) / np.delete(needs, i)); estimate = cost * needs[i]."),
        tr("The error is 100 * (estimate / published_ms[i] - 1); collect it for every i in one array."),
    ),
    read=tr("the section “Devices you do not own” of this chapter"),
)
def check_left_out(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Signed errors in percent of figures that were left out of the fit."""
    got = np.asarray(answer(NEEDS.copy(), PUBLISHED_MS.copy()), dtype=float)
    expected = _left_out(fit_on_others=True)
    if got.shape != expected.shape:
        raise Mistake(
            tr("expected {count} errors, got shape {shape}", count=len(NEEDS), shape=got.shape),
            tr("One error for each figure."),
        )
    if np.allclose(got, expected, atol=1e-6):
        return
    hint = ""
    if np.allclose(got, _left_out(fit_on_others=False), atol=1e-6):
        hint = tr("The figure that you estimate took part in the fit: that is peeking. Leave it out.")
    elif np.allclose(got, np.abs(expected), atol=1e-6):
        hint = tr("Keep the sign: it tells whether the estimate is too long or too short.")
    elif np.allclose(got, expected / 100, atol=1e-6):
        hint = tr("In percent: times 100.")
    elif np.allclose(got, _left_out(fit_on_others=True, inverse=True), atol=1e-6):
        hint = tr("The error of the estimate: estimate / published - 1, not the other way round.")
    elif np.allclose(got, _left_out(fit_on_others=True, centre=np.mean), atol=1e-6):
        hint = tr("The cost is the median, not the mean: one figure far off must not move it.")
    elif np.allclose(got, -expected, atol=1e-6):
        hint = tr("Too long an estimate is a positive error.")
    wrong = int(np.argmax(np.abs(got - expected)))
    raise Mistake(
        tr(
            "the error of figure {index} is {expected:.2f} %, got {got:.2f}",
            index=wrong,
            expected=expected[wrong],
            got=got[wrong],
        ),
        hint,
    )
