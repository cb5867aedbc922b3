"""TensorFlow Lite Micro: the same bits as LiteRT's reference kernels, the smallest arena, C for firmware."""

import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import psutil
import pytest

from edgelab import benchmark, graph, quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets.micro import arena as micro_arena
from edgelab.targets.micro import firmware as micro_firmware
from edgelab.targets.micro import session as micro_session
from edgelab.targets.micro import target as micro

installed = pytest.mark.skipif(
    not targets.get("micro").probe().can_run, reason="tflite-micro has wheels for Linux on x86-64 alone"
)


@pytest.fixture(scope="module")
def int8_path(small_model, patterns):
    return quantization.convert(small_model, "int8", patterns.train_images[:100], io_dtype="uint8").path


def converted(outputs, path, mode="int8"):
    """A model with these outputs, quantized by the plain converter."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x = keras.Input((8, 8, 4), batch_size=1)
    made = outputs(x)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, made))
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "int8":
        converter.representative_dataset = lambda: (
            [rng.normal(size=(1, 8, 8, 4)).astype(np.float32)] for _ in range(20)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quantization.silence():
        path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def many_kinds(tmp_path_factory):
    """One model with an output for each of many kinds of operator."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(4)

    def outputs(x):
        y = layers.Conv2D(4, 1)(x)
        return [
            layers.Conv2D(5, 3, strides=2, dilation_rate=1, padding="same", activation="relu")(x),
            layers.Conv2D(3, 3, dilation_rate=2, padding="valid")(x),
            layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6")(x),
            layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x),
            layers.Softmax()(layers.Flatten()(y)),
            layers.Add()([x, y]),
            layers.Subtract()([x, y]),
            layers.Multiply()([x, y]),
            layers.Maximum()([x, y]),
            layers.Concatenate()([x, y]),
            layers.AveragePooling2D(3, 2, padding="same")(x),
            layers.MaxPooling2D(2)(x),
            layers.GlobalAveragePooling2D()(x),
            layers.Activation("sigmoid")(y),
            layers.Activation("tanh")(y),
            layers.Activation("hard_silu")(y),
            layers.LeakyReLU(negative_slope=0.1)(x),
            layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal")(x),
            layers.UpSampling2D(2, interpolation="bilinear")(x),
            layers.ZeroPadding2D(2)(x),
            layers.Permute((2, 1, 3))(x),
            layers.Lambda(lambda v: tf.math.l2_normalize(v, -1))(x),
            layers.Lambda(lambda v: v[:, 1:7:2, 2:5, :])(x),
            layers.Lambda(lambda v: tf.matmul(v, v, transpose_b=True))(x),
        ]

    return converted(outputs, tmp_path_factory.mktemp("kinds") / "kinds.tflite")


@pytest.fixture(scope="module")
def top_k(tmp_path_factory):
    import tensorflow as tf
    from keras import layers

    def outputs(x):
        return layers.Lambda(lambda v: tf.math.top_k(tf.reshape(v, (1, 256)), 3)[0])(x)

    return converted(outputs, tmp_path_factory.mktemp("unsupported") / "top_k.tflite")


@pytest.fixture
def nothing_left(tmp_path_factory, monkeypatch):
    """Afterwards no process and no folder is left over."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    left = [
        p for p in psutil.Process().children(recursive=True) if "edgelab.targets.micro.worker" in p.cmdline()
    ]
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
    assert not list(folder.iterdir())


# ---- the same bits


@installed
def test_every_image_gives_the_bits_of_the_reference_kernels(small_model, patterns, nothing_left):
    import keras

    features = keras.Model(small_model.inputs, small_model.layers[-2].output)  # all but the Dense layer
    path = quantization.convert(features, "int8", patterns.train_images[:100], io_dtype="uint8").path
    assert "FULLY_CONNECTED" not in graph.read(path).operator_counts
    with targets.get("micro").open(path) as session:
        found = predict(session, patterns.test_images)
        assert (session.provenance, session.fault) == ("simulated", "")
        assert session.inputs[0].dtype == np.uint8
    with targets.get("cpu", kernels="reference").open(path) as arbiter:
        expected = predict(arbiter, patterns.test_images)
        assert np.std(expected) > 20 * arbiter.outputs[0].scale, "constant outputs would agree anyway"
    np.testing.assert_array_equal(found, expected)


def rescaled(sums, factor, steps):
    """32-bit sums times a factor, rounded half up in one step, or in two as gemmlowp does, exactly."""
    fraction, exponent = np.frexp(factor)
    multiplier = round(float(fraction) * 2**31)
    shift = -int(exponent)
    products = [int(value) * multiplier for value in sums.ravel()]
    if steps == 1:
        rounded = [(product + (1 << (30 + shift))) >> (31 + shift) for product in products]
    else:
        high = [(product + (1 << 30)) >> 31 for product in products]  # equal but for ties of negative sums
        rounded = [(value + (1 << (shift - 1)) - (value < 0)) >> shift for value in high]
    return np.reshape(rounded, sums.shape)


@installed
@pytest.mark.parametrize("per_channel", [True, False])
def test_fully_connected_rounds_twice_and_no_more_than_that(tmp_path, per_channel):
    """The one operator whose bits differ, and why: both results follow from the same exact sums."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    x = keras.Input((256,), batch_size=1)
    dense = keras.layers.Dense(64, bias_initializer="random_normal")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, dense(x)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.normal(size=(1, 256)).astype("f4")] for _ in range(50))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel
    path = tmp_path / "dense.tflite"
    with quantization.silence():
        path.write_bytes(converter.convert())
    found = graph.read(path)
    source, weights, bias = (found.tensors[i] for i in found.operators[0].inputs)
    assert weights.is_per_channel == per_channel
    inputs = rng.integers(-128, 128, (300, 1, 256)).astype(np.int8)
    with (
        targets.get("micro").open(path) as session,
        targets.get("cpu", kernels="reference").open(path) as arbiter,
    ):
        results = {2: [session.run(row)[0] for row in inputs], 1: [arbiter.run(row)[0] for row in inputs]}
        output = arbiter.outputs[0]
    sums = (inputs[:, 0].astype(np.int64) - source.zero_point) @ weights.values().astype(np.int64).T
    sums += bias.values()
    scales = np.broadcast_to(weights.scales, 64).astype(np.float64)
    for steps, got in results.items():
        expected = np.stack(
            [
                rescaled(sums[:, channel], source.scale * scale / output.scale, steps)
                for channel, scale in enumerate(scales)
            ],
            axis=1,
        )
        np.testing.assert_array_equal(
            np.concatenate(got), np.clip(expected + output.zero_point, -128, 127).astype(np.int8), str(steps)
        )
    differ = np.abs(np.concatenate(results[1]).astype(int) - np.concatenate(results[2]))
    assert differ.max() == 1 and differ.mean() < 0.002


@installed
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "steps"),
    [("mobilenet_v1_0.25_128_quant", None), ("keras_lstm_mnist_ptq", 12), ("yamnet_spectra_in", 12)],
)
def test_models_from_elsewhere(real_data, name, steps):
    """Another converter's models: an LSTM, an audio network, and uint8 weights, which it no longer takes."""
    path = real_data / "edgetpu_pairs" / f"{name}.tflite"
    if steps is None:
        with pytest.raises(ModelError, match="cannot run on TensorFlow Lite Micro"):
            targets.get("micro").open(path)
        return
    rng = np.random.default_rng(0)
    with (
        targets.get("micro").open(path) as session,
        targets.get("cpu", kernels="reference").open(path) as arbiter,
    ):
        [spec] = arbiter.inputs
        codes = rng.integers(0, 256, (20, *spec.shape)).astype(np.uint8)
        inputs = codes.view(spec.dtype) if spec.dtype == np.int8 else codes.astype(spec.dtype)
        if spec.dtype == np.float32:
            inputs /= 255
        found = np.concatenate([session.run(one)[0] for one in inputs]).astype(float)
        expected = np.concatenate([arbiter.run(one)[0] for one in inputs]).astype(float)
    step = 1 if np.issubdtype(arbiter.outputs[0].dtype, np.integer) else 1 / 256
    assert np.std(expected) > 5 * step
    assert np.mean(found != expected) < 0.05 and np.abs(found - expected).max() <= steps * step


@installed
def test_a_whole_classifier_gives_the_same_answers(int8_path, patterns):
    with targets.get("micro").open(int8_path) as session:
        found = predict(session, patterns.test_images)
    with targets.get("cpu", kernels="reference").open(int8_path) as arbiter:
        expected = predict(arbiter, patterns.test_images)
        step = arbiter.outputs[0].scale
    assert np.std(expected) > 0.1
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert np.abs(found - expected).max() <= 2.5 * step
    assert np.mean(found != expected) < 0.01


@installed
def test_many_kinds_of_operators_give_the_same_bits(many_kinds):
    kinds = graph.read(many_kinds).operator_counts
    assert len(kinds) >= 18 and "FULLY_CONNECTED" not in kinds, kinds
    rng = np.random.default_rng(0)
    with (
        targets.get("micro").open(many_kinds) as session,
        targets.get("cpu", kernels="reference").open(many_kinds) as arbiter,
    ):
        order = [[spec.name for spec in session.outputs].index(spec.name) for spec in arbiter.outputs]
        for _ in range(100):
            values = rng.integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
            found, expected = session.run(values), arbiter.run(values)
            for place, array in zip(order, expected, strict=True):
                np.testing.assert_array_equal(found[place], array, arbiter.outputs[place].name)


@installed
def test_float_and_16_bit_models_run_too(small_model, patterns):
    images = patterns.test_images[:20]
    for mode, tolerance in (("float32", 1e-6), ("int16x8", 1e-3)):
        calibration = patterns.train_images[:50] if mode == "int16x8" else None
        path = quantization.convert(small_model, mode, calibration).path
        with targets.get("micro").open(path) as session:
            found = predict(session, images)
        with targets.get("cpu", kernels="reference").open(path) as arbiter:
            np.testing.assert_allclose(found, predict(arbiter, images), atol=tolerance)


@installed
def test_its_time_is_not_a_microcontrollers(int8_path):
    with (
        targets.get("micro").open(int8_path) as session,
        pytest.raises(TargetError, match="cannot be timed"),
    ):
        benchmark.measure(session)


# ---- the arena


@installed
def test_the_smallest_arena_is_the_smallest(int8_path, nothing_left):
    arena = micro_arena.smallest_arena(int8_path)
    assert arena.smallest_bytes % micro_arena.STEP_BYTES == 0
    sizes = (arena.smallest_bytes, arena.smallest_bytes - micro_arena.STEP_BYTES)
    fits, too_small = micro_arena.attempts(int8_path, sizes)
    assert fits.outcome == "runs" and too_small.outcome != "runs"
    found = graph.read(int8_path)
    assert found.peak_activation_bytes <= arena.head_bytes < arena.smallest_bytes
    assert arena.head_bytes + arena.tail_bytes <= arena.smallest_bytes
    assert sum(used for _, used, _ in arena.parts) <= arena.tail_bytes
    assert micro_session.all_tensors_bytes(found) > arena.head_bytes, "tensors share memory"
    with targets.get("micro", arena_size_bytes=arena.smallest_bytes).open(int8_path) as session:
        session.run(np.zeros(session.inputs[0].shape, np.uint8))


@pytest.mark.parametrize("answer", [1, 2, 17, 100, 999])
@pytest.mark.parametrize("guess", [1, 16, 100, 101, 5000])
def test_the_search_needs_no_good_guess(answer, guess):
    tried = []

    def runs(size):
        tried.append(size)
        return size >= answer

    assert micro_arena._smallest(runs, guess) == answer
    assert len(tried) <= 30 and 0 not in tried


@installed
def test_an_arena_too_small_ends_the_child_and_not_us(int8_path, nothing_left):
    arena = micro_arena.smallest_arena(int8_path)
    sizes = [16, 1024, arena.smallest_bytes // 2, arena.smallest_bytes - 16]
    tried = micro_arena.attempts(int8_path, sizes)
    assert {one.outcome for one in tried} == {"crashed", "refused"}
    assert all("available" in one.detail for one in tried), "the allocator's last words"
    with pytest.raises(TargetError, match=r"died of|does not fit into an arena of 1,024 bytes"):
        targets.get("micro", arena_size_bytes=1024).open(int8_path)
    with pytest.raises(InputError, match="holds nothing"):
        micro_arena.attempts(int8_path, [4096, 0])


@installed
def test_compile_copies_the_model_and_tells_its_memory(int8_path, tmp_path):
    compiled = targets.get("micro").compile(int8_path, tmp_path / "out.tflite")
    assert compiled.path.read_bytes() == int8_path.read_bytes()
    rows = {row["part"]: row["bytes"] for row in compiled.log_rows}
    assert rows["smallest arena"] >= rows["head"] + rows["tail"] > 0
    assert (
        str(compiled.placement)
        == f"{len(graph.read(int8_path).operators)} of {compiled.placement.total} operators"
    )
    with pytest.raises(TargetError):
        targets.get("micro", arena_size_bytes=512).compile(int8_path, tmp_path / "small.tflite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tflite"]


# ---- what it cannot run


@installed
def test_an_operator_that_it_lacks_is_named(top_k, nothing_left):
    with pytest.raises(ModelError, match="no operator TOPK_V2"):
        targets.get("micro").open(top_k)


@installed
def test_weights_only_quantization_is_refused_with_its_mend(tmp_path):
    from keras import layers

    path = converted(lambda x: layers.Conv2D(128, 3)(x), tmp_path / "hybrid.tflite", "dynamic_range")
    with pytest.raises(ModelError, match="cannot run on TensorFlow Lite Micro") as error:
        targets.get("micro").open(path)
    assert 'mode "int8"' in error.value.fix


def test_an_unknown_size_is_refused(tmp_path):
    """The runtime takes an unknown dimension for 1, and gives an answer."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    with quantization.silence():
        (tmp_path / "dynamic.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ModelError, match="input of unknown size"):
        targets.get("micro").open(tmp_path / "dynamic.tflite")


def test_a_damaged_file_is_refused(int8_path, tmp_path):
    whole = int8_path.read_bytes()
    for name, content in {"cut": whole[:2000], "empty": b"", "rubbish": bytes(range(256)) * 8}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            targets.get("micro").open(tmp_path / name)
    with pytest.raises(ModelError, match="read"):
        targets.get("micro").open(tmp_path / "absent.tflite")


@installed
def test_bad_input_and_a_closed_session(int8_path, nothing_left):
    session = targets.get("micro").open(int8_path)
    with pytest.raises(InputError, match="expected uint8"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))
    session.close()
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.uint8))


# ---- a broken installation


@installed
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('libstdc++.so.6 is too old')", "cannot be loaded"),
        ("import os; os.abort()", "died of"),
        ("import time; time.sleep(600)", "died of"),
        ("print('answer {\"inputs\": 1'); print('answer 5'); raise RuntimeError('rubbish')", "rubbish"),
    ],
)
def test_a_runtime_that_fails_is_told(int8_path, tmp_path, monkeypatch, nothing_left, code, message):
    (tmp_path / "tflite_micro").mkdir()
    (tmp_path / "tflite_micro" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(micro, "TIME_LIMIT_S", 4.0)
    with pytest.raises((TargetError, ModelError), match=message):
        targets.get("micro").open(int8_path)


def test_without_the_package_the_probe_tells(int8_path):
    code = (
        "import sys; from edgelab import targets; from importlib import metadata\n"
        "def gone(name, real=metadata.version):\n"
        "    if name == 'tflite-micro': raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = gone\n"
        "target = targets.get('micro'); print(target.probe())\n"
        f"try: target.open({str(int8_path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print('tflite_micro' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "compile: no, run: no" in found and "TargetError TensorFlow Lite Micro is not here." in found
    assert "pip install" in found or "Linux on x86-64" in found
    assert found.strip().endswith("False False")


# ---- firmware


def test_the_c_array_is_the_model(int8_path, tmp_path):
    made = micro_firmware.c_array(int8_path, tmp_path / "firmware", "my_model")
    source = made.source.read_text(encoding="ascii")
    data = bytes(int(byte, 16) for byte in re.findall(r"0x(\w\w)", source))
    assert data == int8_path.read_bytes() and made.size_bytes == len(data)
    assert "const unsigned char my_model[]" in source and f"my_model_len = {len(data)}u;" in source
    assert made.header.read_text(encoding="ascii").startswith("#ifndef MY_MODEL_H_")
    for name in ("2fast", "a-b", "", "größe"):
        with pytest.raises(InputError, match="C array"):
            micro_firmware.c_array(int8_path, tmp_path, name)
    (tmp_path / "no_model").write_bytes(b"text")
    with pytest.raises(ModelError):
        micro_firmware.c_array(tmp_path / "no_model", tmp_path)


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_a_compiler_takes_the_c_array_without_a_warning(int8_path, tmp_path):
    made = micro_firmware.c_array(int8_path, tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "model_data.h"\n#include "model_data.h"\n#include <stdint.h>\n#include <stdio.h>\n'
        "int main(void) {\n  if ((uintptr_t)model_data % 16) return 1;\n"
        "  return fwrite(model_data, 1, model_data_len, stdout) != model_data_len;\n}\n"
    )
    gcc = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([*gcc, "main.c", made.source.name, "-o", "firmware"], cwd=tmp_path, check=True)
    run = subprocess.run([tmp_path / "firmware"], capture_output=True, check=True)
    assert run.stdout == int8_path.read_bytes()
    if shutil.which("nm"):
        symbols = subprocess.run(["nm", tmp_path / "firmware"], capture_output=True, text=True, check=True)
        assert re.search(r" R model_data$", symbols.stdout, re.MULTILINE), "not among the read-only data"
    if shutil.which("g++"):
        (tmp_path / "main.cc").write_text(
            '#include "model_data.h"\nint main() { return model_data[0] == 0; }\n'
        )
        subprocess.run(["g++", "-Wall", "-Werror", "-c", "main.cc"], cwd=tmp_path, check=True)


def test_the_resolver_lists_each_operator_once(int8_path, many_kinds):
    text = micro_firmware.op_resolver(int8_path)
    kinds = graph.read(int8_path).operator_counts
    assert f"MicroMutableOpResolver<{len(kinds)}>" in text and text.count("resolver.Add") == len(kinds)
    assert "resolver.AddConv2D();" in text and "resolver.AddDepthwiseConv2D();" in text
    names = {name: micro_firmware.resolver_name(name) for name in graph.read(many_kinds).operator_counts}
    assert names["AVERAGE_POOL_2D"] == "AveragePool2D" and names["BATCH_MATMUL"] == "BatchMatMul"
    assert names["LEAKY_RELU"] == "LeakyRelu" and names["TRANSPOSE_CONV"] == "TransposeConv"
    assert micro_firmware.resolver_name("ethos-u") == "EthosU"
