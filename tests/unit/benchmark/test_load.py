"""Offering a load: shapes, order, intervals and refusals. No speed is judged."""

import time

import numpy as np
import pytest

from edgelab import benchmark
from edgelab.benchmark import load
from edgelab.errors import InputError


def sent(rate, uniforms):
    due_s = np.cumsum(-np.log(1 - uniforms) / rate)
    return due_s, np.full(len(uniforms), 1 / rate)


def test_a_curve_has_each_rate_in_each_turn_in_milliseconds():
    curve = benchmark.load_curve(sent, [400.0, 100.0], seconds=0.5, turns=3)
    assert curve.rates_per_s.tolist() == [100.0, 400.0]
    assert [len(turns) for turns in curve.turns_ms] == [3, 3]
    assert [len(turns[0]) for turns in curve.turns_ms] == [50, 200]
    for percent in (50, 99):
        value, low, high = curve.percentile_ms(percent)
        assert np.allclose(value, [10.0, 2.5]) and np.allclose(low, value) and np.allclose(high, value)
    assert np.allclose(curve.mean_ms, [10.0, 2.5])
    assert {rate: len(values) for rate, values in curve.latencies_ms.items()} == {100.0: 150, 400.0: 600}
    assert list(curve.turn(1)) == [100.0, 400.0]


def test_what_is_served_counts_to_the_last_answer():
    def late(rate, uniforms):
        return np.linspace(0, 1, len(uniforms)), np.full(len(uniforms), 1.0)

    curve = benchmark.load_curve(late, [100.0], seconds=1.0, turns=2)
    assert curve.served_per_s.tolist() == [50.0]


def test_the_interval_holds_all_turns_that_differ():
    turns = iter((1e-3, 2e-3, 4e-3))

    def send(rate, uniforms):
        return np.arange(len(uniforms)) / rate, np.full(len(uniforms), next(turns))

    value, low, high = benchmark.load_curve(send, [100.0], turns=3).percentile_ms(50)
    assert value[0] == pytest.approx(2.0)  # the geometric mean
    assert low[0] < 1.0 and high[0] > 4.0


def test_the_same_seed_sends_the_same_requests():
    seen = []

    def send(rate, uniforms):
        seen.append((rate, uniforms.sum()))
        return sent(rate, uniforms)

    for _ in range(2):
        benchmark.load_curve(send, [50.0, 60.0], turns=2, seed=3)
    assert seen[:4] == seen[4:]


@pytest.mark.parametrize(
    ("rates", "options"),
    [([10.0], {"turns": 1}), ([0.0, 5.0], {}), ([1e6], {"seconds": 1.0})],
)
def test_it_refuses_what_gives_no_interval_or_no_end(rates, options):
    with pytest.raises(InputError):
        benchmark.load_curve(sent, rates, **options)


def test_the_formula_is_that_of_pollaczek_and_khinchine():
    rates = np.array([1.0, 50.0, 100.0, 200.0])
    constant = benchmark.expected_mean_ms(rates, np.full(10, 10.0))
    assert constant[0] == pytest.approx(10.0 + 0.001 * 100 / 2 / 0.99)
    assert constant[1] == pytest.approx(10 + 10 * 0.5 / (2 * 0.5))
    assert np.isinf(constant[2:]).all()
    exponential = benchmark.expected_mean_ms(rates[:2], np.random.default_rng(0).exponential(10.0, 400_000))
    assert exponential[1] == pytest.approx(10 / (1 - 0.5), rel=0.02)  # M/M/1


def test_a_simulated_queue_waits_as_the_formula_says():
    rng = np.random.default_rng(0)
    arrivals, now, waited = np.cumsum(rng.exponential(10.0, 100_000)), 0.0, []
    for arrival in arrivals:
        now = max(now, arrival) + 7.0
        waited.append(now - arrival)
    assert np.mean(waited) == pytest.approx(
        load.expected_mean_ms(np.array([100.0]), np.array([7.0]))[0], rel=0.05
    )


@pytest.mark.parametrize("seconds", [0.0, 1e-4, 5e-3])
def test_a_sleep_is_never_shorter_than_asked_for(seconds):
    started = time.perf_counter()
    benchmark.precise_sleep(seconds)
    assert time.perf_counter() - started >= seconds
