"""What the target asks for, refuses, compiles and places."""

from __future__ import annotations

import dataclasses
import re
import threading

import numpy as np
import pytest

from edgelab import environment, quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.targets.rknn import engine as rknn_engine
from edgelab.targets.rknn import log
from edgelab.targets.rknn import target as rknn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"platform": "rk9999"}, "rk9999"),
        ({"precision": "int4"}, "int4"),
        ({"core": 3}, "no NPU core 3"),
        ({"platform": "rk3566", "core": 1}, "no NPU core 1"),
        ({"platform": "rk3576", "core": (0, 1, 2)}, "cannot join"),
        ({"core": (1, 2)}, "cannot join"),
        ({"core": (0,)}, "cannot join"),
        ({"platform": "rv1106", "precision": "fp16"}, "int8 only"),
        ({"mean": (0, 0, 0)}, "belong together"),
        ({"where": "moon"}, "moon"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        targets.get("rknn", **options)


@pytest.mark.parametrize(
    ("core", "name"),
    [(None, "AUTO"), (0, "0"), (2, "2"), ((0, 1), "0_1"), ((0, 1, 2), "0_1_2")],
)
def test_one_core_or_several_together_are_what_the_vendors_header_calls_them(core, name):
    python = environment.rknn_python()
    if python is None:
        pytest.skip("Rockchip's toolkit is not here")
    [source] = python.parent.parent.glob("lib/python3*/site-packages/rknn/api/rknn.py")
    found = re.search(rf"NPU_CORE_{name} = (0x[0-9a-f]+)", source.read_text())
    assert targets.get("rknn", core=core).core_mask == int(found[1], 16)


def test_what_decides_the_file_is_in_the_settings():
    settings = {str(targets.get("rknn", **options).settings) for options in (
        {}, {"platform": "rk3566"}, {"precision": "fp16"}, {"mean": (1,), "std": (2,)},
    )}  # fmt: skip
    assert len(settings) == 4


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
        @tf.function(input_signature=[tf.TensorSpec((1, None, 8, 3), tf.float32)])
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


def test_compile_places_layers_and_keeps_the_vendors_table(built):
    frame = log.layers(built)
    assert built.placement.total == len(frame) and built.placement.accelerated > 0.8 * len(frame)
    assert frame["cycles"].sum() > 0 and set(frame["unit"]) <= {"NPU", "CPU", "GPU"}
    assert log.memory_bytes(built)["weight"] > 0
    assert built.vendor_latency_ms is None
    assert built.path.read_bytes().startswith(b"RKNN") and built.size_bytes == built.path.stat().st_size


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
