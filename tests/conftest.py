"""What tests share: real data when it is there, and a small trained model made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_artifacts(tmp_path_factory):
    """Unit tests write to a folder of their own, never to the student's artifacts."""
    before = os.environ.get("EDGELAB_ARTIFACTS")
    os.environ["EDGELAB_ARTIFACTS"] = str(tmp_path_factory.mktemp("artifacts"))
    yield
    if before is None:
        del os.environ["EDGELAB_ARTIFACTS"]
    else:
        os.environ["EDGELAB_ARTIFACTS"] = before


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real pictures, clips and models; tests that need it are skipped where there is none."""
    folder = os.environ.get("EDGELAB_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGELAB_DATA does not point at a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def shapes():
    """Five hundred generated training pictures and two hundred test pictures."""
    from edgelab import datasets

    return datasets.load("shapes", train_count=500, test_count=200, seed=3)


@pytest.fixture(scope="session")
def small_model(shapes):
    """A convolutional network of a few thousand weights, trained for seconds: not uniform, not perfect."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3), name="pixels"),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.Conv2D(32, 3, strides=2, padding="same"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ],
        name="small",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(shapes.train_images.astype("float32"), shapes.train_labels, epochs=8, batch_size=32, verbose=0)
    return model
