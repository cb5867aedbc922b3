"""Rockchip's NPUs: the log, what is refused, a toolkit that misbehaves; and the real compiler where it is."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgelab import environment, quantization, targets
from edgelab.errors import InputError, ModelError, StorageError, TargetError
from edgelab.machine import artifacts
from edgelab.runtime import predict
from edgelab.targets import multicore
from edgelab.targets.cache import compiled
from edgelab.targets.rknn import engine as rknn_engine
from edgelab.targets.rknn import log as rknn_log
from edgelab.targets.rknn import target as rknn

MAKE = artifacts.PROJECT_ROOT / "tools" / "make_rknn.py"

# In the form of rknn-toolkit2 2.5.0; rk3576's has a column more. Names and figures are made up.
LOG = """\
I rknn building ...
D RKNN: [10:00:00.1]                     Network Layer Information Table
D RKNN: [10:00:00.1] ID OpType DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [10:00:00.1] 0  InputOperator  INT8  CPU  \\  (1,3,8,8)  0/0/0  0  InputOperator:x
D RKNN: [10:00:00.1] 1  ConvRelu  INT8  NPU  (1,3,8,8),(9,3,1,1),(9)  (1,9,8,8)  1/1/1  9  Conv:earlier
D RKNN: [10:00:01]                     Network Layer Information Table
D RKNN: [10:00:01] ID OpType DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [10:00:01] 0  InputOperator  INT8  CPU  \\  (1,3,8,8)  0/0/0  0  InputOperator:x
\x1b[36mD RKNN: [10:00:01] 1  ConvRelu  INT8 NPU (1,3,8,8),(9,3,1,1) (1,9,8,8)  31/96/96 2.5 Conv:first\x1b[0m
progress 50%\rD RKNN: [10:00:01] 2  Conv  INT8 NPU (1,9,8,8),(9,9,1,1) (1,9,8,8)  70/64/70  0%  3  Conv:second
D RKNN: [10:00:01] 3  Sine  FLOAT16  CPU  (1,9,8,8)  (1,9,8,8)  0/0/0  1
D RKNN: [10:00:01] 4  OutputOperator  FLOAT16  CPU  (1,9,8,8)  \\  0/0/0  0  OutputOperator:y
D RKNN: [10:00:01]                     Feature Tensor Information Table
D RKNN: [10:00:01] 1  Conv  first  INT8  NC1HWC2  (1,9,8,8)  (1,1,8,8,16) | 0x0 0x00000400
D RKNN: [10:00:01] Total Internal Memory Size: 1.5KB
D RKNN: [10:00:01] Total Weight Memory Size: 2KB
"""

ANALYSIS = """\
layer_name            simulator_error
                    entire          single
                  cos    euc      cos    euc
[Input] x        1.00000 | 0.00000   1.00000 | 0.00000
[Conv] first
[Relu] second    0.99000 | 0.21735   \x1b[1;33m0.99900\x1b[0m | 0.11000
"""


# --- The log ---


def test_the_last_table_of_the_log_becomes_rows():
    rows = rknn_log.parse_log(LOG)
    assert [row["operator"] for row in rows[:-1]] == [
        "InputOperator",
        "ConvRelu",
        "Conv",
        "Sine",
        "OutputOperator",
    ]
    first = rows[1]
    assert (first["ddr_cycles"], first["npu_cycles"], first["cycles"]) == (31, 96, 96)
    assert first["moved_bytes"] == 2560 and first["name"] == "Conv:first"
    assert rows[2]["cycles"] == 70 and rows[2]["moved_bytes"] == 3072  # with the sparse ratio between
    assert rows[3]["name"] == ""
    assert rows[-1] == {"kind": "memory", "internal_bytes": 1536, "weight_bytes": 2048}


def test_placement_counts_what_computes_and_names_what_is_left():
    placed = rknn_log.placement_of(rknn_log.parse_log(LOG))
    assert str(placed) == "2 of 3 operators"
    assert [operator for operator, _ in placed.reasons] == ["Sine (3)"]


@pytest.mark.parametrize("text", ["", "rubbish\x00\n" * 100, LOG.replace("D RKNN", "X RKNN")])
def test_a_log_without_table_has_no_rows(text):
    assert rknn_log.parse_log(text) == ()


def test_the_accuracy_analysis_becomes_rows():
    assert rknn_log.parse_errors(ANALYSIS) == (
        {"operator": "Input", "name": "x", "cosine": 1.0, "own_cosine": 1.0},
        {"operator": "Relu", "name": "second", "cosine": 0.99, "own_cosine": 0.999},
    )


# --- What is asked for ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"platform": "rk9999"}, "rk9999"),
        ({"precision": "int4"}, "int4"),
        ({"core": 3}, "no NPU core 3"),
        ({"platform": "rk3566", "core": 1}, "no NPU core 1"),
        ({"platform": "rv1106", "precision": "fp16"}, "int8 only"),
        ({"mean": (0, 0, 0)}, "belong together"),
        ({"where": "moon"}, "moon"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        targets.get("rknn", **options)


def test_what_decides_the_file_is_in_the_settings():
    settings = {str(targets.get("rknn", **options).settings) for options in (
        {}, {"platform": "rk3566"}, {"precision": "fp16"}, {"mean": (1,), "std": (2,)},
    )}  # fmt: skip
    assert len(settings) == 4


# --- A toolkit that is missing or misbehaves ---


@pytest.fixture(scope="module")
def model(small_model):
    return quantization.convert(small_model, "float32", name="small").path


@pytest.fixture(scope="module")
def images(patterns):
    return patterns.calibration_images(20)


@pytest.fixture
def no_toolkit(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELAB_RKNN_VENV", str(tmp_path / "none"))
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.sys, "platform", "linux")


def test_without_the_toolkit_the_word_that_makes_it_is_named(no_toolkit, model, images, tmp_path):
    target = targets.get("rknn")
    found = target.probe()
    assert not found.can_compile and not found.can_run and found.fix == "make rknn"
    with pytest.raises(TargetError, match="make rknn"):
        target.compile(model, tmp_path / "x.rknn", calibration=images)
    (tmp_path / "x.rknn").write_bytes(b"RKNN")
    with pytest.raises(TargetError, match="make rknn"):
        target.open(tmp_path / "x.rknn")


def test_a_half_made_environment_is_not_used(no_toolkit, tmp_path):
    python = tmp_path / "none" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    found = targets.get("rknn").probe()
    assert not found.can_compile and "half made" in found.detail and found.fix == "make rknn"


def test_without_a_board_asking_for_one_says_so(tmp_path):
    if environment.rknn_board().status == environment.OK:
        pytest.skip("a board is here")
    (tmp_path / "x.rknn").write_bytes(b"RKNN")
    with pytest.raises(TargetError, match="No Rockchip board"):
        targets.get("rknn", where="board").open(tmp_path / "x.rknn")


@pytest.fixture
def fake_toolkit(monkeypatch, tmp_path):
    """Gives the lines of a program that stands in for the environment's Python."""
    bin_folder = tmp_path / "fake" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder.parent / "edgelab.stamp").write_text("")
    monkeypatch.setenv("EDGELAB_RKNN_VENV", str(bin_folder.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(rknn.tempfile, "tempdir", str(tmp_path))

    def install(lines):
        python = bin_folder / "python"
        python.write_text(f"#!{sys.executable}\n{textwrap.dedent(lines)}")
        python.chmod(0o755)

    return install


READ = "import sys, json, os, time\nline = sys.stdin.readline()\n"


@pytest.mark.skipif(os.name == "nt", reason="the fake is a script with a shebang")
@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (READ + "open('log.txt', 'w').write('E build: boom'); os.kill(os.getpid(), 11)", TargetError, "boom"),
        (READ + "time.sleep(600)", TargetError, "no answer within"),
        (READ + "print('rubbish' * 1000); print('answer nonsense')", TargetError, "ended with exit code 0"),
        ("import sys; sys.exit('numpy is missing')", TargetError, "numpy is missing"),
        (
            READ + "print('answer', json.dumps({'failure': 'ModuleNotFoundError', 'detail': 'No rknn',"
            " 'errno': None}), flush=True)",
            TargetError,
            "half installed",
        ),
        (
            READ + "print('answer', json.dumps({'failure': 'OSError', 'detail': 'No space left on device',"
            " 'errno': 28}), flush=True)",
            StorageError,
            "No space left",
        ),
        (
            READ + "open('log.txt', 'w').write('E build: Unsupported op Sine\\n');"
            "print('answer', json.dumps({'failure': 'StepError', 'detail': 'build failed', 'errno': None}),"
            "flush=True)",
            ModelError,
            "Unsupported op Sine",
        ),
        (
            READ + "print('answer {\"build_s\": 1}', flush=True); sys.stdin.readline();"
            "open('model.rknn', 'wb').write(b'RKNN'); print('answer {}', flush=True); sys.stdin.readline()",
            TargetError,
            "no table of layers",
        ),
    ],
    ids=["crash", "hang", "rubbish", "broken", "half installed", "disk full", "refused", "other log"],
)
def test_a_toolkit_that_misbehaves(fake_toolkit, monkeypatch, model, images, tmp_path, lines, error, message):
    fake_toolkit(lines)
    monkeypatch.setattr(rknn, "BUILD_LIMIT_S", 2.0)
    children = set(psutil.Process().children(recursive=True))
    with pytest.raises(error, match=message):
        targets.get("rknn").compile(model, tmp_path / "x.rknn", calibration=images)
    assert not (tmp_path / "x.rknn").exists()
    assert not list(tmp_path.glob("edgelab-rknn-*")), "the temporary folder stayed"
    assert set(psutil.Process().children(recursive=True)) <= children, "a process stayed"


# --- Models that are refused before the compiler sees them ---


def test_quantized_models_are_refused(fake_toolkit, small_model, patterns, images, tmp_path):
    fake_toolkit("")
    target = targets.get("rknn")
    for mode in ("int8", "dynamic_range"):
        calibration = patterns.calibration_images(20) if mode == "int8" else None
        path = quantization.convert(small_model, mode, calibration, name="small").path
        with pytest.raises(ModelError, match="quantized already"):
            target.compile(path, tmp_path / "x.rknn", calibration=images)


def test_corrupt_models_and_wrong_images_are_refused(fake_toolkit, model, images, tmp_path):
    fake_toolkit("")
    target = targets.get("rknn")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"broken\.tflite"):
        target.compile(broken, tmp_path / "x.rknn", calibration=images)
    for wrong in (None, images[:0], images.transpose(0, 3, 1, 2), images.astype(np.float32)):
        with pytest.raises(InputError, match="expected uint8"):
            target.compile(model, tmp_path / "x.rknn", calibration=wrong)


def test_dynamic_shapes_are_refused(fake_toolkit, tmp_path):
    import tensorflow as tf

    class Dynamic(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
        def __call__(self, x):
            return tf.nn.relu(x)

    module = Dynamic()
    function = module.__call__.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert()
    path = tmp_path / "dynamic.tflite"
    path.write_bytes(content)
    fake_toolkit("")
    with pytest.raises(ModelError, match="left open"):
        targets.get("rknn", precision="fp16").compile(path, tmp_path / "x.rknn")


# --- The real compiler and simulator ---


@pytest.fixture(scope="module")
def toolkit():
    if environment.rknn_python() is None:
        pytest.skip("Rockchip's compiler is not here: make rknn")


@pytest.fixture(scope="module")
def built(toolkit, model, images):
    return compiled(targets.get("rknn", where="simulator"), model, calibration=images)


def test_the_environment_imports_what_is_needed(toolkit):
    command = [environment.rknn_python(), "-I", rknn_engine.WORKER, "--check"]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_compile_places_layers_and_keeps_the_vendors_table(built):
    frame = rknn_log.layers(built)
    assert built.placement.total == len(frame) and built.placement.accelerated > 0.8 * len(frame)
    assert frame["cycles"].sum() > 0 and set(frame["unit"]) <= {"NPU", "CPU", "GPU"}
    assert rknn_log.memory_bytes(built)["weight"] > 0
    assert built.vendor_latency_ms is None
    assert built.path.read_bytes().startswith(b"RKNN") and built.size_bytes == built.path.stat().st_size


def test_the_simulator_agrees_with_the_cpu_and_leaves_nothing(built, model, patterns):
    before, here = set(psutil.Process().children(recursive=True)), set(Path.cwd().iterdir())
    target = targets.get("rknn", where="simulator")
    with target.open(built) as session, targets.get("cpu").open(model) as control:
        assert (session.provenance, session.device) == ("simulated", "RK3588 (simulator)")
        ours, theirs = (
            predict(session, patterns.test_images[:100]),
            predict(control, patterns.test_images[:100]),
        )
        folder = session._engine.folder
        errors = session.layer_errors(patterns.test_images[0])
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) > 0.9
    assert 0 < np.abs(ours - theirs).max() < 0.3
    assert errors["cosine"].between(0.9, 1).all() and len(errors) > 5
    assert not folder.exists() and set(Path.cwd().iterdir()) == here
    assert set(psutil.Process().children(recursive=True)) <= before
    with pytest.raises(TargetError, match="closed"):
        session.run(np.zeros(session.inputs[0].shape, np.float32))


def test_fp16_needs_no_images_and_is_nearly_exact(toolkit, model, patterns, tmp_path):
    target = targets.get("rknn", precision="fp16", where="simulator")
    made = target.compile(model, tmp_path / "x.rknn")
    with target.open(made.path) as session, targets.get("cpu").open(model) as control:
        images = patterns.test_images[:20]
        assert np.abs(predict(session, images) - predict(control, images)).max() < 0.02


def test_an_operator_that_the_npu_lacks_stays_on_the_cpu_and_is_named(toolkit, tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)])
    def sine(x):
        return tf.nn.relu(tf.sin(x))

    content = tf.lite.TFLiteConverter.from_concrete_functions([sine.get_concrete_function()]).convert()
    path = tmp_path / "sine.tflite"
    path.write_bytes(content)
    target = targets.get("rknn", precision="fp16", where="simulator")
    made = target.compile(path, tmp_path / "sine.rknn")
    assert made.placement.accelerated < made.placement.total
    assert any(operator.startswith("Sin ") for operator, _ in made.placement.reasons)
    with target.open(made) as session:
        pixels = np.linspace(0, 6, 192, dtype=np.float32).reshape(1, 8, 8, 3)
        np.testing.assert_allclose(session.run(pixels)[0], np.maximum(np.sin(pixels), 0), atol=0.01)


def test_two_compile_at_once(toolkit, model, images, tmp_path):
    target, made = targets.get("rknn"), {}

    def compile_one(name):
        made[name] = target.compile(model, tmp_path / name, calibration=images)

    threads = [threading.Thread(target=compile_one, args=(name,)) for name in ("a.rknn", "b.rknn")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made["a.rknn"].log_rows == made["b.rknn"].log_rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.rknn", "b.rknn"]


def test_a_damaged_onnx_is_refused_in_words(toolkit, built):
    recipe = rknn_engine.Recipe.load(rknn._recipe_path(built.path.read_bytes()))
    damaged = dataclasses.replace(recipe, onnx=recipe.onnx[:2000])
    with rknn_engine.Engine(environment.rknn_python()) as engine:
        with pytest.raises(ModelError, match="Error parsing message"):
            engine.build(damaged)
        folder = engine.folder
    assert not folder.exists()


def test_a_file_from_elsewhere_cannot_be_simulated(built, tmp_path):
    target = targets.get("rknn", where="simulator")
    other = tmp_path / "other.rknn"
    other.write_bytes(built.path.read_bytes() + b" ")
    with pytest.raises(ModelError, match="has just built"):
        target.open(other)
    other.write_bytes(b"hello")
    with pytest.raises(ModelError, match=r"not a \.rknn file"):
        target.open(other)
    with pytest.raises(ModelError, match="Cannot read"):
        target.open(tmp_path / "none.rknn")
    other.write_bytes(b"RKNN, whose recipe is damaged")
    rknn._recipe_path(other.read_bytes()).write_bytes(b"PK and no more")
    with pytest.raises(ModelError, match="is damaged"):
        target.open(other)


def test_the_file_tells_a_board_what_it_takes(built):
    platform, [taken], [given] = rknn_engine.described(built.path.read_bytes())
    assert platform == "rk3588" and taken.shape == (1, 32, 32, 3) and given.shape == (1, 10)
    with pytest.raises(ModelError, match="does not tell"):
        rknn_engine.described(b"RKNN and nothing")


def test_a_killed_worker_is_an_error_not_a_hang(built, patterns):
    session = targets.get("rknn", where="simulator").open(built)
    session._engine._worker._process.kill()
    with pytest.raises(TargetError, match="exit code"):
        predict(session, patterns.test_images[:1])
    session.close()


def test_the_stand_in_for_torch_refuses_to_compute():
    worker = runpy.run_path(str(rknn_engine.WORKER))
    torch = worker["_Placeholder"]("torch")
    assert isinstance(np.zeros(1), torch.Tensor) is False and torch.no_grad()(len) is len
    for call in (torch.zeros, torch.nn.Linear, torch.tensor):
        with pytest.raises(RuntimeError, match="torch is not installed"):
            call(3)


# --- Several sessions ---


class Slowed:
    """A CPU session that waits before each inference, and notices two threads inside it."""

    def __init__(self, session, wait_s):
        self.inputs, self.outputs, self._session, self._wait_s = (
            session.inputs,
            session.outputs,
            session,
            wait_s,
        )
        self._busy = threading.Lock()

    def run(self, *inputs):
        assert self._busy.acquire(blocking=False), "two threads in one session"
        try:
            time.sleep(self._wait_s)
            return self._session.run(*inputs)
        finally:
            self._busy.release()


def test_images_keep_their_order_and_a_slow_session_gets_fewer(model, patterns):
    images = patterns.test_images[:60]
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b, cpu.open(model) as c:
        done = multicore.run_on_all([Slowed(a, 0.02), Slowed(b, 0.001), Slowed(c, 0.001)], images)
        expected = predict(a, images)
    np.testing.assert_array_equal(done.outputs, expected)
    assert sum(done.counts) == 60 and done.counts[0] < min(done.counts[1:])
    assert "60" not in str(done.counts) and done.throughput_per_s > 0


def test_one_failing_session_stops_the_run(model, patterns):
    cpu = targets.get("cpu", threads=1)
    with cpu.open(model) as a, cpu.open(model) as b:
        b.close()
        slow = Slowed(a, 0.01)
        with pytest.raises(ModelError, match="closed"):
            multicore.run_on_all([slow, b], patterns.test_images[:200])


def test_one_session_twice_is_refused(model, patterns):
    with targets.get("cpu").open(model) as session:
        with pytest.raises(InputError, match="one session per core"):
            multicore.run_on_all([session, session], patterns.test_images[:2])
        assert multicore.run_on_all([session], patterns.test_images[:0]).outputs.shape == (0, 10)
    with pytest.raises(InputError):
        multicore.run_on_all([], patterns.test_images[:2])


# --- make rknn ---


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


def test_a_full_disk_and_names_that_lead_nowhere_are_noticed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(
        make["shutil"], "disk_usage", lambda folder: make["shutil"]._ntuple_diskusage(9, 8, 1)
    )
    with pytest.raises(make["NotHereError"], match="EDGELAB_RKNN_VENV"):
        make["check_space"](tmp_path / "not" / "there")
    assert make["version_of"](str(tmp_path / "python")) == ""
    assert make["version_of"](sys.executable) == ".".join(map(str, sys.version_info[:2]))


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


def test_what_is_recorded_for_chapter_6_belongs_together():
    """One recording, of the toolkit that `make rknn` installs: by tools/record_rknn.py, never by hand."""
    root = artifacts.PROJECT_ROOT
    recorded = json.loads((root / "data" / "recorded" / "rknn.json").read_text(encoding="utf-8"))
    pinned = (root / "requirements" / "rknn.in").read_text(encoding="utf-8")
    version = recorded["where"].split("rknn-toolkit2 ")[1].split(",")[0]
    assert f"rknn-toolkit2=={version}" in pinned
    layers, chip = recorded["layers"], recorded["platforms"][0]
    on_npu = sum(layer["unit"] == "NPU" for layer in layers)
    assert chip["operators on the NPU"] == f"{on_npu} of {len(layers)} operators"
    assert chip["cycles"] == sum(layer["cycles"] for layer in layers)
    int8 = {name: value for name, value in recorded["precisions"][1].items() if name != "model"}
    for pitfall in ("calibration", "layout", "normalisation"):
        assert int8.items() <= recorded[pitfall][0].items(), "the right way, first in each table"
