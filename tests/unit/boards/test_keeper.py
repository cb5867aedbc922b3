"""What the keeper starts on a board ends with the link, whatever it does meanwhile."""

import contextlib
import os
import subprocess
import sys

import psutil
import pytest

from edgelab.boards import keeper

pytestmark = pytest.mark.skipif(os.name == "nt", reason="it runs on boards, which have Linux")


TAKES_NOTHING = ("sh", "-c", "echo started; exec sleep 600")
MESSAGE = bytes(60_000)  # two fill the pipe to a program that takes nothing


@pytest.mark.parametrize("messages", [0, 2])
def test_a_program_that_takes_nothing_ends_with_the_link(messages, tmp_path):
    silence_s = "600"
    command = [sys.executable, keeper.__file__, silence_s, "run", str(tmp_path), *TAKES_NOTHING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"started\n"
        [program] = psutil.Process(running.pid).children()
        for _ in range(messages):
            running.stdin.write(keeper.HEADER.pack(keeper.DATA, len(MESSAGE)) + MESSAGE)
        running.stdin.close()  # the link has ended
        try:
            assert running.wait(60) == keeper.KILLED
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                program.kill()
            running.kill()
