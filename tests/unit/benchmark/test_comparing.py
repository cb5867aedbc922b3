"""Sessions timed in turns."""

from __future__ import annotations

import pytest
from timed_sessions import MatmulSession

from edgelab import benchmark
from edgelab.benchmark.statistics import BETWEEN_OPENINGS
from edgelab.errors import InputError


def test_compare_ranks_clear_differences_and_names_ties():
    sessions = {"slow": MatmulSession(work=400), "same": MatmulSession(40), "twin": MatmulSession(40)}
    ranking = benchmark.compare(sessions, baseline="slow", max_seconds=0.7)
    assert ranking.names[-1] == "slow"
    assert ranking.ranks["slow"] == 3
    assert not ranking.speed_ups["same"].is_tie
    assert ranking.speed_ups["same"].low > 2
    assert ranking.speed_ups["same"].low <= ranking.speed_ups["same"].ratio <= ranking.speed_ups["same"].high
    assert "slow" not in ranking.speed_ups
    for found in ranking.speed_ups.values():  # each was opened once
        assert found.high / found.low >= (1 + BETWEEN_OPENINGS) ** 2
    assert ranking.rounds >= 5
    for name in sessions:
        assert len(ranking.measurements[name].samples_ms) >= ranking.rounds
    text = str(ranking)
    assert "speed-up over slow" in text
    assert "rounds" in ranking._repr_html_()


def test_compare_refuses_an_unknown_baseline_and_no_candidates():
    with pytest.raises(InputError, match="matmul"):
        benchmark.compare({"matmul": MatmulSession()}, baseline="other")
    with pytest.raises(InputError):
        benchmark.compare({})
