"""A server under load: requests come at a given rate, whether or not it is ready, and each one's latency.

The requests are an *open loop* (Schroeder, Wierman and Harchol-Balter 2006, "Open versus closed: a cautionary
tale"): who sends them does not wait for answers, as users do not know of each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from edgelab.benchmark.measuring import no_garbage_collection
from edgelab.benchmark.statistics import repetition_interval
from edgelab.errors import InputError
from edgelab.texts import tr

SPIN_S = 3e-4  # time.sleep wakes later than asked for by up to about this on Linux
MOST_REQUESTS = 20_000  # of one rate in one turn: a slip in a rate must not run for minutes


def precise_sleep(seconds: float) -> None:
    """Wait for so many seconds, and wake within microseconds of it: the last part is spent on the clock.

    Args:
        seconds: 0 or more.
    """
    end = time.perf_counter() + seconds
    if seconds > SPIN_S:
        time.sleep(seconds - SPIN_S)
    while time.perf_counter() < end:
        pass


@dataclass(frozen=True)
class LoadCurve:
    """Latencies by offered rate, measured in several turns.

    Attributes:
        rates_per_s: float64 [R], rising.
        turns_ms: for each rate, the latencies of its requests in ms, one array a turn.
        served_per_s: float64 [R], requests answered in a second, median of the turns.
    """

    rates_per_s: np.ndarray
    turns_ms: tuple[tuple[np.ndarray, ...], ...]
    served_per_s: np.ndarray

    def percentile_ms(self, percent: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One percentile by rate: geometric mean of the turns, and where a repetition will find it.

        Args:
            percent: 50 for the median.

        Returns:
            Value, lower and upper end, [R] each, in ms.
        """
        each = [[np.percentile(turn, percent) for turn in turns] for turns in self.turns_ms]
        found = np.array([repetition_interval(np.array(values)) for values in each])
        return found[:, 0], found[:, 1], found[:, 2]

    @property
    def mean_ms(self) -> np.ndarray:
        """Mean latency by rate, [R]."""
        return np.array([np.concatenate(turns).mean() for turns in self.turns_ms])

    @property
    def latencies_ms(self) -> dict[float, np.ndarray]:
        """By rate, the latencies of all turns."""
        return {
            float(rate): np.concatenate(turns)
            for rate, turns in zip(self.rates_per_s, self.turns_ms, strict=True)
        }

    def turn(self, number: int) -> dict[float, np.ndarray]:
        """By rate, the latencies of one turn."""
        return {
            float(rate): turns[number] for rate, turns in zip(self.rates_per_s, self.turns_ms, strict=True)
        }


def load_curve(
    send: Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]],
    rates_per_s: Sequence[float],
    *,
    seconds: float = 0.5,
    turns: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> LoadCurve:
    """Offer several rates, in random order in each turn.

    Args:
        send: takes a rate and uniform random numbers in [0, 1), one for each request; sends the requests and
            gives, in s, when each was due and its latency from then.
        rates_per_s: what is offered, requests per second.
        seconds: of each rate in each turn, as far as the server keeps up.
        turns: at least 2, so that there is an interval.
        seed: of the order and of the random numbers.
        progress: show a progress bar.

    Raises:
        InputError: fewer than two turns, or a rate that is not above 0 or gives too many requests.
    """
    rates = np.sort(np.asarray(rates_per_s, np.float64))
    if turns < 2 or rates.min() <= 0 or rates.max() * seconds > MOST_REQUESTS:
        raise InputError(
            tr("{turns} turns of {seconds} s at up to {rate} requests/s cannot be measured.",
               turns=turns, seconds=seconds, rate=rates.max()),
            why=tr("two turns give an interval; rates are above 0, with at most {most} requests a turn",
                   most=MOST_REQUESTS),
            fix=tr("ask for two turns or more, and for a shorter time at high rates"),
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    found: list[list[np.ndarray]] = [[] for _ in rates]
    served: list[list[float]] = [[] for _ in rates]
    order = [int(number) for _ in range(turns) for number in rng.permutation(len(rates))]
    for number in tqdm(order, desc="offering load", leave=False, disable=not progress):
        uniforms = rng.random(max(20, round(rates[number] * seconds)))
        with no_garbage_collection():
            due_s, latencies_s = map(np.asarray, send(float(rates[number]), uniforms))
        found[number].append(1e3 * latencies_s)
        served[number].append(len(uniforms) / float((due_s + latencies_s).max()))
    return LoadCurve(rates, tuple(map(tuple, found)), np.median(served, axis=1))


def expected_mean_ms(rates_per_s: np.ndarray, service_ms: np.ndarray) -> np.ndarray:
    """Mean latency of one server with Poisson arrivals, by the formula of Pollaczek and Khinchine.

    Args:
        rates_per_s: [R] offered.
        service_ms: [N] times that requests take when nobody else is there.

    Returns:
        [R] in ms; infinite where more is offered than it can serve.
    """
    mean, square = float(np.mean(service_ms)), float(np.mean(np.square(service_ms)))
    rates_per_ms = np.asarray(rates_per_s, np.float64) / 1e3
    busy = rates_per_ms * mean
    with np.errstate(divide="ignore"):
        waiting = rates_per_ms * square / 2 / np.maximum(1 - busy, 0)
    return mean + waiting
