"""Several sessions at once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgelab import quantization, targets
from edgelab.errors import InputError, ModelError
from edgelab.runtime import predict
from edgelab.targets import multicore


@pytest.fixture(scope="module")
def model(small_model):
    return quantization.convert(small_model, "float32", name="small").path


class Slowed:
    """A CPU session that waits before each inference, and notices two threads inside it."""

    def __init__(self, session, wait_s):
        self.inputs, self.outputs, self._session, self._wait_s = (
            session.inputs,
            session.outputs,
            session,
            wait_s,
        )
        self._busy = threading.Lock()

    def run(self, *inputs):
        assert self._busy.acquire(blocking=False), "two threads in one session"
        try:
            time.sleep(self._wait_s)
            return self._session.run(*inputs)
        finally:
            self._busy.release()


def test_images_keep_their_order_and_a_slow_session_gets_fewer(model, patterns):
    images = patterns.test_images[:60]
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b, cpu.open(model) as c:
        done = multicore.run_on_all([Slowed(a, 0.02), Slowed(b, 0.001), Slowed(c, 0.001)], images)
        expected = predict(a, images)
    np.testing.assert_array_equal(done.outputs, expected)
    assert sum(done.counts) == 60 and done.counts[0] < min(done.counts[1:])
    assert "60" not in str(done.counts) and done.throughput_per_s > 0


def test_one_failing_session_stops_the_run(model, patterns):
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b:
        b.close()
        slow = Slowed(a, 0.01)
        with pytest.raises(ModelError, match="closed"):
            multicore.run_on_all([slow, b], patterns.test_images[:200])


def test_one_session_twice_is_refused(model, patterns):
    with targets.get("cpu").open(model) as session:
        with pytest.raises(InputError, match="one session per core"):
            multicore.run_on_all([session, session], patterns.test_images[:2])
        assert multicore.run_on_all([session], patterns.test_images[:0]).outputs.shape == (0, 10)
    with pytest.raises(InputError):
        multicore.run_on_all([], patterns.test_images[:2])
