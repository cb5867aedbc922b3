"""The small model in three conversions, good and bad."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def files(small_model, patterns, tmp_path_factory):
    """The small model in float, in int8, and in int8 calibrated on pictures far too dark."""
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("models")
    small_model.save(folder / "model.keras")
    pixels = keras.Input((32, 32, 3), batch_size=1)
    wrapped = keras.Model(pixels, small_model(pixels))
    calibration = {
        "float": None,
        "int8": patterns.train_images[:100],
        "dark": patterns.train_images[:100] // 8,
    }
    for name, images in calibration.items():
        converter = tf.lite.TFLiteConverter.from_keras_model(wrapped)
        if images is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda images=images: (
                [image[np.newaxis].astype(np.float32)] for image in images
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder
