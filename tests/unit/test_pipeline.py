"""The chain: what was made is found again, without the seconds that TensorFlow takes to start."""

import inspect
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from edgelab import pipeline, quantization, targets, training
from edgelab.data_sources import shapes
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.runtime import predict

TINY = """
from dataclasses import replace
import sys
from edgelab import pipeline

def network(shape, count):
    import keras
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(count, activation="softmax")
    return keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1 / 255), flat, dense])

small = replace(pipeline.PROFILES["fast"], train_count=200, test_count=50, epochs=1, calibration_count=20)
pipeline.PROFILES["fast"] = small
pipeline.models.mobilenet_v2 = network
path, result = pipeline.open("fast").float_model()
print(path.name, result.epochs, "tensorflow" in sys.modules)
"""


def chain_in_a_new_process() -> list[str]:
    done = subprocess.run([sys.executable, "-c", TINY], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_a_trained_model_is_found_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    name, epochs, used_tensorflow = chain_in_a_new_process()
    assert (epochs, used_tensorflow) == ("1", "True")
    assert chain_in_a_new_process() == [name, "1", "False"]


def test_the_note_of_a_trained_model_names_all_that_decides_it(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    small = replace(pipeline.PROFILES["fast"], train_count=60, test_count=20)
    monkeypatch.setitem(pipeline.PROFILES, "fast", small)
    recipes = {pipeline.open("fast")._recipe, pipeline.open("fast", seed=1)._recipe}
    monkeypatch.setitem(pipeline.PROFILES, "fast", replace(small, epochs=3))
    recipes.add(pipeline.open("fast")._recipe)
    monkeypatch.setitem(pipeline.PROFILES, "fast", replace(small, train_count=70))
    recipes.add(pipeline.open("fast")._recipe)
    assert len(recipes) == 4


def distinct(images):
    return {image.tobytes() for image in images}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Both profiles with few drawn pictures, and no network that is kept."""
    few = replace(pipeline.PROFILES["fast"], train_count=60, test_count=20)
    for profile in ("fast", "full"):
        monkeypatch.setitem(pipeline.PROFILES, profile, few)
    monkeypatch.setattr(pipeline, "PRETRAINED_DIR", tmp_path)
    return tmp_path


def test_what_training_held_out_chooses_and_all_test_pictures_tell(small):
    chain = pipeline.open("full", seed=3)
    choosing, telling = chain.validation_and_test()
    learned, held_out = training.split_validation(chain.dataset, pipeline.HELD_OUT, 3)
    assert np.array_equal(choosing.test_images, chain.dataset.train_images[held_out])
    assert np.array_equal(choosing.test_labels, chain.dataset.train_labels[held_out])
    assert np.array_equal(choosing.train_images, chain.dataset.train_images[learned])
    assert np.array_equal(choosing.train_labels, chain.dataset.train_labels[learned])
    assert telling is chain.dataset
    assert choosing.fingerprint != telling.fingerprint


def test_what_is_held_out_is_what_training_holds_out():
    assert inspect.signature(training.fit).parameters["validation_fraction"].default == pipeline.HELD_OUT


def test_a_kept_network_may_have_learned_from_any_training_picture(small):
    (small / "mobilenet_v2_shapes.json").write_text("{}", encoding="utf-8")
    chain = pipeline.open("full")
    choosing, telling = chain.validation_and_test()
    assert len(choosing.test_images) == len(choosing.test_labels) == 8
    assert np.array_equal(
        np.concatenate([telling.test_images, choosing.test_images]), chain.dataset.test_images
    )
    assert np.array_equal(
        np.concatenate([telling.test_labels, choosing.test_labels]), chain.dataset.test_labels
    )
    assert not distinct(choosing.test_images) & distinct(chain.dataset.train_images)
    assert len({choosing.fingerprint, telling.fingerprint, chain.dataset.fingerprint}) == 3


def test_a_network_kept_for_the_full_profile_is_not_used_in_the_fast_one(small):
    (small / "mobilenet_v2_shapes.json").write_text("{}", encoding="utf-8")
    chain = pipeline.open("fast")
    assert chain.validation_and_test()[1] is chain.dataset


def test_an_unknown_profile_is_named():
    with pytest.raises(InputError, match="slow"):
        pipeline.open("slow")


KEPT_CARD = pipeline.PRETRAINED_DIR / "mobilenet_v2_shapes_tflite.json"


@pytest.fixture
def without_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def test_the_kept_files_belong_to_the_chain_of_today():
    card = json.loads(KEPT_CARD.read_text(encoding="utf-8"))
    chain = pipeline.open()
    again = "python tools/make_kept.py makes them again"
    assert card["settings"] == {**asdict(chain.settings), "seed": chain.seed}, again
    for name, module in (("network_code", pipeline.models), ("drawing_code", shapes)):
        code = Path(module.__file__).read_text("utf-8")
        assert card[name] == artifacts.content_key(code=code), again
    sizes = [path.stat().st_size for path in pipeline.PRETRAINED_DIR.glob("mobilenet_v2_shapes-*.tflite")]
    assert len(sizes) == len(card["files"]) == len(quantization.MODES) and max(sizes) < 2e6


@pytest.mark.slow
@pytest.mark.parametrize("mode", quantization.MODES)
def test_without_tensorflow_the_chain_takes_the_kept_file_and_says_so(mode, without_tensorflow):
    card = json.loads(KEPT_CARD.read_text(encoding="utf-8"))
    chain = pipeline.open()
    found = chain.converted(mode)
    assert found.path.parent == pipeline.PRETRAINED_DIR and found.mode == mode
    assert f"kept, made with TensorFlow {card['made']['tensorflow']} on {card['made']['date']}" in str(found)
    assert found.kept in found._repr_html_()
    with targets.get("cpu").open(found.path) as session:
        some = slice(0, 400)
        right = predict(session, chain.dataset.test_images[some]).argmax(axis=1)
    accuracy = float(np.mean(right == chain.dataset.test_labels[some]))
    assert accuracy == pytest.approx(card["test_accuracy"][found.path.name], abs=0.04)


def test_a_kept_file_stands_for_no_other_chain(without_tensorflow, monkeypatch):
    for chain in (pipeline.open(seed=1), pipeline.open("full", "shapes"), pipeline.open("full")):
        assert chain._kept_conversion("int8", "uint8") is None
    assert pipeline.open()._kept_conversion("int8", "int8") is None
    monkeypatch.setitem(pipeline.PROFILES, "fast", replace(pipeline.PROFILES["fast"], epochs=3))
    assert pipeline.open()._kept_conversion("int8", "uint8") is None


def test_where_tensorflow_is_no_kept_file_is_taken(monkeypatch):
    monkeypatch.setattr(pipeline.Pipeline, "_kept_conversion", lambda *_: pytest.fail("it was asked for"))
    monkeypatch.setattr(pipeline.Pipeline, "float_model", lambda self: ("the trained one", None))
    monkeypatch.setattr(pipeline.quantization, "convert", lambda model, *_, **__: model)
    assert pipeline.open().converted("float32") == "the trained one"
