"""The process between Python and a browser."""

import json
import subprocess
import sys
from pathlib import Path

from waiting import runs, wait_for

from edgelab.machine.child import ANSWER_MARK

COMMAND = [sys.executable, "-m", "edgelab.targets.web.worker"]
PROFILE = "--user-data-dir="
SLEEPER = [
    sys.executable,
    "-c",
    "import sys, time; print(*sys.argv[1:], sep='\\n', file=sys.stderr, flush=True); time.sleep(600)",
]


def test_what_it_has_started_ends_when_its_input_does():
    worker = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    request = {"do": "start", "command": SLEEPER, "address": "http://127.0.0.1:9/"}
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()
    pid = json.loads(worker.stdout.readline().removeprefix(ANSWER_MARK))["pid"]
    given, address = (worker.stderr.readline().strip() for _ in range(2))
    profile = Path(given.removeprefix(PROFILE))
    assert given.startswith(PROFILE) and address == request["address"]
    assert runs(pid) and profile.is_dir()
    worker.stdin.close()
    assert worker.wait(60) == 0
    worker.stdout.close()
    worker.stderr.close()
    wait_for(lambda: not runs(pid))
    assert not profile.exists()
