import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgelab.errors import StorageError
from edgelab.machine import artifacts


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_text("old")
    with pytest.raises(RuntimeError), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half a mod")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_explained_and_the_old_file_kept(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_text("old")

    def fill_the_disk():
        with artifacts.atomic_path(path), Path("/dev/full").open("w") as full:
            full.write("more than fits")

    with pytest.raises(StorageError, match="No space left"):
        fill_the_disk()
    assert path.read_text() == "old"


def test_an_unreadable_input_is_not_called_a_storage_problem(tmp_path):
    with pytest.raises(FileNotFoundError), artifacts.atomic_path(tmp_path / "out") as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())


def test_a_folder_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "artifacts").write_text("")
    with (
        pytest.raises(StorageError, match="Cannot write"),
        artifacts.atomic_path(tmp_path / "artifacts" / "x"),
    ):
        pass


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model.mlpackage"
    with pytest.raises(RuntimeError), artifacts.atomic_path(path) as temporary:
        (temporary / "Data").mkdir(parents=True)
        (temporary / "Data" / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with artifacts.atomic_path(path) as temporary:
        (temporary / "Data").mkdir(parents=True)
    assert (path / "Data").is_dir() and list(tmp_path.iterdir()) == [path]
    artifacts.remove(path)
    artifacts.remove(path)
    assert not list(tmp_path.iterdir())


def test_keys_depend_on_every_part(tmp_path):
    file = tmp_path / "input"
    file.write_bytes(b"1")
    key = artifacts.content_key(model=file, mode="int8")
    assert key == artifacts.content_key(mode="int8", model=file)
    assert key != artifacts.content_key(model=file, mode="int16x8")
    file.write_bytes(b"2")
    assert key != artifacts.content_key(model=file, mode="int8")
    assert artifacts.content_key(a=b"1", b=b"2") != artifacts.content_key(a=b"12", b=b"")


def test_a_file_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    calls = []

    def build(path):
        calls.append(path)
        path.write_text("made")

    first = artifacts.cached("models", "m", ".bin", {"mode": "int8"}, build)
    assert artifacts.cached("models", "m", ".bin", {"mode": "int8"}, build) == first
    assert len(calls) == 1
    assert artifacts.cached("models", "m", ".bin", {"mode": "float"}, build) != first


def test_two_kernels_at_once_build_one_file(tmp_path):
    script = """
import os, time
from edgelab.machine import artifacts
def build(path):
    with open(os.environ["EDGELAB_ARTIFACTS"] + "/builds", "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    path.write_text("made")
print(artifacts.cached("models", "m", ".bin", {"mode": "int8"}, build))
"""
    environment = {**os.environ, "EDGELAB_ARTIFACTS": str(tmp_path)}
    kernels = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {kernel.communicate(timeout=60)[0].strip() for kernel in kernels}
    assert len(paths) == 1
    assert Path(paths.pop()).read_text() == "made"
    assert (tmp_path / "builds").read_text() == "built\n"


def test_what_a_killed_kernel_left_half_made_goes_when_it_is_made_again(tmp_path):
    script = """
import os, signal
from edgelab.machine import artifacts

def build(path):
    for name in (path.name, f"plain-{path.name}"):
        path.with_name(name).write_bytes(b"half")
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

artifacts.cached("models", "net", ".bin", {"a": 1}, build)
"""
    env = {**os.environ, "EDGELAB_ARTIFACTS": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", script], env=env).returncode != 0
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert len([name for name in left if not name.endswith(".lock")]) == 2
    (tmp_path / "models" / ".deadbeef-net.bin").write_bytes(b"of another file")
    again = script[: script.index("    os.kill")] + script[script.index("artifacts.cached") :]
    subprocess.run(
        [sys.executable, "-c", again.replace('f"plain-{path.name}"', "path.name")], env=env, check=True
    )
    (made,) = (tmp_path / "models").glob("net-*.bin")
    kept = {path.name for path in (tmp_path / "models").iterdir() if path.suffix != ".lock"}
    assert kept == {made.name, ".deadbeef-net.bin"}


@pytest.mark.slow
def test_importing_edgelab_does_not_load_tensorflow():
    script = (
        "import sys, pkgutil, importlib, edgelab\n"
        "for module in pkgutil.walk_packages(edgelab.__path__, 'edgelab.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
