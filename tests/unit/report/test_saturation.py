"""Values at the ends of their ranges, on pictures."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import quantization, report
from edgelab.machine import quiet
from edgelab.report import saturation
from edgelab.report.subject import Pictures, open_subject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    quiet.import_tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu6")(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Conv2D(4, 3)(x)
    return keras.Model(pixels, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)))


def smells_of(network, calibration, items, is_noise=False):
    made = quantization.convert(network, "int8", calibration, io_dtype="uint8", name="net")
    subject, _ = open_subject(made.path)
    return subject, saturation.saturated(subject, Pictures(items, None, "pictures", is_noise))


def test_its_own_pictures_saturate_nothing(network, pictures):
    assert smells_of(network, pictures, pictures)[1] == ()


def test_brighter_pictures_than_it_was_calibrated_on_are_cut_off(network, pictures):
    subject, [smell] = smells_of(network, pictures // 8, pictures)
    assert smell.key == "saturated"
    assert {subject.graph.operators[index].name for index in smell.operators} >= {"CONV_2D"}
    assert "SOFTMAX" not in smell.text
    assert [one.chapter for one in report.advice.advice(subject, (smell,))] == ["04"]


def test_black_and_white_pixels_are_cut_off_by_right(network, pictures):
    made = quantization.convert(network, "int8", pictures, io_dtype="float32", name="net")
    subject, _ = open_subject(made.path)
    half_white = np.where(pictures > 200, 255, pictures).astype(np.uint8)
    found = saturation.saturated(subject, Pictures(half_white, None, "pictures", False))
    assert not any(
        subject.graph.operators[index].name == "QUANTIZE" for one in found for index in one.operators
    )


def test_noise_and_float_models_tell_nothing_of_it(network, pictures):
    assert smells_of(network, pictures // 8, pictures, is_noise=True)[1] == ()
    as_float = quantization.convert(network, "float32", name="net")
    subject, _ = open_subject(as_float.path)
    assert saturation.saturated(subject, Pictures(pictures, None, "pictures", False)) == ()
