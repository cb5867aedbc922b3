"""A session on the CPU gives what Keras gives, and says what is wrong with its inputs."""

import numpy as np
import pytest

from edgelab import targets
from edgelab.errors import InputError, ModelError
from edgelab.runtime import predict
from edgelab.targets.cpu.target import KERNELS


@pytest.fixture(scope="module")
def keras_path(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    small_model.save(path)
    return path


def test_float_equals_keras(float_path, keras_path, patterns):
    with targets.get("keras").open(keras_path) as reference, targets.get("cpu").open(float_path) as session:
        expected = predict(reference, patterns.test_images[:50])
        found = predict(session, patterns.test_images[:50])
    assert expected.shape == (50, 10) and expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_all_kernels_agree_on_int8(int8_path, patterns, kernels, threads):
    images = patterns.test_images[:20]
    with targets.get("cpu", kernels="reference").open(int8_path) as arbiter:
        expected = predict(arbiter, images)
        step = arbiter.outputs[0].scale
    with targets.get("cpu", kernels=kernels, threads=threads).open(int8_path) as session:
        found = predict(session, images)
    # Kernels may round a product the other way, once per layer: a few steps of the output's scale.
    assert np.abs(found - expected).max() <= 4 * step
    assert np.std(expected) > 10 * step, "outputs near uniform would agree whatever the kernels do"


def test_batch_equals_single_images(float_path, patterns):
    images = patterns.test_images[:10]
    with (
        targets.get("cpu").open(float_path) as one,
        targets.get("cpu", batch_size=4).open(float_path) as four,
    ):
        assert four.inputs[0].shape == (4, 32, 32, 3) and four.outputs[0].shape == (4, 10)
        np.testing.assert_allclose(predict(four, images), predict(one, images), atol=1e-6)


def test_session_tells_where_it_runs(int8_path):
    with targets.get("cpu").open(int8_path) as session:
        assert (session.target, session.provenance, session.placement) == ("cpu", "measured", None)
        assert session.runtime_version.startswith("LiteRT 2.") and session.device
        spec = session.inputs[0]
    assert spec.dtype == np.uint8 and spec.scale == pytest.approx(1.0, abs=0.02) and spec.zero_point == 0


@pytest.mark.parametrize(
    ("arrays", "expected", "got"),
    [
        ((np.zeros((1, 32, 31, 3), np.float32),), "[1, 32, 32, 3]", "[1, 32, 31, 3]"),
        ((np.zeros((32, 32, 3), np.float32),), "[1, 32, 32, 3]", "[32, 32, 3]"),
        ((np.zeros((2, 32, 32, 3), np.float32),), "[1, 32, 32, 3]", "[2, 32, 32, 3]"),
        ((np.zeros((1, 32, 32, 3), np.uint8),), "float32", "uint8"),
        ((np.zeros((1, 32, 32, 3), np.float64),), "float32", "float64"),
        (([[0.0]],), "float32", "list"),
        ((), "1 input", "got 0"),
        ((np.zeros((1, 32, 32, 3), np.float32),) * 2, "1 input", "got 2"),
    ],
)
def test_wrong_input_names_expected_and_got(session, keras_path, arrays, expected, got):
    with pytest.raises(InputError) as caught:
        session.run(*arrays)
    assert expected in str(caught.value) and got in str(caught.value)
    if "[2," not in got:  # Keras takes any batch
        with targets.get("keras").open(keras_path) as keras_session, pytest.raises(InputError):
            keras_session.run(*arrays)


@pytest.mark.parametrize("name", ["cpu", "keras"])
def test_closed_session_says_so(name, float_path, keras_path):
    session = targets.get(name).open(float_path if name == "cpu" else keras_path)
    session.close()
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))


def test_predict_refuses_scaled_pixels(session):
    with pytest.raises(InputError, match="uint8"):
        predict(session, np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(InputError, match=r"\[2, 28, 28, 3\]"):
        predict(session, np.zeros((2, 28, 28, 3), np.uint8))
    assert predict(session, np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 10)


@pytest.mark.slow
def test_a_model_of_open_size_takes_any_and_is_timed_at_none(tmp_path):
    import keras

    from edgelab import benchmark, quantization

    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    path = quantization.convert(model, "float32", name="open").path
    with targets.get("cpu", threads=1).open(path) as session:
        assert session.inputs[0].shape == (1, -1, -1, 3)
        for size in (8, 40, 8):
            pixels = np.random.default_rng(size).random((1, size, size + 1, 3), np.float32)
            [found] = session.run(pixels)
            np.testing.assert_allclose(found, model(pixels), rtol=1e-4, atol=1e-5)
        with pytest.raises(InputError, match="takes any size"):
            benchmark.measure(session)
        assert benchmark.measure(session, (pixels,), min_samples=3, max_seconds=0.2).median_ms > 0
        with pytest.raises(InputError):
            session.run(np.zeros((1, 8, 8, 4), np.float32))
