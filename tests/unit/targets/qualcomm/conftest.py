"""The small network, a stand-in for LiteRT's driver, and the real compiler."""

from __future__ import annotations

import sys
import textwrap

import pytest

from edgelab import environment, quantization, targets
from edgelab.targets.qualcomm import target as qualcomm


@pytest.fixture(scope="module")
def int8_path(small_model, patterns):
    return quantization.convert(small_model, "int8", patterns.train_images[:100], io_dtype="uint8").path


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """A folder that looks as `make qualcomm` leaves it; the libraries are empty files."""
    folder = tmp_path / "files"
    (folder / "onnxruntime_qnn").mkdir(parents=True)
    for name in ("libQnnHtp.so", qualcomm.STAND_IN):
        (folder / "onnxruntime_qnn" / name).write_bytes(b"")
    (folder / "onnxruntime_qnn-9.8.7.dist-info").mkdir()
    (folder / "edgelab.stamp").write_text("")
    monkeypatch.setenv("EDGELAB_QUALCOMM_FILES", str(folder))
    return folder / "onnxruntime_qnn"


@pytest.fixture
def fake_driver(libraries, tmp_path, monkeypatch):
    """Gives the lines of a program that stands in for LiteRT's."""
    program = tmp_path / "litert" / qualcomm.DRIVER
    program.parent.mkdir(parents=True)
    monkeypatch.setattr(qualcomm, "_litert", lambda: tmp_path / "litert")

    def install(lines):
        program.write_text(f"#!{sys.executable}\n{textwrap.dedent(lines)}")
        program.chmod(0o755)

    return install


@pytest.fixture(scope="session")
def compiler():
    """Skips where Qualcomm's compiler is not: EDGELAB_QUALCOMM_FILES names its folder."""
    found = targets.get("qualcomm").probe()
    if not found.can_compile:
        pytest.skip(f"Qualcomm's compiler is not here ({environment.qualcomm_folder()}): make qualcomm")
