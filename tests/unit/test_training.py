import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgelab import training
from edgelab.errors import DataError

TRAIN_SCRIPT = """
import keras
from edgelab import datasets, training

def build():
    return keras.Sequential([
        keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3, strides=4),
        keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax"),
    ])

data = datasets.load("shapes", train_count=400, test_count=50, seed=1)
training.train(build, data, name="killed", epochs=40, batch_size=32)
"""
EPOCHS = 40


def small_network():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=4),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def test_validation_images_are_held_out_of_training(shapes):
    train, held_out = training.split_validation(shapes, 0.1, seed=0)
    assert len(held_out) == 50
    assert set(train) | set(held_out) == set(range(500))
    assert not set(train) & set(held_out)


def test_one_image_cannot_be_split(shapes):
    one = replace(shapes, train_images=shapes.train_images[:1], train_labels=shapes.train_labels[:1])
    with pytest.raises(DataError, match="cannot be split"):
        training.split_validation(one, 0.1, seed=0)


def test_augmentation_moves_pixels_but_keeps_their_range(shapes):
    pixels = shapes.train_images[:64].astype("float32")
    moved = np.asarray(training.augmentation(seed=0)(pixels, training=True))
    assert moved.shape == pixels.shape
    assert not np.allclose(moved, pixels)
    assert moved.min() >= 0
    assert moved.max() <= 255


def test_schedule_rises_then_falls_to_zero():
    schedule = training.warm_up_then_cosine(0.1, steps=100)
    rates = [float(schedule(step)) for step in range(101)]
    assert np.argmax(rates) == 20
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0, abs=1e-6)


def test_the_kept_weights_are_those_of_the_best_epoch(shapes):
    import keras

    keras.utils.set_random_seed(0)
    model = small_network()
    result = training.fit(model, shapes, epochs=4, batch_size=32, learning_rate=0.05)
    _, held_out = training.split_validation(shapes, 0.1, seed=0)
    predicted = model.predict(shapes.train_images[held_out].astype("float32"), verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == shapes.train_labels[held_out])
    assert accuracy == pytest.approx(max(result.history["val_accuracy"]), abs=1e-6)
    assert result.history["val_accuracy"][result.best_epoch - 1] == max(result.history["val_accuracy"])


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_no_longer_improves(shapes):
    result = training.fit(small_network(), shapes, epochs=50, patience=2, learning_rate=0.05)
    assert result.epochs < 50
    assert result.epochs == result.best_epoch + 2


@pytest.mark.slow
def test_the_same_call_reuses_the_model_and_a_changed_one_does_not(shapes):
    first, result = training.train(small_network, shapes, name="cached", epochs=1)
    written = first.stat().st_mtime_ns
    again, again_result = training.train(small_network, shapes, name="cached", epochs=1)
    assert (again, again_result) == (first, result)
    assert again.stat().st_mtime_ns == written
    other, _ = training.train(small_network, shapes, name="cached", epochs=2)
    assert other != first


@pytest.mark.slow
def test_a_killed_training_continues_where_it_was(tmp_path):
    """Kill -9 in the middle: no model file is left half made, and the next call finishes the same run."""
    environment = {**os.environ, "EDGELAB_ARTIFACTS": str(tmp_path)}
    command = [sys.executable, "-c", TRAIN_SCRIPT]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = wait_for_history(tmp_path, process, epochs=3)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    assert not list(tmp_path.glob("models/*.keras"))

    # A run that began anew would not know this value; one that continues keeps it in its history.
    record = json.loads(history.read_text())
    record["epochs"][0]["loss"] = 123.0
    history.write_text(json.dumps(record))
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-2000:]
    result = json.loads(next(tmp_path.glob("models/*.json")).read_text())
    assert result["epochs"] == EPOCHS
    assert result["history"]["loss"][0] == 123.0
    assert list(tmp_path.glob("models/*.keras"))
    assert not list(tmp_path.glob("unfinished/*"))


def wait_for_history(folder: Path, process: subprocess.Popen, epochs: int) -> Path:
    """The history file of a running training, once it tells of so many epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for path in folder.glob("unfinished/*/history.json"):
            if path.read_text().count("val_accuracy") >= epochs:
                return path
        time.sleep(0.05)
    raise AssertionError(f"training wrote no history (exit code {process.poll()})")
