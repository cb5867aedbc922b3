"""The kept packages, copies to spoil, and the tests that need Apple's converter."""

import shutil

import coreml_models
import numpy as np
import pytest

from edgelab import targets
from edgelab.targets.coreml import package


@pytest.fixture(scope="session")
def kept():
    """The kept packages by precision, which any machine can read."""
    return {one: coreml_models.FOLDER / coreml_models.name_of(one) for one in coreml_models.KEPT}


@pytest.fixture(scope="session")
def answers():
    """Pictures and what Keras answered when the packages were made."""
    with np.load(coreml_models.FOLDER / coreml_models.ANSWERS) as stored:
        return stored["images"], stored["keras"]


@pytest.fixture
def copy(kept, tmp_path):
    """A package of one's own."""
    path = tmp_path / "copy.mlpackage"
    shutil.copytree(kept["float16"], path)
    return path


@pytest.fixture(scope="session")
def program(kept):
    return package.read(kept["float16"])


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory):
    """The network as a file; `model` is what it was saved from."""
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    coreml_models.network().save(path)
    return path


@pytest.fixture
def no_tools(monkeypatch):
    """As if coremltools were not installed."""
    from edgelab.machine import hardware

    found = hardware.version_of
    monkeypatch.setattr(hardware, "version_of", lambda name: "" if name == "coremltools" else found(name))


@pytest.fixture(scope="session")
def tools():
    """Skips where coremltools is not installed."""
    if not targets.get("coreml").probe().can_compile:
        pytest.skip("coremltools is not here: make coreml")
