"""The compiler's log."""

from __future__ import annotations

import pytest

from edgelab.targets.rknn import log

# In the form of rknn-toolkit2 2.5.0; rk3576's has a column more. Names and figures are made up.
LOG = """\
I rknn building ...
D RKNN: [10:00:00.1]                     Network Layer Information Table
D RKNN: [10:00:00.1] ID OpType DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [10:00:00.1] 0  InputOperator  INT8  CPU  \\  (1,3,8,8)  0/0/0  0  InputOperator:x
D RKNN: [10:00:00.1] 1  ConvRelu  INT8  NPU  (1,3,8,8),(9,3,1,1),(9)  (1,9,8,8)  1/1/1  9  Conv:earlier
D RKNN: [10:00:01]                     Network Layer Information Table
D RKNN: [10:00:01] ID OpType DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [10:00:01] 0  InputOperator  INT8  CPU  \\  (1,3,8,8)  0/0/0  0  InputOperator:x
\x1b[36mD RKNN: [10:00:01] 1  ConvRelu  INT8 NPU (1,3,8,8),(9,3,1,1) (1,9,8,8)  31/96/96 2.5 Conv:first\x1b[0m
progress 50%\rD RKNN: [10:00:01] 2  Conv  INT8 NPU (1,9,8,8),(9,9,1,1) (1,9,8,8)  70/64/70  0%  3  Conv:second
D RKNN: [10:00:01] 3  Sine  FLOAT16  CPU  (1,9,8,8)  (1,9,8,8)  0/0/0  1
D RKNN: [10:00:01] 4  OutputOperator  FLOAT16  CPU  (1,9,8,8)  \\  0/0/0  0  OutputOperator:y
D RKNN: [10:00:01]                     Feature Tensor Information Table
D RKNN: [10:00:01] 1  Conv  first  INT8  NC1HWC2  (1,9,8,8)  (1,1,8,8,16) | 0x0 0x00000400
D RKNN: [10:00:01] Total Internal Memory Size: 1.5KB
D RKNN: [10:00:01] Total Weight Memory Size: 2KB
"""
ANALYSIS = """\
layer_name            simulator_error
                    entire          single
                  cos    euc      cos    euc
[Input] x        1.00000 | 0.00000   1.00000 | 0.00000
[Conv] first
[Relu] second    0.99000 | 0.21735   \x1b[1;33m0.99900\x1b[0m | 0.11000
"""


def test_the_last_table_of_the_log_becomes_rows():
    rows = log.parse_log(LOG)
    assert [row["operator"] for row in rows[:-1]] == [
        "InputOperator",
        "ConvRelu",
        "Conv",
        "Sine",
        "OutputOperator",
    ]
    first = rows[1]
    assert (first["ddr_cycles"], first["npu_cycles"], first["cycles"]) == (31, 96, 96)
    assert first["moved_bytes"] == 2560 and first["name"] == "Conv:first"
    assert rows[2]["cycles"] == 70 and rows[2]["moved_bytes"] == 3072  # with the sparse ratio between
    assert rows[3]["name"] == ""
    assert rows[-1] == {"kind": "memory", "internal_bytes": 1536, "weight_bytes": 2048}


def test_placement_counts_what_computes_and_names_what_is_left():
    placed = log.placement_of(log.parse_log(LOG))
    assert str(placed) == "2 of 3 operators"
    assert [operator for operator, _ in placed.reasons] == ["Sine (3)"]


@pytest.mark.parametrize("text", ["", "rubbish\x00\n" * 100, LOG.replace("D RKNN", "X RKNN")])
def test_a_log_without_table_has_no_rows(text):
    assert log.parse_log(text) == ()


def test_the_accuracy_analysis_becomes_rows():
    assert log.parse_errors(ANALYSIS) == (
        {"operator": "Input", "name": "x", "cosine": 1.0, "own_cosine": 1.0},
        {"operator": "Relu", "name": "second", "cosine": 0.99, "own_cosine": 0.999},
    )
