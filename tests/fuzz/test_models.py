"""Any model file is read, or refused with words; a changed copy gives the answers of the original."""

from __future__ import annotations

import tempfile
from pathlib import Path

import foreign_onnx_models
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgelab import graph, quantization, report, targets
from edgelab.errors import EdgelabError
from edgelab.report import smells
from edgelab.targets import foreign_onnx
from edgelab.targets.edgetpu import target as edgetpu

DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)
MODES = ("float32", "int8", "dynamic_range")
SUFFIXES = (".tflite", ".onnx", ".keras", ".h5", ".zip", "")
EDITS = (graph.with_batch_of_one, graph.without_float_ends)


@pytest.fixture(scope="module")
def tflite_files(small_model, patterns) -> dict[str, bytes]:
    images = patterns.calibration_images(50)
    return {mode: quantization.convert(small_model, mode, images).path.read_bytes() for mode in MODES}


def damaged(content: bytes, damage, end: float) -> bytes:
    changed = bytearray(content)
    for place, value in damage:
        changed[int(place * (len(changed) - 1))] = value
    return bytes(changed[: int(end * len(changed))])


def look_at(found: graph.Graph) -> None:
    assert str(found) and found._repr_html_() and len(found.frame()) == len(found.operators)
    assert found.peak_activation_bytes >= 0
    for smell in smells.smells(found):
        assert smell.text and smell.chapter


@given(mode=st.sampled_from(MODES), damage=DAMAGE, end=st.sampled_from((1, 1, 0.7)))
def test_damaged_tflite_files(tflite_files, mode, damage, end):
    content = damaged(tflite_files[mode], damage, end)
    try:
        look_at(graph.read(content))
    except EdgelabError as error:
        assert error.what and error.fix
        return
    for edit in EDITS:
        try:
            look_at(graph.read(edit(content)))
        except EdgelabError as error:
            assert error.what and error.fix
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.tflite"
        path.write_bytes(content)
        try:
            assert edgetpu.placement(path).summary.total >= 0
        except EdgelabError as error:
            assert error.what and error.fix


@given(damage=DAMAGE, end=st.sampled_from((1, 1, 0.7)))
def test_damaged_onnx_files(damage, end):
    content = damaged(foreign_onnx_models.network().SerializeToString(), damage, end)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.onnx"
        path.write_bytes(content)
        try:
            look_at(graph.read(path))
            look_at(graph.read(foreign_onnx.prepared(path)))
        except EdgelabError as error:
            assert error.what and error.fix


@st.composite
def onnx_chains(draw) -> onnx.ModelProto:
    """A chain of convolutions, pools and activations on `[N, C, H, W]`, of any exporter's habits."""
    channels, size = draw(st.sampled_from((1, 3, 4))), draw(st.integers(6, 20))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    nodes, weights, current, count = [], [], "in", channels
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("Conv", "Relu", "HardSwish", "AveragePool", "Sigmoid", "Transpose")))
        made = f"v{number}"
        if kind == "Conv":
            out = draw(st.integers(1, 6))
            kernel = rng.normal(0, 0.3, (out, count, 3, 3)).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"k{number}"))
            nodes.append(helper.make_node(kind, [current, f"k{number}"], [made], pads=[1] * 4))
            count = out
        elif kind == "AveragePool":
            nodes.append(helper.make_node(kind, [current], [made], kernel_shape=[2, 2]))
        elif kind == "Transpose":
            nodes.append(helper.make_node(kind, [current], [made], perm=[0, 1, 3, 2]))
        else:
            nodes.append(helper.make_node(kind, [current], [made]))
        current = made
    batch = draw(st.sampled_from(("N", 1, "batch_size")))
    made = helper.make_graph(
        nodes, "chain",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info(current, TensorProto.FLOAT, None)],
        weights,
    )  # fmt: skip
    opset = draw(st.sampled_from((14, 17, 20)))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@given(model=onnx_chains())
def test_onnx_from_elsewhere_keeps_its_answers(model):
    import onnxruntime

    (given_input,) = model.graph.input
    channels, side = (one.dim_value for one in given_input.type.tensor_type.shape.dim[1:3])
    pixels = np.random.default_rng(0).normal(size=(1, channels, side, side)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"in": pixels})[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        onnx.save_model(model, path)
        prepared = foreign_onnx.prepared(path)
        look_at(graph.read(prepared))
        with targets.get("onnxruntime").open(prepared) as session:
            found = session.run(pixels.transpose(0, 2, 3, 1))[0]
        first = Path(folder) / "first.onnx"
        first.write_bytes(foreign_onnx.channels_first(prepared))
        with targets.get("onnxruntime").open(first) as session:
            np.testing.assert_allclose(session.run(pixels)[0], found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@st.composite
def keras_models(draw):
    """A small model of one or two inputs, of layers in any order."""
    import keras
    from keras import layers

    size, channels = draw(st.integers(8, 16)), draw(st.sampled_from((1, 3)))
    name = draw(st.sampled_from(("model", "my model", "größe", "a/b", "x:0")))
    steps = (
        lambda: layers.Conv2D(4, 3, padding="same", activation=draw(st.sampled_from(("relu", "gelu", None)))),
        lambda: layers.DepthwiseConv2D(3, padding="same"),
        lambda: layers.BatchNormalization(),
        lambda: layers.MaxPooling2D(2, padding="same"),
        lambda: layers.LeakyReLU(),
        lambda: layers.Dropout(0.3),
        lambda: layers.UpSampling2D(2),
        lambda: layers.ZeroPadding2D(1),
        lambda: layers.LayerNormalization(),
        lambda: layers.Activation("hard_silu"),
    )
    keras.utils.clear_session()
    inputs = x = keras.Input((size, size, channels))
    for number in draw(st.lists(st.integers(0, len(steps) - 1), min_size=1, max_size=4)):
        before = x
        x = steps[number]()(x)
        if before.shape == x.shape and draw(st.booleans()):
            x = layers.Add()([before, x])
    x = layers.GlobalAveragePooling2D()(x)
    try:
        return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name=name)
    except ValueError:  # Keras forbids such a name
        return keras.Model(inputs, layers.Dense(3)(x))


@pytest.mark.slow
@settings(max_examples=max(4, settings().max_examples // 20))
@given(model=keras_models(), mode=st.sampled_from(quantization.MODES))
def test_keras_models_keep_their_answers(model, mode):
    size, channels = model.input_shape[1], model.input_shape[3]
    images = np.random.default_rng(0).integers(0, 256, (16, size, size, channels)).astype(np.uint8)
    try:
        made = quantization.convert(model, mode, images, name=model.name)
    except EdgelabError as error:
        assert error.what and error.fix
        return
    look_at(graph.read(made.path))
    wanted = np.asarray(model(images[:4].astype(np.float32)))
    with targets.get("cpu").open(made.path) as session:
        found = np.concatenate([session.run(one[np.newaxis].astype(np.float32))[0] for one in images[:4]])
    worst = {"float32": 1e-3, "float16": 0.02}.get(mode, 0.3)
    assert np.abs(found - wanted).max() <= worst * max(1.0, np.abs(wanted).max())


@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=max(6, settings().max_examples // 20))
def test_files_that_are_no_models(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"thing{suffix}"
        path.write_bytes(content)
        with pytest.raises(EdgelabError) as raised:
            report.open_subject(path)
        assert raised.value.what and raised.value.fix
