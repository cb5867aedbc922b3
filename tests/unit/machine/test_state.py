"""A machine that is not calm is noticed."""

from __future__ import annotations

import numpy as np

from edgelab.machine import state


def test_drift_and_scatter_are_noticed_and_calm_is_not_blamed():
    calm = 1 + 0.001 * np.random.default_rng(0).random(100)
    assert state.noise_reasons(calm, other_cores=0.0) == []
    [drift] = state.noise_reasons(np.concatenate([calm, 1.2 * calm]), 0.0)
    assert "20% slower" in drift
    scattered = state.noise_reasons(np.tile([1.0, 2.0], 50), 0.0)
    assert any("differ" in reason for reason in scattered)
    assert "1.5" in state.noise_reasons(calm, 1.5)[0]
