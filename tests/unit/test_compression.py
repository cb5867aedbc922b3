import numpy as np
import pytest

from edgelab import compression, models
from edgelab.errors import InputError
from edgelab.exercises import chapter_11


def kernel(*shape):
    return np.random.default_rng(0).laplace(0.0, 0.1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """A MobileNetV2 whose normalisations are not the identity, as after training."""
    import keras

    keras.utils.set_random_seed(0)
    model = models.mobilenet_v2((16, 16, 3), 4)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in layer.get_weights()])
    return model


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_a_mask_takes_out_the_smallest_and_no_other(share):
    weights = kernel(1, 1, 10, 10)
    mask = chapter_11.smallest_mask(weights, share)
    assert mask.shape == weights.shape and np.count_nonzero(~mask) == round(100 * share)
    assert share in (0.0, 1.0) or np.abs(weights[~mask]).max() <= np.abs(weights[mask]).min()


def test_equal_weights_are_taken_out_by_number():
    assert np.count_nonzero(chapter_11.smallest_mask(np.ones(10), 0.3)) == 7


def test_two_of_every_four_inputs_stay_the_larger_ones():
    weights = kernel(1, 1, 12, 5)
    mask = chapter_11.two_of_four_mask(weights)
    for output in range(5):
        for first in range(0, 12, 4):
            four = np.abs(weights[0, 0, first : first + 4, output])
            stays = mask[0, 0, first : first + 4, output]
            assert stays.sum() == 2 and four[stays].min() > four[~stays].max()


def test_clusters_are_few_and_nearer_than_even_steps():
    weights = kernel(1, 1, 40, 50)
    found = chapter_11.clustered(weights, 16)
    assert found.dtype == weights.dtype and len(np.unique(found)) <= 16
    even = np.linspace(weights.min(), weights.max(), 16)
    nearest = even[np.abs(weights[..., np.newaxis] - even).argmin(axis=-1)]
    assert np.mean((found - weights) ** 2) < np.mean((nearest - weights) ** 2)


def test_few_distinct_weights_are_their_own_clusters():
    weights = np.array([-1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(chapter_11.clustered(weights, 3), weights)


@pytest.mark.slow
@pytest.mark.parametrize("by", compression.SCORES)
def test_half_of_the_channels_stay(network, by):
    kept = compression.chosen_channels(network, 0.5, by)
    assert list(kept) == compression.block_names(network) and len(kept) == 16
    for name, channels in kept.items():
        width = network.get_layer(f"{name}_expand").filters
        assert len(channels) % 8 == 0 and abs(len(channels) - width / 2) <= 4
        assert (np.diff(channels) > 0).all() and channels.max() < width


@pytest.mark.slow
def test_an_unknown_choice_is_refused(network):
    with pytest.raises(InputError, match="norm, gamma, random"):
        compression.chosen_channels(network, 0.5, "luck")


@pytest.mark.slow
def test_a_channel_without_effect_can_leave_and_nothing_changes(network):
    """Channels that project does not read go; the narrower network answers as the wide one did."""
    import keras

    wide = keras.models.clone_model(network)
    wide.set_weights(network.get_weights())
    kept = compression.chosen_channels(wide, 0.5, "random", seed=1)
    for name, channels in kept.items():
        layer = wide.get_layer(f"{name}_project")
        values = np.zeros(layer.kernel.shape, np.float32)
        values[:, :, channels] = layer.kernel.numpy()[:, :, channels]
        layer.kernel.assign(values)
    narrow = compression.without_channels(wide, kept, chapter_11.cut_block)
    pixels = np.random.default_rng(2).uniform(0, 255, (5, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(narrow(pixels), wide(pixels), atol=1e-5)
    assert narrow.count_params() < wide.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["zeros", "clusters"])
def test_fine_tuning_moves_weights_and_holds_what_it_must(shapes, keep, tmp_path, monkeypatch):
    import keras

    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input(shapes.image_shape), keras.layers.Conv2D(4, 1, name="narrow"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(shapes.class_count, activation="softmax"),
    ])  # fmt: skip
    change = {
        "zeros": lambda values: values * chapter_11.smallest_mask(values, 0.5),
        "clusters": lambda values: chapter_11.clustered(values, 3),
    }[keep]
    [(_, start)] = compression.changed_kernels(model, change).items()
    model.get_layer("narrow").kernel.assign(start)
    weights = model.get_weights()
    small = {"picture_count": 64, "epochs": 1, "test_count": 50, "learning_rate": 1e-4}
    tuned = compression.fine_tuned(model, weights, shapes, keep=keep, **small)
    after = tuned.weights[0]
    assert not np.array_equal(after, start)
    if keep == "zeros":
        assert (after[start == 0] == 0).all()
    else:
        assert all(len(np.unique(after[start == value])) == 1 for value in np.unique(start))
    assert tuned.right_after.shape == (50,) and 0 <= tuned.accuracy_before <= 1

    # The second time nothing is trained, though this model was never compiled.
    fresh = keras.models.clone_model(model)
    monkeypatch.setattr(compression, "_fit", None)
    again = compression.fine_tuned(fresh, weights, shapes, keep=keep, **small)
    np.testing.assert_array_equal(again.weights[0], after)
    np.testing.assert_array_equal(fresh.get_weights()[0], after)


@pytest.mark.slow
def test_something_unknown_to_keep_is_refused(network, shapes):
    with pytest.raises(InputError, match="zeros"):
        compression.fine_tuned(network, network.get_weights(), shapes, keep="half")
