"""Conversion: what each mode makes, that it repeats to the byte, and what it says when it cannot."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from edgelab import graph, quantization
from edgelab.errors import InputError, ModelError
from edgelab.machine import child
from edgelab.quantization import conversion

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(shapes):
    return shapes.calibration_images(60)


@pytest.fixture(scope="module")
def converted(small_model, images):
    """The small model in every mode."""
    return {mode: quantization.convert(small_model, mode, images, name="t") for mode in quantization.MODES}


def run(path, inputs):
    """Raw outputs of a model, one image at a time, by the runtime's own interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    outputs = []
    for image in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(outputs)


def test_each_mode_says_what_it_made(converted, small_model):
    for mode, model in converted.items():
        found = graph.read(model.path)
        assert model.mode == mode and model.path.name.startswith(f"t-{mode}-")
        assert model.size_bytes == model.path.stat().st_size
        assert model.operators == found.operator_counts
        assert model.conversion_s > 0
        assert model.inputs[0].shape == (1, 32, 32, 3) and model.inputs[0].dtype == np.float32
        assert model.outputs[0].shape == (1, 10)
        assert model.calibration_count == (60 if mode in quantization.CALIBRATED_MODES else 0)
        assert mode in str(model) and mode in model._repr_html_()


def test_weights_are_of_the_mode_s_type(converted):
    sizes = {mode: graph.read(model.path).weight_bytes_by_dtype for mode, model in converted.items()}
    assert set(sizes["float32"]) == {"float32"}
    assert sizes["float16"] == {"float16": sizes["float32"]["float32"] // 2}
    assert set(sizes["int8"]) == {"int8", "int32"}  # biases stay at 32 bits, to be added to the sums
    assert set(sizes["int16x8"]) == {"int8", "int16", "int64"}  # weights, the scaling of pixels, biases
    count = graph.read(converted["float32"].path).parameter_count
    assert sizes["int8"]["int8"] + sizes["int8"]["int32"] // 4 == count


def test_convolution_weights_are_quantized_per_channel(converted):
    found = graph.read(converted["int8"].path)
    first = next(operator for operator in found.operators if operator.name == "CONV_2D")
    weights = found.tensors[first.inputs[1]]
    assert len(weights.scales) == 16 and set(weights.zero_points) == {0}


def test_float32_equals_keras_and_the_others_come_near(converted, small_model, shapes):
    inputs = shapes.test_images[:50].astype(np.float32)
    expected = small_model.predict(inputs, verbose=0)
    errors = {mode: np.abs(run(model.path, inputs) - expected).max() for mode, model in converted.items()}
    assert errors["float32"] < 1e-5
    # 11 bits of fraction against 8-bit weights, and 8-bit activations on top.
    assert errors["float16"] < 0.01
    assert errors["int16x8"] < 0.05 and errors["dynamic_range"] < 0.05
    assert errors["float16"] < errors["int8"] < 0.1


@pytest.mark.parametrize(("io_dtype", "zero_point"), [("uint8", 0), ("int8", -128)])
def test_integer_input_takes_raw_pixels(small_model, images, shapes, io_dtype, zero_point):
    dark = images // 3 + 40  # neither black nor white in any of them
    model = quantization.convert(small_model, "int8", dark, io_dtype=io_dtype, name="t")
    assert model.inputs[0].scale == 1.0 and model.inputs[0].zero_point == zero_point
    assert model.outputs[0].scale == 1 / 256 and model.outputs[0].zero_point == zero_point
    found = graph.read(model.path)
    activations = [tensor for tensor in found.tensors if not tensor.is_constant]
    assert {tensor.dtype for tensor in activations} <= {"int8", io_dtype}


def test_raw_pixels_give_the_float_model_s_answers(small_model, images, shapes):
    model = quantization.convert(small_model, "int8", images, io_dtype="uint8", name="t")
    probabilities = model.outputs[0].dequantize(run(model.path, shapes.test_images))
    expected = small_model.predict(shapes.test_images.astype(np.float32), verbose=0)
    assert (probabilities.argmax(1) == expected.argmax(1)).mean() > 0.9


def test_same_input_gives_the_same_bytes(small_model, images, converted, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    again = quantization.convert(small_model, "int8", images, name="t")
    assert again.path.parent.parent == tmp_path
    assert again.path.read_bytes() == converted["int8"].path.read_bytes()


def test_a_second_call_converts_nothing(small_model, images, converted, monkeypatch):
    monkeypatch.setattr(conversion, "_ask", lambda *_: pytest.fail("converted again"))
    assert quantization.convert(small_model, "int8", images, name="t") == converted["int8"]


def test_another_calibration_or_model_makes_another_file(small_model, images, converted):
    import keras

    other = quantization.convert(small_model, "int8", images[:30], name="t")
    assert other.path != converted["int8"].path and other.calibration_count == 30
    changed = keras.models.clone_model(small_model)
    assert quantization.convert(changed, "float32", name="t").path != converted["float32"].path


def test_a_lost_record_is_made_again(small_model, images):
    model = quantization.convert(small_model, "float16", name="lost")
    model.path.with_suffix(".json").unlink()
    again = quantization.convert(small_model, "float16", name="lost")
    assert again.path == model.path and again.conversion_s > 0


def test_converts_a_saved_model(small_model, tmp_path):
    path = tmp_path / "small.keras"
    small_model.save(path)
    assert quantization.convert(path, "float32", name="saved").size_bytes > 1000


def test_says_nothing_on_the_console(small_model, images, capfd):
    capfd.readouterr()
    quantization.convert(small_model, "int8", images[:7], name="silent")
    assert capfd.readouterr() == ("", "")


def test_importing_it_does_not_import_tensorflow():
    code = "import sys, edgelab.quantization; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("mode", "io_dtype", "said"),
    [
        ("int4", "float32", "no mode 'int4'"),
        ("float16", "uint8", "float16 model cannot have uint8"),
        ("int16x8", "int8", "int16x8 model cannot have int8"),
        ("int8", "float64", "int8 model cannot have float64"),
    ],
)
def test_refuses_unknown_modes_and_types(small_model, images, mode, io_dtype, said):
    with pytest.raises(InputError, match=said) as caught:
        quantization.convert(small_model, mode, images, io_dtype=io_dtype)
    assert caught.value.fix


@pytest.mark.parametrize("mode", quantization.CALIBRATED_MODES)
@pytest.mark.parametrize("calibration", [None, np.zeros((0, 32, 32, 3), np.uint8)])
def test_refuses_missing_calibration(small_model, mode, calibration):
    with pytest.raises(InputError, match="needs calibration images"):
        quantization.convert(small_model, mode, calibration)


@pytest.mark.parametrize(
    "calibration",
    [
        np.zeros((5, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((5, 28, 28, 3), np.uint8),
        np.zeros((5, 32, 32, 1), np.uint8),
    ],
)
def test_refuses_calibration_that_does_not_fit(small_model, calibration):
    with pytest.raises(InputError, match=r"Calibration images: expected .*, got"):
        quantization.convert(small_model, "int8", calibration)


def test_refuses_files_that_are_no_keras_model(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        quantization.convert(tmp_path / "absent.keras", "float32")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK\x03\x04 this is no archive")
    with pytest.raises(ModelError, match="not a Keras model"):
        quantization.convert(damaged, "float32")


def test_says_why_a_model_cannot_be_converted():
    import keras
    import tensorflow as tf

    class Inverse(keras.layers.Layer):
        def call(self, x):
            return tf.linalg.inv(x)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((3, 3))
    with pytest.raises(ModelError, match="could not be converted") as caught:
        quantization.convert(keras.Model(inputs, Inverse()(inputs)), "float32")
    assert caught.value.why and caught.value.fix


def test_a_killed_conversion_leaves_no_half_file(small_model, shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    model_path, images_path = tmp_path / "small.keras", tmp_path / "images.npy"
    small_model.save(model_path)
    many = np.tile(shapes.train_images, (40, 1, 1, 1))  # enough calibration to be killed in its middle
    np.save(images_path, many)
    code = (
        "import sys, pathlib, numpy as np; from edgelab import quantization;"
        "quantization.convert(pathlib.Path(sys.argv[1]), 'int8', np.load(sys.argv[2]), name='killed')"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(model_path), str(images_path)])
    folder, deadline = tmp_path / "artifacts" / "models", time.monotonic() + 120
    while not list(folder.glob(".*.lock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    child.kill()
    if sys.platform != "win32":
        assert child.wait() == -signal.SIGKILL
    assert not list(folder.glob("killed*"))
    again = quantization.convert(model_path, "int8", many[:50], name="killed")
    assert graph.read(again.path).operators


LAYERS_THAT_LOOP = ["GRU", "LSTM", "SimpleRNN"]


@pytest.mark.parametrize("kind", LAYERS_THAT_LOOP)
def test_a_model_that_ends_the_converter_leaves_the_kernel_alive(kind, images):
    import keras

    def network(**options):
        inputs = keras.Input((32, 32, 3))
        rows = keras.layers.Reshape((32, 96))(inputs)
        return keras.Model(inputs, keras.layers.Dense(4)(getattr(keras.layers, kind)(6, **options)(rows)))

    with pytest.raises(ModelError) as caught:
        quantization.convert(network(), "int8", images[:8])
    assert "unroll=True" in caught.value.fix
    assert quantization.convert(network(unroll=True), "int8", images[:8]).size_bytes > 1000


@pytest.mark.parametrize("name", ["my model", "MobileNetV2 0.35", "modèle", "2nd", "a+b", "_x", "x" * 300])
def test_a_model_may_have_any_name(name):
    import keras

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name=name)
    assert quantization.convert(model, "float32", name=name + "/x").path.parent.name == "models"


def test_models_without_a_graph_are_converted_once_they_were_called(images):
    import keras

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution, self.mean = keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()

        def call(self, pixels):
            return self.mean(self.convolution(pixels))

    for model in (Own(), keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D()])):
        with pytest.raises(ModelError, match="no input yet"):
            quantization.convert(model, "float32")
        expected = np.asarray(model(images[:3].astype(np.float32)))
        path = quantization.convert(model, "float32").path
        np.testing.assert_allclose(run(path, images[:3].astype(np.float32)), expected, rtol=1e-4, atol=1e-3)
        assert quantization.convert(model, "int8", images[:3]).operators["CONV_2D"] == 1


@pytest.mark.parametrize("model", [None, np.zeros(3), {}, 7])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(InputError, match="is no model"):
        quantization.convert(model, "float32")


def test_converts_a_folder_of_a_saved_model(small_model, images, tmp_path):
    small_model.export(tmp_path / "exported", verbose=False)
    found = quantization.convert(tmp_path / "exported", "int8", images, io_dtype="uint8")
    assert not graph.read(found.path).has_open_batch
    expected = run(quantization.convert(small_model, "int8", images, io_dtype="uint8").path, images)
    assert np.abs(run(found.path, images).astype(int) - expected).max() <= 2


def test_calibration_comes_in_any_container(small_model, images):
    import tensorflow as tf

    kinds = (list(images), (one for one in images), tf.data.Dataset.from_tensor_slices(images))
    files = {quantization.convert(small_model, "int8", one, name="t").path for one in (images, *kinds)}
    assert len(files) == 1
    pairs = tf.data.Dataset.from_tensor_slices((images, np.zeros(len(images))))
    with pytest.raises(InputError, match="Calibration images"):
        quantization.convert(small_model, "int8", pairs)


def test_models_of_other_things_than_pictures_are_calibrated_as_they_are():
    import keras

    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    features = np.random.default_rng(0).normal(0, 3, (40, 5)).astype(np.float32)
    found = quantization.convert(model, "int8", features, io_dtype="int8")
    assert found.inputs[0].scale == pytest.approx((features.max() - features.min()) / 255, rel=0.01)


def test_operators_left_in_float_are_named(images):
    import keras

    def network(tail):
        inputs = keras.Input((32, 32, 3))
        return keras.Model(inputs, tail(keras.layers.Conv2D(4, 3)(inputs)))

    left = quantization.convert(network(keras.layers.UnitNormalization()), "int8", images[:8])
    assert left.float_operators and left.float_operators[0] in str(left)
    assert left.float_operators[0] in left._repr_html_()
    whole = quantization.convert(network(keras.layers.ReLU()), "int8", images[:8], io_dtype="uint8")
    assert not whole.float_operators and "uint8 in, uint8 out" in str(whole)
    mixed = quantization.convert(network(keras.layers.ReLU()), "int8", images[:8])
    assert "float32 in, float32 out" in str(mixed)


def test_types_are_told_from_the_file():
    import keras

    inputs = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(inputs)))
    assert "uint8 in, float32 out" in str(quantization.convert(model, "float32"))


def test_a_layer_that_was_rewritten_is_converted_anew():
    import keras

    def network(call):
        inputs = keras.Input((4, 4, 1), name="pixels")
        own = type("Own", (keras.layers.Layer,), {"call": call})(name="own")
        return keras.Model(inputs, own(inputs), name="net")

    networks = [network(lambda self, x: x * 2.0), network(lambda self, x: x - 1.0)]
    assert networks[0].to_json() == networks[1].to_json()
    images = np.ones((1, 4, 4, 1), np.float32)
    files = [quantization.convert(model, "float32").path for model in networks]
    assert [float(run(path, images).mean()) for path in files] == [2.0, 0.0]


def test_a_converter_that_ends_while_it_is_asked_is_replaced(small_model, monkeypatch, tmp_path):
    ending = child.Worker([sys.executable, "-c", "input()"], folder=tmp_path, name="The converter")
    monkeypatch.setattr(conversion, "_workers", [ending])
    assert ending.is_alive
    assert quantization.convert(small_model, "float32", name="asked_late").size_bytes > 0
    assert ending.returncode == 0 and conversion._workers[-1] is not ending


def test_a_converter_that_breaks_is_not_asked_again(small_model, monkeypatch, tmp_path):
    broken = child.Worker([sys.executable, "-c", "input(); exit(3)"], folder=tmp_path, name="The converter")
    monkeypatch.setattr(conversion, "_workers", [broken])
    with pytest.raises(ModelError, match="broke off"):
        quantization.convert(small_model, "float32", name="asked_of_a_broken_one")
    assert conversion._workers == [broken]
