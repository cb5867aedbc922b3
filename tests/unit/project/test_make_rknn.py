"""`make rknn`: an environment that is whole or not used."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

import pytest

from edgelab.machine import artifacts

MAKE = artifacts.PROJECT_ROOT / "tools" / "make_rknn.py"


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(MAKE))


@pytest.mark.parametrize(
    ("system", "machine", "word"),
    [
        ("Darwin", "arm64", "Docker"),
        ("Windows", "AMD64", "WSL 2"),
        ("Linux", "aarch64", "rknn-toolkit-lite2"),
    ],
)
def test_other_systems_are_told_what_to_do(make, system, machine, word):
    with pytest.raises(make["NotHereError"], match=word):
        make["check_system"](system, machine)
    make["check_system"]("Linux", "x86_64")


def test_every_locked_package_has_a_hash_and_no_address():
    text = (artifacts.PROJECT_ROOT / "requirements" / "rknn.lock").read_text()
    assert "://" not in text
    for entry in text.replace("\\\n", " ").splitlines():
        assert "==" in entry and "--hash=sha256:" in entry


def test_a_name_that_leads_nowhere_is_noticed(make, tmp_path):
    assert make["version_of"](str(tmp_path / "python")) == ""
    assert make["version_of"](sys.executable) == ".".join(map(str, sys.version_info[:2]))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is refused before")
def test_no_network_leaves_an_environment_that_is_not_used(tmp_path):
    venv = tmp_path / "venv"
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, MAKE],
        env={**os.environ, **nowhere, "EDGELAB_RKNN_VENV": str(venv)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "no network" in done.stderr and "Traceback" not in done.stderr
    assert not (venv / "edgelab.stamp").exists()
