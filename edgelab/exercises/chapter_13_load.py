"""Requests at a given rate, exercises 13.1 to 13.3: when they come, who waits how long, what is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


def arrivals(rate_per_s: float, uniforms: np.ndarray) -> np.ndarray:
    """When requests come that know nothing of each other: a Poisson process.

    Args:
        rate_per_s: how many come in a second, on average.
        uniforms: random numbers in [0, 1), one for each request.

    Returns:
        Times since the start in s, rising.
    """
    return np.cumsum(-np.log(1 - uniforms) / rate_per_s)


def open_loop(
    due_s: Iterable[float],
    work: Callable[[int], Any],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[float]:
    """Serve requests in turn, none before it is due; the latency of each in s, from when it was due.

    Args:
        due_s: times since the start at which requests come, rising.
        work: serves the request of that number.
        clock: tells the time in s.
        sleep: waits for so many seconds, 0 or more.
    """
    start, latencies_s = clock(), []
    for number, due in enumerate(due_s):
        sleep(max(0, start + due - clock()))
        work(number)
        latencies_s.append(clock() - start - due)
    return latencies_s


def highest_rate(latencies_ms: Mapping[float, np.ndarray], limit_ms: float) -> float:
    """The highest rate up to which 99 of 100 requests stay within the limit; 0 where none does.

    Args:
        latencies_ms: for each offered rate, the latencies measured at it.
        limit_ms: for the 99th percentile.
    """
    best = 0
    for rate in sorted(latencies_ms):
        if np.percentile(latencies_ms[rate], 99) > limit_ms:
            break
        best = rate
    return best


RATES = ((200.0, 4000), (1.5, 3000), (5.0, 1))


@exercise(
    "13.1",
    tr("Requests that do not wait"),
    hints=(
        tr("First the gaps: one for each random number. Then the times, which are sums of gaps."),
        tr("-np.log(1 - uniforms) / rate_per_s are the gaps in seconds."),
        tr("np.cumsum of the gaps gives the times."),
    ),
    read=tr("the section “Requests that do not wait for you” of this chapter"),
)
def check_arrivals(answer: Callable[[float, np.ndarray], np.ndarray]) -> None:
    """Times of a Poisson process, made from uniform random numbers."""
    for seed, (rate, count) in enumerate(RATES):
        uniforms = np.random.default_rng(130 + seed).random(count)
        got = np.asarray(answer(rate, uniforms.copy()), np.float64)
        what = tr("{count} requests at {rate} per second", count=count, rate=rate)
        if got.shape != uniforms.shape:
            raise Mistake(
                what + ": " + tr("got the shape {shape}", shape=got.shape),
                tr("There is one time for each random number."),
            )
        gaps = -np.log(1 - uniforms) / rate
        expected = np.cumsum(gaps)
        if np.allclose(got, expected) or np.allclose(got, np.cumsum(-np.log(uniforms) / rate)):
            continue
        raise Mistake(
            what
            + ": "
            + tr(
                "the last should come at {expected:.4g} s, not at {got:.4g}",
                expected=expected[-1],
                got=got[-1],
            ),
            _hint_for_arrivals(got, gaps, uniforms, rate),
        )


def _hint_for_arrivals(got: np.ndarray, gaps: np.ndarray, uniforms: np.ndarray, rate: float) -> str:
    if np.allclose(got, gaps):
        return tr("These are the gaps; a request comes when all gaps before it are over.")
    if np.allclose(got, np.cumsum(gaps) * rate**2):
        return tr("At a higher rate they come sooner: divide by the rate.")
    if np.allclose(got, -np.cumsum(gaps)):
        return tr("The logarithm of a number below 1 is negative: mind the sign.")
    if np.allclose(got, np.cumsum(uniforms / rate)) or np.allclose(got, np.cumsum(2 * uniforms / rate)):
        return tr("Uniform gaps have a longest one; take the logarithm first.")
    if np.allclose(np.diff(got), 1 / rate):
        return tr("These come like clockwork; users do not know of each other.")
    return ""


class _FakeClock:
    """A clock that moves when it is told to, and by a microsecond whenever somebody looks at it."""

    TICK_S = 1e-6

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def read(self) -> float:
        self.now_s += self.TICK_S
        return self.now_s

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(tr("nobody can sleep for a negative time"))
        self.now_s += float(seconds)


# Start of the clock, gaps between requests in s, how long each takes in s: idle, busy, a stall, too many.
LOADS = (
    (0.0, 0.05, (0.01,) * 8),
    (1234.5, 0.02, (0.015, 0.03, 0.001, 0.05, 0.002, 0.01, 0.01, 0.03)),
    (7.25, 0.01, (0.002, 0.002, 0.3, *(0.002,) * 9)),
    (99.0, 0.004, (0.01,) * 12),
    (5.0, 2.0, (0.5,) * 4),
)


def _queue(due: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When each request begins and ends, one after the other (Lindley 1952)."""
    begins, now = [], 0.0
    for wanted, duration in zip(due, taken, strict=True):
        begins.append(max(now, wanted))
        now = begins[-1] + duration
    begun = np.array(begins)
    return begun, begun + taken


@exercise(
    "13.2",
    tr("An open loop"),
    hints=(
        tr("Remember when you started. A request is due at that time plus its entry of due_s."),
        tr(
            "Sleep until it is due if that is still to come (never a negative time), work, look at the clock."
        ),
        tr("latency = clock() - (start + due): what it waited while others were served belongs to it."),
    ),
    read=tr("the section “Requests that do not wait for you” of this chapter"),
)
def check_open_loop(answer: Callable[..., Sequence[float]]) -> None:
    """Latencies of requests served in turn, from the time at which each was due."""
    for seed, (start, gap, durations) in enumerate(LOADS):
        taken = np.array(durations)
        due = np.cumsum(np.random.default_rng(140 + seed).exponential(gap, len(taken)))
        begun, ended = _queue(due, taken)
        clock, served = _FakeClock(start), []

        def work(number: int, clock=clock, served=served, taken=taken, start=start) -> None:
            served.append((number, clock.now_s - start))
            clock.now_s += taken[number]

        got = np.asarray(answer(due.copy(), work, clock.read, clock.sleep), np.float64)
        _check_order(served, begun, due)
        if got.shape != due.shape:
            raise Mistake(
                tr("{count} requests: got the shape {shape}", count=len(due), shape=got.shape),
                tr("Return one latency for each request."),
            )
        expected = ended - due
        if np.allclose(got, expected, atol=1e-4):
            continue
        raise Mistake(
            tr(
                "latencies in ms: expected {expected}, got {got}",
                expected=np.round(1e3 * expected, 1).tolist(),
                got=np.round(1e3 * got, 1).tolist(),
            ),
            _hint_for_latencies(got, taken, begun, ended, due),
        )


def _check_order(served: list[tuple[int, float]], begun: np.ndarray, due: np.ndarray) -> None:
    if [number for number, _ in served] != list(range(len(due))):
        raise Mistake(
            tr("served were the requests {got}", got=[number for number, _ in served][:12]),
            tr("Call work(number) once for each request: 0, 1, 2, …"),
        )
    times = np.array([time for _, time in served])
    if (times < due - 1e-4).any():
        raise Mistake(
            tr("a request began before it was due"),
            tr("Nobody can be served before coming: sleep until start + due."),
        )
    if (times > begun + 1e-3).any():
        raise Mistake(
            tr("a request began later than it could"),
            tr("Sleep only until it is due; if that is past already, begin at once."),
        )


def _hint_for_latencies(
    got: np.ndarray, taken: np.ndarray, begun: np.ndarray, ended: np.ndarray, due: np.ndarray
) -> str:
    if np.allclose(got, taken, atol=1e-4):
        return tr("This is how long the work took; a user also waits before it begins.")
    if np.allclose(got, begun - due, atol=1e-4):
        return tr("This is the waiting alone; the work belongs to the latency, too.")
    if np.allclose(got, ended, atol=1e-4):
        return tr("These are times since the start: take off when each was due.")
    if np.allclose(got, 1e3 * (ended - due), atol=0.1):
        return tr("Return seconds here.")
    return ""


def _ladder(seed: int, scale: Mapping[float, float]) -> dict[float, np.ndarray]:
    rng = np.random.default_rng(150 + seed)
    return {rate: factor * (1 + rng.exponential(0.2, 400)) for rate, factor in scale.items()}


def _steps() -> list[tuple[dict[float, np.ndarray], float, float]]:
    """Latencies by rate, limit, and the rate that is right."""
    tail = np.array([1.0] * 197 + [3.0] * 2 + [9.0])  # p98 is 1, p99 and p98.9 are 3, the largest 9
    return [
        (_ladder(0, {100.0: 1.0, 200.0: 1.2, 400.0: 5.0, 800.0: 50.0}), 4.0, 200.0),
        (_ladder(1, {800.0: 50.0, 100.0: 1.0, 400.0: 1.5, 200.0: 1.2}), 5.0, 400.0),
        ({50.0: np.full(50, 2.0), 60.0: np.full(50, 2.5)}, 2.0, 50.0),
        ({10.0: np.full(50, 3.0), 20.0: np.full(50, 1.0)}, 2.0, 0.0),
        ({10.0: np.full(50, 1.0), 20.0: np.full(50, 3.0), 30.0: np.full(50, 1.0)}, 2.0, 10.0),
        ({10.0: tail, 20.0: np.full(50, 30.0)}, 5.0, 10.0),
        ({10.0: np.full(50, 1.0), 20.0: tail}, 2.0, 10.0),
    ]


@exercise(
    "13.3",
    tr("The highest rate within a limit"),
    hints=(
        tr("Go through the rates from the lowest upwards, and stop at the first that breaks the limit."),
        tr("np.percentile(latencies, 99) is what 99 of 100 requests do not exceed."),
        tr("Remember the last rate that was within the limit, beginning with 0, and return it."),
    ),
    read=tr("the section “The knee” of this chapter"),
)
def check_highest_rate(answer: Callable[[Mapping[float, np.ndarray], float], float]) -> None:
    """The highest rate up to which p99 stays within the limit."""
    for latencies, limit, expected in _steps():
        got = answer({rate: values.copy() for rate, values in latencies.items()}, limit)
        if isinstance(got, int | float | np.number) and float(got) == expected:
            continue
        worst = {rate: float(np.percentile(values, 99)) for rate, values in sorted(latencies.items())}
        within = [rate for rate, value in worst.items() if value <= limit]
        hint = ""
        if within and got == max(within) != expected:
            hint = tr("A rate above one that breaks the limit does not count, even if it looks good.")
        elif expected == 0:
            hint = tr("If not even the lowest rate is within the limit, no rate is: return 0.")
        elif got in (0, *worst) and got < expected:
            hint = tr("Just at the limit is within it; and it is p99 that counts, not the slowest request.")
        elif got in worst and got > expected:
            hint = tr("At that rate more than one request in a hundred is too slow.")
        elif got in list(worst.values()):
            hint = tr("A rate is asked for, not a latency.")
        raise Mistake(
            tr(
                "p99 by rate {worst}, limit {limit}: expected {expected}, got {got}",
                worst={rate: round(value, 2) for rate, value in worst.items()},
                limit=limit,
                expected=expected,
                got=got,
            ),
            hint,
        )
