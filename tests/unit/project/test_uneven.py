"""The kept network of chapter 8 is what its card says, and its channels are uneven."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelab import datasets
from edgelab.verification import proportion_interval

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import make_uneven  # noqa: E402 - a tool, not a package

pytestmark = pytest.mark.slow


def test_the_kept_network_is_the_one_on_its_card():
    import keras

    card = json.loads((make_uneven.FOLDER / "uneven_shapes.json").read_text("utf-8"))
    model = keras.models.load_model(make_uneven.FOLDER / "uneven_shapes.keras", compile=False)
    recipe = make_uneven.Recipe(**card["settings"])
    assert recipe == make_uneven.Recipe()
    made = make_uneven.build(model.input_shape[1:], model.output_shape[-1], recipe.epsilon)
    shapes = [[weight.shape for weight in one.get_weights()] for one in (made, model)]
    assert shapes[0] == shapes[1] and model.count_params() == card["parameters"]
    data = datasets.load("shapes", train_count=100, test_count=300, seed=1)
    answers = model.predict(data.test_images.astype(np.float32), verbose=0).argmax(axis=1)
    low, high = proportion_interval(int(np.sum(answers == data.test_labels)), 300, confidence=0.999)
    assert low < card["test_accuracy"] < high
    gains = [
        np.abs(layer.get_weights()[0]) / np.sqrt(layer.get_weights()[3] + recipe.epsilon)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert max(gain.max() / np.median(gain) for gain in gains) > 100
