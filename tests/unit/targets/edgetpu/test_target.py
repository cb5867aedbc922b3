"""Compiling, and finding devices, with tools that fail in every way."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import textwrap

import pytest
from edgetpu_models import ALL_MAPPED, OPERATORS, as_compiled
from waiting import running_with

from edgelab import targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.targets.cache import compiled
from edgelab.targets.edgetpu import (
    target as edgetpu,
)

on_posix = pytest.mark.skipif(os.name == "nt", reason="a script on PATH is started by its first line")


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a program called edgetpu_compiler on PATH that runs these lines of Python."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(lines: str) -> None:
        path = folder / "edgetpu_compiler"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{textwrap.dedent(lines)}")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


def test_without_the_compiler_the_error_tells_the_placement(model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="not installed") as caught:
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    assert "By the published rules: " in caught.value.why
    assert "of 5 operators" in caught.value.why or "operators on the Edge TPU" in caught.value.why
    assert not (tmp_path / "out.tflite").exists()


@on_posix
def test_compiling_reads_placement_and_memory_from_what_was_made(tool, model_file, tmp_path, monkeypatch):
    expected = edgetpu.placement(model_file)
    made = tmp_path / "made"
    made.write_bytes(as_compiled(model_file.read_bytes(), len(expected.mapped)))
    tool(
        f"""
        if "--version" in sys.argv:
            sys.exit(print("Edge TPU Compiler version 16.0.384591198"))
        open("model_edgetpu.tflite", "wb").write(open({str(made)!r}, "rb").read())
        open("model_edgetpu.log", "w").write({OPERATORS.format(mapped=2)!r})
        open("litter", "w").write("left lying about")
        print({ALL_MAPPED.format(total=len(expected.operators))!r})
        """
    )
    monkeypatch.chdir(tmp_path)
    target = targets.get("edgetpu")
    assert target.settings == {"compiler": "Edge TPU Compiler version 16.0.384591198"}
    got = compiled(target, model_file)
    assert got.placement.accelerated == len(expected.mapped)
    assert got.placement.reasons == expected.summary.reasons
    assert {"memory": "parameters kept on the chip", "bytes": 619008} in got.log_rows
    assert got.path.read_bytes() == made.read_bytes()
    assert got.size_bytes == len(made.read_bytes())
    assert not list(tmp_path.glob("litter"))
    tool("print('Edge TPU Compiler version 16.0.384591198')")  # and makes no file: it must not be asked again
    assert compiled(target, model_file) == got


COMPILER_FAULTS = (
    ("print('Invalid model: m\\nModel not quantized'); sys.exit(1)", ModelError, "not quantized"),
    ("print('ERROR: a graph that has dynamic-sized tensors.'); sys.exit(1)", ModelError, "not fixed"),
    (
        "print(\"ERROR: Didn't find op for builtin opcode 'EXP' version '2'\"); sys.exit(1)",
        ModelError,
        "too new",
    ),
    ("print('Internal compiler error. Aborting!'); sys.exit(1)", TargetError, "broke on this model"),
    ("os.abort()", TargetError, "failed"),
    ("print('bananas')", TargetError, "failed"),
    ("open('model_edgetpu.tflite', 'w').write('rubbish')", TargetError, "no model"),
)


@on_posix
@pytest.mark.parametrize(("lines", "kind", "words"), COMPILER_FAULTS)
def test_a_compiler_that_fails_leaves_nothing_and_says_why(tool, model_file, tmp_path, lines, kind, words):
    tool(lines)
    with pytest.raises(kind, match=words) as caught:
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    assert caught.value.fix
    assert not (tmp_path / "out.tflite").exists()
    assert not list(tmp_path.glob(".*out.tflite"))


@on_posix
def test_a_compiler_that_hangs_is_ended(tool, model_file, tmp_path, monkeypatch):
    tool("time.sleep(600)")
    monkeypatch.setattr(edgetpu, "COMPILE_LIMIT_S", 1.0)
    with pytest.raises(TargetError, match="did not finish"):
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    assert not running_with(str(tmp_path / "bin" / "edgetpu_compiler"))


def test_several_devices_are_listed_and_chosen(compiled_file, build_library, target):
    assert [device["name"] for device in target.devices()] == ["usb:0", "pci:0", "usb:1"]
    library = target.library
    for name in ("usb:1", ":0"):
        with targets.get("edgetpu", device=name, library=library).open(compiled_file) as session:
            assert name in session.device
    with pytest.raises(TargetError, match="No Edge TPU can be opened"):
        targets.get("edgetpu", device="pci:7", library=library).open(compiled_file)
    for name in ("usb1", "gpu:0", "0"):
        with pytest.raises(InputError):
            targets.get("edgetpu", device=name)


def test_pypis_pycoral_is_told_from_googles(tmp_path, monkeypatch, compiled_file):
    package = tmp_path / "site" / "pycoral"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this must not be imported')")
    monkeypatch.syspath_prepend(package.parent)
    importlib.invalidate_caches()
    assert edgetpu.pycoral_state() == "unrelated"
    with pytest.raises(TargetError, match="PyCoral is not installed") as caught:
        targets.get("edgetpu", runtime="pycoral").open(compiled_file)
    assert "unrelated" in caught.value.why
    assert "unrelated" in targets.get("edgetpu").probe().detail
    (package / "utils").mkdir()
    (package / "utils" / "edgetpu.py").write_text("")
    assert edgetpu.pycoral_state() == "pycoral"


def test_probe_tells_what_is_missing():
    found = targets.get("edgetpu").probe()
    if not shutil.which("edgetpu_compiler"):
        assert not found.can_compile
        assert "edgetpu-compiler" in found.fix
    if not found.can_run:
        assert "libedgetpu" in found.fix or "plug" in found.fix or "driver" in found.fix
