"""A board as a target: what it tells, takes and runs; over ssh, here and on an emulated Arm board."""

import numpy as np
import pytest

from edgelab import benchmark, boards, targets
from edgelab.boards import registry
from edgelab.boards.registry import Board
from edgelab.errors import InputError, ModelError, TargetError

pytestmark = pytest.mark.slow


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A board that was added, and is switched off."""
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path))
    registry.put(Board("off", "nobody@127.0.0.1:9", options=("StrictHostKeyChecking=yes",)))


def test_both_halves_are_told(board):
    found = boards.target("cpu", "pi").probe()
    assert found.can_compile and found.can_run and not found.fix and not found.is_simulated
    assert (
        "here: " in found.detail
        and "on pi: Board: " in found.detail
        and "Board kit: ai-edge-litert" in found.detail
    )


def test_a_board_without_a_coral_compiles_or_not_as_this_machine_does_and_does_not_run(board):
    found, here = boards.target("edgetpu", "pi").probe(), targets.get("edgetpu").probe()
    assert found.can_compile == here.can_compile and not found.can_run
    assert "no Coral is seen there" in found.detail and "lsusb" in found.fix


def test_a_board_that_is_off_is_told_and_raises_where_it_is_needed(nobody, board_files):
    target = boards.target("cpu", "off")
    found = target.probe()
    assert found.can_compile and not found.can_run and "Board: " in found.detail and found.fix
    with pytest.raises(TargetError):
        target.open(board_files["int8"])
    assert [finding.status for finding in boards.check("off")] == ["missing"]


def test_a_lesson_without_a_board_is_told_how_to_get_one(nobody):
    [finding] = boards.check("")
    assert finding.status == "missing" and "board add NAME user@host" in finding.fix
    [finding] = boards.check("other")
    assert "No board is called 'other'" in finding.detail and "known are: off" in finding.detail


def test_a_lesson_sees_what_board_check_tells(board):
    report = boards.check("pi")
    assert report["Board kit"].status == "ok" and report["Link"].detail


@pytest.mark.parametrize(
    ("name", "words"), [("rknn", "where='board'"), ("tensorrt", "trtexec"), ("gpu", "edgetpu")]
)
def test_what_the_kit_does_not_run_is_told_with_where_it_does(nobody, name, words):
    with pytest.raises(TargetError, match="does not run") as told:
        boards.target(name, "off")
    assert words in told.value.fix


def test_a_board_nobody_added_is_told(nobody):
    with pytest.raises(InputError, match="No board is called 'pi6'"):
        boards.target("cpu", "pi6")


def test_compiled_here_run_there_timed_by_its_clock(board, board_files, tmp_path):
    target = boards.target("cpu", "pi", threads=1)
    made = target.compile(board_files["int8"], tmp_path / "made.tflite")
    with target.open(made) as there, targets.get("cpu", threads=1).open(board_files["int8"]) as here:
        pixels = (
            np.random.default_rng(3).integers(-128, 128, there.inputs[0].shape).astype(there.inputs[0].dtype)
        )
        np.testing.assert_array_equal(there.run(pixels)[0], here.run(pixels)[0])
        measured = benchmark.measure(there, max_seconds=0.5)
    assert measured.provenance == "measured" and measured.target == "cpu" and measured.median_ms > 0
    assert measured.energy_mj is None


def test_a_file_that_is_not_compiled_never_reaches_the_board(nobody, board_files):
    with pytest.raises(ModelError, match="has not been compiled for the Edge TPU"):
        boards.target("edgetpu", "off").open(board_files["int8"])


def test_on_an_emulated_board_all_is_simulated_and_nothing_timed(emulated, board_files):
    target = boards.target("cpu", "arm")
    found = target.probe()
    assert found.can_run and found.is_simulated and "Cortex-A76" in found.detail
    with target.open(board_files["int8"]) as there, targets.get("cpu").open(board_files["int8"]) as here:
        assert there.provenance == "simulated"
        shape = (8, *there.inputs[0].shape[1:])
        pixels = np.random.default_rng(4).integers(-128, 128, shape).astype(there.inputs[0].dtype)
        for one in pixels[:, np.newaxis]:
            apart = there.run(one)[0].astype(int) - here.run(one)[0]
            assert np.abs(apart).max() <= 1
        with pytest.raises(TargetError, match="simulat"):
            benchmark.measure(there)
