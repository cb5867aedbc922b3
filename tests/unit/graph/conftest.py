"""A converted network, which files are read from and changed copies made of."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def converted() -> bytes:
    """An untrained network whose figures can be worked out by hand, converted to float and left in memory."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(0)
    bias = {"bias_initializer": "random_normal"}  # equal biases of zero would share one buffer
    inputs = keras.Input((8, 8, 3), batch_size=1)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", **bias)(inputs)
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid", **bias)(x)
    x = layers.Conv2DTranspose(2, 2, strides=2, padding="valid", **bias)(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(5, **bias)(x)
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs)).convert()
