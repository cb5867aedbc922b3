"""Placement by the published rules, against models made for each and against real compiled pairs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from edgetpu_models import _packed, as_compiled

from edgelab import graph
from edgelab.errors import ModelError
from edgelab.targets.edgetpu import (
    rules as edgetpu_rules,
)
from edgelab.targets.edgetpu import (
    target as edgetpu,
)


def where(placed, operator: str) -> list[str]:
    return [row.where for row in placed.operators if row.operator == operator]


def reason(placed, operator: str) -> str:
    return next(row.reason for row in placed.operators if row.operator == operator)


@pytest.mark.parametrize(
    "name",
    [
        "friendly",
        "open batch",
        "per tensor",
        "resize 2",
        "mean of 4 channels",
        "slope per channel",
        "transpose conv",
    ],
)
def test_friendly_models_are_mapped_whole(content, name):
    placed = edgetpu.placement(content(name))
    assert not placed.on_cpu, placed.frame()
    assert str(placed) == f"{len(placed.operators)} of {len(placed.operators)} operators on the Edge TPU"


def test_float_in_and_out_cost_a_conversion_at_both_ends(content):
    placed = edgetpu.placement(content("float io"))
    assert [row.operator for row in placed.on_cpu] == ["QUANTIZE", "DEQUANTIZE"]
    assert "takes float32" in placed.on_cpu[0].reason
    assert "keeps no other operator" in placed.on_cpu[0].reason
    assert "gives float32" in placed.on_cpu[1].reason


REFUSED = (
    ("float", "not quantized"),
    ("int16", "not quantized"),
    ("dynamic range", "version 12 of FULLY_CONNECTED came with TensorFlow 2.17"),
)


@pytest.mark.parametrize(("name", "words"), REFUSED)
def test_files_that_the_compiler_refuses_have_nothing_on_the_edge_tpu(content, name, words):
    placed = edgetpu.placement(content(name))
    assert words in placed.refusal
    assert not placed.mapped
    assert all(row.reason for row in placed.operators)


def test_one_operator_that_is_too_new_makes_the_file_unreadable(content):
    """Converters write such versions today; the compiler then says "Didn't find op for builtin opcode"."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("transpose conv")), 0)
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.TRANSPOSE_CONV:
            code.version = 4
    placed = edgetpu.placement(_packed(model))
    assert "version 4 of TRANSPOSE_CONV came with TensorFlow 2.13" in placed.refusal
    assert not placed.mapped
    assert "it could run there, but" in reason(placed, "CONV_2D")


def test_a_size_computed_while_running_is_refused(content):
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("five dimensions")), 0)
    part = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]
    reshape = next(o for o in part.operators if codes[o.opcodeIndex] == schema.BuiltinOperator.RESHAPE)
    part.tensors[reshape.inputs[1]].buffer = 0  # buffer 0 is the empty one: no constant any more
    placed = edgetpu.placement(_packed(model))
    assert "RESHAPE computes its size while the model runs" in placed.refusal


UNFRIENDLY = (
    ("hard swish", "HARD_SWISH", "not in the table"),
    ("leaky", "LEAKY_RELU", "not in the table"),
    ("resize 16", "RESIZE_BILINEAR", "enlarges 16 times"),
    ("five dimensions", "RESHAPE", "1x8x8x2x4"),
    ("transpose of five", "TRANSPOSE", "5 dimensions"),
    ("softmax of pixels", "SOFTMAX", "1x8x8x8"),
    ("dense on pixels", "FULLY_CONNECTED", "one vector"),
    ("skips pixels", "STRIDED_SLICE", "strides must be 1"),
    ("mean of 3 channels", "MEAN", "3 channels"),
    ("joins ones", "CONCATENATION", "joins a constant"),
    ("slope per pixel", "PRELU", "shared_axes"),
    ("batch of 2", "CONV_2D", "2x8x8x"),
    ("batch of 2", "QUANTIZE", "use batch 1"),
    ("argmax", "ARG_MAX", "int"),
)


@pytest.mark.parametrize(("name", "operator", "words"), UNFRIENDLY)
def test_each_unfriendly_operator_is_named_with_its_reason(content, name, operator, words):
    placed = edgetpu.placement(content(name))
    assert words in reason(placed, operator), placed.frame().to_string()
    assert not placed.refusal
    assert all(bool(row.reason) == (row.where == "CPU") for row in placed.operators)


def test_what_comes_after_the_first_culprit_stays_with_it_named(content):
    placed = edgetpu.placement(content("leaky"))
    assert where(placed, "CONV_2D") == ["Edge TPU", "CPU"]
    culprit = next(row for row in placed.operators if row.operator == "LEAKY_RELU")
    after = [row for row in placed.operators if row.index > culprit.index and row.operator == "CONV_2D"]
    assert f"comes after LEAKY_RELU ({culprit.index})" in after[0].reason
    assert all("LEAKY_RELU" in row.reason for row in placed.operators if row.index > culprit.index)


def test_only_the_branch_with_the_culprit_is_lost(content):
    """Downstream, not later in the file: the other branch stays on the Edge TPU."""
    placed = edgetpu.placement(content("two branches"))
    assert sorted(where(placed, "CONV_2D")) == ["CPU", "Edge TPU", "Edge TPU", "Edge TPU"]


def test_a_float_operator_in_the_middle_splits_the_model(content):
    """Published for compiler 16: of Dense, Dense, SIN, Dense these stay on the CPU."""
    placed = edgetpu.placement(content("sine"))
    left = [row.operator for row in placed.on_cpu]
    assert left[:4] == ["DEQUANTIZE", "SIN", "QUANTIZE", "FULLY_CONNECTED"]
    assert where(placed, "FULLY_CONNECTED") == ["Edge TPU", "Edge TPU", "CPU"]


def test_what_the_table_leaves_open_is_said(content):
    doubts = {row.operator: row.doubt for row in edgetpu.placement(content("transpose conv")).mapped}
    assert "both sides" in doubts["TRANSPOSE_CONV"]
    assert not doubts["CONV_2D"]
    assert any("inferred" in row.doubt for row in edgetpu.placement(content("resize 4")).mapped)


def test_weights_on_the_edge_tpu_are_counted(content):
    found = graph.read(content("friendly"))
    assert edgetpu.placement(content("friendly")).weight_bytes == found.weight_bytes
    assert edgetpu.placement(content("float")).weight_bytes == 0
    assert 0 < edgetpu.placement(content("leaky")).weight_bytes < graph.read(content("leaky")).weight_bytes


def test_summary_is_what_every_target_tells(content):
    summary = edgetpu.placement(content("float io")).summary
    assert (summary.total - summary.accelerated, len(summary.reasons)) == (2, 2)
    assert summary.reasons[0][0] == "QUANTIZE (0)"


def test_every_rule_in_the_table_exists_and_is_used():
    named = {rule for row in edgetpu_rules.table().values() for rule in row["rules"].split()}
    assert named == set(edgetpu_rules.RULES)
    assert all(row["source"] for row in edgetpu_rules.table().values())
    assert set(edgetpu_rules.table()) <= set(graph.BUILTIN_OPERATORS.values())


def test_operator_versions_after_the_compiler_are_refused():
    def operator(name, version):
        return graph.Operator(0, name, version, (), (), 0, {}, False)

    assert not edgetpu_rules.too_new(operator("CONV_2D", 5))
    assert "TensorFlow 2.9" in edgetpu_rules.too_new(operator("CONV_2D", 6))
    assert "TensorFlow 2.7" in edgetpu_rules.too_new(operator("QUANTIZE", 3))
    assert "TensorFlow 2.21" in edgetpu_rules.too_new(operator("FULLY_CONNECTED", 99))


def test_files_that_are_no_models_give_an_error(tmp_path, content):
    with pytest.raises(ModelError):
        edgetpu.placement(b"rubbish")
    with pytest.raises(ModelError):
        edgetpu.placement(tmp_path / "missing.tflite")
    with pytest.raises(ModelError, match="compiled for the Edge TPU already"):
        edgetpu.placement(as_compiled(content("friendly"), 2))


def test_an_operator_without_its_inputs_is_damage(content):
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("softmax of pixels")), 0)
    for operator in model.subgraphs[0].operators:
        if operator.builtinOptionsType == schema.BuiltinOptions.SoftmaxOptions:
            operator.inputs = []
    with pytest.raises(ModelError, match="lacks what its kind needs"):
        edgetpu.placement(_packed(model))


def pair_rows(real_data: Path) -> list[dict[str, str]]:
    with (real_data / "edgetpu_pairs" / "expected.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def left_on_cpu(before: graph.Graph, after: graph.Graph) -> set[int]:
    """Which operators of `before` are still in the compiled file, found by the names of their outputs."""
    index_of = {
        before.tensors[i].name: operator.index for operator in before.operators for i in operator.outputs
    }
    assert len(index_of) == sum(len(operator.outputs) for operator in before.operators)
    return {
        index_of[after.tensors[operator.outputs[0]].name]
        for operator in after.operators
        if operator.name != edgetpu_rules.COMPILED_OPERATOR
    }


def test_agrees_with_every_published_pair_operator_by_operator(real_data):
    """Eleven models that Google published before and after its compiler: the same operators on the CPU."""
    folder = real_data / "edgetpu_pairs"
    rows = pair_rows(real_data)
    assert len(rows) == 11
    for row in rows:
        before = folder / Path(row["input"]).name
        placed = edgetpu.placement(before)
        expected = left_on_cpu(graph.read(before), graph.read(folder / Path(row["compiled"]).name))
        assert {operator.index for operator in placed.on_cpu} == expected, before.name
        assert len(placed.mapped) == int(row["ops_mapped"])
        assert all(operator.reason for operator in placed.on_cpu)
        assert not placed.refusal
