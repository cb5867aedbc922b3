"""On a Rockchip board: outputs near the CPU's, all cores at once, nothing left behind."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from edgelab import environment, pipeline, targets
from edgelab.runtime import predict
from edgelab.targets import multicore
from edgelab.targets.cache import compiled
from edgelab.targets.rknn import target as rknn


@pytest.fixture(scope="module")
def chain():
    if environment.rknn_board().status != environment.OK:
        pytest.skip("no Rockchip board")
    return pipeline.open()


@pytest.fixture(scope="module")
def made(chain):
    """Compiled here or, on the board itself, where no compiler runs, found where an earlier run left it."""
    if environment.rknn_python() is None:
        pytest.skip("Rockchip's compiler is not here: copy its .rknn file and open it by path")
    calibration = chain.dataset.calibration_images(200)
    return compiled(targets.get("rknn"), chain.converted("float32").path, calibration=calibration)


def test_outputs_agree_with_the_cpu(chain, made):
    adb_before = {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "adb"}
    images = chain.dataset.test_images[:200]
    with targets.get("rknn", where="board").open(made) as session:
        ours = predict(session, images)
        assert session.provenance == "measured"
    with targets.get("cpu").open(chain.converted("float32").path) as control:
        theirs = predict(control, images)
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) > 0.95
    assert {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "adb"} <= adb_before


def test_every_core_gives_the_same(chain, made):
    images = chain.dataset.test_images[:30]
    cores = rknn.CORES["rk3588"]
    sessions = [targets.get("rknn", core=core, where="board").open(made) for core in range(cores)]
    try:
        together = multicore.run_on_all(sessions, images)
        np.testing.assert_array_equal(together.outputs, predict(sessions[0], images))
    finally:
        for session in sessions:
            session.close()


def test_three_cores_together_give_what_one_gives(chain, made):
    images = chain.dataset.test_images[:30]
    with targets.get("rknn", core=0, where="board").open(made) as one:
        alone = predict(one, images)
    with targets.get("rknn", core=(0, 1, 2), where="board").open(made) as three:
        np.testing.assert_allclose(predict(three, images), alone, atol=1e-2)
        assert three.device.endswith("cores 0, 1, 2")
