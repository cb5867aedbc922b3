"""The process between Python and a browser."""

import json
import subprocess
import sys
import time

import psutil

from edgelab.machine.child import ANSWER_MARK

COMMAND = [sys.executable, "-m", "edgelab.targets.web.worker"]
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_what_it_has_started_ends_when_its_input_does():
    worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    request = {"do": "start", "command": SLEEPER, "address": "http://127.0.0.1:9/"}
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()
    pid = json.loads(worker.stdout.readline().removeprefix(ANSWER_MARK))["pid"]
    assert psutil.pid_exists(pid)
    [profile] = [
        word.partition("=")[2] for word in psutil.Process(pid).cmdline() if "--user-data-dir" in word
    ]
    worker.stdin.close()
    assert worker.wait(60) == 0
    worker.stdout.close()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    from pathlib import Path

    assert not Path(profile).exists()
