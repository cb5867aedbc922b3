"""Valid `.tflite` files that are no image classifiers: a name, and what makes it with TensorFlow."""

from __future__ import annotations

from pathlib import Path


def write_all(folder: Path) -> dict[str, Path]:
    """One file for each oddity."""
    import tensorflow as tf

    spec = tf.TensorSpec
    made = {
        "bools": (lambda x: tf.logical_not(x), [spec([1, 4], tf.bool)]),
        "scalar": (lambda x: x * 2.0 + 1.0, [spec([], tf.float32)]),
        "two inputs, one scalar": (lambda x, y: x + y, [spec([], tf.int32), spec([3], tf.int32)]),
        "no values": (lambda x: x[:, :0], [spec([1, 4], tf.float32)]),
        "no input": (lambda: tf.constant([1.0, 2.0]) * 2.0, []),
        "as many values as are positive": (lambda x: tf.where(x > 0), [spec([1, 4], tf.float32)]),
        "loop": (
            lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2.0), (0, x))[1],
            [spec([1, 4], tf.float32)],
        ),
        "text": (lambda x: tf.strings.length(x), [spec([2], tf.string)]),
        "text out": (lambda x: tf.strings.as_string(x), [spec([2], tf.float32)]),
        "all sizes open": (lambda x: tf.nn.relu(x), [spec([None, None], tf.float32)]),
    }
    paths = {}
    for name, (function, specs) in made.items():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [tf.function(function).get_concrete_function(*specs)]
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(converter.convert())
    return paths
