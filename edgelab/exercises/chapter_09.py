"""The checks of chapter 9: a timing loop, a warm-up, the interval of a repetition, batches and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edgelab.benchmark.statistics import repetition_interval, t_quantile
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


class _Machine:
    """A clock in seconds that only calls move, each by its own time."""

    def __init__(self, durations_s: Sequence[float]) -> None:
        self.now_s, self.calls, self._durations_s = 100.0, 0, list(durations_s)

    def call(self) -> None:
        self.now_s += self._durations_s[min(self.calls, len(self._durations_s) - 1)]
        self.calls += 1

    def clock(self) -> float:
        return self.now_s


@exercise(
    "09.1",
    tr("The timing loop"),
    hints=(
        tr("For each call: read the clock, call, read the clock again; the difference is one time."),
        tr("clock() gives seconds; a thousand of what you return are one second."),
        tr("started = clock(); call(); times_ms[index] = 1000 * (clock() - started)"),
    ),
    read=tr("the section “The first calls” of this chapter"),
)
def check_loop(answer: Callable[..., Any]) -> None:
    """The time of each of `count` calls, by the clock that is handed in."""
    rng = np.random.default_rng(91)
    for count in (3, 1, 8, 25):
        durations_s = np.round(rng.uniform(0.001, 0.02, count + 2), 6)
        machine = _Machine(durations_s.tolist())
        got = np.asarray(answer(machine.call, count, machine.clock), dtype=float)
        expected = 1000 * durations_s[:count]
        if machine.calls != count:
            raise Mistake(
                tr("{count} calls were wanted, {got} were made", count=count, got=machine.calls),
                tr("One call per round, none before and none after: warming up is the next step."),
            )
        if got.shape != expected.shape:
            raise Mistake(
                tr("{count} calls have as many times, got shape {shape}", count=count, shape=list(got.shape)),
                tr("Keep the time of every single call: the shape of their distribution matters."),
            )
        if not np.allclose(got, expected, rtol=1e-6, atol=1e-6):
            _explain_times(got, expected)


def _explain_times(got: np.ndarray, expected: np.ndarray) -> None:
    hint = ""
    if np.allclose(got, expected / 1000, rtol=1e-6):
        hint = tr("Milliseconds are wanted: times 1000.")
    elif np.allclose(got, np.cumsum(expected), rtol=1e-6):
        hint = tr("Read the clock anew before each call: these times run on.")
    elif np.allclose(got, expected.mean(), rtol=1e-6):
        hint = tr("A mean over all hides the slow calls: time each one.")
    elif np.all(got < 0.5 * expected):
        hint = tr("Read the clock that is handed in, once before and once after the call.")
    wrong = int(np.argmax(np.abs(got - expected)))
    raise Mistake(
        tr(
            "call {index} took {expected:.3f} ms, got {got:.6g}",
            index=wrong,
            expected=expected[wrong],
            got=got[wrong],
        ),
        hint,
    )


def steady_after(times_ms: np.ndarray, window: int, gain: float, centre: Callable = np.median) -> int:
    """How many calls to throw away: the rule of exercise 9.2."""
    best = np.inf
    for start in range(1, len(times_ms) - window, window):
        middle = centre(times_ms[start : start + window])
        if middle > (1 - gain) * best:
            return start + window
        best = middle
    return len(times_ms)


def _warm_ups() -> Iterator[tuple[np.ndarray, int, float]]:
    """Times that fall and become steady, with a few slow calls; no window is near the rule's limit."""
    rng = np.random.default_rng(92)
    cases = 0
    while cases < 12:
        window, gain = int(rng.integers(4, 13)), float(rng.choice([0.01, 0.02, 0.1]))
        count = int(rng.integers(3 * window, 9 * window))
        times_ms = 1 + 2 * np.exp(-np.arange(count) / rng.uniform(2, 30)) + 0.03 * rng.random(count)
        times_ms[rng.random(count) < 0.15] *= 4
        windows = [times_ms[start : start + window] for start in range(1, count - window, window)]
        medians = [np.median(values) for values in windows]
        ratios = [later / earlier for earlier, later in pairwise(medians)]
        if min(abs(ratio - (1 - gain)) for ratio in ratios) < 1e-3 or count % window in (1, 0):
            continue
        cases += 1
        yield times_ms, window, gain


@exercise(
    "09.2",
    tr("When is it warm?"),
    hints=(
        tr("Start at call 1, not 0: the first call never counts. Take windows one after the other."),
        tr("Keep the best median so far; stop when a window's is not below (1 - gain) * best."),
        tr("for start in range(1, len(times_ms) - window, window), and return start + window"),
    ),
    read=tr("the section “The first calls” of this chapter"),
)
def check_warm(answer: Callable[[np.ndarray, int, float], int]) -> None:
    """The number of calls that do not count."""
    endless = np.geomspace(100, 1, 45)
    for times_ms, window, gain in [*_warm_ups(), (endless, 10, 0.02)]:
        expected, got = steady_after(times_ms, window, gain), answer(times_ms.copy(), window, gain)
        if got == expected:
            continue
        known = (
            (expected - window, tr("The window that gained nothing is thrown away, too: return its end.")),
            (
                steady_after(times_ms[1:], window, gain),
                tr("The first call is in no window: start at call 1."),
            ),
            (
                steady_after(times_ms, window, gain, np.mean),
                tr("One slow call moves a mean, not a median."),
            ),
            (steady_after(times_ms, window, 0.0), tr("A gain below the wanted one is none: use gain.")),
            (
                steady_after(times_ms, 10, 0.02),
                tr("The size of a window and the gain are arguments, not always 10 and 0.02."),
            ),
            (-1 if expected < len(times_ms) else got, tr("If it never gets steady, all calls go.")),
        )
        hint = next((text for value, text in known if value == got), "")
        raise Mistake(
            tr(
                "{count} calls in windows of {window}, gain {gain:g}: {expected} do not count, got {got!r}",
                count=len(times_ms),
                window=window,
                gain=gain,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "09.3",
    tr("Where a repetition will be"),
    hints=(
        tr("Work on logs = np.log(medians_ms), and turn back by np.exp at the end."),
        tr("reach = t * np.std(logs, ddof=1) * np.sqrt(2 / len(logs)); the 2 is for the other measurement."),
        tr("np.exp(logs.mean()), np.exp(logs.mean() - reach), np.exp(logs.mean() + reach)"),
    ),
    read=tr("the section “One hundred runs” of this chapter"),
)
def check_repetition(answer: Callable[[np.ndarray, float], tuple[float, float, float]]) -> None:
    """The mean of openings, and the interval of another such mean."""
    rng = np.random.default_rng(93)
    for count, spread in ((10, 0.1), (3, 0.2), (6, 0.5), (15, 0.05)):
        medians_ms = np.exp(rng.normal(rng.uniform(-2, 2), spread, count))
        t = t_quantile(count)
        try:
            got = tuple(float(value) for value in answer(medians_ms.copy(), t))
        except TypeError as error:
            raise Mistake(
                tr("three numbers are wanted: {error}", error=error), tr("Return value, low, high.")
            ) from error
        expected = repetition_interval(medians_ms)
        reach = expected[2] - expected[0]
        if len(got) == 3 and np.allclose(got, expected, rtol=0, atol=1e-4 * reach):
            continue
        raise Mistake(
            tr(
                "{count} openings: {expected}, got {got}",
                count=count,
                expected=", ".join(f"{value:.5f}" for value in expected),
                got=", ".join(f"{value:.5f}" for value in got),
            ),
            _repetition_hint(got, medians_ms, t),
        )


def _repetition_hint(got: tuple[float, ...], medians_ms: np.ndarray, t: float) -> str:
    logs, count = np.log(medians_ms), len(medians_ms)
    centre, deviation = logs.mean(), np.std(logs, ddof=1)

    def around(reach: float) -> np.ndarray:
        return np.exp([centre, centre - reach, centre + reach])

    full = t * deviation * math.sqrt(2 / count)
    plain = medians_ms.mean() + t * np.std(medians_ms, ddof=1) * math.sqrt(2 / count) * np.array([0, -1, 1])
    known = (
        (
            around(full / math.sqrt(2)),
            tr("That is where the true mean is. A repetition varies, too: 2 / count."),
        ),
        (around(full * math.sqrt((count - 1) / count)), tr("A sample's deviation needs ddof=1.")),
        (around(full * 1.96 / t), tr("So few openings take the t that is handed in, not 1.96.")),
        (around(t * deviation), tr("The mean of many openings varies less than one: * np.sqrt(2 / count).")),
        (np.log(around(full)), tr("These are logarithms: np.exp turns them back.")),
        (plain, tr("Delays multiply: work on the logarithms.")),
        (around(full)[[0, 2, 1]], tr("The lower end comes before the upper one.")),
    )
    for values, hint in known:
        if len(got) == 3 and np.allclose(got, values, rtol=1e-5, atol=1e-9):
            return hint
    return ""


def _random_budgets() -> Iterator[tuple[dict[int, float], float, int]]:
    """Latencies of batches, a budget, and the best batch; no two are equally good."""
    rng = np.random.default_rng(94)
    for _ in range(8):
        sizes = sorted({int(size) for size in rng.integers(1, 60, 5)})
        table = {size: round(float(1 + size * rng.uniform(0.2, 1.0)), 2) for size in sizes}
        budget_ms = round(float(np.median(list(table.values()))) + 0.005, 3)
        yield table, budget_ms, max((b for b in table if table[b] <= budget_ms), key=lambda b: b / table[b])


@exercise(
    "09.4",
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
        *_random_budgets(),
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
    "09.5",
    tr("Faster, slower, a tie, or nothing shown?"),
    hints=(
        tr("Only when the whole interval is on one side of 1 is a difference shown."),
        tr("A tie is an interval that is wholly between 1 / (1 + margin) and 1 + margin."),
        tr('"faster" if low > 1, "slower" if high < 1, then "tie", and else "no difference shown".'),
    ),
    read=tr("the section “Faster than what?” of this chapter"),
)
def check_verdict(answer: Callable[[float, float, float], str]) -> None:
    """The verdict that the interval of a speed-up allows."""
    rng = np.random.default_rng(95)
    cases = [
        (1.02, 1.30, 0.05),
        (0.97, 1.30, 0.05),
        (0.98, 1.02, 0.05),
        (0.98, 1.02, 0.01),
        (0.70, 0.99, 0.05),
    ]
    cases += [(1.001, 1.003, 0.05), (1.0, 1.5, 0.05), (0.6, 1.0, 0.05), (0.9, 2.0, 1.0), (0.5, 1.1, 1.0)]
    for _ in range(12):
        low = float(np.exp(rng.normal(0, 0.15)))
        cases.append((low, float(low * np.exp(rng.uniform(0.01, 0.3))), float(rng.choice([0.05, 0.1, 0.3]))))
    for low, high, margin in cases:
        expected, got = _speed_verdict(low, high, margin), answer(low, high, margin)
        if got == expected:
            continue
        raise Mistake(
            tr(
                "a speed-up in [{low:.4g}, {high:.4g}], margin {margin:g}, is {expected!r}, got {got!r}",
                low=low,
                high=high,
                margin=margin,
                expected=expected,
                got=got,
            ),
            _verdict_hint(expected, got, low, high),
        )


def _speed_verdict(low: float, high: float, margin: float) -> str:
    if low > 1:
        return "faster"
    if high < 1:
        return "slower"
    return "tie" if 1 / (1 + margin) < low and high < 1 + margin else "no difference shown"


def _verdict_hint(expected: str, got: Any, low: float, high: float) -> str:
    if {expected, got} == {"faster", "slower"}:
        return tr("A speed-up is old time by new time: above 1 the new one is faster.")
    if got in ("faster", "slower"):
        return tr("The interval holds 1, so both are possible: no difference is shown.")
    if expected in ("faster", "slower"):
        return tr("The whole interval is on one side of 1, however close: a difference is shown.")
    if got == "tie":
        return tr("An interval that holds 1 and reaches the margin or beyond leaves room: that is no tie.")
    if expected == "tie":
        return tr("Wholly inside the margin, the two are equal for practical purposes: a tie.")
    return tr("The answers are the four texts of the statement.")


# Need and published time of six networks; one of them is far off the rule.
NEEDS = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])
PUBLISHED_MS = np.array([2.1, 3.9, 6.3, 9.5, 30.0, 27.0])


def _left_out(
    needs: np.ndarray,
    published_ms: np.ndarray,
    *,
    fit_on_others: bool = True,
    centre: Callable[[np.ndarray], float] = np.median,
) -> np.ndarray:
    errors = []
    for index in range(len(needs)):
        rows = np.arange(len(needs)) != index if fit_on_others else np.full(len(needs), True)
        estimate_ms = centre(published_ms[rows] / needs[rows]) * needs[index]
        errors.append(100 * (estimate_ms / published_ms[index] - 1))
    return np.array(errors)


@exercise(
    "09.6",
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
    rng = np.random.default_rng(96)
    cases = [(NEEDS, PUBLISHED_MS)]
    for count in (4, 7, 9):
        needs = rng.uniform(1, 20, count)
        cases.append((needs, needs * rng.uniform(1, 4, count)))
    for needs, published_ms in cases:
        got = np.asarray(answer(needs.copy(), published_ms.copy()), dtype=float)
        _compare_left_out(got, needs, published_ms)


def _compare_left_out(got: np.ndarray, needs: np.ndarray, published_ms: np.ndarray) -> None:
    expected = _left_out(needs, published_ms)
    if got.shape != expected.shape:
        raise Mistake(
            tr("expected {count} errors, got shape {shape}", count=len(needs), shape=got.shape),
            tr("One error for each figure."),
        )
    if np.allclose(got, expected, atol=1e-6):
        return
    hint = ""
    if np.allclose(got, _left_out(needs, published_ms, fit_on_others=False), atol=1e-6):
        hint = tr("The figure that you estimate took part in the fit: that is peeking. Leave it out.")
    elif np.allclose(got, np.abs(expected), atol=1e-6):
        hint = tr("Keep the sign: it tells whether the estimate is too long or too short.")
    elif np.allclose(got, expected / 100, atol=1e-6):
        hint = tr("In percent: times 100.")
    elif np.allclose(got, 100 * (1 / (expected / 100 + 1) - 1), atol=1e-6):
        hint = tr("The error of the estimate: estimate / published - 1, not the other way round.")
    elif np.allclose(got, _left_out(needs, published_ms, centre=np.mean), atol=1e-6):
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
