"""The one table, of records, of published figures, and of nothing."""

from __future__ import annotations

import re

from latency_records import latency

from edgelab import results
from edgelab.results import Result


def test_table_marks_provenance_prefers_measurement_and_names_ties():
    frame = results.to_frame(
        [
            latency(9.0, target="cpu", precision="int8", provenance="estimated"),
            latency(1.0, 0.2, target="cpu", precision="int8"),
            latency(1.3, 0.2, target="cpu", precision="float32"),
            latency(2.0, 0.1, target="cpu", precision="float16"),
            Result("accuracy", 0.912, model="net", target="cpu", precision="int8"),
            Result("size", 620_000, model="net", target="cpu", precision="int8"),
            Result("price", 60, model="net", target="edgetpu", provenance="published", source="shop"),
        ]
    )
    table = results.comparison_table(frame)
    lines = str(table).splitlines()
    assert "1 (tie with float32 cpu)" in lines[1]
    assert "● 1 ms [0.8, 1.2]" in lines[1]
    assert "● 91.2 %" in lines[1]
    assert "● 0.62 MB" in lines[1]
    assert "1 (tie with int8 cpu)" in lines[2]
    assert re.search(r"2 ms \[1\.9, 2\.1\] +– +3", lines[3])
    assert "◆ 60 USD" in lines[4]
    assert "placement" not in lines[0]  # nobody has one
    assert "estimated" not in str(table)
    assert table.legend == "● measured, ◆ published"
    assert 'aria-label="published"' in table._repr_html_()
    assert (
        "<script>"
        not in results.comparison_table(
            results.to_frame([Result("size", 1e6, model="<script>")])
        )._repr_html_()
    )


def test_an_empty_store_is_an_empty_frame_with_all_columns():
    frame = results.load()
    assert frame.empty
    assert {"metric", "value", "median", "created"} <= set(frame.columns)
    assert "metric" not in str(results.comparison_table())


def test_published_figures_each_have_a_source_and_can_be_tabulated():
    records = results.published()
    assert len(records) > 30
    assert all(record.source and record.provenance == "published" for record in records)
    assert str(results.comparison_table(results.to_frame(records))).count("\n") > 20
