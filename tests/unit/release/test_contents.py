"""What is in a release."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from edgelab import quantization, release
from edgelab.errors import InputError


def test_the_contract_is_read_from_the_model(good_files):
    metadata = json.loads(good_files["metadata.json"])
    assert metadata["input"] == {
        "height": 32, "width": 32, "channels": "RGB", "layout": "NHWC", "scale": 1.0, "offset": 0.0
    }  # fmt: skip
    model = metadata["models"]["model.tflite"]
    assert (model["input"], model["output"]) == ("float32", "float32")
    assert model["size_bytes"] == len(good_files["model.tflite"])
    assert set(metadata["files"]) == {"model.tflite"}


def test_test_vectors_are_the_pictures_themselves(shapes):
    pictures = shapes.test_images[:2]
    files = release.picture_files(pictures, ["a", "b"], np.array([[0.9, 0.1], [0.25, 0.75]]))
    entries = json.loads(files["vectors.json"])
    assert [entry["label"] for entry in entries] == ["a", "b"]
    assert entries[1]["probabilities"] == [0.25, 0.75]
    for entry, picture in zip(entries, pictures, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(files[entry["picture"]]))), picture)


@pytest.mark.slow
def test_models_that_take_different_pictures_are_refused(model_content):
    import keras

    larger = keras.Sequential([keras.Input((48, 48, 3)), keras.layers.GlobalAveragePooling2D()])
    other = quantization.convert(larger, "float32", name="larger").path.read_bytes()
    models = {"one.tflite": model_content, "other.tflite": other}
    with pytest.raises(InputError, match="different inputs"):
        release.describe(models, labels=["a"], tolerances=dict.fromkeys(models, 0.1), files={})


def test_the_card_tells_files_accuracy_and_limits(good_files):
    metadata = json.loads(good_files["metadata.json"])
    text = release.card(
        "A model", metadata, data="drawn", accuracy={"model.tflite": "91 %"}, limits=["anything that matters"]
    )
    for words in (
        "# A model 1.0.0",
        "32 x 32",
        "| model.tflite | float32 |",
        "91 %",
        "- anything that matters",
    ):
        assert words in text


def test_model_files_have_the_names_of_the_release(tmp_path):
    (tmp_path / "any").write_bytes(b"x")
    assert release.model_files({"model.tflite": tmp_path / "any"}) == {"model.tflite": b"x"}
