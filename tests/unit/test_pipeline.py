"""The chain: what was made is found again, without the seconds that TensorFlow takes to start."""

import subprocess
import sys
from dataclasses import replace

import pytest

from edgelab import pipeline
from edgelab.errors import InputError

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


def test_an_unknown_profile_is_named():
    with pytest.raises(InputError, match="slow"):
        pipeline.open("slow")
