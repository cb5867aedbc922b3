"""The section "On your board" of chapter 5, its cells as they are, on an emulated Arm board."""

import json
from functools import cached_property
from pathlib import Path

import pytest
from ssh_board import emulated_board

from edgelab import pipeline, quantization, results

pytestmark = pytest.mark.slow
CHAPTER = Path(__file__).parents[2] / "notebooks" / "05_compile_edge_tpu.ipynb"


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
            return quantization.convert(
                path, mode, patterns.calibration_images(100), io_dtype="uint8", name="small"
            )

    return SmallChain("fast", "shapes", 0, "small")


def cells_of_the_section():
    """The code of parameters and set-up, and of the section."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    begin = next(place for place, text in enumerate(sources) if text.startswith("## On your board"))
    end = next(place for place, text in enumerate(sources) if text.startswith("## Claim against"))
    set_up = next(place for place, text in enumerate(sources) if "display.header(" in text)
    chosen = [*range(set_up + 2), *range(begin, end)]
    return [sources[place] for place in chosen if cells[place]["cell_type"] == "code"]


def run(chain, monkeypatch, **parameters):
    """Run them, with these parameters."""
    monkeypatch.setattr(pipeline, "open", lambda *arguments: chain)
    names = {}
    first, *others = cells_of_the_section()
    exec(first, names)
    names.update(parameters)
    for source in others:
        exec(source, names)
    return names


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))


def test_without_a_board_the_next_step_is_told(chain, configuration, monkeypatch, capsys):
    names = run(chain, monkeypatch)
    shown = capsys.readouterr().out
    assert "board add NAME user@host" in shown and shown.count("Nothing runs there") == 2
    assert names["compared"] is None and results.load().empty


def test_a_board_that_nobody_added_and_a_file_that_is_none_are_told(
    chain, configuration, monkeypatch, capsys
):
    run(chain, monkeypatch, BOARD="pi9", COMPILED="none.tflite")
    shown = capsys.readouterr().out
    assert "No board is called 'pi9'" in shown and shown.count("Nothing runs there") == 2


def test_an_emulated_board_answers_and_is_not_timed(chain, configuration, monkeypatch, capsys, tmp_path):
    with emulated_board(tmp_path / "arm") as board:
        names = run(chain, monkeypatch, BOARD=board.name)
    shown = capsys.readouterr().out
    assert "emulated Cortex-A76, LiteRT" in shown and "its CPU: simulated" in shown
    assert names["compared"].agreement > 0.95 and "emulation" in shown
    kept = results.load()
    assert list(kept["metric"]) == ["agreement"] and list(kept["provenance"]) == ["simulated"]
    assert list(kept["device"]) == ["emulated Cortex-A76"]
