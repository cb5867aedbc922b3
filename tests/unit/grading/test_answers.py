"""What a sandbox gets to see."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from edgelab.grading.answers import AnswerError, Limits, Sandbox
from edgelab.machine import artifacts


def test_the_sandbox_is_told_nothing_of_this_machine(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    from edgelab.grading.answers import readable_files

    readable, listable = readable_files()
    hidden = [artifacts.PROJECT_ROOT / name for name in ("notebooks", "edgelab/exercises", "tests", ".git")]
    hidden += [Path.home() / ".ssh", Path("/etc/passwd"), Path("/proc"), Path("/tmp")]
    for path in hidden:
        assert not any(path.is_relative_to(allowed) for allowed in readable), path
    assert os.fspath(artifacts.PROJECT_ROOT) not in listable


# The student's code has the process read nothing more: one question fills the pipe, or many replies do.
READS_NOTHING = """
import sys, time
sys.modules["__main__"].Server.receive = lambda self: time.sleep(1000)
def answer(given):
    return given
"""
ASKS_WITHOUT_READING = """
import sys
def answer(given):
    sys.modules["__main__"].Server.receive = lambda self: {"value": 0}
    while True:
        given(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", [READS_NOTHING, ASKS_WITHOUT_READING])
def test_the_limit_holds_while_a_process_does_not_read_what_it_is_sent(source):
    big = np.zeros(100_000)
    given = big if source == READS_NOTHING else lambda number: big
    limits = Limits(cpu_s=600, wall_s=6.0)
    told = []

    def grade():
        with Sandbox(source, "answer", [], limits, locked=False) as sandbox:
            try:
                sandbox.answer()(given)
            except AnswerError as error:
                told.append((str(error), sandbox.fault))

    grader = threading.Thread(target=grade, daemon=True)
    grader.start()
    grader.join(30)
    assert told == [("gave no answer within 6 s",) * 2]
    grader.join(60)
    assert not grader.is_alive()
