"""What tests share: real data when it is there, and a small trained model made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import filelock
import mosaics
import pytest
from course_runs import SecondRun, run_again_once


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
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this test run share: what is made in it once serves them all."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def second_run(shared_folder) -> SecondRun:
    """The whole course from the artifacts of the first pass."""
    folder = os.environ.get("EDGELAB_TEST_ARTIFACTS", "")
    if not folder:
        pytest.skip("`make test` sets EDGELAB_TEST_ARTIFACTS, after executing every notebook into it")
    return run_again_once(Path(folder), shared_folder)


@pytest.fixture(scope="session")
def shapes():
    """Five hundred generated training pictures and two hundred test pictures."""
    from edgelab import datasets

    return datasets.load("shapes", train_count=500, test_count=200, seed=3)


@pytest.fixture(scope="session")
def patterns():
    """Pictures that a tiny network learns in seconds."""
    return mosaics.mosaics()


@pytest.fixture(scope="session")
def small_model(shared_folder):
    """A network of a few thousand weights, trained once for all processes of this test run."""
    import keras

    path = shared_folder / "small.keras"
    with filelock.FileLock(f"{path}.lock"):
        if not path.exists():
            subprocess.run([sys.executable, mosaics.__file__, str(path)], check=True)
    return keras.models.load_model(path)
