"""The CPU and Keras targets: right numbers, clear refusals, and no file that kills the process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelab import graph, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import Placement, TensorSpec, predict
from edgelab.targets.cpu import trial
from edgelab.targets.cpu.session import trial_input
from edgelab.targets.cpu.target import KERNELS


@pytest.fixture(scope="module")
def keras_path(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    small_model.save(path)
    return path


def convert(model, path, calibration=None):
    """Plain conversion, independent of edgelab.quantization."""
    import keras
    import tensorflow as tf

    pixels = keras.Input((32, 32, 3), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, model(pixels)))
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[np.newaxis].astype(np.float32)] for image in calibration
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def float_path(small_model, tmp_path_factory):
    return convert(small_model, tmp_path_factory.mktemp("float") / "float.tflite")


@pytest.fixture(scope="module")
def int8_path(small_model, patterns, tmp_path_factory):
    return convert(small_model, tmp_path_factory.mktemp("int8") / "int8.tflite", patterns.train_images[:100])


# ---- numbers


def test_float_equals_keras(float_path, keras_path, patterns):
    with targets.get("keras").open(keras_path) as reference, targets.get("cpu").open(float_path) as session:
        expected = predict(reference, patterns.test_images[:50])
        found = predict(session, patterns.test_images[:50])
    assert expected.shape == (50, 10) and expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_all_kernels_agree_on_int8(int8_path, patterns, kernels, threads):
    images = patterns.test_images[:20]
    with targets.get("cpu", kernels="reference").open(int8_path) as arbiter:
        expected = predict(arbiter, images)
        step = arbiter.outputs[0].scale
    with targets.get("cpu", kernels=kernels, threads=threads).open(int8_path) as session:
        found = predict(session, images)
    # Kernels may round a product the other way, once per layer: a few steps of the output's scale.
    assert np.abs(found - expected).max() <= 4 * step
    assert np.std(expected) > 10 * step, "outputs near uniform would agree whatever the kernels do"


def test_batch_equals_single_images(float_path, patterns):
    images = patterns.test_images[:10]
    with (
        targets.get("cpu").open(float_path) as one,
        targets.get("cpu", batch_size=4).open(float_path) as four,
    ):
        assert four.inputs[0].shape == (4, 32, 32, 3) and four.outputs[0].shape == (4, 10)
        np.testing.assert_allclose(predict(four, images), predict(one, images), atol=1e-6)


def test_session_tells_where_it_runs(int8_path):
    with targets.get("cpu").open(int8_path) as session:
        assert (session.target, session.provenance, session.placement) == ("cpu", "measured", None)
        assert session.runtime_version.startswith("LiteRT 2.") and session.device
        spec = session.inputs[0]
    assert spec.dtype == np.uint8 and spec.scale == pytest.approx(1.0, abs=0.02) and spec.zero_point == 0


def test_compiling_for_the_cpu_copies(int8_path, tmp_path):
    compiled = targets.get("cpu").compile(int8_path, tmp_path / "copy.tflite")
    assert compiled.path.read_bytes() == int8_path.read_bytes()
    assert compiled.placement.accelerated == compiled.placement.total > 3
    with targets.get("cpu").open(compiled) as session:
        assert session.outputs[0].shape == (1, 10)


# ---- wrong use


@pytest.fixture
def session(float_path):
    with targets.get("cpu").open(float_path) as session:
        yield session


@pytest.mark.parametrize(
    ("arrays", "expected", "got"),
    [
        ((np.zeros((1, 32, 31, 3), np.float32),), "[1, 32, 32, 3]", "[1, 32, 31, 3]"),
        ((np.zeros((32, 32, 3), np.float32),), "[1, 32, 32, 3]", "[32, 32, 3]"),
        ((np.zeros((2, 32, 32, 3), np.float32),), "[1, 32, 32, 3]", "[2, 32, 32, 3]"),
        ((np.zeros((1, 32, 32, 3), np.uint8),), "float32", "uint8"),
        ((np.zeros((1, 32, 32, 3), np.float64),), "float32", "float64"),
        (([[0.0]],), "float32", "list"),
        ((), "1 input", "got 0"),
        ((np.zeros((1, 32, 32, 3), np.float32),) * 2, "1 input", "got 2"),
    ],
)
def test_wrong_input_names_expected_and_got(session, keras_path, arrays, expected, got):
    with pytest.raises(InputError) as caught:
        session.run(*arrays)
    assert expected in str(caught.value) and got in str(caught.value)
    if "[2," not in got:  # Keras takes any batch
        with targets.get("keras").open(keras_path) as keras_session, pytest.raises(InputError):
            keras_session.run(*arrays)


def test_predict_refuses_scaled_pixels(session):
    with pytest.raises(InputError, match="uint8"):
        predict(session, np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(InputError, match=r"\[2, 28, 28, 3\]"):
        predict(session, np.zeros((2, 28, 28, 3), np.uint8))
    assert predict(session, np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize("name", ["cpu", "keras"])
def test_closed_session_says_so(name, float_path, keras_path):
    session = targets.get(name).open(float_path if name == "cpu" else keras_path)
    session.close()
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))


def test_registry():
    assert {"cpu", "keras"} <= set(targets.names())
    assert all(targets.get(name).probe().can_run for name in ("cpu", "keras"))
    with pytest.raises(TargetError, match="cpu"):
        targets.get("abacus")
    for wrong in ({"kernels": "fast"}, {"threads": 0}, {"batch_size": 0}):
        with pytest.raises(InputError):
            targets.get("cpu", **wrong)


def test_importing_targets_leaves_tensorflow_out():
    modules = "edgelab.targets.cpu.target, edgelab.targets.keras.target"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- quantization of a tensor


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("seed", range(5))
def test_quantize_rounds_and_clips(dtype, seed):
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    scale = float(10 ** rng.uniform(-6, 3))
    zero_point = int(rng.integers(limits.min, limits.max, endpoint=True))
    spec = TensorSpec("x", (1,), np.dtype(dtype), scale, zero_point)
    low, high = scale * (limits.min - zero_point), scale * (float(limits.max) - zero_point)

    inside = rng.uniform(low, high, 1000)
    restored = (spec.quantize(inside).astype(np.float64) - zero_point) * scale
    assert np.abs(restored - inside).max() <= scale / 2 * (1 + 1e-6)

    codes = rng.integers(limits.min, limits.max, 1000, dtype, endpoint=True)
    reals = (codes.astype(np.float64) - zero_point) * scale
    np.testing.assert_array_equal(spec.quantize(reals), codes)
    np.testing.assert_allclose(spec.dequantize(codes), reals, rtol=1e-6)

    beyond = [low - scale, low - 300 * scale, -np.inf, high + scale, high + 300 * scale, np.inf]
    assert spec.quantize(beyond).tolist() == [limits.min] * 3 + [limits.max] * 3


def test_quantize_rounds_half_to_even_and_refuses_nan():
    spec = TensorSpec("x", (1,), np.dtype(np.int8), 0.5, 0)
    assert spec.quantize([0.25, 0.75, -0.25, -0.75]).tolist() == [0, 2, 0, -2]
    with pytest.raises(InputError, match="not a number"):
        spec.quantize([np.nan])


def test_specs_without_scale():
    assert TensorSpec("x", (1,), np.dtype(np.uint8)).quantize([300, -5, 7.6]).tolist() == [255, 0, 8]
    assert TensorSpec("x", (1,), np.dtype(np.int64)).quantize([1e300, -1e300])[0] > 0
    floats = TensorSpec("x", (1,), np.dtype(np.float32))
    assert not floats.is_quantized and floats.quantize([0.3]).dtype == np.float32
    assert "31 of 32" in str(Placement(31, 32, (("ARG_MAX", "int64 <output>"),)))
    assert "&lt;output&gt;" in Placement(31, 32, (("ARG_MAX", "int64 <output>"),))._repr_html_()


# ---- files that are not models


def mutate(content: bytes, seed: int) -> bytes:
    """One damaged copy: cut short, bytes replaced, a length made huge, bits flipped, or bytes removed."""
    rng = np.random.default_rng(seed)
    data, kind = bytearray(content), seed % 5
    # Anywhere, near the start, near the end: weights fill the middle, and damage there goes unnoticed.
    ranges = (0, len(data)), (0, min(len(data), 4096)), (max(0, len(data) - 8192), len(data))
    low, high = ranges[seed // 5 % 3]
    position = int(rng.integers(low, high))
    if kind == 0:
        return bytes(data[: rng.integers(0, len(data))])
    if kind == 1:
        for place in rng.integers(low, high, rng.integers(1, 9)):
            data[place] = rng.integers(256)
    elif kind == 2:
        data[position : position + 4] = rng.choice(
            [b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4, b"\0\0\0\x40"]
        )
    elif kind == 3:
        for place in rng.integers(low, high, 2):
            data[place] ^= 1 << int(rng.integers(8))
    else:
        del data[position : position + int(rng.integers(1, 64))]
    return bytes(data)


def survive(source: Path, folder: Path, count: int) -> dict[str, int]:
    """Open and run damaged copies of a model in this very process; count how each ended."""
    content = source.read_bytes()
    target = targets.get("cpu", threads=1)
    ends = {"unreadable": 0, "refused": 0, "ran": 0}
    paths = []
    for seed in range(count):
        path = folder / f"{source.stem}-{seed}.tflite"
        path.write_bytes(mutate(content, seed))
        try:
            graph.read(path)
            paths.append(path)
        except ModelError:
            ends["unreadable"] += 1
            with pytest.raises(ModelError):
                target.open(path)
    target.check(paths)  # in few children, rather than one for each
    for path in paths:
        try:
            with target.open(path) as session:
                session.run(*(trial_input(spec) for spec in session.inputs))
            ends["ran"] += 1
        except ModelError as error:
            assert error.fix
            ends["refused"] += 1
    return ends


def test_damaged_copies_of_a_small_model(int8_path, tmp_path):
    ends = survive(int8_path, tmp_path, 200)
    assert sum(ends.values()) == 200 and ends["unreadable"] > 50 and ends["ran"] > 10


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["split_concat", "keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant"])
def test_damaged_copies_of_real_models(real_data, tmp_path, name):
    ends = survive(real_data / "edgetpu_pairs" / f"{name}.tflite", tmp_path, 100)
    assert sum(ends.values()) == 100 and ends["unreadable"] > 20 and ends["ran"] > 5


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"hello, I am a text file, not a model\n" * 50, bytes(4096)]
)
def test_files_of_other_kinds(tmp_path, content):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        targets.get("cpu").open(path)
    with pytest.raises(ModelError):
        targets.get("keras").open(path.rename(tmp_path / "model.keras"))


def test_missing_file(tmp_path):
    for name, path in (
        ("cpu", tmp_path / "none.tflite"),
        ("keras", tmp_path / "none.keras"),
        ("cpu", tmp_path),
    ):
        with pytest.raises(ModelError, match=path.name):
            targets.get(name).open(path)


@pytest.mark.real_data
def test_model_for_another_accelerator(real_data):
    path = real_data / "edgetpu_pairs" / "split_concat_edgetpu.tflite"
    with pytest.raises(ModelError, match="edgetpu-custom-op") as caught:
        targets.get("cpu").open(path)
    assert "accelerator" in caught.value.fix


# ---- the child process


def test_a_crash_and_a_hang_are_told_from_what_runs(monkeypatch, int8_path, tmp_path):
    """A real child that dies at one file and hangs at another: the others still get their verdict."""
    crash, hang = tmp_path / "crash.tflite", tmp_path / "hang.tflite"
    for path in (crash, hang):
        path.write_bytes(b"")
    # The child runs the true module, in which reading a file of that name ends or stops the process.
    child = tmp_path / "child.py"
    child.write_text(
        "import os, pathlib, time\n"
        "from edgelab.targets import probe\n"
        "read = pathlib.Path.read_bytes\n"
        "def read_bytes(path):\n"
        "    if path.name == 'crash.tflite': os.abort()\n"
        "    if path.name == 'hang.tflite': time.sleep(60)\n"
        "    return read(path)\n"
        "pathlib.Path.read_bytes = read_bytes\n"
        "probe._child()\n"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(
        trial.subprocess, "Popen", lambda command, **kwargs: popen([sys.executable, str(child)], **kwargs)
    )
    paths = [int8_path, crash, int8_path, hang, int8_path]
    verdicts = trial.try_models(paths, kernels="xnnpack", threads=1, batch_size=1, time_limit_s=15)
    assert [verdict.status for verdict in verdicts] == ["runs", "crashed", "runs", "hung", "runs"]


def test_verdict_is_remembered_but_not_for_other_kernels(monkeypatch, int8_path, tmp_path):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    targets.get("cpu").open(int8_path).close()
    assert len(list((tmp_path / "checked").glob("*.json"))) == 1

    def no_child(*args, **kwargs):
        raise AssertionError("a child was started")

    monkeypatch.setattr(trial.subprocess, "Popen", no_child)
    targets.get("cpu").open(int8_path).close()
    with pytest.raises(AssertionError, match="child"):
        targets.get("cpu", kernels="reference").open(int8_path)


def test_file_overwritten_while_open(int8_path, tmp_path):
    """LiteRT maps files; one cut short under a running model would end the process."""
    path = tmp_path / "model.tflite"
    path.write_bytes(int8_path.read_bytes())
    with targets.get("cpu").open(path) as session:
        arrays = tuple(trial_input(spec) for spec in session.inputs)
        before = session.run(*arrays)[0]
        path.write_bytes(b"")
        np.testing.assert_array_equal(session.run(*arrays)[0], before)
