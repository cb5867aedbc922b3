"""Intervals cover what they claim, and speed-ups say when they are a tie."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import benchmark
from edgelab.benchmark import statistics


def test_interval_holds_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        low, high = benchmark.bootstrap_interval(rng.exponential(1.0, 150), seed=seed, resamples=300)
        hits += low <= np.log(2) <= high
    # Binomial(200, 0.95) lies above 178 with probability 0.999; a block bootstrap is a little too narrow.
    assert 172 <= hits <= 200


def test_interval_of_correlated_samples_is_wider_than_if_they_were_independent():
    rng = np.random.default_rng(1)
    slow_waves = np.repeat(rng.normal(10, 1, 50), 20)
    correlated = benchmark.bootstrap_interval(slow_waves)
    shuffled = benchmark.bootstrap_interval(rng.permutation(slow_waves))
    assert np.diff(correlated) > 1.5 * np.diff(shuffled)


def test_interval_of_turns_belongs_to_the_median_of_all_runs():
    # The median of the turns' medians is another number: its interval misses in one case of eight here.
    rng = np.random.default_rng(0)
    for _ in range(40):
        slow_turns = 2.0 * (rng.random(30) < 0.2)
        runs = rng.choice([1.0, 1.5, 3.0], (30, 7), p=[0.6, 0.2, 0.2]) + 0.02 * rng.random((30, 7))
        turns = runs + slow_turns[:, np.newaxis]
        low, high = statistics.interval_of_turns(turns.tolist(), seed=0)
        assert low <= np.median(turns) <= high


def test_interval_is_reproducible_and_ordered():
    samples = np.random.default_rng(2).gamma(2, 1, 100)
    low, high = benchmark.bootstrap_interval(samples, seed=5)
    assert (low, high) == benchmark.bootstrap_interval(samples, seed=5)
    assert low < np.median(samples) < high
    assert benchmark.bootstrap_interval(np.array([3.0])) == (3.0, 3.0)


def test_a_tie_shares_its_rank_and_is_named_both_ways():
    rounds = 40
    rng = np.random.default_rng(0)
    base = 1 + 0.1 * rng.random(rounds)
    twin = base * np.exp(rng.normal(0, 0.05, rounds))
    assert statistics.ratio_interval(base, twin, seed=0).is_tie
    faster = base / 1.2 * np.exp(rng.normal(0, 0.02, rounds))
    speed_up = statistics.ratio_interval(base, faster, seed=0)
    assert speed_up.low > 1.1
    assert speed_up.low < 1.2 < speed_up.high or abs(speed_up.ratio - 1.2) < 0.02
    assert "tie" in str(benchmark.SpeedUp(1.0, 0.98, 1.02))


def test_a_slow_minute_that_both_share_cancels_in_the_speed_up():
    waves = np.repeat([1.0, 3.0, 1.0, 2.0], 10)
    speed_up = statistics.ratio_interval(2 * waves, waves, seed=0)
    assert (speed_up.low, speed_up.high) == pytest.approx((2, 2))
