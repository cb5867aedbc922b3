"""`make coreml`: packages of exact versions beside the course's, or a reason why not."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import venv

import pytest

from edgelab.machine import artifacts

MAKE = artifacts.PROJECT_ROOT / "tools" / "make_coreml.py"
REQUIREMENTS = artifacts.PROJECT_ROOT / "requirements"


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(MAKE))


@pytest.mark.parametrize(
    ("system", "machine", "word"), [("Windows", "AMD64", "WSL 2"), ("Linux", "aarch64", "Mac")]
)
def test_systems_without_a_wheel_are_told_what_to_do(make, system, machine, word):
    with pytest.raises(make["NotHereError"], match=word):
        make["check_system"](system, machine)
    make["check_system"]("Linux", "x86_64")
    make["check_system"]("Darwin", "arm64")


def test_every_locked_package_has_a_hash_and_no_address(make):
    text = (REQUIREMENTS / "coreml.lock").read_text()
    assert "://" not in text
    for entry in text.replace("\\\n", " ").splitlines():
        assert "==" in entry and "--hash=sha256:" in entry
    asked = (REQUIREMENTS / "coreml.in").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in make["wanted"]().items()} == set(asked[1:])


@pytest.mark.parametrize("lock", ["cpu.lock", "cuda.lock"])
def test_what_the_course_has_already_keeps_its_version(make, lock):
    lines = (REQUIREMENTS / lock).read_text().splitlines()
    known = dict(line.split()[0].split("==") for line in lines if line[:1].isalnum())
    shared = make["wanted"]().keys() & known.keys()
    assert {name: known[name] for name in shared} == {name: make["wanted"]()[name] for name in shared}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is refused before")
def test_no_network_is_told_and_leaves_the_environment_as_it_was(tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [python, MAKE], env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no network" in done.stderr or "no wheel" in done.stderr
    found = [one.name for one in (tmp_path / "venv").rglob("coremltools*")]
    assert not found
