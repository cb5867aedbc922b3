"""What tests share: real data when it is there, and a small trained model made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from course_runs import models_in, run_course, watching_figures


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
def figures_folder(tmp_path_factory) -> Path:
    """Where the second run notes what is wrong with its figures."""
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="session")
def second_run(tmp_path_factory, figures_folder):
    """The whole course from the artifacts of the first pass: (process, build folder, models before)."""
    folder = os.environ.get("EDGELAB_TEST_ARTIFACTS", "")
    if not folder:
        pytest.skip("`make test` sets EDGELAB_TEST_ARTIFACTS, after executing every notebook into it")
    build = tmp_path_factory.mktemp("build")
    before = models_in(Path(folder))
    settings = watching_figures(figures_folder)
    return run_course(Path(folder), build, settings=settings), build, before


@pytest.fixture(scope="session")
def shapes():
    """Five hundred generated training pictures and two hundred test pictures."""
    from edgelab import datasets

    return datasets.load("shapes", train_count=500, test_count=200, seed=3)


@pytest.fixture(scope="session")
def patterns():
    """Five hundred training and two hundred test pictures that a tiny network learns in seconds.

    Each class is a mosaic of coloured squares, under noise and a random tint.
    """
    import numpy as np

    from edgelab import datasets

    rng = np.random.default_rng(5)
    mosaics = rng.integers(0, 256, (10, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)

    def draw(count):
        labels = rng.integers(0, 10, count)
        noise, tint = rng.integers(0, 256, (count, 32, 32, 3)), rng.integers(0, 256, (count, 1, 1, 3))
        return (0.4 * mosaics[labels] + 0.3 * noise + 0.3 * tint).astype(np.uint8), labels

    names = tuple(f"mosaic {number}" for number in range(10))
    return datasets.Dataset("patterns", *draw(500), *draw(200), names, "patterns", "Drawn for the tests.")


@pytest.fixture(scope="session")
def small_model(patterns):
    """A convolutional network of a few thousand weights, trained for seconds on `patterns` to about 80 %."""
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
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(
        patterns.train_images.astype("float32"), patterns.train_labels, epochs=8, batch_size=32, verbose=0
    )
    return model
