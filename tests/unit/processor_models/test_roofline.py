"""The roofline: what its numbers mean and when it refuses. Speeds are never compared with a fixed value."""

import dataclasses
import os

import numpy as np
import pytest

from edgelab.errors import EdgelabError, InputError
from edgelab.processor_models import roofline

MIB = 2**20


@pytest.fixture(scope="module")
def measured():
    return roofline.measure_roofline(seconds=0.2)


@pytest.fixture
def known():
    return roofline.Roofline(
        peak_gflops=200.0,
        peak_gflops_one_thread=100.0,
        bandwidth_gb_s=20.0,
        bandwidth_gb_s_one_thread=15.0,
        threads=2,
        array_bytes=64 * MIB,
        duration_s=1.0,
    )


@pytest.mark.slow
def test_measured_values_are_positive_and_ordered(measured):
    assert measured.peak_gflops >= measured.peak_gflops_one_thread > 0
    assert measured.bandwidth_gb_s >= measured.bandwidth_gb_s_one_thread > 0
    assert measured.threads == roofline.usable_threads() >= 1


def test_arrays_are_larger_than_the_last_level_cache(measured):
    assert measured.array_bytes >= min(2 * roofline.last_level_cache_bytes(), roofline.LARGEST_ARRAY_BYTES)


def test_two_roofs_meet_at_the_ridge(known):
    assert known.ridge_flop_per_byte == 10.0
    np.testing.assert_allclose(known.attainable_gflops(np.array([0.5, 10.0, 40.0])), [10.0, 200.0, 200.0])


@pytest.mark.parametrize("intensity", [0, -1.0, np.array([1.0, 0.0])])
def test_an_intensity_of_zero_is_refused(known, intensity):
    with pytest.raises(InputError, match="arithmetic intensity"):
        known.attainable_gflops(intensity)


def test_it_cannot_be_changed_and_shows_units(known):
    with pytest.raises(dataclasses.FrozenInstanceError):
        known.peak_gflops = 1.0
    assert "200 GFLOP/s on 2 threads" in str(known)
    assert "20.0 GB/s" in str(known)
    assert "GB/s" in known._repr_html_() and "<table>" in known._repr_html_()


def test_triad_counts_what_it_moves(monkeypatch):
    # With a stopwatch that always says one second, the result is the traffic alone: 3 arrays of 8 MiB.
    monkeypatch.setattr(roofline, "fastest_s", lambda task, seconds: task() and 1.0)
    assert roofline.triad_gb_s(2, array_bytes=8 * MIB) == pytest.approx(3 * 8 * MIB / 1e9)


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"threads": 4, "array_bytes": MIB}])
def test_impossible_sharing_is_refused(arguments):
    with pytest.raises(InputError, match="cannot be shared"):
        roofline.triad_gb_s(**arguments)


def test_fastest_repeats_until_the_time_is_up_and_keeps_the_minimum(monkeypatch):
    # Runs of 3, 1 and 2 seconds: the stopwatch is read for the deadline, then before and after each run.
    clock = iter([0, 0, 3, 3, 4, 4, 6])
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: next(clock))
    runs = []
    assert roofline.fastest_s(lambda: runs.append(1), seconds=5) == 1
    assert len(runs) == 4  # one to warm up


@pytest.mark.parametrize("threads", [1, 2])
def test_every_blas_is_told_how_many_threads(monkeypatch, threads):
    environments = []
    original = roofline.subprocess.run

    def spy(*arguments, **options):
        environments.append(options["env"])
        return original(*arguments, **options)

    monkeypatch.setattr(roofline.subprocess, "run", spy)
    assert roofline.matmul_gflops_on(threads, 0.02) > 0
    assert {environments[0][name] for name in roofline.BLAS_THREAD_VARIABLES} == {str(threads)}
    assert environments[0]["PATH"] == os.environ["PATH"]


def test_a_failing_child_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # a Python without its standard library cannot start
    with pytest.raises(EdgelabError, match="Measuring 1 thread"):
        roofline.matmul_gflops_on(1, 0.02)
