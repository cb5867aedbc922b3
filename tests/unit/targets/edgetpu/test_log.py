"""The compiler's two logs."""

from __future__ import annotations

import pytest
from edgetpu_models import ALL_MAPPED, OPERATORS

from edgelab.targets.edgetpu import (
    log as edgetpu_log,
)


def test_log_with_everything_mapped_has_no_counts():
    log = edgetpu_log.parse(ALL_MAPPED.format(total=50))
    assert (log.version, log.total, log.mapped, log.operators) == ("16.0.384591198", 50, 50, ())
    assert log.sizes["parameters kept on the chip"] == 604.5 * 1024
    assert log.sizes["parameters streamed"] == 0
    assert log.sizes["output"] == 1.25 * 2**20
    assert not log.errors


def test_log_file_alone_counts_from_its_table():
    log = edgetpu_log.parse(OPERATORS.format(mapped=7))
    assert (log.total, log.mapped, log.version) == (9, 7, "")
    assert log.status_of("CONV_2D") == "More than one subgraph is not supported"
    assert log.status_of("PosenetDecoderOp") == "Some reason that nobody has seen yet"


def test_summary_and_table_joined_do_not_count_twice():
    text = OPERATORS.format(mapped=7)
    summary = ALL_MAPPED.format(total=9) + "Number of operations that will run on Edge TPU: 7\n"
    log = edgetpu_log.parse(summary + text + "\n" + text)
    assert (log.total, log.mapped, len(log.operators)) == (9, 7, 3)
    rows = log.rows()
    assert rows[0] == {"operator": "CONV_2D", "count": 7, "status": "Mapped to Edge TPU"}
    assert {"memory": "parameters streamed", "bytes": 0} in rows


@pytest.mark.parametrize(
    "text", ["", "\x00\xff rubbish", "Total number of operations: many", "Output size: 3 bananas"]
)
def test_rubbish_gives_an_empty_log(text):
    log = edgetpu_log.parse(text)
    assert log.total is None
    assert not log.sizes
    assert not log.rows()
