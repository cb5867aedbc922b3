"""Statistics against known answers, behaviour on real work; timings themselves are never asserted."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from edgelab import benchmark, results
from edgelab.benchmark import statistics as benchmark_statistics
from edgelab.errors import InputError
from edgelab.machine import energy, state
from edgelab.runtime import TensorSpec


class MatmulSession:
    """A session that really works: `work` products of two 32x32 matrices per run."""

    target, device, runtime_version, provenance, placement = "numpy", "CPU", "numpy", "measured", None
    fault = ""
    outputs = (TensorSpec("product", (32, 32), np.dtype(np.float32)),)

    def __init__(self, work: int = 1, batch: int = 1) -> None:
        self.work, self.runs = work, 0
        self.inputs = (TensorSpec("matrix", (batch, 32, 32), np.dtype(np.float32)),)

    def run(self, matrix):
        self.runs += 1
        for _ in range(self.work):
            product = matrix @ matrix
        return (product,)


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
        low, high = benchmark_statistics.interval_of_turns(turns.tolist(), seed=0)
        assert low <= np.median(turns) <= high


def test_interval_is_reproducible_and_ordered():
    samples = np.random.default_rng(2).gamma(2, 1, 100)
    low, high = benchmark.bootstrap_interval(samples, seed=5)
    assert (low, high) == benchmark.bootstrap_interval(samples, seed=5)
    assert low < np.median(samples) < high
    assert benchmark.bootstrap_interval(np.array([3.0])) == (3.0, 3.0)


def test_measure_reports_what_it_timed():
    session = MatmulSession(batch=4)
    measured = benchmark.measure(session, min_samples=50, max_seconds=0.5)
    samples = measured.samples_ms
    assert len(samples) >= 50
    assert session.runs == len(samples) + measured.warm_up_runs
    assert measured.median_ms == np.median(samples)
    assert measured.p05_ms <= measured.median_ms <= measured.p95_ms <= measured.p99_ms <= measured.max_ms
    assert measured.interval_ms[0] <= measured.median_ms <= measured.interval_ms[1]
    assert measured.std_ms == pytest.approx(np.std(samples, ddof=1))
    assert measured.batch_size == 4
    assert measured.throughput_per_s == pytest.approx(4 * 1e3 / samples.mean())
    assert measured.peak_memory_bytes > 10e6
    assert measured.machine.cpu
    assert "images/s at batch 4" in str(measured)
    assert "<table>" in measured._repr_html_()


def test_slow_session_stops_in_time_with_few_samples():
    class Sleeper(MatmulSession):
        def run(self, matrix):
            time.sleep(0.05)
            return (matrix,)

    started = time.perf_counter()
    measured = benchmark.measure(Sleeper(), max_seconds=0.3)
    assert 5 <= len(measured.samples_ms) < 100
    assert time.perf_counter() - started < 5  # a hang, not a timing, is what this would catch


def test_warm_up_throws_the_slow_first_runs_away():
    class Cold(MatmulSession):
        def run(self, matrix):
            self.runs += 1
            time.sleep(0.02 if self.runs <= 15 else 0.001)
            return (matrix,)

    measured = benchmark.measure(Cold(), min_samples=20, max_seconds=3)
    assert measured.warm_up_runs > 15
    assert measured.warm_up_ms[0] > 10 * measured.median_ms
    assert measured.max_ms < measured.warm_up_ms[0]


def test_warm_up_runs_can_be_fixed():
    assert benchmark.measure(MatmulSession(), min_samples=5, warm_up_runs=0).warm_up_runs == 0
    assert benchmark.measure(MatmulSession(), min_samples=5, warm_up_runs=7).warm_up_runs == 7


def test_inputs_fit_the_specs_and_are_the_same_for_the_same_seed():
    session = MatmulSession()
    session.inputs = (
        TensorSpec("image", (-1, 8, 8, 3), np.dtype(np.int8), 0.1, -3),
        TensorSpec("token", (1, 4), np.dtype(np.int64)),
        TensorSpec("pixels", (2, 5), np.dtype(np.float32)),
    )
    image, token, pixels = benchmark.sample_inputs(session, seed=1)
    assert (image.shape, image.dtype, token.dtype) == ((1, 8, 8, 3), np.int8, np.int64)
    assert image.min() < 0 < image.max()
    assert not token.any()
    assert pixels.shape == (2, 5)
    assert 2 < pixels.max() <= 255
    np.testing.assert_array_equal(image, benchmark.sample_inputs(session, seed=1)[0])


@pytest.mark.parametrize("wrong", [{"min_samples": 0}, {"max_seconds": 0}, {"max_seconds": float("nan")}])
def test_nonsense_limits_are_refused(wrong):
    with pytest.raises(InputError):
        benchmark.measure(MatmulSession(), **wrong)


def test_compare_ranks_clear_differences_and_names_ties():
    sessions = {"slow": MatmulSession(work=400), "same": MatmulSession(40), "twin": MatmulSession(40)}
    ranking = benchmark.compare(sessions, baseline="slow", max_seconds=0.7)
    assert ranking.names[-1] == "slow"
    assert ranking.ranks["slow"] == 3
    assert not ranking.speed_ups["same"].is_tie
    assert ranking.speed_ups["same"].low > 2
    assert ranking.speed_ups["same"].low <= ranking.speed_ups["same"].ratio <= ranking.speed_ups["same"].high
    assert "slow" not in ranking.speed_ups
    assert ranking.rounds >= 5
    for name in sessions:
        assert len(ranking.measurements[name].samples_ms) >= ranking.rounds
    text = str(ranking)
    assert "speed-up over slow" in text
    assert "rounds" in ranking._repr_html_()


def test_a_tie_shares_its_rank_and_is_named_both_ways():
    rounds = 40
    rng = np.random.default_rng(0)
    base = 1 + 0.1 * rng.random(rounds)
    twin = base * np.exp(rng.normal(0, 0.05, rounds))
    assert benchmark_statistics.ratio_interval(base, twin, seed=0).is_tie
    faster = base / 1.2 * np.exp(rng.normal(0, 0.02, rounds))
    speed_up = benchmark_statistics.ratio_interval(base, faster, seed=0)
    assert speed_up.low > 1.1
    assert speed_up.low < 1.2 < speed_up.high or abs(speed_up.ratio - 1.2) < 0.02
    assert "tie" in str(benchmark.SpeedUp(1.0, 0.98, 1.02))


def test_a_slow_minute_that_both_share_cancels_in_the_speed_up():
    waves = np.repeat([1.0, 3.0, 1.0, 2.0], 10)
    speed_up = benchmark_statistics.ratio_interval(2 * waves, waves, seed=0)
    assert (speed_up.low, speed_up.high) == pytest.approx((2, 2))


def test_compare_refuses_an_unknown_baseline_and_no_candidates():
    with pytest.raises(InputError, match="matmul"):
        benchmark.compare({"matmul": MatmulSession()}, baseline="other")
    with pytest.raises(InputError):
        benchmark.compare({})


def test_records_of_a_measurement_carry_samples_and_provenance():
    measured = benchmark.measure(MatmulSession(), min_samples=20, max_seconds=0.3)
    records = {
        record.metric: record for record in results.from_measurement(measured, model="m", precision="p")
    }
    assert records["latency"].value == measured.median_ms
    assert records["latency"].samples.n == len(measured.samples_ms)
    assert (records["latency"].target, records["latency"].provenance) == ("numpy", "measured")
    assert ("energy" in records) == (measured.energy_mj is not None)


def test_a_busy_neighbour_is_noticed():
    burn = "while True: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(2)]
    try:
        time.sleep(0.3)
        state = benchmark.measure(MatmulSession(work=20), max_seconds=1, min_samples=2000).machine
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    assert state.noisy
    assert any("Other programs" in note for note in state.notes)


def test_drift_and_scatter_are_noticed_and_calm_is_not_blamed():
    calm = 1 + 0.001 * np.random.default_rng(0).random(100)
    assert state.noise_reasons(calm, other_cores=0.0) == []
    [drift] = state.noise_reasons(np.concatenate([calm, 1.2 * calm]), 0.0)
    assert "20% slower" in drift
    scattered = state.noise_reasons(np.tile([1.0, 2.0], 50), 0.0)
    assert any("differ" in reason for reason in scattered)
    assert "1.5" in state.noise_reasons(calm, 1.5)[0]


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_a_counter_energy_is_none_with_the_reason_never_zero(tmp_path):
    meter, note = energy.energy_meter(tmp_path)
    assert meter is None
    assert note.startswith("not measured: ")


def test_rapl_counter_is_read_and_its_overflow_counted(tmp_path):
    domain = "class/powercap/intel-rapl:0"
    write_tree(
        tmp_path,
        {
            f"{domain}/energy_uj": "9000\n",
            f"{domain}/max_energy_range_uj": "10000\n",
            "class/powercap/intel-rapl:0:0/energy_uj": "5\n",
        },
    )
    meter, note = energy.energy_meter(tmp_path)
    assert "RAPL" in note
    (tmp_path / domain / "energy_uj").write_text("9500\n")
    meter.sample()
    (tmp_path / domain / "energy_uj").write_text("1500\n")
    meter.sample()
    assert meter.energy_mj() == pytest.approx((500 + 2000) / 1e3)


def test_board_sensor_is_integrated_over_time(tmp_path):
    chip = "class/hwmon/hwmon0"
    write_tree(
        tmp_path,
        {f"{chip}/name": "ina3221\n", f"{chip}/in1_input": "5000\n", f"{chip}/curr1_input": "400\n"},
    )
    clock = iter([0.0, 2.0]).__next__
    [channel] = energy._sensor_channels(tmp_path / chip)
    meter = energy.PowerSensorMeter([channel], clock)
    (tmp_path / chip / "curr1_input").write_text("800\n")
    meter.sample()
    assert meter.energy_mj() == pytest.approx(2.0 * (2000 + 4000) / 2)
    assert energy.energy_meter(tmp_path)[1] == "the board's power sensor"


def test_another_chip_is_not_taken_for_a_power_sensor(tmp_path):
    write_tree(tmp_path, {"class/hwmon/hwmon0/name": "coretemp", "class/hwmon/hwmon0/power1_input": "1"})
    assert energy.energy_meter(tmp_path)[0] is None


def test_a_counter_with_garbage_is_not_measured(tmp_path):
    domain = "class/powercap/intel-rapl:0"
    write_tree(tmp_path, {f"{domain}/energy_uj": "x", f"{domain}/max_energy_range_uj": "10"})
    meter, note = energy.energy_meter(tmp_path)
    assert meter is None
    assert "cannot be read" in note
