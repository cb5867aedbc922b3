"""Estimates of latency: what they meet, what they refuse."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from edgelab import estimate, graph, quantization, results
from edgelab.errors import InputError, ModelError
from edgelab.machine import quiet

pytestmark = pytest.mark.slow

ALL = tuple(estimate.DEVICES)


def converted(model, mode="int8", seed=0):
    """A Keras model as a file, calibrated with one random image."""
    shape = (1, *model.input_shape[1:])
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    io_dtype = "uint8" if mode == "int8" else "float32"
    return quantization.convert(model, mode, images, io_dtype=io_dtype, name=f"{model.name}_{seed}").path


@cache
def application(name, size, seed=0, **settings):
    """A network of keras.applications with random weights, as int8."""
    quiet.import_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    build = getattr(keras.applications, name)
    return converted(build(input_shape=(size, size, 3), weights=None, **settings), seed=seed)


@pytest.fixture(scope="module")
def small():
    return application("MobileNet", 96, alpha=0.25)


@pytest.fixture(scope="module")
def mobilenet_v3():
    return application("MobileNetV3Small", 64)


@pytest.fixture(scope="module")
def two_convolutions():
    quiet.import_tensorflow()
    import keras

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(pixels)
    return keras.Model(pixels, keras.layers.Conv2D(4, 3)(x), name="two")


def test_a_published_network_from_its_file():
    path = application("MobileNetV2", 224)
    for device, published_ms in (
        ("edgetpu", 2.6),
        ("rk3588", 2.219),
        ("rk3566", 5.534),
        ("ethos-u55-128", 14.7),
    ):
        found = estimate.latency(path, device)
        assert found.low_ms <= published_ms <= found.high_ms, device
        assert found.placement.accelerated == found.placement.total


@pytest.mark.parametrize("device", ALL)
def test_wider_and_larger_takes_longer(small, device):
    wide = application("MobileNet", 96, alpha=0.5)
    large = application("MobileNet", 160, alpha=0.25)
    base = estimate.latency(small, device).latency_ms
    assert base < estimate.latency(wide, device).latency_ms
    assert base < estimate.latency(large, device).latency_ms


def test_the_graph_decides_and_not_the_weights(small):
    other = application("MobileNet", 96, seed=1, alpha=0.25)
    assert other.read_bytes() != small.read_bytes()
    for device in ALL:
        assert estimate.latency(small, device).latency_ms == estimate.latency(other, device).latency_ms


def test_parts_and_layers_add_up(small):
    for device in ALL:
        found = estimate.latency(small, device)
        assert sum(found.parts.values()) == pytest.approx(found.latency_ms)
        assert found.per_layer["ms"].sum() == pytest.approx(found.latency_ms)
        assert found.low_ms < found.latency_ms < found.high_ms
        busy = found.per_layer["utilisation"].dropna()
        assert ((busy > 0) & (busy <= 1)).all()
        assert "estimated" in str(found)
        assert found.device.chip in found._repr_html_()


def test_what_stays_on_the_cpu_is_counted_and_named(mobilenet_v3):
    edge = estimate.latency(mobilenet_v3, "edgetpu")
    assert edge.placement.accelerated < edge.placement.total / 2
    assert edge.parts["cpu"] > 0
    assert any("HARD_SWISH" in operator for operator, _ in edge.placement.reasons)
    assert all(reason for _, reason in edge.placement.reasons)
    rockchip = estimate.latency(mobilenet_v3, "rk3588")
    assert rockchip.placement.accelerated == rockchip.placement.total
    assert rockchip.parts["cpu"] == 0


def test_another_application():
    path = application("EfficientNetB0", 64)
    for device in ALL:
        found = estimate.latency(path, device)
        assert 0 < found.low_ms < found.high_ms < 1000
        assert found.placement.accelerated == found.placement.total, found.placement.reasons


def test_a_result_says_that_it_is_estimated(small):
    found = estimate.latency(small, "edgetpu")
    record = found.result(model="mobilenet", dataset="none")
    assert (record.provenance, record.precision, record.unit) == ("estimated", "int8", "ms")
    assert record.value == found.latency_ms
    assert "left out" in record.source
    results.append(record)
    kept = results.load().iloc[-1]
    assert kept["provenance"] == "estimated"
    assert kept["placement"] == str(found.placement)


def test_far_below_every_figure_it_says_so(two_convolutions):
    found = estimate.latency(converted(two_convolutions), "rk3588")
    assert "lower bound" in found.note
    assert found.note in str(found)


@pytest.mark.parametrize("mode", ["float32", "dynamic_range", "float16", "int16x8"])
def test_a_model_that_is_not_int8_throughout_is_refused(two_convolutions, mode):
    with pytest.raises(ModelError, match="not int8 throughout") as refusal:
        estimate.latency(converted(two_convolutions, mode), "edgetpu")
    assert "calibration" in str(refusal.value)


def as_most_people_convert(model):
    """Int8 by TensorFlow's own lines, which leave open what the model leaves open."""
    tensorflow = quiet.import_tensorflow()
    with quantization.silence():
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[np.ones((1, 16, 16, 3), np.float32)]]
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        return converter.convert()


def test_an_open_batch_is_estimated_as_one(two_convolutions):
    data = as_most_people_convert(two_convolutions)
    fixed = estimate.latency(graph.with_batch_of_one(data), "rk3588")
    assert estimate.latency(data, "rk3588").latency_ms == fixed.latency_ms > 0


def test_open_sizes_are_refused():
    quiet.import_tensorflow()
    from keras import Input, Model, layers

    inputs = Input((None, None, 3))
    with pytest.raises(ModelError, match="left open"):
        estimate.latency(as_most_people_convert(Model(inputs, layers.Conv2D(4, 3)(inputs))), "rk3588")


def test_damaged_files_are_refused(small, tmp_path):
    data = small.read_bytes()
    for broken in (b"", b"no model", data[: len(data) // 2]):
        with pytest.raises(ModelError):
            estimate.latency(broken, "edgetpu")
    with pytest.raises(ModelError):
        estimate.latency(tmp_path / "missing.tflite", "edgetpu")


def test_an_unknown_device_is_refused(small):
    with pytest.raises(InputError, match="rk3588"):
        estimate.latency(small, "abacus")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenet_v2_1.0_224_quant_edgetpu.tflite", "compiled"),
        ("posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite", "PosenetDecoderOp"),
    ],
)
def test_real_models_that_cannot_be_estimated(real_data, name, said):
    with pytest.raises(ModelError, match=said):
        estimate.latency(real_data / "edgetpu_pairs" / name, "edgetpu")


def test_a_real_model_and_random_weights_agree(real_data):
    real = estimate.latency(real_data / "edgetpu_pairs" / "mobilenet_v2_1.0_224_quant.tflite", "edgetpu")
    assert real.low_ms <= 2.6 <= real.high_ms
    assert real.placement.accelerated == 66
