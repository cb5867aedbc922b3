"""A board as a target: what it tells, takes and runs; over ssh, here and on an emulated Arm board."""

import json
import shutil
from pathlib import Path

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


@pytest.mark.parametrize(("name", "words"), [("tensorrt", "trtexec"), ("gpu", "edgetpu")])
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


@pytest.fixture
def rknn_file(tmp_path):
    """What stands in a `.rknn` file of this course for the board: it begins and is described as one."""
    about = {
        "platform": "rk3588",
        "inputs": [["x", [1, 4, 6, 3], "uint8"]],
        "outputs": [["y", [1, 5], "float32"]],
    }
    path = tmp_path / "model.rknn"
    path.write_bytes(b"RKNN" + bytes(60) + f"edgelab-rknn {json.dumps(about)}".encode() + bytes(100))
    return path


# The names of Rockchip's RKNNLite, which is for its chips alone: it sums pictures as they come.
RKNN_LITE = """
import numpy as np
class RKNNLite:
    def load_rknn(self, path):
        return 0 if open(path, "rb").read(4) == b"RKNN" else -1
    def init_runtime(self, core_mask=None):
        return {code}
    def inference(self, inputs, data_format=None):
        assert data_format == ["nchw"] and inputs[0].shape == (1, 3, 4, 6)
        return [np.float32([[inputs[0][0, c].sum() for c in (0, 1, 2, 0, 1)]])]
"""


@pytest.fixture
def with_rknn_lite(board, server):
    """Puts it where the message says: among the packages of the kit's own Python. It is taken out again."""
    [packages] = Path(server.home).glob(".edgelab/kit-*/env/lib/python3*/site-packages")
    about = packages / "rknn_toolkit_lite2-0.0.dist-info"

    def put(code):
        for folder in (packages / "rknnlite", about):
            folder.mkdir(exist_ok=True)
        (packages / "rknnlite" / "__init__.py").touch()
        (packages / "rknnlite" / "api.py").write_text(RKNN_LITE.replace("{code}", str(code)))
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rknn-toolkit-lite2\nVersion: 0.0\n")

    yield put
    shutil.rmtree(packages / "rknnlite", ignore_errors=True)
    shutil.rmtree(about, ignore_errors=True)


def test_an_rknn_file_goes_there_and_what_is_missing_is_told(board, rknn_file):
    """No board here has an NPU: the real error of its Python, and the command for that very environment."""
    target = boards.target("rknn", "pi", chip="rk3588")
    found = target.probe()
    assert not found.can_run and "librknnrt.so is not installed" in found.detail
    assert "rknn-toolkit-lite2" in found.fix
    with pytest.raises(ModelError, match="rknn-toolkit-lite2 does not load") as told:
        target.open(rknn_file)
    assert "No module named 'rknnlite'" in str(told.value) and "pip install --target" in told.value.fix
    assert ".edgelab/kit-" in told.value.fix


def test_an_emulated_board_tells_the_same(emulated, rknn_file):
    with pytest.raises(ModelError, match="No module named 'rknnlite'") as told:
        boards.target("rknn", "arm").open(rknn_file)
    assert "site-packages" in told.value.fix and "rknn-toolkit-lite2" in told.value.fix


def test_pictures_reach_rockchips_runtime_as_the_course_compiles_them(board, rknn_file, with_rknn_lite):
    with_rknn_lite(0)
    with boards.target("rknn", "pi").open(rknn_file) as session:
        pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), np.uint8)
        [found] = session.run(pixels)
        assert found.tolist() == [[float(pixels[..., c].sum()) for c in (0, 1, 2, 0, 1)]]
        assert (session.target, session.runtime_version) == ("rknn", "rknn-toolkit-lite2 0.0")
        assert session.last_ms > 0 and len(session.time_runs((pixels,), 5)) == 5
        meter, note = session.energy_meter()
        assert meter is None and "accelerator" in note
    with_rknn_lite(-1)
    with pytest.raises(ModelError, match="init_runtime gives error code -1") as told:
        boards.target("rknn", "pi").open(rknn_file)
    assert "librknnrt.so" in told.value.fix


def test_an_rknn_file_for_another_chip_or_of_elsewhere_never_reaches_the_board(nobody, rknn_file, tmp_path):
    with pytest.raises(ModelError, match="compiled for RK3588") as told:
        boards.target("rknn", "off", chip="rk3566").open(rknn_file)
    assert 'chip="rk3588"' in told.value.fix
    (tmp_path / "other.rknn").write_bytes(b"RKNN" + bytes(100))
    with pytest.raises(ModelError, match="does not tell what it takes"):
        boards.target("rknn", "off").open(tmp_path / "other.rknn")
    with pytest.raises(ModelError, match="Cannot read"):
        boards.target("rknn", "off").open(tmp_path / "none.rknn")
    with pytest.raises(InputError, match="takes no chip"):
        boards.target("cpu", "off", chip="rk3588")
    with pytest.raises(InputError, match="not known"):
        boards.target("rknn", "off", chip="rk1")


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
