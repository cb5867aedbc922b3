"""The one table, of records, of published figures, and of nothing."""

from __future__ import annotations

import re
from dataclasses import replace

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
    assert "1 (no difference shown to float32 cpu)" in lines[1]
    assert "● 1 ms [0.8, 1.2]" in lines[1]
    assert "● 91.2 %" in lines[1]
    assert "● 0.62 MB" in lines[1]
    assert "1 (no difference shown to int8 cpu)" in lines[2]
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


def accuracy(value, count, **what):
    return Result("accuracy", value, model="net", precision="int8", image_count=count, **what)


def test_an_accuracy_tells_its_pictures_and_a_poorer_one_replaces_no_better_one():
    results.append(accuracy(0.908, 2000, target="cpu"))
    results.append(accuracy(0.930, 200, target="cpu"), accuracy(0.913, 1000, target="openvino"))
    text = str(results.comparison_table())
    assert "90.8 % (n = 2,000)" in text and "93.0 %" not in text
    assert "91.3 % (n = 1,000)" in text and "compare accuracies of the same n" in text
    results.append(accuracy(0.905, 2000, target="cpu"))
    assert "90.5 % (n = 2,000)" in str(results.comparison_table()), (
        "of equally many pictures the newest counts"
    )
    same = [accuracy(0.9, 500, target="cpu"), accuracy(0.8, 500, target="keras")]
    assert "compare accuracies" not in str(results.comparison_table(results.to_frame(same)))
    simulated = accuracy(0.7, 9000, target="cpu", provenance="simulated")
    assert "70.0 %" not in str(results.comparison_table(results.to_frame([*same, simulated])))


def test_in_a_terminal_it_is_at_most_a_hundred_characters_wide():
    device = "Some accelerator with a very long name, revision 2, in a board of another maker"
    model = "mobilenet_v2_of_chapter_3_with_a_long_name"
    rows = [latency(1.25, 0.05, target="cpu", precision="int8")]
    rows.append(Result("accuracy", 0.918, target="cpu", precision="int8", image_count=2000))
    table = results.comparison_table(
        results.to_frame([replace(row, model=model, device=device) for row in rows])
    )
    lines = table.brief().splitlines()
    assert max(map(len, lines)) <= 100 < max(map(len, str(table).splitlines()))
    assert "1.25 ms" in lines[1] and "91.8 %" in lines[1] and "[" not in lines[1] and "…" in lines[1]
    assert lines[-1] == "● measured"


def test_without_results_it_says_so():
    assert results.comparison_table(results.to_frame([])).brief().startswith("No results yet")
