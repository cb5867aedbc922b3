"""The interpreter gives the bits of the reference kernels, and says what it cannot run."""

import numpy as np
import pytest
from micro_models import converted, installed

from edgelab import graph, quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets.micro import engine


@pytest.fixture(scope="module")
def top_k(tmp_path_factory):
    import tensorflow as tf
    from keras import layers

    def outputs(x):
        return layers.Lambda(lambda v: tf.math.top_k(tf.reshape(v, (1, 256)), 3)[0])(x)

    return converted(outputs, tmp_path_factory.mktemp("unsupported") / "top_k.tflite")


@installed
def test_every_image_gives_the_bits_of_the_reference_kernels(small_model, patterns, nothing_left):
    import keras

    features = keras.Model(small_model.inputs, small_model.layers[-2].output)  # all but the Dense layer
    path = quantization.convert(features, "int8", patterns.train_images[:100], io_dtype="uint8").path
    assert "FULLY_CONNECTED" not in graph.read(path).operator_counts
    with targets.get("micro").open(path) as session:
        found = predict(session, patterns.test_images)
        assert (session.provenance, session.fault) == ("simulated", "")
        assert session.inputs[0].dtype == np.uint8
    with targets.get("cpu", kernels="reference").open(path) as arbiter:
        expected = predict(arbiter, patterns.test_images)
        assert np.std(expected) > 20 * arbiter.outputs[0].scale, "constant outputs would agree anyway"
    np.testing.assert_array_equal(found, expected)


def rescaled(sums, factor, steps):
    """32-bit sums times a factor, rounded half up in one step, or in two as gemmlowp does, exactly."""
    fraction, exponent = np.frexp(factor)
    multiplier = round(float(fraction) * 2**31)
    shift = -int(exponent)
    products = [int(value) * multiplier for value in sums.ravel()]
    if steps == 1:
        rounded = [(product + (1 << (30 + shift))) >> (31 + shift) for product in products]
    else:
        high = [(product + (1 << 30)) >> 31 for product in products]  # equal but for ties of negative sums
        rounded = [(value + (1 << (shift - 1)) - (value < 0)) >> shift for value in high]
    return np.reshape(rounded, sums.shape)


@installed
@pytest.mark.parametrize("per_channel", [True, False])
def test_fully_connected_rounds_twice_and_no_more_than_that(tmp_path, per_channel):
    """The one operator whose bits differ, and why: both results follow from the same exact sums."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    x = keras.Input((256,), batch_size=1)
    dense = keras.layers.Dense(64, bias_initializer="random_normal")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, dense(x)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=(1, 256)).astype("f4")] for _ in range(50))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel
    path = tmp_path / "dense.tflite"
    with quantization.silence():
        path.write_bytes(converter.convert())
    found = graph.read(path)
    source, weights, bias = (found.tensors[i] for i in found.operators[0].inputs)
    assert weights.is_per_channel == per_channel
    inputs = rng.integers(-128, 128, (300, 1, 256)).astype(np.int8)
    with (
        targets.get("micro").open(path) as session,
        targets.get("cpu", kernels="reference").open(path) as arbiter,
    ):
        results = {2: [session.run(row)[0] for row in inputs], 1: [arbiter.run(row)[0] for row in inputs]}
        output = arbiter.outputs[0]
    sums = (inputs[:, 0].astype(np.int64) - source.zero_point) @ weights.values().astype(np.int64).T
    sums += bias.values()
    scales = np.broadcast_to(weights.scales, 64).astype(np.float64)
    for steps, got in results.items():
        expected = np.stack(
            [
                rescaled(sums[:, channel], source.scale * scale / output.scale, steps)
                for channel, scale in enumerate(scales)
            ],
            axis=1,
        )
        np.testing.assert_array_equal(
            np.concatenate(got), np.clip(expected + output.zero_point, -128, 127).astype(np.int8), str(steps)
        )
    differ = np.abs(np.concatenate(results[1]).astype(int) - np.concatenate(results[2]))
    assert differ.max() == 1 and differ.mean() < 0.002


@installed
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "steps"),
    [("mobilenet_v1_0.25_128_quant", None), ("keras_lstm_mnist_ptq", 12), ("yamnet_spectra_in", 12)],
)
def test_models_from_elsewhere(real_data, name, steps):
    """Another converter's models: an LSTM, an audio network, and uint8 weights, which it no longer takes."""
    path = real_data / "edgetpu_pairs" / f"{name}.tflite"
    if steps is None:
        with pytest.raises(ModelError, match="cannot run on TensorFlow Lite Micro"):
            targets.get("micro").open(path)
        return
    rng = np.random.default_rng(0)
    with (
        targets.get("micro").open(path) as session,
        targets.get("cpu", kernels="reference").open(path) as arbiter,
    ):
        [spec] = arbiter.inputs
        codes = rng.integers(0, 256, (20, *spec.shape)).astype(np.uint8)
        inputs = codes.view(spec.dtype) if spec.dtype == np.int8 else codes.astype(spec.dtype)
        if spec.dtype == np.float32:
            inputs /= 255
        found = np.concatenate([session.run(one)[0] for one in inputs]).astype(float)
        expected = np.concatenate([arbiter.run(one)[0] for one in inputs]).astype(float)
    step = 1 if np.issubdtype(arbiter.outputs[0].dtype, np.integer) else 1 / 256
    assert np.std(expected) > 5 * step
    assert np.mean(found != expected) < 0.05 and np.abs(found - expected).max() <= steps * step


@installed
def test_a_whole_classifier_gives_the_same_answers(int8_path, patterns):
    with targets.get("micro").open(int8_path) as session:
        found = predict(session, patterns.test_images)
    with targets.get("cpu", kernels="reference").open(int8_path) as arbiter:
        expected = predict(arbiter, patterns.test_images)
        step = arbiter.outputs[0].scale
    assert np.std(expected) > 0.1
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert np.abs(found - expected).max() <= 2.5 * step
    assert np.mean(found != expected) < 0.01


@installed
def test_many_kinds_of_operators_give_the_same_bits(many_kinds):
    kinds = graph.read(many_kinds).operator_counts
    assert len(kinds) >= 18 and "FULLY_CONNECTED" not in kinds, kinds
    rng = np.random.default_rng(0)
    with (
        targets.get("micro").open(many_kinds) as session,
        targets.get("cpu", kernels="reference").open(many_kinds) as arbiter,
    ):
        order = [[spec.name for spec in session.outputs].index(spec.name) for spec in arbiter.outputs]
        for _ in range(100):
            values = rng.integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
            found, expected = session.run(values), arbiter.run(values)
            for place, array in zip(order, expected, strict=True):
                np.testing.assert_array_equal(found[place], array, arbiter.outputs[place].name)


@installed
def test_float_and_16_bit_models_run_too(small_model, patterns):
    images = patterns.test_images[:20]
    for mode, tolerance in (("float32", 1e-6), ("int16x8", 1e-3)):
        calibration = patterns.train_images[:50] if mode == "int16x8" else None
        path = quantization.convert(small_model, mode, calibration).path
        with targets.get("micro").open(path) as session:
            found = predict(session, images)
        with targets.get("cpu", kernels="reference").open(path) as arbiter:
            np.testing.assert_allclose(found, predict(arbiter, images), atol=tolerance)


@installed
def test_an_operator_that_it_lacks_is_named(top_k, nothing_left):
    with pytest.raises(ModelError, match="no operator TOPK_V2"):
        targets.get("micro").open(top_k)


@installed
def test_weights_only_quantization_is_refused_with_its_mend(tmp_path):
    from keras import layers

    path = converted(lambda x: layers.Conv2D(128, 3)(x), tmp_path / "hybrid.tflite", "dynamic_range")
    with pytest.raises(ModelError, match="cannot run on TensorFlow Lite Micro") as error:
        targets.get("micro").open(path)
    assert 'mode "int8"' in error.value.fix


def test_an_unknown_size_is_refused(tmp_path):
    """The runtime takes an unknown dimension for 1, and gives an answer."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    with quantization.silence():
        (tmp_path / "dynamic.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ModelError, match="input of unknown size"):
        targets.get("micro").open(tmp_path / "dynamic.tflite")


def test_a_damaged_file_is_refused(int8_path, tmp_path):
    whole = int8_path.read_bytes()
    for name, content in {"cut": whole[:2000], "empty": b"", "rubbish": bytes(range(256)) * 8}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            targets.get("micro").open(tmp_path / name)
    with pytest.raises(ModelError, match="read"):
        targets.get("micro").open(tmp_path / "absent.tflite")


@installed
def test_bad_input_and_a_closed_session(int8_path, nothing_left):
    session = targets.get("micro").open(int8_path)
    with pytest.raises(InputError, match="expected uint8"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))
    session.close()
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.uint8))


@installed
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('libstdc++.so.6 is too old')", "cannot be loaded"),
        ("import os; os.abort()", "died of"),
        ("import time; time.sleep(600)", "died of"),
        ("print('answer {\"inputs\": 1'); print('answer 5'); raise RuntimeError('rubbish')", "rubbish"),
    ],
)
def test_a_runtime_that_fails_is_told(int8_path, tmp_path, monkeypatch, nothing_left, code, message):
    (tmp_path / "tflite_micro").mkdir()
    (tmp_path / "tflite_micro" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if "sleep" in code:
        monkeypatch.setattr(engine, "TIME_LIMIT_S", 4.0)
    with pytest.raises((TargetError, ModelError), match=message):
        targets.get("micro").open(int8_path)
