"""The program in a bundle: run alone, in an empty folder, by a Python that knows nothing of the workbook."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import edgetpu_models
import numpy as np
import pytest
from bare_board import QUICK, on_board

from edgelab.boards import runner
from edgelab.boards.collect import collect

pytestmark = pytest.mark.slow
FAKE_LIBRARY = Path(__file__).parents[1] / "targets" / "edgetpu" / "fake_libedgetpu.c"


def others_in(folder):
    """Files in the folder that did not come with the bundle."""
    return sorted({path.name for path in folder.iterdir()} - {
        "manifest.json", "model.tflite", "inputs.npz", "expected.npz", "run.py", "onboard.py", "energy.py",
        "README.txt",
    })  # fmt: skip


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8", "open batch", "two inputs"])
def test_a_bundle_runs_alone_and_its_results_are_recorded(kind, unpacked, run_there, litert_version):
    made, folder = unpacked(kind)
    done = run_there(folder, "--device", f"Brett {kind}")
    assert done.returncode == 0, done.stderr
    assert "latency: " in done.stdout and others_in(folder) == ["results.json"]
    found = collect(folder / "results.json")
    assert found.is_new and found.bundle.key == made.key and not found.fault
    latency, throughput, *_ = found.records  # and energy, where this computer has a counter
    assert latency.provenance == "measured" and latency.runtime_version == f"LiteRT {litert_version}"
    assert (latency.target, latency.device, latency.model) == ("cpu", f"Brett {kind}", kind)
    assert latency.samples.low <= latency.value <= latency.samples.high and latency.samples.n >= 15
    assert throughput.metric == "throughput"


def test_a_size_that_the_model_leaves_open_is_that_of_the_given_inputs(unpacked, run_there, tmp_path):
    np.save(tmp_path / "given.npy", np.random.default_rng(0).random((4, 1, 20, 24, 3), np.float32))
    _, folder = unpacked("open size", inputs=tmp_path / "given.npy")
    assert run_there(folder).returncode == 0
    assert collect(folder / "results.json").is_new


def test_the_board_of_these_tests_has_neither_the_package_nor_tensorflow(installed, tmp_path):
    for name, is_there in (
        ("numpy", True),
        ("ai_edge_litert.interpreter", True),
        ("edgelab", False),
        ("tensorflow", False),
    ):
        command, environment = on_board(installed, "-c", f"import {name}")
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
        assert (done.returncode == 0) == is_there, name


def test_a_missing_runtime_is_told_with_the_command_that_installs_it(
    unpacked, run_there, only_numpy, tmp_path
):
    _, folder = unpacked("int8")
    done = run_there(folder, packages=only_numpy)
    assert done.returncode == 1 and others_in(folder) == []
    assert "No runtime" in done.stderr and "-m pip install ai-edge-litert numpy" in done.stderr
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    done = run_there(folder, packages=nothing)
    assert done.returncode == 1 and "numpy is missing" in done.stderr and "pip install" in done.stderr


def fake_runtime(folder, source, only_numpy):
    """A runtime that misbehaves, in place of LiteRT."""
    (folder / "ai_edge_litert").mkdir(parents=True)
    (folder / "ai_edge_litert" / "__init__.py").touch()
    (folder / "ai_edge_litert" / "interpreter.py").write_text(source, "utf-8")
    return os.pathsep.join([str(folder), str(only_numpy)])


def test_a_runtime_too_old_for_numpy_is_told(unpacked, run_there, only_numpy, tmp_path):
    packages = fake_runtime(
        tmp_path / "old", "raise ImportError('numpy.core.multiarray failed to import')", only_numpy
    )
    done = run_there(unpacked("int8")[1], packages=packages)
    assert done.returncode == 1 and "multiarray" in done.stderr and '"numpy<2"' in done.stderr


def test_a_runtime_that_hangs_is_ended(unpacked, only_numpy, tmp_path):
    source = """import time
class Interpreter:
    def __init__(self, **options): pass
    def get_input_details(self): return []
    def allocate_tensors(self): time.sleep(1000)
"""
    packages = fake_runtime(tmp_path / "slow", source, only_numpy)
    command, environment = on_board(packages, "run.py", *QUICK, "--limit", "1")
    _, folder = unpacked("int8")
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=200)
    assert done.returncode == 1 and b"Timeout" in done.stderr and time.monotonic() - started < 100
    assert others_in(folder) == []


@pytest.mark.parametrize(
    "name", ["model.tflite", "inputs.npz", "expected.npz", "run.py", "onboard.py", "energy.py"]
)
def test_a_file_that_changed_is_refused(name, unpacked, run_there):
    _, folder = unpacked("int8")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(
        content[:-1] + (b"\n\n" if name.endswith(".py") else bytes([content[-1] ^ 1]))
    )
    done = run_there(folder)
    assert done.returncode == 1 and f"{name} is damaged or was changed" in done.stderr
    assert "unpack the zip again" in done.stderr and others_in(folder) == []


def test_a_missing_file_and_a_damaged_manifest_are_told(unpacked, run_there):
    _, folder = unpacked("int8")
    for name, words in (
        ("inputs.npz", "inputs.npz cannot be read"),
        ("energy.py", "energy.py cannot be read"),
        ("onboard.py", "onboard.py is missing"),
    ):
        (folder / name).rename(folder / "elsewhere")
        assert words in run_there(folder).stderr
        (folder / "elsewhere").rename(folder / name)
    whole = (folder / "manifest.json").read_text("utf-8")
    changed = json.loads(whole)
    for text in (
        whole[: len(whole) // 2],
        "[]",
        json.dumps(changed | {"files": {}}),
        json.dumps(changed | {"format": "2"}),
    ):
        (folder / "manifest.json").write_text(text, "utf-8")
        done = run_there(folder)
        assert done.returncode == 1 and "What to do: " in done.stderr
    assert others_in(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a file's size are set as Linux does")
def test_a_full_disk_is_told_and_leaves_what_was_there(unpacked, run_there):
    import resource

    _, folder = unpacked("int8")
    (folder / "results.json").write_text("of yesterday")

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = run_there(folder, preexec_fn=full)
    assert (
        done.returncode == 1
        and "results.json cannot be written" in done.stderr
        and "free some space" in done.stderr
    )
    assert (folder / "results.json").read_text() == "of yesterday" and others_in(folder) == ["results.json"]


def test_a_folder_that_is_not_there_is_told_before_the_work(unpacked, run_there):
    done = run_there(unpacked("int8")[1], "--out", "nowhere/results.json")
    assert done.returncode == 1 and "cannot be written" in done.stderr and "opening 1" not in done.stdout


SLOW_RUNTIME = """import time
class Interpreter:
    def __init__(self, **options): pass
    def get_input_details(self): return [{"index": 0, "shape": [1, 16, 16, 3]}]
    def get_output_details(self): return [{"index": 1}]
    def allocate_tensors(self): pass
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return None
    def invoke(self): time.sleep(0.3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal for one process")
def test_interrupting_leaves_what_was_there(unpacked, only_numpy, tmp_path):
    _, folder = unpacked("int8")
    (folder / "results.json").write_text("of yesterday")
    packages = fake_runtime(tmp_path / "slow", SLOW_RUNTIME, only_numpy)
    command, environment = on_board(packages, "run.py")
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Started in the background of a shell, this test would hand on that such signals are ignored.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, cwd=folder, env=environment, **piped, **heard)
    assert "LiteRT" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130 and "Stopped. Nothing was written" in told and "Traceback" not in told
    assert (folder / "results.json").read_text() == "of yesterday" and others_in(folder) == ["results.json"]


def test_the_time_is_bounded(unpacked, run_there, only_numpy, tmp_path):
    packages = fake_runtime(tmp_path / "slow", SLOW_RUNTIME, only_numpy)
    done = run_there(unpacked("int8")[1], "--limit", "1", packages=packages)
    assert done.returncode == 1 and "of 32 test inputs were done" in done.stderr and "--limit" in done.stderr


def test_an_emulation_is_compared_and_not_timed(unpacked, run_there):
    _, folder = unpacked("int8")
    done = run_there(folder, "--emulated", "Cortex-A76")
    assert done.returncode == 0 and "No latency: this is an emulation (Cortex-A76)" in done.stdout
    found = collect(folder / "results.json")
    assert "Cortex-A76" in found.fault and not found.records and found.outputs[0]["snr_db"] == math.inf


def test_a_delegate_that_is_not_there_is_told(unpacked, run_there):
    done = run_there(unpacked("int8")[1], "--delegate", "libnothing-of-that-name.so")
    assert done.returncode == 1 and "libnothing-of-that-name.so does not load" in done.stderr


def test_a_compiled_model_runs_through_its_delegate_and_wrong_outputs_are_not_timed(
    board_files, unpacked, run_there, tmp_path, build_delegate
):
    from edgelab.targets.edgetpu.rules import placement

    content = board_files["int8"].read_bytes()
    compiled = tmp_path / "net_edgetpu.tflite"
    compiled.write_bytes(edgetpu_models.as_compiled(content, len(placement(content).operators)))
    _, folder = unpacked("int8", compiled=compiled)
    done = run_there(folder, "--delegate", build_delegate)
    assert done.returncode == 0, done.stderr
    assert "edgetpu" in done.stdout and "No latency: the outputs are not those expected" in done.stdout
    found = collect(folder / "results.json")
    assert found.target == "edgetpu" and "a wrong answer has no speed" in found.fault and not found.records


@pytest.fixture(scope="module")
def build_delegate(tmp_path_factory):
    """A library that takes the compiled operator, and leaves its output as it is."""
    import shutil

    if not shutil.which("gcc") or sys.platform != "linux":
        pytest.skip("needs gcc on Linux, to build a library")
    out = tmp_path_factory.mktemp("library") / "libfake.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(out), str(FAKE_LIBRARY)], check=True)
    return str(out)


# ------------------------------------------------------------------------------------------------ its parts


def spec(scale=0.0, zero_point=0):
    return {"name": "y", "scale": scale, "zero_point": zero_point}


RULE = {"least_snr_db": 20.0, "steps": 1}


@pytest.mark.parametrize(
    ("want", "have", "scale", "agree"),
    [
        (np.int8([0, 5, 100]), np.int8([0, 5, 100]), 0.5, True),
        (np.int8([0, 0, 1]), np.int8([0, 1, 1]), 0.5, True),  # a step of a faint output
        (np.int8([0, 0, 1]), np.int8([0, 2, 1]), 0.5, False),
        (np.int8([100, -100, 50]), np.int8([103, -98, 52]), 0.5, True),
        (np.uint8([0, 255]), np.uint8([255, 0]), 0.5, False),
        (np.float32([1, 2]), np.float32([1.01, 2.01]), 0.0, True),
        (np.float32([1, 2]), np.float32([2, 1]), 0.0, False),
        (np.float32([1, 2]), np.float32([np.nan, 2]), 0.0, False),
        (np.float32([np.inf, 2]), np.float32([np.inf, 2]), 0.0, True),
        (np.float32([0, 0]), np.float32([0, 1e-9]), 0.0, False),
        (np.float32([1, 2]), np.float64([1, 2]), 0.0, False),
        (np.float32([1, 2]), np.float32([[1, 2]]), 0.0, False),
        (np.array([True, False]), np.array([True, False]), 0.0, True),
        (np.array([True, False]), np.array([False, False]), 0.0, False),
    ],
)  # fmt: skip
def test_outputs_agree_by_ratio_or_by_a_step(want, have, scale, agree):
    with np.errstate(invalid="ignore"):
        rows = runner.differences(np, [want], [have], [spec(scale)])
    assert runner.agrees(rows, RULE) is agree


def test_steps_are_counted_without_wrapping_round():
    [row] = runner.differences(np, [np.uint8([0])], [np.uint8([255])], [spec(1.0)])
    assert row["steps"] == 255


@pytest.mark.parametrize(
    "wrong", [["--seconds", "0"], ["--openings", "2"], ["--threads", "x"], ["--option", "a"]]
)
def test_options_out_of_range_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        runner.main(wrong)
    assert stopped.value.code == 2 and wrong[0] in capsys.readouterr().err
