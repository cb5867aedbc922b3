"""The small network, and what Vela makes of it."""

import pytest

from edgelab import quantization, targets


@pytest.fixture(scope="module")
def int8_path(small_model, patterns):
    return quantization.convert(small_model, "int8", patterns.train_images[:100], io_dtype="uint8").path


@pytest.fixture(scope="module")
def compiled(int8_path, tmp_path_factory):
    """The small model for one configuration of each family."""
    folder = tmp_path_factory.mktemp("compiled")
    names = ("ethos-u55-32", "ethos-u55-256", "ethos-u65-512", "ethos-u85-128")
    return {
        name: targets.get("ethosu", accelerator=name).compile(int8_path, folder / f"{name}.tflite")
        for name in names
    }
