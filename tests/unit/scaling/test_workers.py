"""Real processes: two that train one network, virtual devices, and memory."""

import numpy as np
import pytest

from edgelab.exercises import chapter_14
from edgelab.scaling import crew, network, workers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few(shapes):
    pictures, _ = network.some_pictures(shapes, 64)
    return pictures[:, ::2, ::2], np.arange(64, dtype=np.int32) % 4


def trained(few, plan, count, killed_after=None):
    """What the workers told; the last one is killed after that epoch."""
    settings = chapter_14.cluster_settings(crew.free_addresses(count)) if count > 1 else [""]
    told = []
    with crew.Crew() as team:
        for text in settings:
            team.start(workers.train, text, *few, plan)
        for message in team.messages(240):
            told.append(message)
            if (
                killed_after is not None
                and message.worker == 1
                and message.facts.get("epoch") == killed_after
            ):
                team.kill(1)
    return told


def weights(told):
    return {m.worker: network.flat(m.facts["weights"]) for m in told if "weights" in m.facts}


def largest(first, second):
    return np.abs(first - second).max() / np.abs(second).max()


def test_two_processes_hold_the_weights_of_one_and_survive_a_kill(few, tmp_path):
    plan = workers.Plan(epochs=3, batch_size=16, rate=0.01)
    one, pair = weights(trained(few, plan, 1)), weights(trained(few, plan, 2))
    np.testing.assert_array_equal(pair[0], pair[1])
    assert largest(pair[0], one[0]) < 1e-4
    for attempt in range(5):  # on a busy machine both may come to the end before one is killed
        saved = workers.Plan(epochs=3, batch_size=16, rate=0.01, folder=str(tmp_path / str(attempt)))
        killed = trained(few, saved, 2, killed_after=0)
        if not weights(killed):
            break
    assert not weights(killed), "no kill came in time"
    assert any("error" in message.facts for message in killed if message.worker == 0)
    resumed = trained(few, saved, 2)
    assert {m.facts["restored"] for m in resumed if "restored" in m.facts} <= {1, 2}
    assert largest(weights(resumed)[0], pair[0]) < 1e-5


def test_virtual_devices_hold_the_weights_of_one(few):
    plan = workers.Plan(epochs=1, batch_size=16, rate=0.01)
    one, two = crew.run_all(workers.mirrored, (1, *few, plan), (2, *few, plan))
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert largest(network.flat(two["weights"]), network.flat(one["weights"])) < 1e-4


def test_each_way_tells_the_memory_after_each_network(few):
    with crew.Crew() as team:
        team.start(workers.growth, "cleared", 3, *few)
        told = [message.facts for message in team.messages(120)]
    assert len([facts for facts in told if facts.get("rss_mb", 0) > 1]) == 3 and told[-1] == {"ended": 0}
    assert [facts["alive"] for facts in told[:3]] == [0, 0, 0], "cleared networks are still there"
