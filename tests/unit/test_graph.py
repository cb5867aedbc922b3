"""The flatbuffer reader: exact figures on models whose figures are known, an error on anything damaged."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelab import graph
from edgelab.errors import InputError, ModelError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def converted() -> bytes:
    """An untrained network whose figures can be worked out by hand, converted to float and left in memory."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(0)
    bias = {"bias_initializer": "random_normal"}  # equal biases of zero would share one buffer
    inputs = keras.Input((8, 8, 3), batch_size=1)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", **bias)(inputs)
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid", **bias)(x)
    x = layers.Conv2DTranspose(2, 2, strides=2, padding="valid", **bias)(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(5, **bias)(x)
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs)).convert()


def tensor(index, size_bytes, *, constant=False, variable=False):
    return graph.Tensor(
        index, f"t{index}", (size_bytes,), "int8", (), (), 0, constant, variable, False, size_bytes, index
    )


def chain(tensors, edges, inputs, outputs):
    """A graph of operators given as (inputs, outputs)."""
    operators = tuple(graph.Operator(i, "ADD", 1, a, b, 0, {}, False) for i, (a, b) in enumerate(edges))
    return graph.Graph(operators, tuple(tensors), inputs, outputs, "", 0)


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


def test_constants_can_be_changed_in_place(converted):
    found = graph.read(converted)
    weights = next(tensor for tensor in found.parameters if len(tensor.shape) == 2)
    changed = graph.with_values(converted, {weights.index: weights.values() * 2})
    assert len(changed) == len(converted)
    again = graph.read(changed)
    for before, after in zip(found.parameters, again.parameters, strict=True):
        factor = 2 if before.index == weights.index else 1
        np.testing.assert_array_equal(after.values(), before.values() * factor)
    with pytest.raises(InputError, match="expected float32"):
        graph.with_values(converted, {weights.index: weights.values().astype(np.float64)})
    with pytest.raises(ModelError, match="no values"):
        graph.with_values(converted, {found.inputs[0]: np.zeros((1, 8, 8, 3), np.float32)})


def test_real_values_undo_per_channel_quantization():
    data = np.array([[10, 20], [30, 40]], np.int8)
    weights = graph.Tensor(
        0,
        "w",
        (2, 2),
        "int8",
        (0.5, 2.0),
        (0, 10),
        0,
        True,
        False,
        False,
        4,
        1,
        0,
        data.view(np.uint8).ravel(),
    )
    assert weights.is_per_channel
    np.testing.assert_allclose(weights.real_values(), [[5, 10], [40, 60]])


def test_peak_activation_memory_of_a_diamond():
    # t0 -> a -> t1 (10), t0 -> b -> t2 (20); c adds t1, t2 into t3 (5). While b runs, t0 to t2 are alive.
    tensors = [tensor(0, 100), tensor(1, 10), tensor(2, 20), tensor(3, 5), tensor(4, 1000, constant=True)]
    diamond = chain(tensors, [((0, 4), (1,)), ((0,), (2,)), ((1, 2), (3,))], (0,), (3,))
    assert diamond.activation_bytes == (110, 130, 35)
    assert diamond.peak_activation_bytes == 130


def test_liveness_of_variables_missing_inputs_and_folded_constants():
    tensors = [tensor(0, 8, constant=True), tensor(1, 500), tensor(2, 10), tensor(3, 7), tensor(4, 3)]
    tensors[4] = tensor(4, 3, variable=True)
    found = chain(tensors, [((0,), (1,)), ((2, 1, -1), (3,))], (2,), (3,))
    assert found.activation_bytes == (13, 20)
    assert chain(tensors, [], (2,), (2,)).peak_activation_bytes == 0


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


def test_six_hundred_damaged_copies_of_a_converted_model(converted):
    refusals = sum(refused(damage(converted, seed)) for seed in range(600))
    assert 150 < refusals < 600  # a flipped weight is still a model; a cut file is not


def test_every_truncation_of_a_converted_model(converted):
    for length in range(0, len(converted) * 9 // 10, 29):
        assert refused(converted[:length]), length


def test_lists_longer_than_the_file_are_refused_at_once(converted):
    # Every 4-byte word in turn made a length of four thousand million: a reader that believed one would hang.
    code = "import sys; from tests.unit.test_graph import refused; data = sys.stdin.buffer.read();"
    code += (
        "[refused(data[:i] + b'\\xff\\xff\\xff\\x7f' + data[i + 4:]) for i in range(0, len(data) - 4, 16)]"
    )
    subprocess.run([sys.executable, "-c", code], input=converted, cwd=ROOT, check=True, timeout=300)


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
