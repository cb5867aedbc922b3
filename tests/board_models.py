"""Small models of the kinds that go to a board, and of those that cannot: a name, and a `.tflite` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_all(folder: Path) -> dict[str, Path]:
    """One file for each kind, by its name."""
    import tensorflow as tf

    rng = np.random.default_rng(4)
    kernel = tf.constant(rng.normal(0, 0.02, (3, 3, 3, 8)), tf.float32)
    weights = tf.constant(rng.normal(0, 0.2, (8, 10)), tf.float32)

    def picture(pixels):
        hidden = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 2, "SAME"))
        return tf.nn.softmax(tf.reduce_mean(hidden, (1, 2)) @ weights)

    one, any_size = tf.TensorSpec([1, 16, 16, 3], tf.float32), tf.TensorSpec([1, None, None, 3], tf.float32)
    vector = tf.TensorSpec([1, 4], tf.float32)
    made = {
        "float32": (picture, [one], None),
        "int8": (picture, [one], tf.int8),
        "uint8": (picture, [one], tf.uint8),
        "open batch": (picture, [tf.TensorSpec([None, 16, 16, 3], tf.float32)], None),
        "two inputs": (lambda x, y: (x + 2.0 * y, x - y), [vector, tf.TensorSpec([4], tf.float32)], None),
        "open size": (picture, [any_size], None),
        "as many values as are large": (lambda x: tf.where(x > 128.0), [vector], None),
        "no input": (lambda: tf.constant([1.0, 2.0]) * 2.0, [], None),
    }
    paths = {}
    for name, (function, specs, io_type) in made.items():
        traced = tf.function(function).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        if io_type is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [np.random.default_rng(seed).integers(0, 256, (1, 16, 16, 3)).astype(np.float32)]
                for seed in range(20)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = io_type
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(converter.convert())
    return paths
