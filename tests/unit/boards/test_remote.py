"""The kit on a board, a model run there, a session there: over ssh, here and on an emulated Arm board."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from ssh_board import SshBoard
from waiting import wait_for

from edgelab import __main__ as program
from edgelab import benchmark, results, targets
from edgelab.boards import facts, kit, registry, remote
from edgelab.boards.link import Link
from edgelab.boards.session import BoardSession
from edgelab.boards.ssh_words import LinkError
from edgelab.errors import DataError, InputError, TargetError

pytestmark = pytest.mark.slow
QUICK = ("--seconds", "0.1", "--openings", "3", "--threads", "1")


# -------------------------------------------------------------------------------------------- the kit


def test_check_prints_the_report_of_that_board(board, capsys):
    assert program.main(["board", "check", "pi"]) == 0
    shown = capsys.readouterr().out
    for row in ("Link: ", "Board: ", "Python: ", "Board kit: ai-edge-litert", "State: governor"):
        assert row in shown, row
    assert registry.get("pi").kind in ("x86", "arm")


def test_the_kit_sees_neither_this_workbook_nor_the_boards_own_packages(board, server):
    place = next((server.home / ".edgelab").glob("kit-*"))
    names = "import sys; print(sorted({name.split('.')[0] for name in sys.modules}))"
    tried = "import numpy, ai_edge_litert.interpreter\n"
    tried += "try:\n import edgelab\nexcept ImportError: print('no edgelab')\n"
    done = subprocess.run(
        [place / "env" / "bin" / "python", "-c", tried + names], capture_output=True, text=True, cwd=place,
        env={"PATH": "/usr/bin:/bin", "HOME": str(server.home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no edgelab" in done.stdout and "'tensorflow'" not in done.stdout


def test_a_kit_of_another_board_is_refused(board, tmp_path):
    with Link(board) as link:
        wanted = kit.needed_by(link.facts())
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        about = {"version": kit.version(), "machine": "aarch64", "python": "3.9"}
        archive.writestr("about.json", json.dumps(about))
    with pytest.raises(DataError, match="for another board") as told:
        kit.checked(tmp_path / "other.zip", wanted)
    assert f"--python {wanted.python}" in told.value.fix
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="is no board kit"):
        kit.checked(tmp_path / "no.zip", wanted)


def test_wheels_that_do_not_fit_are_told(configuration, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(TargetError, match=r"Wheels for Python 3\.12 on aarch64 cannot be had") as told:
        kit.make(kit.For("aarch64", "3.12"), tmp_path / "none")
    assert "--wheels" in told.value.fix and "--kit" in told.value.fix


@pytest.mark.parametrize("minor", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_every_python_offered_has_a_kit(minor):
    wanted = kit.For("aarch64", minor, (2, 36))
    assert kit.requirements(wanted)[0].startswith("tflite-runtime" if minor == "3.9" else "ai-edge-litert")
    assert kit.platforms(wanted)[0] == "manylinux_2_36_aarch64" and "manylinux2014_aarch64" in kit.platforms(
        wanted
    )


@pytest.mark.parametrize(
    ("answer", "words", "fix"),
    [
        ("machine\taarch64\nlibc\tglibc 2.31", "no Python that the kit takes: none", "apt install python3"),
        ("machine\taarch64\nlibc\tglibc 2.31\npython\tpython3 3.6.9", "takes: 3.6.9", "3.12"),
        ("machine\taarch64\npython\tpython3 3.11.2", "No runtime is made for aarch64", "64-bit"),
        ("machine\tarmv7l\nlibc\tglibc 2.36\npython\tpython3 3.11.2", "is made for armv7l", "64-bit"),
    ],
)  # fmt: skip
def test_a_board_for_which_there_is_no_kit_is_told_why(answer, words, fix):
    with pytest.raises(TargetError, match=words.replace(".", r"\.")) as told:
        kit.needed_by(facts.parse(answer))
    assert fix in told.value.fix


# ---------------------------------------------------------------------------------------------- a run


def test_a_model_is_run_there_judged_and_recorded(board, server, board_files, capsys):
    before = len(results.load())
    command = ["board", "run", "pi", str(board_files["int8"]), "--model-name", "net", "--dataset", "patterns"]
    assert program.main([*command, *QUICK]) == 0
    shown = capsys.readouterr().out
    assert "opening 3 of 3" in shown and "equal to the CPU's here" in shown and "recorded" in shown
    found = results.load().iloc[before:]
    assert list(found["metric"]) == ["latency", "throughput"] and set(found["provenance"]) == {"measured"}
    assert set(found["model"]) == {"net"} and all("governor" in source for source in found["source"])
    kept = sorted((Path(os.environ["EDGELAB_ARTIFACTS"]) / "boards" / "pi").glob("*-results.json"))
    whole = json.loads(kept[-1].read_text())
    assert whole["board"]["before"]["governors"] is not None and whole["timing"]["openings"]
    assert not list((server.home / ".edgelab" / "jobs").glob("*"))  # nothing is left there


def test_a_board_without_the_kit_tells_the_command(tmp_path, configuration, board_files):
    server = SshBoard(tmp_path / "b", tmp_path / "b" / "home")
    try:
        with pytest.raises(TargetError, match="lacks the board kit") as told:
            remote.run(server.added("bare"), remote.Wanted(board_files["int8"], count=2))
        assert "board check bare --install" in told.value.fix
    finally:
        server.stop()


def test_a_runner_that_refuses_says_so_here(board, board_files):
    wanted = remote.Wanted(board_files["int8"], count=2, arguments=("--delegate", "libnone.so"))
    with pytest.raises(TargetError, match="did not run on pi") as told:
        remote.run(board, wanted)
    assert "libnone.so does not load" in told.value.why and "CPU needs no --delegate" in told.value.fix


def test_a_run_that_is_cut_leaves_nothing_running_and_nothing_recorded(board, server, board_files):
    before, seen = len(results.load()), threading.Event()
    wanted = remote.Wanted(board_files["float32"], count=2, arguments=("--seconds", "300", "--threads", "1"))
    failed = []

    def go():
        try:
            remote.run(board, wanted, told=lambda line: seen.set())
        except LinkError as error:
            failed.append(error)

    running = threading.Thread(target=go)
    running.start()
    assert seen.wait(60)
    wait_for(lambda: server.running("run.py"))
    server.stop()
    running.join(30)
    wait_for(lambda: not server.running("run.py"))
    server.start()
    assert failed and "broke" in failed[0].what and len(results.load()) == before
    remote.run(board, remote.Wanted(board_files["int8"], count=2, arguments=QUICK))  # and all is well again


def test_a_user_who_stops_it_leaves_nothing_running(board, server, board_files):
    command = [
        sys.executable,
        "-m",
        "edgelab",
        "board",
        "run",
        "pi",
        str(board_files["int8"]),
        "--seconds",
        "300",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if " on " in line:
                break
        wait_for(lambda: server.running("run.py"))
        process.send_signal(signal.SIGKILL)  # the hardest way
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    wait_for(lambda: not server.running("run.py"))


# ------------------------------------------------------------------------------------------ a session


def test_a_session_there_gives_what_one_here_gives_and_reads_the_clock_there(board, board_files):
    rng = np.random.default_rng(1)
    with (
        BoardSession(board, board_files["int8"]) as there,
        targets.get("cpu").open(board_files["int8"]) as here,
    ):
        assert (there.inputs, there.outputs) == (here.inputs, here.outputs)
        assert there.target == "cpu" and there.provenance == "measured" and there.runtime_version
        for _ in range(3):
            arrays = [rng.integers(-128, 128, spec.shape).astype(spec.dtype) for spec in there.inputs]
            np.testing.assert_array_equal(there.run(*arrays)[0], here.run(*arrays)[0])
        times = benchmark.time_runs(there, tuple(arrays), 50)
        assert len(times) == 50 and min(times) > 0 and there.last_ms > 0
        with pytest.raises(InputError):
            there.run(arrays[0][..., :1])
        with pytest.raises(TargetError, match="in use by"):  # it holds the board
            BoardSession(board, board_files["int8"])
    with pytest.raises(InputError, match="closed"):
        there.run(*arrays)


def test_after_a_stop_no_answer_is_taken_for_that_of_another_question(board, board_files, monkeypatch):
    model = board_files["two inputs"]
    with BoardSession(board, model) as there, targets.get("cpu").open(model) as here:
        first, second = ([np.full(spec.shape, value, spec.dtype) for spec in here.inputs] for value in (1, 2))
        there.run(*first)
        with monkeypatch.context() as stop:
            stop.setattr(there._channel, "exactly", mock.Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                there.run(*first)
        with pytest.raises(InputError, match="closed"):  # else it would answer the question before
            there.run(*second)


def test_several_inputs_and_outputs_keep_their_order(board, board_files):
    x, y = np.float32([[1, 2, 3, 4]]), np.float32([10, 20, 30, 40])
    model = board_files["two inputs"]
    with BoardSession(board, model) as there, targets.get("cpu").open(model) as here:
        arrays = [x if len(spec.shape) == 2 else y for spec in here.inputs]
        for a, b in zip(there.run(*arrays), here.run(*arrays), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_model_that_the_runtime_there_refuses_is_told(board, tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"no model at all")
    with pytest.raises(Exception, match="refuses the model"):
        BoardSession(board, tmp_path / "broken.tflite")


def test_a_session_whose_board_goes_tells_so(board, server, board_files):
    with BoardSession(board, board_files["two inputs"]) as there:
        arrays = [np.zeros(spec.shape, spec.dtype) for spec in there.inputs]
        there.run(*arrays)
        assert server.running("server.py")
        server.stop()
        try:
            with pytest.raises(LinkError, match="broke"):
                there.run(*arrays)
        finally:
            server.start()
    wait_for(lambda: not server.running("server.py"))


# -------------------------------------------------------------------------------- an emulated Arm board


def test_on_an_emulated_arm_board_outputs_are_compared_and_nothing_is_timed(emulated, board_files):
    before, said = len(results.load()), []
    ran = remote.run(emulated, remote.Wanted(board_files["int8"], name="net", count=16), told=said.append)
    assert ran.facts.machine == "aarch64" and ran.facts.emulated == "Cortex-A76" and ran.is_right
    assert all(row["steps"] <= 1 for row in ran.collected.outputs)  # SOFTMAX may round otherwise
    assert "emulation" in ran.collected.fault and not ran.collected.records
    found = results.load().iloc[before:]
    assert list(found["metric"]) == ["agreement"] and list(found["provenance"]) == ["simulated"]
    assert list(found["device"]) == ["emulated Cortex-A76"] and found["value"].iloc[0] >= 0.9
    assert any("No latency" in line for line in said)


def test_a_session_on_an_emulated_board_is_right_and_refuses_to_be_timed(emulated, board_files):
    model = board_files["int8"]
    with BoardSession(emulated, model) as there, targets.get("cpu").open(model) as here:
        assert there.provenance == "simulated" and there.device == "emulated Cortex-A76"
        pixels = np.random.default_rng(2).integers(-128, 128, there.inputs[0].shape).astype(np.int8)
        apart = there.run(pixels)[0].astype(int) - here.run(pixels)[0]
        assert np.abs(apart).max() <= 1 and there.last_ms is None
        with pytest.raises(InputError, match="is not timed"):
            there.time_runs((pixels,), 3)


def test_the_tool_that_makes_it_tells_why_it_cannot(tmp_path):
    tool = Path(__file__).parents[3] / "tools" / "make_emulated_board.py"
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python3").symlink_to(shutil.which("python3"))
    done = subprocess.run(
        [sys.executable, tool, tmp_path / "board"], capture_output=True, text=True, env={"PATH": str(bare)}
    )
    assert done.returncode == 3 and "No emulated board: apt-get" in done.stdout
