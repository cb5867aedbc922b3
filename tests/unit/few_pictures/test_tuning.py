"""Frozen features and tuning, on a network of a few weights."""

import numpy as np
import pytest

from edgelab.few_pictures import tuning

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


@pytest.fixture(scope="module")
def pictures():
    """Bright is class 1, dark class 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    return (rng.integers(0, 100, (40, 8, 8, 3)) + 120 * labels[:, None, None, None]).astype(np.uint8), labels


@pytest.fixture(scope="module")
def network():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, padding="same"),
        layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.GlobalAveragePooling2D(name="pool"),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    return tuning.backbone(model)


@pytest.fixture
def start(network):
    weights = network.get_weights()
    yield weights
    network.set_weights(weights)


def test_features_are_those_of_the_network_and_kept(network, pictures, tmp_path):
    found = tuning.features(network, pictures[0])
    np.testing.assert_allclose(found, network(pictures[0].astype(np.float32)), atol=1e-5)
    assert found.shape == (40, 4)
    (kept,) = (tmp_path / "few_pictures").glob("features*.npy")
    kept.write_bytes(kept.read_bytes()[:-4] + b"\0\0\0\0")
    assert tuning.features(network, pictures[0])[-1, -1] == 0  # read, not made again


def test_a_head_gives_the_probability(network, pictures):
    weights, bias = np.array([1.0, -2.0, 0.5, 3.0], np.float32), -0.25
    model = tuning.with_head(network, (weights, bias))
    expected = 1 / (1 + np.exp(-(tuning.features(network, pictures[0]) @ weights + bias)))
    np.testing.assert_allclose(model(pictures[0].astype(np.float32))[:, 0], expected, atol=1e-5)


def test_tuning_learns_and_comes_back_from_the_cache(network, start, pictures):
    tuner = tuning.Tuner(network, *pictures)
    settings = {"steps": 40, "rate": 0.1, "seed": 1}
    first = tuner.run(start, tuning.random_head(4, 0), *pictures, **settings)
    assert first.accuracy > 0.9 and first.right_own == first.accuracy
    assert any(not np.array_equal(a, b) for a, b in zip(first.weights, start, strict=True))
    network.set_weights(start)
    again = tuning.Tuner(network, *pictures).run(start, tuning.random_head(4, 0), *pictures, **settings)
    np.testing.assert_array_equal(again.right, first.right)
    assert again.duration_s == first.duration_s
    for one, other in zip(network.get_weights(), start, strict=True):
        np.testing.assert_array_equal(one, other)  # nothing was trained


@pytest.mark.parametrize("by_batch", [False, True])
def test_stored_statistics_move_in_training_mode_alone(network, start, pictures, by_batch):
    tuner = tuning.Tuner(network, *pictures)
    head = tuning.random_head(4, 0)
    tuned = tuner.run(start, head, *pictures, steps=3, rate=1e-3, batch_statistics=by_batch)
    names = [variable.path for variable in network.weights]
    moving = [number for number, name in enumerate(names) if "moving" in name]
    assert len(moving) == 2
    for number in moving:
        assert np.array_equal(tuned.weights[number], start[number]) != by_batch


def test_a_run_leaves_no_momentum_to_the_next(network, start, pictures, tmp_path):
    head, settings = tuning.random_head(4, 0), {"steps": 5, "rate": 0.1}
    tuner = tuning.Tuner(network, *pictures)
    first = tuner.run(start, head, *pictures, **settings)
    for kept in (tmp_path / "few_pictures").glob("tuned*.npz"):
        kept.unlink()
    again = tuner.run(start, head, *pictures, **settings)
    for one, other in zip(first.weights, again.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_served_in_training_mode_depends_on_the_batch(network, start, pictures):
    tuner = tuning.Tuner(network, *pictures)
    tuned = tuner.run(start, tuning.random_head(4, 0), *pictures, steps=40, rate=0.1)
    served = tuner.served_in_training_mode(tuned, (1, 8), count=16)
    assert set(served) == {1, 8} and all(len(right) == 16 for right in served.values())
    alone = served[1].mean()
    assert alone < tuned.right[:16].mean()  # a batch of one takes its brightness away
