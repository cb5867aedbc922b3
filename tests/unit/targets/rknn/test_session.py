"""The vendor's simulator against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from waiting import leaving_nothing_running

from edgelab import benchmark, targets
from edgelab.errors import TargetError
from edgelab.runtime import predict


def test_the_simulator_agrees_with_the_cpu_and_leaves_nothing(built, model, patterns, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = targets.get("rknn", where="simulator")
    with leaving_nothing_running(), target.open(built) as session, targets.get("cpu").open(model) as control:
        assert (session.provenance, session.device) == ("simulated", "RK3588 (simulator)")
        ours, theirs = (
            predict(session, patterns.test_images[:100]),
            predict(control, patterns.test_images[:100]),
        )
        folder = session._engine.folder
        errors = session.layer_errors(patterns.test_images[0])
        pixels = np.zeros(session.inputs[0].shape, np.float32)
        times = session.time_runs((pixels,), 3)
        with pytest.raises(TargetError, match="simulator"):
            benchmark.measure(session)
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) > 0.9
    assert 0 < np.abs(ours - theirs).max() < 0.3
    assert errors["cosine"].between(0.9, 1).all() and len(errors) > 5
    assert len(times) == 3 and min(times) > 0
    assert not folder.exists() and not list(tmp_path.iterdir())
    with pytest.raises(TargetError, match="closed"):
        session.run(np.zeros(session.inputs[0].shape, np.float32))


def test_a_board_on_a_cable_is_not_timed(built, monkeypatch):
    with targets.get("rknn", where="simulator").open(built) as session:
        monkeypatch.setattr(session, "_adb", frozenset())
        with pytest.raises(TargetError, match="Through adb no latency is read") as told:
            session.time_runs((np.zeros(session.inputs[0].shape, np.float32),), 3)
        assert "rknn-toolkit-lite2" in told.value.fix
        monkeypatch.undo()


def test_fp16_needs_no_images_and_is_nearly_exact(toolkit, model, patterns, tmp_path):
    target = targets.get("rknn", precision="fp16", where="simulator")
    made = target.compile(model, tmp_path / "x.rknn")
    with target.open(made.path) as session, targets.get("cpu").open(model) as control:
        images = patterns.test_images[:20]
        assert np.abs(predict(session, images) - predict(control, images)).max() < 0.02
