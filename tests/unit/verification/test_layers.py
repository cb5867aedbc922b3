"""The layer where the damage is."""

import numpy as np
import pytest

from edgelab import verification
from edgelab.errors import InputError, ModelError

pytestmark = pytest.mark.slow


def test_per_layer_error_finds_the_damage(files, patterns):
    images = patterns.test_images[:8]
    good = verification.per_layer_error(files / "float.tflite", files / "int8.tflite", images)
    dark = verification.per_layer_error(files / "float.tflite", files / "dark.tflite", images)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= set(good["operator"])
    assert good["layer"].iloc[-1] == "output" and "dense" in good["layer"].iloc[-2]
    assert (good["dtype"] == "int8").sum() >= 6
    # Eight bits over the whole range give about 40 dB; 15 leaves room for skewed values and inherited error.
    assert good["snr_db"].min() > 15 and good["cosine"].min() > 0.98
    assert dark["snr_db"].iloc[0] < 15, "calibrated on an eighth of the brightness, the first layer clips"
    assert (dark["snr_db"] < good["snr_db"]).all()
    row = good.iloc[0]
    assert row["max_error"] <= 1.5 * row["scale"], "the first layer's error is about half a step"


def test_layer_outputs_are_what_the_errors_are_made_of(files, patterns):
    images = patterns.test_images[:4]
    paths = files / "float.tflite", files / "int8.tflite"
    layers, frame = verification.layer_outputs(*paths, images), verification.per_layer_error(*paths, images)
    frame = frame[frame["dtype"].isin(["int8", "uint8"])]  # this model ends with real numbers
    assert [layer.layer for layer in layers] == list(frame["layer"])
    for layer, expected in zip(layers, frame["snr_db"], strict=True):
        assert layer.codes.dtype.kind in "iu" and layer.codes.shape == layer.real.shape
        real = layer.scale * (layer.codes.astype(float) - layer.zero_point)
        assert verification.output_error(layer.real, real).snr_db == pytest.approx(expected, abs=0.01)
    assert layers[0].inputs == ()
    for position, layer in enumerate(layers[1:], 1):
        assert layer.inputs and max(layer.inputs) < position


def test_per_layer_error_of_a_model_with_itself(files, patterns):
    frame = verification.per_layer_error(
        files / "int8.tflite", files / "int8.tflite", patterns.test_images[:1]
    )
    assert (frame["max_error"] == 0).all() and np.isinf(frame["snr_db"]).all()


def test_per_layer_error_refuses(files, patterns, tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"not a model")
    with pytest.raises(ModelError):
        verification.per_layer_error(
            files / "float.tflite", tmp_path / "broken.tflite", patterns.test_images[:1]
        )
    with pytest.raises(InputError, match="no images"):
        verification.per_layer_error(files / "float.tflite", files / "int8.tflite", patterns.test_images[:0])


@pytest.mark.real_data
def test_models_without_a_common_layer(real_data, files, patterns):
    other = real_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite"
    with pytest.raises(InputError, match="no layer in common"):
        verification.per_layer_error(files / "float.tflite", other, patterns.test_images[:1])
