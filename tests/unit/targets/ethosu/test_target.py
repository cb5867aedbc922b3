"""Vela compiles, places, refuses, and fails in every way."""

import json
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from waiting import children_with

from edgelab import graph, quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.targets.ethosu import log
from edgelab.targets.ethosu import target as ethosu

installed = pytest.mark.skipif(not targets.get("ethosu").probe().can_compile, reason="Vela is not installed")


@pytest.fixture
def nothing_left(tmp_path_factory, monkeypatch):
    """Afterwards no process and no folder is left over."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not children_with(ethosu.COMMAND[-1])
    assert not list(folder.iterdir())


def plain(outputs, path, quantize=True):
    """A model converted by the plain converter, with pixels of 8x8x4 coming in."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x = keras.Input((8, 8, 4), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, outputs(x)))
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.normal(size=(1, 8, 8, 4)).astype(np.float32)] for _ in range(10)
        )
        if quantize == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
    with quantization.silence():
        path.write_bytes(converter.convert())
    return path


@installed
def test_everything_goes_to_the_npu(compiled, int8_path):
    total = len(graph.read(int8_path).operators)
    for name, made in compiled.items():
        assert str(made.placement) == f"{total} of {total} operators" and made.placement.reasons == ()
        after = graph.read(made.path)
        assert list(after.operator_counts) == ["ethos-u"]
        before = graph.read(int8_path)
        shapes = [[found.tensors[i].shape for i in found.inputs] for found in (before, after)]
        assert shapes[0] == shapes[1], name
        assert made.size_bytes == made.path.stat().st_size


@installed
def test_more_multipliers_need_fewer_cycles(compiled):
    slow, fast = (log.estimate(compiled[f"ethos-u55-{macs}"]) for macs in (32, 256))
    assert fast.npu_cycles < slow.npu_cycles
    assert fast.utilisation < slow.utilisation, "but they are used less well"


@installed
def test_a_float_model_stays_on_the_cpu(tmp_path):
    from keras import layers

    path = plain(
        lambda x: layers.Conv2D(4, 3, activation="relu")(x), tmp_path / "float.tflite", quantize=False
    )
    made = targets.get("ethosu").compile(path, tmp_path / "out.tflite")
    assert str(made.placement) == "0 of 1 operators"
    [(operator, reason)] = made.placement.reasons
    assert operator == "CONV_2D" and "Float32" in reason and "INT8" in reason
    assert made.vendor_latency_ms is None and made.vendor_note == ""


@installed
def test_each_operator_that_is_left_has_its_reason(tmp_path):
    import tensorflow as tf
    from keras import layers

    def outputs(x):
        y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
        y = layers.Lambda(lambda v: tf.cumsum(v, axis=1))(y)  # has no int8 kernel: floats around it
        return layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D(2)(y)))

    path = plain(outputs, tmp_path / "partly.tflite", "int8")
    made = targets.get("ethosu").compile(path, tmp_path / "out.tflite")
    left = dict(made.placement.reasons)
    assert made.placement.total == len(graph.read(path).operators)
    assert set(left) == {"DEQUANTIZE", "CUMSUM", "QUANTIZE"}
    assert made.placement.accelerated == made.placement.total - 3
    assert all(reason and "no reason" not in reason for reason in left.values())
    assert "without the 3 operators left on the CPU" in made.vendor_note


@installed
def test_an_unknown_size_stays_on_the_cpu(tmp_path):
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.ones((1, 8, 8, 3), np.float32)] for _ in range(3))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quantization.silence():
        (tmp_path / "dynamic.tflite").write_bytes(converter.convert())
    made = targets.get("ethosu").compile(tmp_path / "dynamic.tflite", tmp_path / "out.tflite")
    assert made.placement.accelerated == 0 and "Dynamic" in made.placement.reasons[0][1]


@installed
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "left"),
    [("movenet_single_pose_lightning_ptq", 29), ("yamnet_spectra_in", 2), ("split_concat", 0)],
)
def test_models_from_elsewhere(real_data, tmp_path, name, left):
    path = real_data / "edgetpu_pairs" / f"{name}.tflite"
    made = targets.get("ethosu").compile(path, tmp_path / "out.tflite")
    assert made.placement.total - made.placement.accelerated == left == len(made.placement.reasons)
    assert all("no reason" not in reason for _, reason in made.placement.reasons)


def test_configurations_that_do_not_exist():
    with pytest.raises(InputError, match="ethos-u55-512"):
        targets.get("ethosu", accelerator="ethos-u55-512")
    with pytest.raises(InputError, match="is not a system of ethos-u55-128"):
        targets.get("ethosu", system_config="Ethos_U85_SYS_DRAM_Mid")


@installed
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"system_config": "Nonsense"}, "Nonsense not found"),
        ({"memory_mode": "Dedicated_Sram"}, "arena_mem_area"),
    ],
)
def test_vela_says_what_is_wrong_with_a_configuration(int8_path, tmp_path, nothing_left, options, why):
    with pytest.raises(TargetError, match="refuses this configuration") as error:
        targets.get("ethosu", **options).compile(int8_path, tmp_path / "out.tflite")
    assert why in error.value.why and "Traceback" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_never_reaches_vela(int8_path, tmp_path):
    """Vela itself dies of such files, without a word."""
    content = bytearray(int8_path.read_bytes())
    content[300:2000:7] = bytes(len(content[300:2000:7]))
    for name, damaged in {"cut": content[:2000], "empty": b"", "holes": bytes(content)}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelError):
            targets.get("ethosu").compile(tmp_path / name, tmp_path / "out.tflite")


def test_there_is_nothing_here_to_run_it(int8_path):
    with pytest.raises(TargetError, match="cannot be run here") as error:
        targets.get("ethosu").open(int8_path)
    assert "FVP" in error.value.fix


FAILURES = {
    "crash": ("import os; os.abort()", "crashed on"),
    "hang": ("import time; time.sleep(600)", "within 4 s"),
    "error": ("import sys; sys.exit('out of registers')", "out of registers"),
    "rubbish": ("print('\\x00 ready? {')", "cannot be read"),
    "half installed": ("import ethosu.no_such_part", "in part only"),
    "rubbish in its files": (
        "import os\nos.makedirs('out')\n"
        "for name in ('model_vela.tflite', 'model_summary_x.csv', 'model_per-layer.csv'):\n"
        "    open('out/' + name, 'w').write('a,b\\n1,2\\n')",
        "cannot be read",
    ),
}


@installed
@pytest.mark.parametrize("failure", FAILURES)
def test_a_compiler_that_fails_is_told(int8_path, tmp_path, monkeypatch, nothing_left, failure):
    code, message = FAILURES[failure]
    package = tmp_path / "fake" / "ethosu" / "vela"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    if failure == "hang":
        monkeypatch.setattr(ethosu, "TIME_LIMIT_S", 4.0)
    with pytest.raises(TargetError, match=message):
        targets.get("ethosu").compile(int8_path, tmp_path / "out.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["fake"]


@installed
def test_a_compiled_file_that_is_no_model(int8_path, tmp_path, monkeypatch, nothing_left):
    columns = "core_clock,cycles_total,cycles_npu,cycles_sram_access,cycles_dram_access,nn_macs,"
    columns += "cycles_on_chip_flash_access,cycles_off_chip_flash_access,sram_memory_used,dram_memory_used,"
    columns += "on_chip_flash_memory_used,off_chip_flash_memory_used"
    files = {
        "model_vela.tflite": "no model",
        "model_summary_x.csv": f"{columns}\n{','.join('1' * 12)}\n",
        "model_per-layer.csv": ",".join(log.LAYER_COLUMNS) + "\n",
    }
    package = tmp_path / "ethosu" / "vela"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        f"import os, json\nos.makedirs('out')\n"
        f"for name, text in json.loads({json.dumps(files)!r}).items(): open('out/' + name, 'w').write(text)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(TargetError, match="is no model"):
        targets.get("ethosu").compile(int8_path, tmp_path / "out.tflite")


def test_without_vela_the_probe_tells(int8_path, tmp_path):
    code = (
        "import sys; from edgelab import targets; from importlib import metadata; from pathlib import Path\n"
        "def gone(name, real=metadata.version):\n"
        "    if name == 'ethos-u-vela': raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = gone\n"
        "target = targets.get('ethosu'); print(target.probe())\n"
        f"try: target.compile(Path({str(int8_path)!r}), Path({str(tmp_path / 'out')!r}))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print('tensorflow' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "compile: no, run: no" in found and "TargetError Vela is not here." in found
    assert "pip install" in found and found.strip().endswith("False")
