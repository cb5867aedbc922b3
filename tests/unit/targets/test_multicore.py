"""Several sessions at once."""

from __future__ import annotations

import itertools
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


class Held:
    """A CPU session that calls `before` ahead of each inference, and notices two threads inside it."""

    def __init__(self, session, before):
        self.inputs, self.outputs = session.inputs, session.outputs
        self._session, self._before, self._busy = session, before, threading.Lock()

    def run(self, *inputs):
        assert self._busy.acquire(blocking=False), "two threads in one session"
        try:
            self._before()
            return self._session.run(*inputs)
        finally:
            self._busy.release()


def slow_and_fast(count):
    """What a slow session and two fast ones do before each of `count` inferences, all together.

    The slow one waits until the fast ones have begun all that its own queue does not hold; the fast ones wait
    for each other, the first three times.
    """
    rest_begun, together = threading.Event(), threading.Barrier(2)
    fast_runs = itertools.count(1)

    def slow():
        begun = rest_begun.wait(60)
        rest_begun.set()  # a run that fails ends soon
        assert begun, "the fast sessions wait for the slow one"

    def fast():
        own_runs = itertools.count(1)

        def before():
            if next(own_runs) <= 3:
                together.wait(60)
            if next(fast_runs) == count - multicore.WAITING:
                rest_begun.set()

        return before

    return slow, fast(), fast()


def test_images_keep_their_order_and_a_slow_session_gets_fewer(model, patterns):
    images = patterns.test_images[:60]
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b, cpu.open(model) as c:
        sessions = [Held(one, before) for one, before in zip((a, b, c), slow_and_fast(60), strict=True)]
        done = multicore.run_on_all(sessions, images)
        expected = predict(a, images)
    np.testing.assert_array_equal(done.outputs, expected)
    assert sum(done.counts) == 60 and done.counts[0] == multicore.WAITING and min(done.counts[1:]) >= 3
    assert "60" not in str(done.counts) and done.throughput_per_s > 0


def test_one_failing_session_stops_the_run(model, patterns):
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b:
        b.close()
        slow = Held(a, lambda: time.sleep(0.01))
        with pytest.raises(ModelError, match="closed"):
            multicore.run_on_all([slow, b], patterns.test_images[:200])


def test_one_session_twice_is_refused(model, patterns):
    with targets.get("cpu").open(model) as session:
        with pytest.raises(InputError, match="one session per core"):
            multicore.run_on_all([session, session], patterns.test_images[:2])
        assert multicore.run_on_all([session], patterns.test_images[:0]).outputs.shape == (0, 10)
    with pytest.raises(InputError):
        multicore.run_on_all([], patterns.test_images[:2])
