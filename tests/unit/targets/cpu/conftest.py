"""The small network, converted by the plain converter."""

import numpy as np
import pytest

from edgelab import targets


def convert(model, path, calibration=None):
    """Plain conversion, independent of edgelab.quantization."""
    import keras
    import tensorflow as tf

    pixels = keras.Input((32, 32, 3), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, model(pixels)))
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[np.newaxis].astype(np.float32)] for image in calibration
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def float_path(small_model, tmp_path_factory):
    return convert(small_model, tmp_path_factory.mktemp("float") / "float.tflite")


@pytest.fixture(scope="module")
def int8_path(small_model, patterns, tmp_path_factory):
    return convert(small_model, tmp_path_factory.mktemp("int8") / "int8.tflite", patterns.train_images[:100])


@pytest.fixture
def session(float_path):
    with targets.get("cpu").open(float_path) as session:
        yield session
