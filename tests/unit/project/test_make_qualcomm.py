"""`make qualcomm`: nothing without a yes, and nothing half made is used."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import make_qualcomm as make
import pytest

from edgelab import environment
from edgelab.machine import artifacts

INFO = "onnxruntime_qnn-2.6.0.dist-info"
MAKE = artifacts.PROJECT_ROOT / "tools" / "make_qualcomm.py"
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine != "x86_64", reason="it is refused before"
)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "word"),
    [
        ("Darwin", "arm64", "", "Docker"),
        ("Windows", "AMD64", "", "WSL 2"),
        ("Linux", "aarch64", "2.41", "x86-64 Linux only"),
        ("Linux", "x86_64", "2.31", "glibc 2.35"),
        ("Linux", "x86_64", "", "another C library"),
    ],
)
def test_other_systems_are_told_what_to_do(system, machine, libc, word):
    with pytest.raises(make.NotHereError, match=word):
        make.check_system(system, machine, libc)
    make.check_system("Linux", "x86_64", "2.36")


def test_the_lock_names_one_package_with_hashes_and_no_address():
    text = make.LOCK.read_text(encoding="utf-8")
    assert "://" not in text and text.count("==") == 1 and "--hash=sha256:" in text
    pinned = text.split()[0]
    assert pinned in (artifacts.PROJECT_ROOT / "requirements" / "qualcomm.in").read_text(encoding="utf-8")


def test_no_set_up_and_no_run_of_the_tests_calls_it():
    makefile = (artifacts.PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    assert [line for line in makefile.splitlines() if line.startswith("qualcomm:")] == ["qualcomm: setup"]
    for name in (".ci/run", ".github/workflows/ci.yml", "tools/bootstrap.py"):
        assert "qualcomm" not in (artifacts.PROJECT_ROOT / name).read_text(encoding="utf-8"), name


@on_linux
def test_where_nobody_can_answer_nothing_is_downloaded(tmp_path):
    done = subprocess.run(
        [sys.executable, MAKE],
        env={**os.environ, "EDGELAB_QUALCOMM_FILES": str(tmp_path / "files")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "nobody is here to answer" in done.stderr
    assert "--accept-licence" in done.stderr and not list(tmp_path.iterdir())


@on_linux
def test_a_no_in_a_terminal_ends_it(tmp_path):
    ours, theirs = pty.openpty()
    os.write(ours, b"no\n")
    done = subprocess.run(
        [sys.executable, MAKE],
        env={**os.environ, "EDGELAB_QUALCOMM_FILES": str(tmp_path / "files")},
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1 and "did not say yes" in done.stderr and "[yes/no]" in done.stdout
    assert not list(tmp_path.iterdir())


@on_linux
def test_no_network_leaves_nothing(tmp_path):
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, MAKE, "--accept-licence"],
        env={**os.environ, **nowhere, "EDGELAB_QUALCOMM_FILES": str(tmp_path / "files")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "no network" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "files").exists()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package of the same name and layout in place of Qualcomm's, and the folder that it goes to."""
    contents = {
        "onnxruntime_qnn/Qualcomm_LICENSE.pdf": b"%PDF-1.7 the terms",
        "onnxruntime_qnn/ThirdPartyNotices.txt": b"the notices",
        # Any library that Python can load.
        "onnxruntime_qnn/libQnnHtp.so": Path(importlib.util.find_spec("_ctypes").origin).read_bytes(),
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: onnxruntime-qnn\nVersion: 2.6.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    contents[f"{INFO}/RECORD"] = record.encode()
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "onnxruntime_qnn-2.6.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    lock = tmp_path / "qualcomm.lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"onnxruntime-qnn==2.6.0 --hash=sha256:{digest}\n")
    folder = tmp_path / "mine" / "files"
    for name, value in {
        "UV_FIND_LINKS": wheels, "UV_NO_INDEX": 1, "UV_CACHE_DIR": tmp_path / "cache",
        "PIP_FIND_LINKS": wheels, "PIP_NO_INDEX": 1, "EDGELAB_QUALCOMM_FILES": folder,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(make, "LOCK", lock)
    monkeypatch.setattr(make, "FOLDER", folder)
    return folder


class Terminal(io.StringIO):
    """Answers typed in advance."""

    def isatty(self):
        return True


@on_linux
def test_two_yes_make_it_and_the_licence_is_shown_before_the_second(package, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal("yes\nYES\n"))
    assert environment.qualcomm_libraries() is None
    assert make.main([]) == 0
    said = capsys.readouterr().out
    shown, asked = said.index(str(package / make.LICENCE)), said.index("do you accept it?")
    assert said.index("Download the package") < shown < asked and "AI Stack License" in said
    assert environment.qualcomm_libraries() == package / "onnxruntime_qnn"
    assert environment.qualcomm_version() == "onnxruntime-qnn 2.6.0"
    assert environment.qualcomm_compiler().status == environment.OK
    monkeypatch.setattr(sys, "stdin", Terminal(""))  # nobody is asked twice
    assert make.main([]) == 0 and "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["no", "y", "", "yes please"])
def test_only_a_yes_in_full_is_one(monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(make.NotHereError):
        make.ask("Really?")
    monkeypatch.setattr(sys, "stdin", Terminal(" Yes \n"))
    make.ask("Really?")


@on_linux
@pytest.mark.parametrize("second", ["y\n", ""])
def test_without_the_second_yes_what_was_downloaded_goes(package, monkeypatch, capsys, second):
    package.mkdir(parents=True)
    (package / "notes.txt").write_text("mine")
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n" + second))
    assert make.main([]) == 1
    assert str(package / make.LICENCE) in capsys.readouterr().out
    assert not list(package.glob("onnxruntime_qnn*")) and (package / "notes.txt").read_text() == "mine"
    assert environment.qualcomm_libraries() is None


@on_linux
def test_an_explicit_option_says_that_it_was_accepted(package, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert make.main(["--accept-licence"]) == 0
    said = capsys.readouterr().out
    assert str(package / make.LICENCE) in said and "[yes/no]" not in said


@on_linux
def test_a_library_that_cannot_be_loaded_is_not_kept(package, monkeypatch, capsys):
    monkeypatch.setattr(make, "LIBRARY", make.NOTICES)
    assert make.main(["--accept-licence"]) == 1
    assert "cannot be loaded" in capsys.readouterr().err and not package.exists()
