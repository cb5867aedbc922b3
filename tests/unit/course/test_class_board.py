"""The class board: many result files, some of them damaged, in one table and plot."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from edgelab import __main__ as command_line
from edgelab import results
from edgelab.course import class_board
from edgelab.errors import DataError

STUDENTS = [f"student {number:02d}" for number in range(12)]


def records(seed, precision="int8"):
    rng = np.random.default_rng(seed)
    latency = float(rng.uniform(1, 4))
    common = {
        "target": "cpu",
        "device": f"laptop {seed}",
        "model": "net",
        "precision": precision,
        "dataset": "d",
    }
    samples = results.Samples(100, latency, latency * 0.9, latency * 1.2, latency * 0.98, latency * 1.02)
    return [
        results.Result("latency", latency, samples=samples, **common),
        results.Result("accuracy", float(rng.uniform(0.8, 0.9)), **common),
    ]


def lines(found):
    return "".join(json.dumps(asdict(record)) + "\n" for record in found)


@pytest.fixture
def folder(tmp_path):
    """Half of the class as files, half as folders."""
    folder = tmp_path / "class"
    for seed, student in enumerate(STUDENTS):
        nested = seed % 2
        path = folder / student / "artifacts" / "results.jsonl" if nested else folder / f"{student}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines([*records(seed), *records(seed, "float32")]), encoding="utf-8")
    return folder


def test_the_class_is_summed_up_for_everything_that_ran(folder, tmp_path):
    made = class_board.write(folder, tmp_path / "board")
    assert made.students == 12 and made.skipped == {} and len(made.frame) == 48
    table = class_board.summary(made.frame)
    assert list(table["what ran"]) == ["cpu · float32", "cpu · int8"] and set(table["students"]) == {12}
    int8 = made.frame[(made.frame["precision"] == "int8") & (made.frame["metric"] == "latency")]
    ordered = int8.sort_values("value")
    row = table.set_index("what ran").loc["cpu · int8"]
    assert (
        ordered["student"].iloc[0] in row["fastest, ms"] and ordered["student"].iloc[-1] in row["slowest, ms"]
    )
    assert float(row["median, ms"]) == pytest.approx(int8["value"].median(), rel=0.01)
    machines = class_board.by_machine(made.frame)
    assert len(machines) == 24 and machines["machine"].iloc[0] == ordered["device"].iloc[0]
    page = made.page.read_text(encoding="utf-8")
    assert row["fastest, ms"] in page and 'alt="Latency and accuracy' in page
    assert made.picture.read_bytes().startswith(b"\x89PNG")
    assert len(made.csv.read_text(encoding="utf-8").splitlines()) == 49


def test_only_the_newest_result_of_a_student_counts(folder):
    path = folder / f"{STUDENTS[0]}.jsonl"
    newer = results.Result(
        "accuracy", 0.5, target="cpu", device="laptop 0", model="net", precision="int8", dataset="d"
    )
    path.write_text(path.read_text() + lines([newer]))
    frame, _ = class_board.read(folder)
    mine = frame[(frame["student"] == STUDENTS[0]) & (frame["metric"] == "accuracy")]
    assert sorted(mine["value"])[0] == 0.5 and len(mine) == 2


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"metric": "latency"}',
        '{"metric": "latency", "value": "fast", "samples": null}',
        '{"metric": "latency", "value": NaN, "samples": null}',
        '{"metric": "latency", "value": 1, "unit": "hours", "samples": null}',
        '{"metric": ["latency"], "value": 1, "samples": null}',
        '{"metric": "latency", "value": 1, "model": {"a": 1}, "samples": null}',
        '{"metric": "size", "value": 1, "samples": '
        '{"n": 9, "median": [], "p05": 1, "p95": 1, "low": 1, "high": 1}}',
        "[" * 100_000,
        "null",
    ],
)
def test_corrupt_lines_are_skipped_and_counted(folder, tmp_path, line):
    path = folder / f"{STUDENTS[0]}.jsonl"
    path.write_text(line + "\n" + path.read_text() + line, encoding="utf-8")
    made = class_board.write(folder, tmp_path / "board")
    assert made.skipped == {f"{STUDENTS[0]}.jsonl": 2} and made.students == 12 and len(made.frame) == 48
    assert "2 lines or files could not be read" in str(made)
    assert f"Lines that could not be read: {STUDENTS[0]}.jsonl (2)." in made.page.read_text(encoding="utf-8")


def test_names_and_texts_are_escaped(tmp_path):
    record = asdict(records(1)[0]) | {"model": "<script>alert(1)</script>", "device": "a · b\nc"}
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "<b>eve · x.jsonl").write_text(json.dumps(record) + "\n")
    made = class_board.write(folder, tmp_path / "board")
    page = made.page.read_text(encoding="utf-8")
    assert "<script>" not in page and "<b>" not in page and "a · b c" in page


def test_published_figures_are_nobodys_result(folder, tmp_path):
    published = results.Result(
        "latency", 9.0, model="net", target="npu", provenance="published", source="a vendor"
    )
    (folder / f"{STUDENTS[0]}.jsonl").write_text(lines([published]))
    made = class_board.write(folder, tmp_path / "board")
    assert made.students == 11 and set(made.frame["provenance"]) == {"measured"}


def test_pictures_and_simulated_chips_are_never_mixed(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    common = {"model": "net", "precision": "int8"}
    found = [
        results.Result("accuracy", 0.9, target="cpu", device="laptop", dataset="shapes", **common),
        results.Result("accuracy", 0.8, target="cpu", device="laptop", dataset="cifar10", **common),
        *(
            results.Result(
                "latency", 1.0, target="npu", device=chip, dataset="shapes", provenance="simulated", **common
            )
            for chip in ("small", "large")
        ),
    ]
    (folder / "ada.jsonl").write_text(lines(found))
    frame, _ = class_board.read(folder)
    assert list(class_board.summary(frame)["what ran"]) == [
        "cpu · cifar10",
        "cpu · shapes",
        "npu · shapes · large",
        "npu · shapes · small",
    ]
    assert len(class_board.by_machine(frame)) == 0


def test_who_came_nearest_to_the_peak_is_named(folder, tmp_path):
    def share(value, model="conv", precision="int8", provenance="measured"):
        facts = {"unit": "fraction", "target": "cpu", "device": "chip", "provenance": provenance}
        return results.Result("peak_share", value, model=model, precision=precision, **facts)

    assert class_board.nearest_peak(class_board.read(folder)[0]).empty
    for name, found in {
        "ada": [share(0.81), share(0.31, "your network")],
        "bob": [share(0.62, "dense"), share(0.93, "other"), share(0.44, "your network")],
        "eve": [share(0.99, provenance="simulated")],
    }.items():
        (folder / f"{name}.jsonl").write_text(lines(found))
    made = class_board.write(folder, tmp_path / "board")
    table = class_board.nearest_peak(made.frame).set_index("what ran")
    assert list(table.index) == ["layers, int8", "a network of use, int8"]
    nearest = table["nearest, % of one core's peak"]
    assert list(nearest) == ["93 (bob)", "44 (bob)"] and list(table["students"]) == [2, 2]
    assert table["median, %"].iloc[0] == "87" and table["which"].iloc[0] == "other"
    assert "93 (bob)" in made.page.read_text(encoding="utf-8")


def test_nothing_to_show_is_said(tmp_path, capsys):
    with pytest.raises(DataError, match="holds no results"):
        class_board.read(tmp_path / "absent")
    (tmp_path / "empty.jsonl").write_text("")
    assert command_line.main(["class", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "holds no results" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_command_says_where_the_board_is(folder, tmp_path, capsys):
    assert command_line.main(["class", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "48 results of 12 students; 0 lines" in capsys.readouterr().out
    assert (tmp_path / "out" / "board.html").exists()


def test_browsers_have_a_table_and_those_without_a_time_a_place_in_it(tmp_path):
    common = {"model": "net", "precision": "float32", "runtime_version": "LiteRT.js 2, Firefox 1"}
    samples = results.Samples(100, 2.0, 1.9, 2.2, 1.8, 2.3)
    timed = [
        results.Result("latency", 2.0, target="web/wasm", device="Pixel", samples=samples, **common),
        results.Result("agreement", 0.75, target="web/wasm", device="Pixel", **common),
    ]
    untimed = results.Result(
        "agreement", 1.0, target="web/webgpu", device="soft", provenance="simulated", **common
    )
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "b.jsonl").write_text(lines([untimed]), encoding="utf-8")
    alone = class_board.write(tmp_path / "class", tmp_path / "alone")
    assert "not timed" in alone.page.read_text(encoding="utf-8")
    (tmp_path / "class" / "a.jsonl").write_text(lines(timed), encoding="utf-8")
    both = class_board.write(tmp_path / "class", tmp_path / "both")
    table = class_board.browsers(both.frame).set_index("who")
    assert list(table["latency, ms"]) == ["2 [1.8, 2.3]", "not timed"]
    assert list(table["same answers"]) == ["75 %", "100 %"]
    assert list(table["provenance"]) == ["● measured", "■ simulated"]
    assert "In browsers" in both.page.read_text(encoding="utf-8")
