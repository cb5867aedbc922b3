"""A session timed: warm-up, samples, limits."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from timed_sessions import MatmulSession

from edgelab import benchmark
from edgelab.benchmark import measuring
from edgelab.errors import InputError
from edgelab.runtime import TensorSpec


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


class Lasting(MatmulSession):
    """Runs that last as long as they are told to, on a clock that nothing else moves."""

    def __init__(self, seconds_of, monkeypatch):
        super().__init__()
        self.seconds_of, self.now_s = seconds_of, 0.0
        clock = SimpleNamespace(
            perf_counter=lambda: self.now_s, perf_counter_ns=lambda: round(1e9 * self.now_s)
        )
        monkeypatch.setattr(measuring, "time", clock)

    def run(self, matrix):
        self.runs += 1
        self.now_s += self.seconds_of(self.runs)
        return (matrix,)


def test_slow_session_stops_in_time_with_few_samples(monkeypatch):
    session = Lasting(lambda run: 0.05, monkeypatch)
    measured = benchmark.measure(session, max_seconds=0.3)
    assert 5 <= len(measured.samples_ms) <= 7
    assert session.now_s <= 0.3 + 0.3 / 3 + 2 * 0.05, "limits of timing and warm-up, and a run beyond each"


def test_warm_up_throws_the_slow_first_runs_away(monkeypatch):
    session = Lasting(lambda run: 0.02 if run <= 15 else 0.001, monkeypatch)
    measured = benchmark.measure(session, min_samples=20, max_seconds=3)
    assert measured.warm_up_runs > 15
    np.testing.assert_allclose(measured.warm_up_ms[:15], 20)
    np.testing.assert_allclose(measured.samples_ms, 1)


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
