"""A session on the GPU gives what the CPU gives."""

import subprocess
import sys

import numpy as np
import pytest

from edgelab import benchmark, graph, targets
from edgelab.errors import InputError, TargetError
from edgelab.runtime import predict
from edgelab.targets.gpu.trial import difference

NOISE = np.random.default_rng(1)


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-4), ("partly", 0.05), ("int8", 0.1)])
def test_results_equal_the_cpus(gpu, trained, patterns, name, tolerance):
    images = patterns.test_images[:60]
    with gpu.open(trained[name]) as session, targets.get("cpu").open(trained[name]) as reference:
        found, expected = predict(session, images), predict(reference, images)
    assert found.shape == expected.shape == (60, 10) and found.dtype == np.float32
    assert expected.std(axis=0).max() > 0.05  # a network that always says the same would pass anything
    assert difference(expected, found) < tolerance
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_what_a_session_tells(gpu, trained):
    with gpu.open(trained["float32"]) as session:
        total = len(graph.read(trained["float32"]).operators)
        assert (session.placement.accelerated, session.placement.total) == (total, total)
        assert "a software GPU on" in session.device  # never taken for a real one
        assert session.target == "gpu" and session.provenance == "measured" and session.fault == ""
        assert session.runtime_version.startswith("LiteRT ") and session.runtime_version.endswith("GPU")
        assert session.inputs[0].shape == (1, 32, 32, 3) and session.inputs[0].dtype == np.float32
        measured = benchmark.measure(session, min_samples=5, max_seconds=0.2)
        assert measured.placement == session.placement and measured.device == session.device


def test_enqueue_and_read_are_a_run(gpu, trained):
    image = NOISE.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    with gpu.open(trained["float32"]) as session:
        session.enqueue(image)
        np.testing.assert_array_equal(session.read()[0], session.run(image)[0])


def test_a_batch_of_any_size_runs_as_one(gpu, odd_models):
    image = NOISE.uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    with (
        gpu.open(odd_models["any_batch"]) as session,
        targets.get("cpu").open(odd_models["any_batch"]) as cpu,
    ):
        assert difference(cpu.run(image)[0], session.run(image)[0]) < 1e-5


def test_two_processes_use_one_gpu(gpu, trained):
    script = (
        "import sys, numpy as np\n"
        "from edgelab import targets\n"
        "image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype('float32')\n"
        "path = sys.argv[1]\n"
        "with targets.get('gpu', software=True).open(path) as gpu, targets.get('cpu').open(path) as cpu:\n"
        "    expected = cpu.run(image)[0]\n"
        "    assert all(np.abs(gpu.run(image)[0] - expected).max() < 1e-4 for _ in range(100))\n"
    )
    gpu.check(trained["float32"])
    command = [sys.executable, "-c", script, str(trained["float32"])]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words[-2000:]


def test_wrong_inputs_and_closed_sessions(gpu, trained):
    with gpu.open(trained["float32"]) as session:
        with pytest.raises(InputError):
            session.run(np.zeros((1, 32, 32, 3), np.uint8))
        with pytest.raises(InputError):
            session.run()
    session.close()
    with pytest.raises(TargetError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(InputError):
        targets.get("gpu", precision="int4")
