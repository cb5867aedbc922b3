"""Qualcomm's compiler: what is said where it is missing or fails, and what it does where it is."""

from __future__ import annotations

import platform
import sys
import tempfile

import pytest

from edgelab import environment, graph, quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.targets import cache, placements
from edgelab.targets.qualcomm import log
from edgelab.targets.qualcomm import target as qualcomm

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="it compiles on x86-64 Linux only",
)


@pytest.fixture
def nothing_left(tmp_path_factory, monkeypatch):
    """Afterwards no folder is left over."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not list(folder.iterdir())


def test_the_chips_are_those_that_litert_names():
    soc_models = pytest.importorskip("ai_edge_litert.aot.vendors.qualcomm.target").SocModel
    assert set(qualcomm.PLATFORMS) == {one.value for one in soc_models} - {"ALL"}
    with pytest.raises(InputError, match="no chip 'rk3588'") as error:
        targets.get("qualcomm", platform="rk3588")
    assert "SM8750" in error.value.fix


@on_linux
def test_where_the_libraries_are_missing_it_says_how_to_get_them(int8_path, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_QUALCOMM_FILES", str(tmp_path / "none"))
    found = targets.get("qualcomm").probe()
    assert (found.can_compile, found.can_run) == (False, False)
    assert "make qualcomm" in found.fix and "licence" in found.fix and found.why_it_matters
    with pytest.raises(TargetError, match="is not here") as error:
        targets.get("qualcomm").compile(int8_path, tmp_path / "out.tflite")
    assert "make qualcomm" in error.value.fix and not list(tmp_path.iterdir())
    assert placements.ask("qualcomm", {"int8": int8_path}).placement is None
    assert environment.qualcomm_version() == ""


@on_linux
def test_a_folder_without_the_last_word_is_not_used(libraries):
    assert targets.get("qualcomm").settings["libraries"] == "onnxruntime-qnn 9.8.7"
    assert targets.get("qualcomm").probe().can_compile
    (libraries.parent / "edgelab.stamp").unlink()
    assert environment.qualcomm_compiler().status == environment.WARNING
    found = targets.get("qualcomm").probe()
    assert not found.can_compile and "half made" in found.detail


@on_linux
def test_a_litert_without_the_driver_is_told(libraries, tmp_path, monkeypatch):
    monkeypatch.setattr(qualcomm, "_litert", lambda: tmp_path / "nowhere")
    found = targets.get("qualcomm").probe()
    assert not found.can_compile and "has no compiler" in found.detail


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_told_where_it_works(tmp_path, monkeypatch, system):
    monkeypatch.setenv("EDGELAB_QUALCOMM_FILES", str(tmp_path / "none"))
    monkeypatch.setattr(environment.sys, "platform", system)
    assert "Docker" in environment.qualcomm_compiler().fix


def test_it_is_never_run_here(int8_path):
    with pytest.raises(TargetError, match="made for the NPU of an SM8550") as error:
        targets.get("qualcomm", platform="SM8550").open(int8_path)
    assert "CompiledModel" in error.value.fix and "CPU" in error.value.fix


FAILURES = {
    "crash": ("import os; os.abort()", TargetError, "exit code -6"),
    "hang": ("import time; time.sleep(600)", TargetError, "within 4 s"),
    "error": ("import sys; sys.exit('out of registers')", TargetError, "out of registers"),
    "nothing written": ("print('done')", TargetError, "done"),
    "libraries that do not load": (
        "import sys; print('Could not load shared library x: libQnnHtp.so', file=sys.stderr); sys.exit(6)",
        TargetError,
        "cannot be loaded",
    ),
    "a model that it does not take": (
        "import sys\nprint('ERROR: Variable tensors not yet supported.', file=sys.stderr)\n"
        "print('[LITERT_TOOLS:APPLY] Failed to load model from file.', file=sys.stderr); sys.exit(5)",
        ModelError,
        "Variable tensors",
    ),
    "no log": (
        "import shutil; shutil.copy('model.tflite', 'out.tflite')",
        TargetError,
        "does not say",
    ),
    "rubbish in its file": (
        "open('out.tflite', 'w').write('no model')\n"
        "print('Partitioned subgraph<0>, selected 1 ops, from a total of 1 ops. resulted in 1 partitions.')",
        TargetError,
        "cannot be read",
    ),
    "a log that contradicts the file": (
        "import shutil; shutil.copy('model.tflite', 'out.tflite')\n"
        "print('Partitioned subgraph<0>, selected 1 ops, from a total of 1 ops. resulted in 1 partitions.')",
        TargetError,
        "counts 1 of 1",
    ),
}


@on_linux
@pytest.mark.parametrize("failure", FAILURES)
def test_a_compiler_that_fails_is_told(int8_path, tmp_path, fake_driver, nothing_left, monkeypatch, failure):
    code, kind, words = FAILURES[failure]
    fake_driver(code)
    if failure == "hang":
        monkeypatch.setattr(qualcomm, "TIME_LIMIT_S", 4.0)
    with pytest.raises(kind) as error:
        targets.get("qualcomm").compile(int8_path, tmp_path / "out.tflite")
    assert words in str(error.value)
    assert not (tmp_path / "out.tflite").exists()


def test_a_damaged_file_never_reaches_it(tmp_path):
    (tmp_path / "cut.tflite").write_bytes(b"TFL3")
    with pytest.raises(ModelError):
        targets.get("qualcomm").compile(tmp_path / "cut.tflite", tmp_path / "out.tflite")


def test_a_size_that_is_left_open_is_refused(tmp_path):
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    with quantization.silence():
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "open.tflite").write_bytes(content)
    with pytest.raises(ModelError, match="left open"):
        targets.get("qualcomm").compile(tmp_path / "open.tflite", tmp_path / "out.tflite")


def test_the_npu_takes_the_int8_model_whole(compiler, int8_path, tmp_path, nothing_left):
    made = targets.get("qualcomm").compile(int8_path, tmp_path / "out.tflite")
    total = len(graph.read(int8_path).operators)
    assert str(made.placement) == f"{total} of {total} operators" and made.placement.reasons == ()
    assert list(graph.read(made.path).operator_counts) == [log.NPU_OPERATOR]
    assert made.size_bytes == made.path.stat().st_size and made.vendor_latency_ms is None
    assert log.summary(made)["parts"] == 1
    before, after = graph.read(int8_path), graph.read(made.path)
    shapes = [[found.tensors[i].shape for i in found.inputs] for found in (before, after)]
    assert shapes[0] == shapes[1]


def test_in_16_bits_it_is_cut_and_each_operator_has_its_reason(
    compiler, small_model, patterns, tmp_path, nothing_left
):
    path = quantization.convert(small_model, "int16x8", patterns.train_images[:100], name="small").path
    made = targets.get("qualcomm").compile(path, tmp_path / "out.tflite")
    left = made.placement.total - made.placement.accelerated
    assert 0 < made.placement.accelerated < made.placement.total == len(graph.read(path).operators)
    assert len(made.placement.reasons) == left
    assert all("QNN error" in reason for _, reason in made.placement.reasons)
    told = log.summary(made)
    assert told["parts"] == graph.read(made.path).operator_counts[log.NPU_OPERATOR]
    assert sum(count for *_, count in told["left"]) == left
    # Chapter 12 asks which operators these are.
    answer = placements.ask("qualcomm", {"int8": path})
    assert answer.places.count("CPU") == left
    assert cache.compiled(targets.get("qualcomm"), path) == cache.compiled(targets.get("qualcomm"), path)


def test_every_chip_compiles(compiler, int8_path, tmp_path):
    sizes = {}
    for name in qualcomm.PLATFORMS:
        made = targets.get("qualcomm", platform=name).compile(int8_path, tmp_path / f"{name}.tflite")
        assert made.placement.accelerated == made.placement.total, name
        sizes[name] = made.path.read_bytes()
    assert len(set(sizes.values())) > 1, "a file is for its chip"


@pytest.mark.real_data
def test_models_from_elsewhere(compiler, real_data, tmp_path):
    """The placement that is recorded for chapter 15 is what the compiler says today."""
    for name, text in {
        "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29": "63 of 64 operators",
        "mobilenet_v1_0.25_224_1_default_1": "31 of 31 operators",
    }.items():
        made = targets.get("qualcomm").compile(
            real_data / "models" / f"{name}.tflite", tmp_path / "out.tflite"
        )
        assert str(made.placement) == text
        assert all(reason != log.NO_REASON for _, reason in made.placement.reasons)
