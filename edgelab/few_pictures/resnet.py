"""ResNet50 as Keras builds it, its pixels prepared inside the model in one of two ways that compute the same.

The weights of 2015 came from Caffe: channels in the order blue, green, red, the means of ImageNet taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelab.errors import InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

MEANS_BGR = (103.939, 116.779, 123.68)  # of ImageNet's pixels, as keras.applications takes them off
FLIPS = ("slice", "convolution")


def preparation() -> list[np.ndarray]:
    """Kernel `[1, 1, 3, 3]` and bias `[3]` of a convolution that turns RGB round and takes the means off."""
    kernel = np.eye(3, dtype=np.float32)[:, ::-1].reshape(1, 1, 3, 3)
    return [np.ascontiguousarray(kernel), -np.array(MEANS_BGR, np.float32)]


def resnet50(flip: str, image_size: int = 224, *, thin: int = 1, seed: int = 0) -> keras.Model:
    """ResNet50 with random weights and one sigmoid unit, float32 pixels 0 to 255 RGB in.

    Args:
        flip: "slice" turns the channels round as `z[..., ::-1]` and subtracts; "convolution" does both by a
            fixed 1x1 convolution.
        image_size: pixels on a side, 32 at least.
        thin: the channels of every layer are divided by this; the operators stay the same.
        seed: of the weights.

    Raises:
        InputError: another `flip`.
    """
    if flip not in FLIPS:
        raise InputError(
            tr("Channels cannot be turned round by {flip!r}.", flip=flip),
            fix=tr("use one of {known}", known=", ".join(FLIPS)),
        )
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    shape = (image_size, image_size, 3)
    base = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=shape)
    if thin > 1:
        base = _thinner(base, thin)
    pixels = keras.Input(shape, name="pixels")
    if flip == "slice":
        prepared = pixels[..., ::-1] - np.array(MEANS_BGR, np.float32)
    else:
        turn = layers.Conv2D(3, 1, trainable=False, name="turn")
        prepared = turn(pixels)
        turn.set_weights(preparation())
    unit = layers.Dense(1, activation="sigmoid", name="probability")
    return keras.Model(pixels, unit(base(prepared)), name=f"resnet50_{flip}")


def _thinner(model: keras.Model, thin: int) -> keras.Model:
    """The same network with a part of its channels, its weights random again."""
    import keras

    config = model.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # it holds the old shapes
        if "filters" in layer["config"]:
            layer["config"]["filters"] //= thin
    return keras.Model.from_config(config)
