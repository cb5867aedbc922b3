"""The store survives two writers, a kill and a full disk; the table and the plot say what they know."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import matplotlib
import numpy as np
import pytest

from edgelab import results
from edgelab.errors import DataError, InputError, StorageError
from edgelab.results import Result, Samples

matplotlib.use("agg")

APPEND_MANY = """
import sys
from edgelab import results
for index in range(int(sys.argv[2])):
    samples = results.Samples(9, 1, 1, 1, 1, 1)
    results.append(results.Result("latency", index, model=sys.argv[1], samples=samples))
"""


@pytest.fixture(autouse=True)
def _empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


def writer(name, count):
    return subprocess.Popen([sys.executable, "-c", APPEND_MANY, name, str(count)])


def latency(value, half_width=0.0, **what):
    samples = Samples(100, value, value, value, value - half_width, value + half_width)
    return Result("latency", value, model="net", samples=samples, **what)


def test_what_goes_in_comes_out():
    results.append(latency(1.5, 0.25, precision="int8", target="cpu", placement="31 of 31 operators"))
    row = results.load().iloc[0]
    assert (row["value"], row["unit"], row["low"], row["high"], row["n"]) == (1.5, "ms", 1.25, 1.75, 100)
    assert (row["precision"], row["placement"], row["provenance"]) == (
        "int8",
        "31 of 31 operators",
        "measured",
    )


def test_an_empty_store_is_an_empty_frame_with_all_columns():
    frame = results.load()
    assert frame.empty
    assert {"metric", "value", "median", "created"} <= set(frame.columns)
    assert "metric" not in str(results.comparison_table())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"provenance": "guessed"}, "measured, simulated, published, estimated"),
        ({"provenance": "published"}, "source"),
        ({"provenance": "published", "source": "  "}, "source"),
        ({"unit": "s"}, "'ms'"),
        ({"value": float("nan")}, "finite"),
    ],
)
def test_a_number_that_cannot_be_trusted_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Result(**{"metric": "latency", "value": 1.0, **wrong})


def test_two_processes_at_once_lose_nothing():
    writers = [writer(name, 200) for name in ("left", "right")]
    assert [process.wait(60) for process in writers] == [0, 0]
    frame = results.load()
    assert frame.attrs["unreadable_lines"] == 0
    for name in ("left", "right"):
        assert frame.loc[frame["model"] == name, "value"].tolist() == list(range(200))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_kill_in_the_middle_of_writing_keeps_every_earlier_record():
    process = writer("killed", 1_000_000)
    while not (results.store_path().exists() and results.store_path().stat().st_size > 2000):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    results.append(Result("latency", 7, model="after"))
    frame = results.load()
    before = frame.loc[frame["model"] == "killed", "value"].tolist()
    assert before == list(range(len(before)))
    assert len(before) > 2
    assert frame.iloc[-1]["model"] == "after"


def test_every_possible_torn_last_line_is_tolerated_and_not_followed_by_corruption():
    results.append(Result("accuracy", 0.5, model="é"), Result("accuracy", 0.75, model="é"))
    whole = results.store_path().read_bytes()
    first_length = whole.index(b"\n") + 1
    for length in range(first_length, len(whole)):
        results.store_path().write_bytes(whole[:length])
        results.append(Result("accuracy", 0.25, model="after"))
        frame = results.load()
        # Only the line's own end was lost in the last case: then the record itself is whole.
        expected = [0.5, 0.75, 0.25] if length == len(whole) - 1 else [0.5, 0.25]
        assert frame["value"].tolist() == expected
        assert frame.attrs["unreadable_lines"] == int(first_length < length < len(whole) - 1)


FULL_DISK = """
import resource
from edgelab import results
from edgelab.errors import StorageError
results.append(results.Result("latency", 1, model="before"))
size = results.store_path().stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))  # room for a part of the next line only
try:
    results.append(results.Result("latency", 2, model="refused"))
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_the_old_records():
    run = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)
    assert "results.jsonl" in run.stdout
    assert "What to do" in run.stdout
    assert results.store_path().read_bytes().endswith(b"}\n")
    assert results.load()["model"].tolist() == ["before"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="EDGELAB_ARTIFACTS"):
        results.append(Result("latency", 1))


def test_latest_keeps_the_newest_of_each_kind_and_provenances_apart():
    results.append(latency(1, target="cpu"), latency(2, target="cpu"), latency(3, target="gpu"))
    results.append(latency(4, target="cpu", provenance="estimated"))
    newest = results.latest(results.load())
    assert newest["value"].tolist() == [2, 3, 4]


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


def test_pareto_front_is_what_no_other_point_beats():
    latency_ms = np.array([1.0, 2.0, 3.0, 1.0, 5.0])
    accuracy = np.array([0.7, 0.9, 0.8, 0.6, 0.95])
    assert results.pareto_front(latency_ms, accuracy).tolist() == [0, 1, 4]


def test_pareto_plot_draws_what_is_known_and_names_what_is_not():
    both = {"model": "net", "target": "cpu"}
    frame = results.to_frame(
        [
            Result("latency", 1, precision="int8", **both),
            Result("accuracy", 0.9, precision="int8", **both),
            Result("size", 1e6, precision="int8", **both),
            Result("latency", 2, precision="float32", **both),
            Result("accuracy", 0.92, precision="float32", **both),
            Result("latency", 3, precision="float16", **both),
        ]
    )
    fig = results.plot_pareto(frame)
    axes = fig.axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 2
    filled = [colour[3] for points in axes.collections for colour in points.get_facecolors()]
    assert sorted(filled) == [0.0, 0.8]  # float32 has no known size: hollow
    assert "float16 cpu" in axes.get_title(loc="left")
    assert {text.get_text() for text in axes.texts} == {"int8", "float32"}
    front = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert front.get_ydata().tolist() == pytest.approx([90, 92])
    empty = results.plot_pareto(frame[frame["metric"] == "latency"])
    assert "No model" in empty.axes[0].texts[0].get_text()
    matplotlib.pyplot.close("all")


def test_published_figures_each_have_a_source_and_can_be_tabulated():
    records = results.published()
    assert len(records) > 30
    assert all(record.source and record.provenance == "published" for record in records)
    assert str(results.comparison_table(results.to_frame(records))).count("\n") > 20


def test_unknown_published_name_lists_the_known_ones():
    with pytest.raises(DataError, match="latency"):
        results.published("nothing")
