"""Sections "On your board" of chapters 5, 9, 10 and 13, their cells as they are, on an emulated Arm board."""

import json
import sys
from functools import cached_property
from pathlib import Path

import kept
import pytest
import ssh_board

from edgelab import pipeline, quantization, results
from edgelab.course import execution

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import record_board  # noqa: E402 - a tool, not a package

pytestmark = pytest.mark.slow
COMPILE = "05_compile_edge_tpu"
TRIED_BY = [
    Path(path).read_bytes()
    for path in (__file__, ssh_board.__file__, record_board.__file__, ROOT / "tests" / "conftest.py")
]
RECORDED = json.loads((ROOT / "data" / "recorded" / "board.json").read_text("utf-8"))


@pytest.fixture
def chain(patterns, small_model, tmp_path):
    """What earlier chapters leave, with a small network."""
    path = tmp_path / "small.keras"
    small_model.save(path)

    class SmallChain(pipeline.Pipeline):
        @cached_property
        def dataset(self):
            return patterns

        def converted(self, mode="int8", io_dtype=None):
            dtype = io_dtype or ("uint8" if mode == "int8" else "float32")
            calibration = patterns.calibration_images(100) if mode in quantization.CALIBRATED_MODES else None
            return quantization.convert(path, mode, calibration, io_dtype=dtype, name="small")

    return SmallChain("fast", "shapes", 0, "small")


@pytest.fixture
def run(chain, monkeypatch):
    """Runs a chapter's section with these parameters."""
    monkeypatch.setattr(pipeline, "open", lambda *arguments: chain)
    return record_board.run_section


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture
def arm(configuration, tmp_path):
    with ssh_board.emulated_board(tmp_path / "arm") as board:
        yield board.name


def passes_there(judge, notebook, request):
    """Run a test with the emulated board, which begins only when it is asked for."""
    made = (ssh_board.where_emulated() / "made").read_bytes()
    content = (kept.chapter_key(execution.NOTEBOOKS_DIR / f"{notebook}.ipynb"), made, *TRIED_BY)
    kept.passes(lambda: judge(request.getfixturevalue("arm")), request.node.name, *content)


def test_without_a_board_the_next_step_is_told(run, configuration, capsys):
    names = run(COMPILE)
    shown = capsys.readouterr().out
    assert "board add NAME user@host" in shown and shown.count("Nothing runs there") == 2
    assert names["compared"] is None and results.load().empty


def test_a_board_that_nobody_added_and_a_file_that_is_none_are_told(run, configuration, capsys):
    run(COMPILE, BOARD="pi9", COMPILED="none.tflite")
    shown = capsys.readouterr().out
    assert "No board is called 'pi9'" in shown and shown.count("Nothing runs there") == 2


def test_an_emulated_board_answers_and_is_not_timed(run, request, capsys):
    def judge(arm):
        names = run(COMPILE, BOARD=arm)
        shown = capsys.readouterr().out
        assert "emulated Cortex-A76, LiteRT" in shown and "its CPU: simulated" in shown
        assert names["compared"].agreement > 0.95 and "emulation" in shown
        table = results.load()
        assert list(table["metric"]) == ["agreement"] and list(table["provenance"]) == ["simulated"]
        assert list(table["device"]) == ["emulated Cortex-A76"]

    passes_there(judge, COMPILE, request)


@pytest.mark.parametrize("number", record_board.CHAPTERS)
def test_without_a_board_a_recorded_session_is_shown_as_such(number, run, configuration, capsys):
    """One line says that it is simulated, on what, and when; it has no time, and none gets into the table."""
    names = run(record_board.CHAPTERS[number])
    assert "board add NAME user@host" in capsys.readouterr().out
    assert names["board_rows"] == RECORDED["chapters"][number]
    assert names["caption"].startswith("No board ran it. Simulated") and RECORDED["date"] in names["caption"]
    assert results.load().empty


@pytest.mark.parametrize("number", record_board.CHAPTERS)
def test_a_board_that_nobody_added_is_told_and_the_lesson_goes_on(number, run, configuration, capsys):
    names = run(record_board.CHAPTERS[number], BOARD="pi9")
    assert "No board is called 'pi9'" in capsys.readouterr().out
    assert names["board_rows"] == RECORDED["chapters"][number] and "Simulated" in names["caption"]


def rows_there(run, arm, number):
    """What the section shows of the emulated board, in the columns that are recorded."""
    names = run(record_board.CHAPTERS[number], BOARD=arm)
    rows = names["board_rows"]
    assert rows and all(row["provenance"] == "simulated" for row in rows)
    assert all("emulated Cortex-A76, cpu, LiteRT" in row["runs on"] for row in rows)
    assert [list(row) for row in rows] == [list(row) for row in RECORDED["chapters"][number]]
    assert arm in names["caption"]
    return names, rows


def compares_precisions(names, rows):
    assert [row["precision"] for row in rows] == ["float32", "int8"]
    assert {row["latency (ms)"] for row in rows} == {"not timed"}
    assert {row["energy (mJ per run)"] for row in rows} == {"not measured"}
    assert all(float(row["same answers"].partition("%")[0]) > 90 for row in rows)
    assert [target.name for target in names["on_board"]] == ["cpu"]
    assert set(results.load()["provenance"]) == {"simulated"}


def classifies_frames(names, rows):
    [row] = rows
    same, _, count, _ = row["same answers"].split()
    assert int(count) == 30 and int(same) >= 28
    size = names["live_chain"].dataset.image_shape
    assert int(row["travels (bytes per frame)"]) == size[0] * size[1] * 3
    assert (row["model (ms)"], row["link (ms)"]) == ("not timed", "not timed")


def tries_threads(names, rows):
    assert [row["threads"] for row in rows] == ["4", "2", "1"]
    assert len({row["same answers"] for row in rows}) == 1 and "Nothing was timed" in names["threads_text"]()


DOES_THERE = {"09": compares_precisions, "10": classifies_frames, "13": tries_threads}


@pytest.mark.parametrize("number", record_board.CHAPTERS)
def test_a_section_runs_on_an_emulated_board(number, run, request):
    def judge(arm):
        DOES_THERE[number](*rows_there(run, arm, number))

    passes_there(judge, record_board.CHAPTERS[number], request)


def test_chapter_10_without_a_board_runs_its_target_here(run, configuration, capsys):
    """A stick here needs a compiled file: without one the reason is told."""
    names = run(record_board.CHAPTERS["10"], TARGET="edgetpu")
    assert "Edge TPU" in capsys.readouterr().out
    assert names["board_rows"] == RECORDED["chapters"]["10"]


def test_chapter_13_tells_which_number_of_threads_pays():
    """The sentence follows intervals: made-up records, since no board here may be timed."""
    cells = record_board.section_cells(record_board.CHAPTERS["13"])
    source = next(cell for cell in cells if cell.startswith("def threads_text"))

    class Ran:
        def __init__(self, low, high):
            spread = results.Samples(9, (low + high) / 2, low, high, low, high)
            record = results.Result("latency", (low + high) / 2, samples=spread)
            self.collected = type("Collected", (), {"records": (record,)})

    def text(**spans):
        names = {"BOARD": "pi5", "board_runs": {int(name[1:]): Ran(*span) for name, span in spans.items()}}
        exec(source, names)
        return names["threads_text"]()

    assert "4 threads answer soonest, 2.0 times" in text(t4=(1.0, 1.2), t2=(1.3, 1.4), t1=(2.1, 2.3))
    assert "one thread answers sooner than 2" in text(t4=(3.0, 3.2), t2=(2.4, 2.6), t1=(2.1, 2.3))
    assert "no difference is shown" in text(t2=(2.0, 2.2), t1=(2.1, 2.3))
    assert "Nothing was timed" in text(t1=(2.1, 2.3))
