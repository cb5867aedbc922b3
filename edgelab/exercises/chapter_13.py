"""The checks of chapter 13: arrivals, an open loop, the knee, a threshold, warm models, tiles with a halo."""

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


def choose_threshold(
    confidence: np.ndarray,
    small_right: np.ndarray,
    large_right: np.ndarray,
    thresholds: Sequence[float],
    least: float,
) -> float:
    """The first threshold with which a cascade is right often enough; the last where none is.

    Args:
        confidence: of the small network in each picture, 0 to 1.
        small_right, large_right: whether each network was right, Booleans.
        thresholds: rising; below it a picture goes on to the large network.
        least: the wanted share of right answers, 0 to 1.
    """
    for threshold in thresholds:
        right = np.where(confidence >= threshold, small_right, large_right)
        if right.mean() >= least:
            return threshold
    return thresholds[-1]


def warm_models(load: Callable[[str], tuple[Any, int]], budget_bytes: int) -> Callable[[str], Any]:
    """A function that gives a model by name, and keeps those used last as far as the budget goes.

    Args:
        load: gives a model and its size in bytes.
        budget_bytes: what may be kept after each request.
    """
    kept: dict[str, tuple[Any, int]] = {}

    def get(name: str) -> Any:
        model, size = kept.pop(name) if name in kept else load(name)
        kept[name] = model, size  # last in the dictionary: used last
        while sum(size for _, size in kept.values()) > budget_bytes:
            del kept[next(iter(kept))]
        return model

    return get


def tile_spans(length: int, tile: int, halo: int) -> list[tuple[int, int, int, int]]:
    """Along one side of a picture: what each tile reads, and what of it counts.

    Args:
        length: of the side, in pixels.
        tile: pixels that count, in each tile; the last may have fewer.
        halo: pixels read beyond on each side, where there are any.

    Returns:
        For each tile, in order: first and end of what it reads, first and end of what counts.
    """
    spans = []
    for first in range(0, length, tile):
        end = min(first + tile, length)
        spans.append((max(0, first - halo), min(length, end + halo), first, end))
    return spans


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


def _answers(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence in hundredths, the small network right as often as it is sure, the large in nine of ten."""
    rng = np.random.default_rng(160 + seed)
    confidence = np.round(rng.uniform(0.2, 1.0, count), 2)
    return confidence, rng.random(count) < confidence, rng.random(count) < 0.92


def _cascade_accuracy(
    confidence: np.ndarray, small: np.ndarray, large: np.ndarray, threshold: float
) -> float:
    sure = confidence >= threshold
    return (int(small[sure].sum()) + int(large[~sure].sum())) / len(confidence)


THRESHOLDS = (*(round(0.05 * step, 2) for step in range(21)), 1.01)


@exercise(
    "13.4",
    tr("A threshold"),
    hints=(
        tr("For one threshold: who answers each picture, and how often is that answer right?"),
        tr("np.where(confidence >= threshold, small_right, large_right).mean() is the cascade's accuracy."),
        tr("Return the first threshold whose accuracy is at least `least`; after the loop, the last one."),
    ),
    read=tr("the section “Two networks, one answer” of this chapter"),
)
def check_threshold(answer: Callable[..., float]) -> None:
    """The first threshold with which the cascade is right often enough."""
    cases = [(seed, least) for seed in range(3) for least in (0.0, 0.7, 0.8, 0.85, 0.9, 1.0)]
    for seed, least in cases:
        confidence, small, large = _answers(seed)
        reached = [_cascade_accuracy(confidence, small, large, t) for t in THRESHOLDS]
        wanted = [*(r for r in sorted(reached) if r >= least)][:1] or [least]
        _check_choice(answer, (confidence, small, large), wanted[0], reached)
    # Two pictures just at a threshold each: sure enough is sure.
    edge = np.array(THRESHOLDS[9:11]), np.array([False, True]), np.array([True, False])
    _check_choice(answer, edge, 1.0, [_cascade_accuracy(*edge, t) for t in THRESHOLDS])


def _check_choice(
    answer: Callable[..., float],
    pictures: tuple[np.ndarray, np.ndarray, np.ndarray],
    least: float,
    reached: list[float],
) -> None:
    enough = [t for t, accuracy in zip(THRESHOLDS, reached, strict=True) if accuracy >= least]
    expected = enough[0] if enough else THRESHOLDS[-1]
    got = answer(*(values.copy() for values in pictures), list(THRESHOLDS), least)
    if isinstance(got, int | float | np.number) and np.isclose(float(got), expected):
        return
    confidence, small, large = pictures
    hint = ""
    if not isinstance(got, int | float | np.number) or got not in THRESHOLDS:
        hint = tr("Return one of the thresholds that were handed in.")
    elif not enough:
        hint = tr(
            "No threshold is enough here: return the last one, with which the large network answers all."
        )
    elif reached[THRESHOLDS.index(got)] < least:
        turned = [t for t in THRESHOLDS if _cascade_accuracy(confidence, large, small, t) >= least]
        hint = (
            tr("The small network answers where it is sure: at the threshold or above.")
            if got == (turned or THRESHOLDS[-1:])[0]
            else tr("With that threshold the cascade is right too seldom.")
        )
    elif got > expected:
        hint = tr("A lower threshold is enough, and sends fewer pictures to the large network.")
    raise Mistake(
        tr(
            "at least {least:.4f} right: expected the threshold {expected}, got {got}",
            least=least,
            expected=expected,
            got=got,
        ),
        hint,
    )


SIZES = {"a": 40, "b": 30, "c": 20, "d": 10, "e": 100}
# Budget, and the models asked for, in order.
REQUESTS = (
    (100, "abcabcdd"),
    (70, "abacabcb"),
    (60, "abcdabcdcc"),
    (50, "aabbaabcdcd"),
    (0, "aabb"),
    (200, "abcdeabcde"),
    (90, "abceabc"),
    (100, "aeaebb"),
)


def _loads(budget: int, names: str) -> list[str]:
    """Which requests load, when the models used last are kept."""
    kept: list[str] = []
    loaded = []
    for name in names:
        if name in kept:
            kept.remove(name)
        else:
            loaded.append(name)
        kept.append(name)
        while sum(SIZES[one] for one in kept) > budget:
            kept.pop(0)
    return loaded


@exercise(
    "13.5",
    tr("Warm models"),
    hints=(
        tr(
            "A dictionary keeps the order in which keys were put in. Taken out and put in again, one is last."
        ),
        tr("Is it kept? Then no load. Either way it becomes the last. Then drop from the front."),
        tr("While sum(size for _, size in kept.values()) > budget_bytes: del kept[next(iter(kept))]"),
    ),
    read=tr("the section “Warm models” of this chapter"),
)
def check_warm_models(answer: Callable[..., Callable[[str], Any]]) -> None:
    """Models used last are kept, as many as the budget allows."""
    for budget, names in REQUESTS:
        loaded: list[str] = []

        def load(name: str, loaded=loaded) -> tuple[str, int]:
            loaded.append(name)
            return f"model {name}", SIZES[name]

        get = answer(load, budget)
        if not callable(get):
            raise Mistake(
                tr("got {got!r}", got=get), tr("Return the inner function get, without calling it.")
            )
        given = [get(name) for name in names]
        if given != [f"model {name}" for name in names]:
            raise Mistake(
                tr("asked for {asked!r}, got {got!r}", asked=names[0], got=given[0]),
                tr("get(name) returns the model alone, also when it cannot be kept."),
            )
        expected = _loads(budget, names)
        if loaded != expected:
            raise Mistake(
                tr(
                    "budget {budget}, sizes {sizes}, asked for {names}: expected loads {expected}, got {got}",
                    budget=budget,
                    sizes={name: SIZES[name] for name in sorted(set(names))},
                    names=" ".join(names),
                    expected=" ".join(expected),
                    got=" ".join(loaded),
                ),
                _hint_for_loads(budget, names, loaded, expected),
            )


def _hint_for_loads(budget: int, names: str, loaded: list[str], expected: list[str]) -> str:
    if loaded == list(names):
        return tr("Every request loads here: what is kept need not be loaded again.")
    if loaded == list(dict.fromkeys(names)):
        return tr(
            "Nothing is ever dropped here: after each request the sizes kept may not exceed the budget."
        )
    if loaded == _first_in_first_out(budget, names):
        return tr("The one *loaded* longest ago goes here; it should be the one *used* longest ago.")
    if len(loaded) > len(expected):
        return tr("Drop no more than needed: what fits exactly may stay.")
    return ""


def _first_in_first_out(budget: int, names: str) -> list[str]:
    kept: list[str] = []
    loaded = []
    for name in names:
        if name not in kept:
            loaded.append(name)
            kept.append(name)
        while sum(SIZES[one] for one in kept) > budget:
            kept.pop(0)
    return loaded


SIDES = ((640, 160, 16), (100, 30, 8), (64, 64, 12), (65, 16, 0), (10, 40, 3), (96, 32, 40))


@exercise(
    "13.6",
    tr("Tiles with a halo"),
    hints=(
        tr("range(0, length, tile) gives the first pixel that counts in each tile."),
        tr("What counts ends a tile further, or at the end of the picture."),
        tr("It reads from max(0, first - halo) to min(length, end + halo)."),
    ),
    read=tr("the section “A large picture in tiles” of this chapter"),
)
def check_tiles(answer: Callable[[int, int, int], Sequence[Sequence[int]]]) -> None:
    """What each tile along a side reads, and what of it counts."""
    for length, tile, halo in SIDES:
        got = [tuple(int(edge) for edge in span) for span in answer(length, tile, halo)]
        expected = [
            (max(0, at - halo), min(length, at + tile + halo), at, min(length, at + tile))
            for at in range(0, length, tile)
        ]
        if got == expected:
            continue
        raise Mistake(
            tr(
                "length {length}, tile {tile}, halo {halo}: expected {expected}, got {got}",
                length=length,
                tile=tile,
                halo=halo,
                expected=expected[:3],
                got=got[:3],
            ),
            _hint_for_tiles(got, expected, length),
        )


def _hint_for_tiles(
    got: list[tuple[int, ...]], expected: list[tuple[int, int, int, int]], length: int
) -> str:
    if any(len(span) != 4 for span in got):
        return tr("Four numbers a tile: first and end of what it reads, first and end of what counts.")
    if len(got) != len(expected):
        return tr("Begin a tile every `tile` pixels until the picture ends; the last may be smaller.")
    if any(span[0] < 0 or span[1] > length for span in got):
        return tr("There are no pixels beyond the picture: stop at 0 and at length.")
    if any(span[3] > length for span in got):
        return tr("What counts ends with the picture, too.")
    if [span[2:] for span in got] == [span[:2] for span in expected]:
        return tr("First what it reads, then what counts.")
    if [span[2:] for span in got] == [span[2:] for span in expected]:
        return tr("The halo lies on both sides of what counts.")
    return ""
