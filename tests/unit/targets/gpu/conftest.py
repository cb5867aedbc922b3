"""A GPU or its software stand-in, and models for it."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from edgelab import targets


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Notebooks that run at the same time have temporary folders too; `leftovers` must not count them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def gpu():
    """The software GPU; results are asserted here, never speed."""
    target = targets.get("gpu", software=True)
    available = target.probe()
    if not available.can_run:
        pytest.skip(f"no software GPU: {available.detail}; {available.fix}")
    return target


def convert(function, shape, folder, name):
    """A float model of a few operators."""
    import tensorflow as tf

    concrete = tf.function(
        function, input_signature=[tf.TensorSpec(shape, tf.float32)]
    ).get_concrete_function()
    path = Path(folder) / f"{name}.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    return path


@pytest.fixture(scope="module")
def odd_models(tmp_path_factory):
    """Small models that GPUs treat each in its own way, by name."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32))
    functions = {
        "reversed": (lambda x: tf.reverse(x, [1]), [1, 10]),
        "cumulated": (lambda x: tf.cumsum(x, -1), [1, 10]),
        "largest": (lambda x: tf.math.top_k(x, 3)[0], [1, 10]),
        "looped": (
            lambda x: tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 2), [0, x])[1],
            [1, 10],
        ),
        "backwards": (lambda x: tf.nn.relu(x)[:, ::-1] * 2, [1, 10]),
        "self_product": (lambda x: tf.matmul(x, x, transpose_b=True), [1, 3, 8, 8]),
        "any_batch": (lambda x: tf.nn.conv2d(x, kernel, 2, "SAME"), [None, 16, 16, 3]),
        "any_size": (lambda x: tf.nn.conv2d(x, kernel, 2, "SAME"), [1, None, None, 3]),
        "chain": (lambda x: tf.tanh(tf.exp(-tf.abs(tf.sin(x))) * 3), [1, 64]),
    }
    folder = tmp_path_factory.mktemp("odd")
    return {name: convert(function, shape, folder, name) for name, (function, shape) in functions.items()}


@pytest.fixture(scope="module")
def trained(small_model, patterns, tmp_path_factory):
    """The trained network as float32 and as int8 with pixels in and out."""
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("trained")
    pixels = keras.Input((32, 32, 3), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, small_model(pixels)))
    (folder / "float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "partly.tflite").write_bytes(converter.convert())  # integer weights, float activations
    converter.representative_dataset = lambda: (
        [image[np.newaxis].astype(np.float32)] for image in patterns.train_images[:100]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    (folder / "int8.tflite").write_bytes(converter.convert())
    return {path.stem: path for path in folder.iterdir()}
