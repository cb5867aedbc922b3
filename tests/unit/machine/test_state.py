"""A machine that is not calm is noticed."""

from __future__ import annotations

import subprocess
import sys

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


def test_what_a_process_of_ours_uses_is_not_blamed_on_others():
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\nsys.stdin.read()"
    own = [state._own_cpu_s()]
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        started.stdout.readline()
        own.append(state._own_cpu_s())
        state.count_as_ours(started.pid)
        own.append(state._own_cpu_s())
        state.no_longer_ours(started.pid)
        own.append(state._own_cpu_s())
        started.stdin.close()
    assert own[1] - own[0] < 0.2 and own[2] - own[1] > 0.25 and own[3] - own[0] < 0.2


def test_a_process_of_ours_that_is_gone_counts_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    state.count_as_ours(gone.pid)
    assert state._own_cpu_s() > 0
    state.no_longer_ours(gone.pid)
