"""A real browser without a window, and models for it; skipped, with the reason, where there is none."""

import subprocess
import sys

import filelock
import pytest
import web_models

from edgelab.targets.web import engine


@pytest.fixture(scope="session")
def page():
    """One page for all tests; the processor plays its GPU: results are asserted, never speed."""
    reason, fix = engine.readiness()
    if reason:
        pytest.skip(f"{reason}; {fix}")
    opened = engine.headless(software=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def web_files(shared_folder):
    """The path of each of `web_models`, made once for all processes of this test run."""
    folder = shared_folder / "web models"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            subprocess.run(
                [sys.executable, web_models.__file__, str(folder)], check=True, capture_output=True
            )
            (folder / "done").touch()
    return {path.stem: path for path in folder.glob("*.tflite")}
