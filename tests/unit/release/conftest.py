"""A small release of one model."""

import json

import numpy as np
import pytest

from edgelab import quantization, release
from edgelab.exercises import chapter_15

LABELS = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="session")
def model_content(small_model):
    """A float `.tflite` file of the small model."""
    return quantization.convert(small_model, "float32", name="small").path.read_bytes()


@pytest.fixture(scope="session")
def good_files(small_model, shapes, model_content):
    """All files of a release that is right."""
    models = {"model.tflite": model_content}
    sums = dict(reversed(line.split("  ")) for line in chapter_15.checksums(models).splitlines())
    metadata = release.describe(models, labels=LABELS, tolerances={"model.tflite": 1e-3}, files=sums)
    metadata["version"] = "1.0.0"
    pictures = shapes.test_images[:5]
    rows = small_model.predict(pictures.astype(np.float32), verbose=0)
    files = {
        **models,
        **release.picture_files(pictures, [LABELS[place] for place in rows.argmax(axis=1)], rows),
        "labels.txt": "".join(f"{label}\n" for label in LABELS).encode(),
        "metadata.json": json.dumps(metadata).encode(),
    }
    return {**files, "SHA256SUMS": chapter_15.checksums(files).encode()}


@pytest.fixture
def sealed(tmp_path):
    """Writes files with a list of checksums that fits, and gives the folder."""

    def write(files, name="made"):
        files = {key: content for key, content in files.items() if key != "SHA256SUMS"}
        return release.write(tmp_path / name, {**files, "SHA256SUMS": chapter_15.checksums(files).encode()})

    return write
