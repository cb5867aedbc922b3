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


def test_a_repetition_is_inside_its_interval_95_times_in_100():
    """Simulated: openings vary by 10 %; two measurements of ten openings each, four thousand times."""
    rng = np.random.default_rng(0)
    first, second = np.exp(rng.normal(0.5, 0.1, (2, 4000, 10)))
    inside = 0
    for one, other in zip(first, second, strict=True):
        _, low, high = statistics.repetition_interval(one)
        inside += low <= statistics.repetition_interval(other)[0] <= high
    # Four standard errors of a share of 0.95 in 4000 are 0.014.
    assert inside / 4000 == pytest.approx(0.95, abs=0.014)


def test_openings_of_an_idle_machine_promise_no_less_than_one_percent():
    """Ten that agree to 0.03 %, then ten 0.2 % beside them: measured so on a quiet server."""
    one, other = np.full(10, 0.1966) + np.linspace(-3e-5, 3e-5, 10), np.full(10, 0.1970)
    value, low, high = statistics.repetition_interval(one)
    assert not low <= other.mean() <= high
    low, high = statistics.never_too_narrow(value, low, high)
    assert low <= other.mean() <= high and (low, high) == pytest.approx((0.1966 / 1.01, 0.1966 * 1.01))
    wide = statistics.repetition_interval(np.array([1.0, 1.3, 0.8]))
    assert statistics.never_too_narrow(*wide) == wide[1:]


def test_an_opening_ratio_covers_the_truth_and_names_what_it_shows():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        base, fast = np.exp(rng.normal(0.7, 0.05, 10)), np.exp(rng.normal(0.0, 0.05, 10))
        found = statistics.opening_ratio(base, fast)
        covered += found.low <= np.exp(0.7) <= found.high
    # Four standard errors of a share of 0.95 in 2000 are 0.02.
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)
    assert found.difference == "faster" and "(" not in str(found)


@pytest.mark.parametrize(
    ("low", "high", "difference"),
    [
        (1.2, 1.4, "faster"),
        (0.7, 0.9, "slower"),
        (0.98, 1.03, "tie"),
        (0.9, 1.3, "no difference shown"),
        (1.005, 1.2, "no difference shown"),
    ],
)
def test_a_tie_needs_an_interval_within_the_margin(low, high, difference):
    found = statistics.SpeedUp((low * high) ** 0.5, low, high)
    assert found.difference == difference
    assert found.is_tie == (difference == "tie")
    assert found.shows_difference == (difference in ("faster", "slower"))


def test_quantiles_of_student_join_the_normal_ones():
    values = [statistics.t_quantile(count) for count in range(2, 60)]
    assert values == sorted(values, reverse=True)
    # Tables give 2.080 for 21 degrees of freedom, and 2.021 for 40.
    assert statistics.t_quantile(22) == pytest.approx(2.080, abs=0.01)
    assert statistics.t_quantile(41) == pytest.approx(2.021, abs=0.01)


def test_another_opening_of_either_may_change_a_speed_up():
    once = statistics.SpeedUp(1.02, 1.018, 1.022)
    assert once.difference == "faster"  # these two sessions surely differ
    found = statistics.of_one_opening(once)
    assert found.ratio == 1.02
    assert (found.low, found.high) == pytest.approx((1.018 / 1.035, 1.022 * 1.035))
    assert found.difference == "no difference shown"
    assert statistics.of_one_opening(statistics.SpeedUp(1.1, 1.09, 1.11)).difference == "faster"
