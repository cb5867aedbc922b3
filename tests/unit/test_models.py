import numpy as np
import pytest

from edgelab import models
from edgelab.errors import InputError

pytestmark = pytest.mark.slow


def test_stock_strides_give_the_published_network():
    """With the same weights, our network and Keras' own MobileNetV2 answer alike."""
    import keras

    keras.utils.set_random_seed(0)
    ours = models.mobilenet_v2((96, 96, 3), 10, strides=models.STOCK_STRIDES)
    theirs = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)
    ours.set_weights(theirs.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype("float32")
    expected = theirs(pixels / 127.5 - 1, training=False)
    np.testing.assert_allclose(ours(pixels, training=False), expected, atol=1e-5)


@pytest.mark.parametrize(("strides", "cells"), [(models.STOCK_STRIDES, 1), (models.FITTED_STRIDES, 4)])
def test_strides_decide_the_last_map(strides, cells):
    assert models.final_map_size(models.mobilenet_v2(strides=strides)) == (cells, cells)


def test_wrong_number_of_strides_is_explained():
    with pytest.raises(InputError, match="8 are needed"):
        models.mobilenet_v2(strides=(2, 2, 2))


@pytest.mark.parametrize(("wish", "expected"), [(32 * 0.35, 16), (16 * 0.35, 8), (24 * 0.35, 8), (160, 160)])
def test_channels_are_multiples_of_eight(wish, expected):
    assert models.channel_count(wish) == expected


def test_the_friendly_network_holds_only_what_every_accelerator_takes():
    from keras import layers

    friendly = models.accelerator_cnn()
    plain = (
        layers.InputLayer, layers.Rescaling, layers.Conv2D, layers.BatchNormalization, layers.ReLU,
        layers.Add, layers.GlobalAveragePooling2D, layers.Dense,
    )  # fmt: skip
    assert all(isinstance(layer, plain) for layer in friendly.layers)
    assert friendly.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ({"activation": "gelu"}, "Activation"),
        ({"normalisation": "layer"}, "LayerNormalization"),
        ({"squeeze_excite": True}, "Multiply"),
        ({"shrink": "resize"}, "Resizing"),
        ({"head": "flatten"}, "Flatten"),
    ],
)
def test_each_option_brings_in_one_unfriendly_layer(option, kind):
    kinds = {type(layer).__name__ for layer in models.accelerator_cnn().layers}
    changed = {type(layer).__name__ for layer in models.accelerator_cnn(**option).layers}
    assert kind in changed - kinds


@pytest.mark.parametrize("option", [{"normalisation": "group"}, {"shrink": "crop"}, {"head": "tail"}])
def test_an_unknown_option_of_the_network_is_explained(option):
    with pytest.raises(InputError, match="There is no"):
        models.accelerator_cnn(**option)
