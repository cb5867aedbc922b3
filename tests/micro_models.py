"""Small models for the interpreter of microcontrollers, and whether it is here."""

import numpy as np
import pytest

from edgelab import quantization, targets

installed = pytest.mark.skipif(
    not targets.get("micro").probe().can_run, reason="tflite-micro has wheels for Linux on x86-64 alone"
)


def converted(outputs, path, mode="int8"):
    """A model with these outputs, quantized by the plain converter."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x = keras.Input((8, 8, 4), batch_size=1)
    made = outputs(x)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, made))
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "int8":
        converter.representative_dataset = lambda: (
            [rng.normal(size=(1, 8, 8, 4)).astype(np.float32)] for _ in range(20)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quantization.silence():
        path.write_bytes(converter.convert())
    return path
