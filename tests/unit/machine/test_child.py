"""Foreign programs that crash, hang, print rubbish and start others."""

import os
import sys
import threading
import time

import psutil
import pytest
from waiting import leaving_nothing_running, running_with, runs, wait_for

from edgelab.errors import TargetError
from edgelab.machine import child

ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    exec(request.get("code", ""))
    print("rubbish \\x00 {")
    print("answer not json")
    print("answer " + json.dumps({"got": request["n"]}), flush=True)
"""
FOREVER = "import time; time.sleep(600)"


@pytest.fixture
def worker(tmp_path):
    made = child.Worker([sys.executable, "-c", ECHO], folder=tmp_path, name="Echo")
    yield made
    made.close()


def test_run_tells_what_was_printed_and_how_it_ended(tmp_path):
    code = "import sys, os; print(os.getcwd()); sys.stderr.buffer.write(b'a\\n\\xff\\nb\\n'); sys.exit(3)"
    found = child.run([sys.executable, "-c", code], folder=tmp_path, time_limit_s=30)
    assert found.returncode == 3
    assert found.stdout.strip() == str(tmp_path)
    assert found.tail == "a\n�\nb"


def test_run_adds_to_the_environment(tmp_path):
    code = "import os; print(os.environ['EDGELAB_X'], 'PATH' in os.environ)"
    found = child.run(
        [sys.executable, "-c", code], folder=tmp_path, time_limit_s=30, environment={"EDGELAB_X": "7"}
    )
    assert found.stdout.split() == ["7", "True"]


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(TargetError, match="no_such_program cannot be started"):
        child.run(["no_such_program"], folder=tmp_path, time_limit_s=5)


@pytest.mark.slow
def test_what_hangs_is_killed_with_all_it_started(tmp_path):
    started = f"{FOREVER}  # {tmp_path}"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {started!r}]); {FOREVER}"
    with pytest.raises(TargetError, match="within 2 s"):
        child.run([sys.executable, "-c", code], folder=tmp_path, time_limit_s=2)
    wait_for(lambda: not running_with(started))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_what_hangs_while_it_starts_others_leaves_none_of_them(tmp_path):
    code = """
import os, time
for _ in range(2000):
    if os.fork() == 0:
        time.sleep(100)
        os._exit(0)
    time.sleep(0.002)
"""
    with leaving_nothing_running(), pytest.raises(TargetError, match=r"within 0\.5 s"):
        child.run([sys.executable, "-c", code], folder=tmp_path, time_limit_s=0.5)


def test_a_clock_appears_when_work_takes_long(capfd, monkeypatch):
    with child.clock("soon done"):
        pass
    assert "soon done" not in capfd.readouterr().err
    monkeypatch.setattr(child, "SECONDS_BEFORE_CLOCK", 0.05)
    with child.clock("still at it"):
        deadline, shown = time.monotonic() + 30, ""
        while "still at it" not in shown and time.monotonic() < deadline:
            time.sleep(0.02)
            shown += capfd.readouterr().err
    assert "still at it" in shown


def test_a_worker_answers_among_rubbish(worker):
    assert [worker.ask({"n": n}, 30)["got"] for n in range(3)] == [0, 1, 2]


def test_a_worker_that_dies_is_quoted(worker):
    with pytest.raises(TargetError, match="exit code 5") as caught:
        worker.ask({"n": 0, "code": "sys.stderr.write('no licence\\n'); sys.exit(5)"}, 30)
    assert "no licence" in str(caught.value)
    with pytest.raises(TargetError, match="closed"):
        worker.ask({"n": 0}, 30)


def test_a_worker_that_hangs_is_killed(worker):
    process = worker._process
    with pytest.raises(TargetError, match=r"within 0\.5 s"):
        worker.ask({"n": 0, "code": FOREVER}, 0.5)
    assert process.poll() is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_a_program_that_leaves_a_child_with_its_output_does_not_hold_us_up(tmp_path):
    leaves_a_child = """
import os, pathlib, sys, time
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    pathlib.Path("child").write_text(str(child))
    os._exit(1)
"""
    left, told = child.Worker([sys.executable, "-c", leaves_a_child], folder=tmp_path, name="Forking"), []

    def ask():
        try:
            left.ask({}, 20)
        except TargetError as error:
            told.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)
    psutil.Process(int((tmp_path / "child").read_text())).kill()
    assert not asking.is_alive() and "Forking gave no answer" in told[0]


def test_a_worker_ends_when_forgotten(tmp_path):
    worker = child.Worker([sys.executable, "-c", ECHO], folder=tmp_path, name="Echo")
    process = worker._process
    del worker
    assert process.poll() is not None


def test_a_worker_ends_when_we_are_killed(tmp_path):
    code = (
        "import os, pathlib, sys; from edgelab.machine import child\n"
        f"worker = child.Worker([sys.executable, '-c', {ECHO!r}], folder=pathlib.Path('.'), name='Echo')\n"
        "print(worker._process.pid, flush=True); os._exit(1)"
    )
    found = child.run([sys.executable, "-c", code], folder=tmp_path, time_limit_s=60)
    pid = int(found.stdout)
    wait_for(lambda: not runs(pid))
