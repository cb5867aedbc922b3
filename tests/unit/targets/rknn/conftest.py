"""The small network, a stand-in toolkit and the real one."""

from __future__ import annotations

import sys
import tempfile
import textwrap

import pytest

from edgelab import environment, quantization, targets
from edgelab.targets.cache import compiled


@pytest.fixture(scope="module")
def model(small_model):
    return quantization.convert(small_model, "float32", name="small").path


@pytest.fixture(scope="module")
def images(patterns):
    return patterns.calibration_images(20)


@pytest.fixture
def fake_toolkit(monkeypatch, tmp_path):
    """Gives the lines of a program that stands in for the environment's Python."""
    bin_folder = tmp_path / "fake" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder.parent / "edgelab.stamp").write_text("")
    monkeypatch.setenv("EDGELAB_RKNN_VENV", str(bin_folder.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def install(lines):
        python = bin_folder / "python"
        python.write_text(f"#!{sys.executable}\n{textwrap.dedent(lines)}")
        python.chmod(0o755)

    return install


@pytest.fixture(scope="module")
def toolkit():
    if environment.rknn_python() is None:
        pytest.skip("Rockchip's compiler is not here: make rknn")


@pytest.fixture(scope="module")
def built(toolkit, model, images):
    return compiled(targets.get("rknn", where="simulator"), model, calibration=images)
