"""ONNX files read as graphs: the same counts as of a `.tflite` file, whatever the exporter did."""

import foreign_onnx_models as foreign
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgelab import graph
from edgelab.errors import ModelError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def test_operators_shapes_and_multiplications_are_counted(path):
    onnx.save_model(foreign.network(batch=1), path)
    found = graph.read(path)
    assert found.operator_counts == {"Conv": 1, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1, "Relu": 1}
    convolution = 8 * 8 * 8 * 27  # channels and pixels of the output, weights for each
    assert found.macs == convolution + 8 * foreign.CLASSES
    assert found.parameter_count == 8 * 27 + 8 + 8 * foreign.CLASSES + foreign.CLASSES
    assert [found.tensors[index].shape for index in found.inputs] == [(1, 3, 16, 16)]
    assert found.peak_activation_bytes == 4 * (
        3 * 256 + 8 * 64
    )  # the image and what the convolution makes of it
    assert found.tensors[found.outputs[0]].dtype == "float32" and not found.has_open_batch


def test_open_sizes_are_known_as_such(path):
    onnx.save_model(foreign.network(size="side"), path)
    found = graph.read(path)
    image = found.tensors[found.inputs[0]]
    assert found.has_open_batch and image.open_axes == (0, 2, 3) and image.shape == (1, 3, 1, 1)


def test_weights_beside_the_file_count(path):
    assert graph.read(foreign.with_external_weights(path)).weight_bytes == 4 * (8 * 27 + 8 + 36)


def test_a_missing_file_of_weights_is_named(path):
    foreign.with_external_weights(path)
    (path.parent / "model.onnx.data").unlink()
    with pytest.raises(ModelError, match="not a whole ONNX model") as raised:
        graph.read(path)
    assert "model.onnx.data" in raised.value.why and "beside it" in raised.value.fix


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x08\x08\x12\x03abc", bytes(range(256))])
def test_what_is_no_onnx_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelError):
        graph.read(path)


def test_a_type_without_a_name_is_damage(path):
    made = foreign.network(batch=1)
    made.graph.input[0].type.tensor_type.elem_type = 29
    onnx.save_model(made, path)
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        graph.read(path)


def test_integers_carry_the_scales_of_the_nodes_beside_them(path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    constants = [
        numpy_helper.from_array(np.float32(0.5), "scale"),
        numpy_helper.from_array(np.int8(-3), "zero"),
    ]
    made = helper.make_graph(nodes, "pair", value[:1], value[1:], constants)
    onnx.save_model(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    found = graph.read(path)
    (codes,) = [one for one in found.tensors if one.name == "q"]
    assert (codes.scale, codes.zero_point, codes.dtype) == (0.5, -3, "int8")


def test_branches_and_custom_operators_are_seen(path):
    then = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["a"])], "then", [],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["b"])], "other", [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    nodes = [
        helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other),
        helper.make_node("Magic", ["y"], ["z"], domain="com.example"),
    ]
    made = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save_model(helper.make_model(made, opset_imports=imports, ir_version=8), path)
    found = graph.read(path)
    assert [one.is_custom for one in found.operators] == [False, True]
    assert sorted(one.operators[0].name for one in found.branches) == ["Identity", "Neg"]
