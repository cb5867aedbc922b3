"""Files read: known figures, and damage of every kind."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelab import graph
from edgelab.errors import ModelError

ROOT = Path(__file__).resolve().parents[3]


def expected_rows(real_data):
    with (real_data / "edgetpu_pairs" / "expected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def model_path(real_data, row, column="input"):
    return real_data / "edgetpu_pairs" / row[column].split("/")[-1]


def damage(data: bytes, seed: int) -> bytes:
    """One of six kinds of damage, the same for the same seed."""
    rng = random.Random(seed)
    damaged = bytearray(data)
    start = rng.randrange(len(data) - 4)
    kind = seed % 6
    if kind == 0:
        return bytes(damaged[: rng.randrange(len(data))])
    if kind == 1:
        for _ in range(rng.choice((1, 8, 64, 512))):
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        length = min(rng.choice((4, 64, 1024)), len(data) - start)
        damaged[start : start + length] = rng.randbytes(length)
    elif kind == 3:  # the root table and its neighbours
        start = rng.randrange(min(2000, len(data) - 4))
        damaged[start : start + 4] = rng.randbytes(4)
    elif kind == 4:
        damaged[start : start + 4096] = bytes(len(damaged[start : start + 4096]))
    else:  # the largest lengths and the most negative offsets
        damaged[start : start + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
    return bytes(damaged)


def refused(data: bytes) -> bool:
    """Whether reading fails with ModelError; any other exception goes through and fails the test."""
    try:
        found = graph.read(data)
        str(found), found.frame(), found.weight_bytes
    except ModelError:
        return True
    return False


def test_macs_shapes_and_options_of_a_converted_model(converted):
    found = graph.read(converted)
    by_name = {operator.name: operator for operator in found.operators}
    assert by_name["CONV_2D"].macs == 8 * 8 * 4 * 3 * 3 * 3
    assert by_name["CONV_2D"].options["fused_activation_function"] == "RELU"
    assert by_name["CONV_2D"].options["padding"] == "SAME"
    assert by_name["DEPTHWISE_CONV_2D"].macs == 3 * 3 * 4 * 3 * 3
    assert by_name["DEPTHWISE_CONV_2D"].options["stride_w"] == 2
    assert by_name["TRANSPOSE_CONV"].macs == 3 * 3 * 4 * 2 * 2 * 2
    assert by_name["FULLY_CONNECTED"].macs == 6 * 6 * 2 * 5
    parameters = (3 * 3 * 3 * 4 + 4) + (3 * 3 * 4 + 4) + (2 * 2 * 4 * 2 + 2) + (72 * 5 + 5)
    assert found.parameter_count == parameters
    assert found.weight_bytes_by_dtype == {"float32": 4 * parameters}
    assert found.tensors[found.inputs[0]].shape == (1, 8, 8, 3)
    assert all(operator.version >= 1 and not operator.is_custom for operator in found.operators)


def test_constant_values_are_readable(converted):
    found = graph.read(converted)
    dense = next(operator for operator in found.operators if operator.name == "FULLY_CONNECTED")
    weights = found.tensors[dense.inputs[1]].values()
    assert weights.shape == (5, 72) and weights.dtype == np.float32 and weights.std() > 0
    with pytest.raises(ModelError, match="no values"):
        found.tensors[found.inputs[0]].values()


def test_matches_known_figures_of_real_models(real_data):
    for row in expected_rows(real_data):
        found = graph.read(model_path(real_data, row))
        counts = {name: int(count) for name, count in (c.split(":") for c in row["ops_before_hist"].split())}
        assert found.operator_counts == counts, row["input"]
        # The table counts convolutions and dense layers; the LSTM's own work comes on top: 28 time steps of
        # four gates, each fed by 28 features and 20 outputs.
        lstm = sum(op.macs for op in found.operators if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM")
        assert lstm == (28 * 4 * 20 * (28 + 20) if "lstm" in row["input"] else 0)
        assert found.macs - lstm == int(row["macs"]), row["input"]


def test_reads_what_the_edge_tpu_compiler_wrote(real_data):
    for row in expected_rows(real_data):
        found = graph.read(model_path(real_data, row, "compiled"))
        custom = [operator for operator in found.operators if operator.name == "edgetpu-custom-op"]
        assert len(custom) == 1 and custom[0].is_custom


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"T",
        b"not a model",
        b"\x1c\0\0\0TFL3",
        bytes(1000),
        b"\xff" * 5000,
        b"\x1c\0\0\0TFL3" + b"\xff" * 999,
    ],
)
def test_refuses_what_is_no_model(content):
    with pytest.raises(ModelError, match="not a whole TFLite model"):
        graph.read(content)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "absent.tflite", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            graph.read(path)


@pytest.mark.slow
def test_six_hundred_damaged_copies_of_a_converted_model(converted):
    refusals = sum(refused(damage(converted, seed)) for seed in range(600))
    assert 150 < refusals < 600  # a flipped weight is still a model; a cut file is not


@pytest.mark.slow
def test_every_truncation_of_a_converted_model(converted):
    for length in range(0, len(converted) * 9 // 10, 29):
        assert refused(converted[:length]), length


@pytest.mark.slow
def test_lists_longer_than_the_file_are_refused_at_once(converted):
    # Every 4-byte word in turn made a length of four thousand million: a reader that believed one would hang.
    code = "import sys; from tests.unit.graph.test_reading import refused; data = sys.stdin.buffer.read();"
    code += (
        "[refused(data[:i] + b'\\xff\\xff\\xff\\x7f' + data[i + 4:]) for i in range(0, len(data) - 4, 16)]"
    )
    subprocess.run([sys.executable, "-c", code], input=converted, cwd=ROOT, check=True, timeout=300)


@pytest.mark.slow
def test_hundreds_of_damaged_real_models(real_data):
    for row in expected_rows(real_data):
        for column in ("input", "compiled"):
            data = model_path(real_data, row, column).read_bytes()
            assert not refused(data)
            for seed in range(18):
                refused(damage(data, seed))
            # Up to 80 %: behind that some files carry their labels, which the model does not need.
            for percent in (0, 1, 20, 50, 80):
                assert refused(data[: len(data) * percent // 100]), (row[column], percent)


@pytest.fixture(scope="module")
def open_model():
    """A function that makes a small `.tflite` whose input leaves these sizes open."""
    import keras
    import tensorflow as tf

    from edgelab import quantization

    def made(height=16, width=16):
        inputs = keras.Input((height, width, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
        with quantization.silence():
            return tf.lite.TFLiteConverter.from_keras_model(model).convert()

    return made


@pytest.mark.slow
def test_an_open_batch_counts_as_one_and_is_said(open_model):
    found = graph.read(open_model())
    assert found.has_open_batch and not any(tensor.is_dynamic for tensor in found.tensors)
    assert found.tensors[found.inputs[0]].open_axes == (0,)
    assert "batch is left open" in str(found)


@pytest.mark.slow
def test_open_sizes_are_dynamic_and_said(open_model):
    found = graph.read(open_model(height=None, width=None))
    image = found.tensors[found.inputs[0]]
    assert image.open_axes == (0, 1, 2) and image.is_dynamic
    assert "sizes are left open" in str(found)
