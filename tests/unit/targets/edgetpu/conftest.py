"""Models, a library made for the tests, and a target that loads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgetpu_models import as_compiled

from edgelab import targets
from edgelab.targets.edgetpu import (
    target as edgetpu,
)

FAKE_LIBRARY = Path(__file__).with_name("fake_libedgetpu.c")


def _models():
    """What to convert, by name: (layers as a function of the input, settings of the converter)."""
    import tensorflow as tf
    from keras import layers

    def conv(x, filters=8, **options):
        return layers.Conv2D(filters, 3, padding="same", **options)(x)

    def apply(function):
        return layers.Lambda(function)

    def shapes_5d(x):
        x = apply(lambda t: tf.reshape(t, (1, 8, 8, 2, 4)))(conv(x))
        x = apply(lambda t: tf.transpose(t, (0, 1, 2, 4, 3)))(x)
        return conv(apply(lambda t: tf.reshape(t, (1, 8, 8, 8)))(x))

    def transpose_5d(x):
        x = apply(lambda t: tf.reshape(t, (1, 1, 8, 8, 8)))(conv(x))
        x = apply(lambda t: tf.transpose(t, (0, 1, 4, 2, 3)))(x)
        return conv(apply(lambda t: tf.reshape(t, (1, 8, 8, 8)))(x))

    def sine(x):
        x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
        return layers.Dense(4)(apply(tf.sin)(layers.Dense(8)(x)))

    def classify(x):
        x = layers.GlobalAveragePooling2D()(conv(x, activation="relu"))
        return layers.Dense(10, activation="softmax")(x)

    def mean(x):
        return apply(lambda t: tf.reduce_mean(t, -1, keepdims=True))(x)

    constant = tf.constant(np.ones((1, 8, 8, 2), np.float32))
    return {
        "friendly": (classify, {}),
        "per tensor": (classify, {"per_channel": False}),
        "float": (classify, {"mode": "float"}),
        "dynamic range": (lambda x: layers.Dense(64)(layers.Flatten()(x)), {"mode": "dynamic range"}),
        "float io": (classify, {"io": "float32"}),
        "int16": (classify, {"mode": "int16"}),
        "batch of 2": (lambda x: conv(conv(x)), {"batch": 2}),
        "open batch": (classify, {"batch": None}),
        "hard swish": (lambda x: conv(layers.Activation("hard_silu")(conv(x))), {}),
        "leaky": (lambda x: conv(layers.LeakyReLU()(conv(x))), {}),
        "transpose conv": (lambda x: layers.Conv2DTranspose(4, 3, strides=2)(conv(x)), {}),
        "resize 2": (lambda x: layers.UpSampling2D(2, interpolation="bilinear")(conv(x)), {}),
        "resize 4": (lambda x: layers.UpSampling2D(4, interpolation="bilinear")(conv(x)), {}),
        "resize 16": (lambda x: layers.UpSampling2D(16, interpolation="bilinear")(conv(x)), {}),
        "five dimensions": (shapes_5d, {}),
        "transpose of five": (transpose_5d, {}),
        "sine": (sine, {}),
        "softmax of pixels": (lambda x: layers.Softmax()(conv(x)), {}),
        "dense on pixels": (lambda x: layers.Dense(5)(layers.Reshape((64, 3))(x)), {}),
        "skips pixels": (lambda x: conv(apply(lambda t: t[:, ::2, ::2])(conv(x))), {}),
        "mean of 3 channels": (lambda x: mean(conv(x, 3)), {}),
        "mean of 4 channels": (lambda x: mean(conv(x, 4)), {}),
        "joins ones": (lambda x: apply(lambda t: tf.concat([t, constant], -1))(conv(x)), {}),
        "slope per pixel": (lambda x: layers.PReLU("ones")(conv(x)), {}),
        "slope per channel": (lambda x: layers.PReLU("ones", shared_axes=[1, 2])(conv(x)), {}),
        "two branches": (
            lambda x: [conv(layers.LeakyReLU()(conv(x))), conv(conv(x))],
            {},
        ),
        "argmax": (lambda x: apply(lambda t: tf.argmax(t, -1))(conv(x)), {}),
    }  # fmt: skip


def _convert(build, mode="int8", io="uint8", batch=1, per_channel=True) -> bytes:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3), batch_size=batch, name="pixels")
    model = keras.Model(pixels, build(pixels))
    spec = tf.TensorSpec((batch, 8, 8, 3), tf.float32)
    weights = [tf.constant(variable.numpy()) for variable in model.variables]
    trainable = len(model.trainable_variables)

    @tf.function(input_signature=[spec], autograph=False)
    def infer(images):
        return model.stateless_call(weights[:trainable], weights[trainable:], images)[0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([infer.get_concrete_function()])
    converter._experimental_disable_per_channel = not per_channel
    if mode != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode in ("int8", "int16"):
        rng = np.random.default_rng(0)
        images = rng.uniform(0, 1, (4, batch or 1, 8, 8, 3)).astype(np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
    if mode == "int8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.dtypes.as_dtype(io)
        converter.inference_output_type = tf.dtypes.as_dtype(io)
    if mode == "int16":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter.convert()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a small model by name, converted when first asked for."""
    from edgelab import quantization
    from edgelab.machine import quiet

    quiet.import_tensorflow()
    models, made = _models(), {}

    def get(name: str) -> bytes:
        if name not in made:
            build, settings = models[name]
            with quantization.silence():
                made[name] = _convert(build, **settings)
        return made[name]

    return get


@pytest.fixture
def model_file(tmp_path, content):
    path = tmp_path / "leaky.tflite"
    path.write_bytes(content("leaky"))
    return path


@pytest.fixture
def compiled_file(tmp_path, content):
    path = tmp_path / "friendly_edgetpu.tflite"
    path.write_bytes(as_compiled(content("friendly"), len(edgetpu.placement(content("friendly")).operators)))
    return path


@pytest.fixture(scope="module")
def build_library(tmp_path_factory):
    """Compiles C into a shared library."""
    if not shutil.which("gcc") or sys.platform != "linux":
        pytest.skip("needs gcc on Linux, to build a library that misbehaves")
    folder = tmp_path_factory.mktemp("libraries")

    def build(source: str | Path) -> str:
        path = Path(source) if isinstance(source, Path) else folder / "source.c"
        if isinstance(source, str):
            path.write_text(source)
        out = folder / f"lib{abs(hash(source))}.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(out), str(path)], check=True)
        return str(out)

    return build


@pytest.fixture
def target(build_library):
    return targets.get("edgetpu", library=build_library(FAKE_LIBRARY))
