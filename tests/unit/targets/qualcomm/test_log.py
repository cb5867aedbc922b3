"""The log of Qualcomm's compiler: real lines, shortened, become rows, reasons and a placement."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelab import graph
from edgelab.runtime import Placement
from edgelab.targets.base import Compiled
from edgelab.targets.qualcomm import log

# MobileNetV2 in int16x8; "…" stands for what is left out.
INT16 = """\
     0.0ms [ ERROR ]   <E> Failed to validate op ElementWiseNeuron_4 with error 0xc26
     0.0ms [ ERROR ]   <E> Unsupported input/output datatypes requested for the HTP Op 'DepthWiseConv2d' \
in the node 'DepthWiseConv2d_5'. There is a mismatch for the combination of inputs and outputs.
   in[0]:QNN_DATATYPE_SFIXED_POINT_16
[LITERT_TOOLS:APPLY] Starting Applying plugin...
INFO: [compiler_plugin.cc:948] Applying plugin with SDK version: v2.50.40.260831140417
WARNING: [Qnn] Convert bias tensor in conv2d op from int64 to int32.
ERROR: [qnn_manager.cc:480]\x20
QNN op validation failed: 'ElementWiseNeuron_4' (type=ElementWiseNeuron, operation=ReluMinMax)
  Inputs:
    [0] name="4_qnn" dtype=QNN_DATATYPE_SFIXED_POINT_16 dims=[1,32,32,16] per-tensor-quant
  Outputs:
    [0] name="3_litert_112" dtype=QNN_DATATYPE_SFIXED_POINT_16 dims=[1,32,32,16] per-tensor-quant
  QNN error=3110. See the QNN validator log lines above for the specific reason.
ERROR: [qnn_compiler_plugin.cc:538]\x20
LiteRT Op #0 'Conv2d' (code=3) is not supported in Qualcomm Compiler.
  Inputs:
    [0] name="mobilenet_v2/normalise_1/add"  tensor_idx=111
  Outputs:
    [0] name="mobilenet_v2/first_relu_1/Relu6;…"  tensor_idx=112
ERROR: [qnn_manager.cc:480]\x20
QNN op validation failed: 'DepthWiseConv2d_5' (type=DepthWiseConv2d)
  Inputs:
    [0] name="0_litert_112" dtype=QNN_DATATYPE_SFIXED_POINT_16 dims=[1,32,32,16] per-tensor-quant
    [1] name="5_qnn" dtype=QNN_DATATYPE_SFIXED_POINT_8 dims=[3,3,1,16] per-channel-quant
    [2] name="2_litert_34" dtype=QNN_DATATYPE_INT_64 dims=[16] per-tensor-quant
  Outputs:
    [0] name="4_qnn" dtype=QNN_DATATYPE_SFIXED_POINT_16 dims=[1,32,32,16] per-tensor-quant
  QNN error=3110. See the QNN validator log lines above for the specific reason.
ERROR: [qnn_compiler_plugin.cc:538]\x20
LiteRT Op #1 'DepthwiseConv2d' (code=4) is not supported in Qualcomm Compiler.
INFO: [compiler_plugin.cc:524] Partition strategy: 0
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 1 ops, from a total of 3 ops. \
resulted in 1 partitions.
"""
# SSD MobileNetV1 with its decoding of boxes.
CUSTOM = """\
WARNING: [qnn_compose_graph.cc:1647] No custom package registered for custom op, won't create QNN custom op.
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 1 ops, from a total of 2 ops. \
resulted in 1 partitions.
"""
CUSTOM_OPERATOR = "TFLite_Detection_PostProcess"
CONV = "ElementWiseNeuron ReluMinMax from int16 to int16 is refused, QNN error 3110"
DEPTHWISE = (
    "DepthWiseConv2d from int16, int8, int64 to int16 is refused, QNN error 3110: "
    "no such combination of types"
)


def test_every_operator_that_is_left_becomes_a_row_with_its_reason():
    *left, whole = log.parse_log(INT16)
    assert [(row["index"], row["reason"]) for row in left] == [(0, CONV), (1, DEPTHWISE)]
    assert {(row["kind"], row["subgraph"]) for row in left} == {("left", 0)}
    assert whole == {
        "kind": "whole", "subgraph": 0, "on_npu": 1, "operators": 3, "parts": 1,
        "sdk": "2.50.40.260831140417",
    }  # fmt: skip


def test_an_operator_without_a_reason_of_its_own_gets_the_plugin_s_words():
    text = INT16.replace("QNN op validation failed", "something else happened")
    assert {row["reason"] for row in log.parse_log(text) if row["kind"] == "left"} == {
        "not supported in Qualcomm Compiler"
    }


def test_operators_of_another_graph_are_not_those_of_the_model():
    inner = INT16.replace("subgraph<0>", "subgraph<1>")
    rows = log.parse_log(INT16 + inner)
    assert [row["subgraph"] for row in rows if row["kind"] == "left"] == [0, 0, 1, 1]
    assert log.whole(rows)["subgraph"] == 0
    with pytest.raises(ValueError, match="does not say"):
        log.whole(log.parse_log(inner))


@pytest.mark.parametrize("text", ["", "rubbish\x00\n" * 100, INT16.replace("Partitioned", "Divided")])
def test_a_log_without_counts_has_no_rows(text):
    assert log.parse_log(text) == ()


def model_of(*kinds):
    """A graph of such operators, as a file holds it."""
    operators = [
        graph.Operator(index, kind, 1, (), (), 0, {}, is_custom=kind in ("DISPATCH_OP", CUSTOM_OPERATOR))
        for index, kind in enumerate(kinds)
    ]
    return graph.Graph(tuple(operators), (), (), (), "", 0)


def test_placement_names_each_operator_by_its_place():
    before = model_of("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX")
    after = model_of("CONV_2D", "DEPTHWISE_CONV_2D", "DISPATCH_OP")
    placed = log.placement_of(before, after, log.parse_log(INT16))
    assert placed == Placement(1, 3, (("CONV_2D (0)", CONV), ("DEPTHWISE_CONV_2D (1)", DEPTHWISE)))
    before = model_of("CONV_2D", CUSTOM_OPERATOR)
    placed = log.placement_of(before, model_of("DISPATCH_OP", CUSTOM_OPERATOR), log.parse_log(CUSTOM))
    assert placed.reasons == ((f"{CUSTOM_OPERATOR} (1)", "No custom package registered for custom op"),)


def test_what_the_log_does_not_name_is_said_to_have_no_reason():
    rows = tuple(row for row in log.parse_log(INT16) if row["kind"] == "whole")
    after = model_of("CONV_2D", "DEPTHWISE_CONV_2D", "DISPATCH_OP")
    placed = log.placement_of(model_of("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"), after, rows)
    assert placed.reasons == (("CONV_2D", log.NO_REASON), ("DEPTHWISE_CONV_2D", log.NO_REASON))


def test_a_log_that_contradicts_the_result_is_not_believed():
    before = model_of("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX")
    with pytest.raises(ValueError, match="counts 1 of 3"):
        log.placement_of(before, model_of("DISPATCH_OP"), log.parse_log(INT16))


def test_a_summary_counts_what_is_left():
    reasons = (("CONV_2D (0)", "a"), ("ADD (1)", "b"), ("CONV_2D (2)", "a"), ("CONV_2D (3)", "c"))
    row = {"kind": "whole", "subgraph": 0, "on_npu": 5, "operators": 9, "parts": 3, "sdk": ""}
    made = Compiled(Path("x"), "qualcomm", (row,), Placement(5, 9, reasons), 0.1, 77)
    found = log.summary(made)
    assert found == {
        "on_npu": 5, "operators": 9, "parts": 3, "size_bytes": 77,
        "left": [["CONV_2D", "a", 2], ["ADD", "b", 1], ["CONV_2D", "c", 1]],
    }  # fmt: skip
    assert log.left_text(found["left"]) == "3 CONV_2D, 1 ADD" and log.left_text([]) == "nothing"


def test_errors_are_the_last_lines_that_tell_of_one():
    text = "ERROR: one\nall is well\nCould not load two\n[LITERT] Failed three\nERROR: four\ndone\n"
    assert log.errors(text) == "Could not load two\n[LITERT] Failed three\nERROR: four"
    assert log.errors("all is well") == ""
