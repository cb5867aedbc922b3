"""Timings of a real clock pass; those that were made up, copied or rounded do not."""

import numpy as np
import pytest

from edgelab.boards import samples

RNG_SEEDS = range(20)


def timing(openings, share=0.95):
    """As the runner writes it, around these times."""
    parts = [
        {
            "opening_ns": 10_000,
            "warm_up_ns": list(runs[:2]),
            "samples_ns": list(runs),
            "window_ns": int(sum(runs) / share),
        }
        for runs in openings
    ]
    whole = sum(one["opening_ns"] + sum(one["warm_up_ns"]) + one["window_ns"] for one in parts)
    return {"openings": parts, "elapsed_ns": whole + 50_000, "other_cores": None}


def real(seed, median_ns=1_000_000, tick=1, spread=0.02, count=60):
    """Times of a machine with a little noise, in ticks of a clock."""
    rng = np.random.default_rng(seed)
    runs = median_ns * np.exp(spread * rng.gamma(1.0, 1.0, (3, count)))
    return [[int(run // tick * tick) or tick for run in one] for one in runs]


@pytest.mark.parametrize("seed", RNG_SEEDS)
@pytest.mark.parametrize(
    ("median_ns", "tick", "spread"),
    [
        (1_000_000, 1, 0.02),
        (50_000, 100, 0.05),
        (4_000, 100, 0.1),
        (30_000_000, 1, 0.001),
        (2_000_000, 52, 0.003),
    ],
)
def test_what_a_clock_gave_passes(seed, median_ns, tick, spread):
    assert samples.doubts(timing(real(seed, median_ns, tick, spread)), tick) == []


def test_five_runs_of_three_openings_suffice():
    assert samples.doubts(timing(real(1, count=5)), 1) == []


MADE_UP = {
    "all the same": ([[1_000_000] * 50] * 3, "too regular"),
    "nearly the same": ([[1_000_000 + (i + j) % 7 for i in range(50)] for j in range(3)], "too regular"),
    "going up evenly": ([[1_000_000 + 1013 * i + j for i in range(50)] for j in range(3)], "pattern"),
    "a block again and again": ([(one[:5] * 12) for one in real(1)], "pattern"),
    "a few values by chance": (
        [np.random.default_rng(j).choice([1_000_003, 1_104_005, 1_207_001], 80).tolist() for j in range(3)],
        "pattern",
    ),
    "rounded to 0.01 ms": (
        [[run // 10_000 * 10_000 for run in one] for one in real(2)],
        "multiples of 10000",
    ),
    "an opening copied": ([real(3)[0], real(3)[1], real(3)[0]], "same times"),
    "faster than the clock": ([[3, 4, 5, 4, 3, 5, 4]] * 3, "ticks"),
}


@pytest.mark.parametrize("name", MADE_UP)
def test_what_was_made_up_does_not(name):
    openings, words = MADE_UP[name]
    [*found] = samples.doubts(timing(openings), 1)
    assert any(words in sentence for sentence in found), found


def test_no_part_takes_longer_than_the_whole():
    whole = timing(real(4))
    assert "whole measurement" in " ".join(
        samples.doubts(whole | {"elapsed_ns": whole["elapsed_ns"] // 2}, 1)
    )
    slower = timing([[3 * run for run in one] for one in real(4)])
    for one, kept in zip(slower["openings"], whole["openings"], strict=True):
        one["window_ns"] = kept["window_ns"]
    assert "longer than the time in which they were made" in " ".join(samples.doubts(slower, 1))


def test_times_that_were_divided_leave_a_gap():
    faster = timing(real(5))
    for one in faster["openings"]:
        one["samples_ns"] = [run // 10 + 1 for run in one["samples_ns"]]
    assert "less than half" in " ".join(samples.doubts(faster, 1))


def test_one_opening_that_another_program_disturbed_is_no_forgery():
    disturbed = timing(real(5))
    disturbed["openings"][1]["window_ns"] *= 3
    disturbed["elapsed_ns"] += disturbed["openings"][1]["window_ns"]
    assert samples.doubts(disturbed, 1) == []


@pytest.mark.parametrize(
    "broken",
    [
        None, [], {}, {"openings": []}, {"openings": 3, "elapsed_ns": 1},
        {"openings": [{}] * 3, "elapsed_ns": 10**9},
        timing(real(1)[:2]), timing([one[:4] for one in real(1)]),
        timing(real(1)) | {"elapsed_ns": None}, timing(real(1)) | {"elapsed_ns": float("inf")},
        timing(real(1)) | {"elapsed_ns": True}, timing(real(1)) | {"elapsed_ns": 10**30},
    ],
)  # fmt: skip
def test_missing_or_impossible_parts_are_told(broken):
    assert samples.doubts(broken, 1)


@pytest.mark.parametrize("odd", [0, -5, 1.5, None, "7", True, 10**20, float("nan")])
def test_each_time_is_a_number_of_nanoseconds(odd):
    broken = timing(real(1))
    broken["openings"][1]["samples_ns"][7] = odd
    assert samples.doubts(broken, 1) == ["a time is no whole number of nanoseconds above zero"]
