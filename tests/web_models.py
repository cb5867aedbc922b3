"""Small models for a browser: those it runs, and those it gets wrong without an error."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

NEEDED = ("float32", "int8", "int16x8", "dynamic", "flex", "int64", "open size")


def write_all(folder: Path) -> dict[str, Path]:
    """One file for each kind, by its name."""
    import tensorflow as tf

    rng = np.random.default_rng(5)

    def weights(*shape):
        return tf.constant(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), tf.float32)

    first, deep, point, last = (
        weights(3, 3, 3, 16),
        weights(3, 3, 16, 1),
        weights(1, 1, 16, 128),
        weights(128, 10),
    )

    def picture(pixels):
        hidden = tf.nn.relu6(tf.nn.conv2d(pixels / 127.5 - 1.0, first, 2, "SAME") + 0.1)
        hidden = tf.nn.relu6(tf.nn.depthwise_conv2d(hidden, deep, [1, 1, 1, 1], "SAME"))
        hidden = tf.nn.relu6(tf.nn.conv2d(hidden, point, 1, "SAME"))
        return tf.nn.softmax(4 * tf.reduce_mean(hidden, (1, 2)) @ last)

    one = tf.TensorSpec([1, 16, 16, 3], tf.float32)
    made = {
        "float32": (picture, one),
        "dynamic": (picture, one),
        "int8": (picture, one),
        "int16x8": (picture, one),
        "flex": (lambda x: tf.linalg.inv(x) + 1.0, tf.TensorSpec([1, 2, 2], tf.float32)),
        "int64": (lambda x: x + tf.constant(1, tf.int64), tf.TensorSpec([1, 4], tf.int64)),
        "open size": (lambda x: tf.nn.relu(x), tf.TensorSpec([1, None, 3], tf.float32)),
    }
    for name, (function, spec) in made.items():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [tf.function(function).get_concrete_function(spec)]
        )
        if name in ("int8", "int16x8", "dynamic"):
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name in ("int8", "int16x8"):
            converter.representative_dataset = lambda: (
                [np.random.default_rng(seed).integers(0, 256, (1, 16, 16, 3)).astype(np.float32)]
                for seed in range(20)
            )
        if name == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        if name == "int16x8":
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        if name == "flex":
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS,
                tf.lite.OpsSet.SELECT_TF_OPS,
            ]
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return {name: folder / f"{name}.tflite" for name in made}


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
