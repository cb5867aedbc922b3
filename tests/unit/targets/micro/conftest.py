"""Models for the interpreter, and a watch that nothing is left."""

import tempfile

import pytest
from micro_models import converted
from waiting import children_with

from edgelab import quantization


@pytest.fixture(scope="module")
def int8_path(small_model, patterns):
    return quantization.convert(small_model, "int8", patterns.train_images[:100], io_dtype="uint8").path


@pytest.fixture(scope="module")
def many_kinds(tmp_path_factory):
    """One model with an output for each of many kinds of operator."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(4)

    def outputs(x):
        y = layers.Conv2D(4, 1)(x)
        return [
            layers.Conv2D(5, 3, strides=2, dilation_rate=1, padding="same", activation="relu")(x),
            layers.Conv2D(3, 3, dilation_rate=2, padding="valid")(x),
            layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6")(x),
            layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x),
            layers.Softmax()(layers.Flatten()(y)),
            layers.Add()([x, y]),
            layers.Subtract()([x, y]),
            layers.Multiply()([x, y]),
            layers.Maximum()([x, y]),
            layers.Concatenate()([x, y]),
            layers.AveragePooling2D(3, 2, padding="same")(x),
            layers.MaxPooling2D(2)(x),
            layers.GlobalAveragePooling2D()(x),
            layers.Activation("sigmoid")(y),
            layers.Activation("tanh")(y),
            layers.Activation("hard_silu")(y),
            layers.LeakyReLU(negative_slope=0.1)(x),
            layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal")(x),
            layers.UpSampling2D(2, interpolation="bilinear")(x),
            layers.ZeroPadding2D(2)(x),
            layers.Permute((2, 1, 3))(x),
            layers.Lambda(lambda v: tf.math.l2_normalize(v, -1))(x),
            layers.Lambda(lambda v: v[:, 1:7:2, 2:5, :])(x),
            layers.Lambda(lambda v: tf.matmul(v, v, transpose_b=True))(x),
        ]

    return converted(outputs, tmp_path_factory.mktemp("kinds") / "kinds.tflite")


@pytest.fixture
def nothing_left(tmp_path_factory, monkeypatch):
    """Afterwards no process and no folder is left over."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not children_with("edgelab.targets.micro.worker")
    assert not list(folder.iterdir())
