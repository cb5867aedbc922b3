"""What a channel closes, and when: file numbers are given again as soon as they are free."""

import contextlib
import os
import subprocess
import threading

import pytest
from waiting import wait_for

from edgelab.boards import channel
from edgelab.boards.registry import Board
from edgelab.errors import TargetError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are those of a shell")
BOARD = Board("pi", "pi@nowhere")


def opened(script):
    return channel.Channel(BOARD, ["sh", "-c", script], beats=False)


class Late:
    """An output whose reader is held up just before it reads, as on a busy machine."""

    def __init__(self, output):
        self.output, self.number = output, output.fileno()
        self.asked, self.may_read = threading.Event(), threading.Event()

    def read(self, size):
        self.asked.set()
        assert self.may_read.wait(30)
        return os.read(self.number, size)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.output.close()

    def close(self):
        self.output.close()


def test_an_output_is_closed_by_its_reader_however_late_it_is(monkeypatch):
    late = []

    def popen(*arguments, **options):
        process = real(*arguments, **options)
        if not late:
            late.append(Late(process.stdout))
            process.stdout = late[0]
        return process

    real = subprocess.Popen
    monkeypatch.setattr(channel.subprocess, "Popen", popen)
    first = opened("exit 0")
    assert late[0].asked.wait(30)
    first.close()
    assert not late[0].output.closed  # its number stays its own
    late[0].may_read.set()
    wait_for(lambda: late[0].output.closed)


def test_one_that_takes_nothing_is_ended_and_its_sender_with_it():
    busy = opened("exec sleep 60")

    def send():
        with contextlib.suppress(Exception):  # it is told that the link broke
            busy.send(bytes(1 << 20))

    sending = threading.Thread(target=send)
    sending.start()
    wait_for(busy._writing.locked)
    busy.close()
    sending.join(30)
    assert not sending.is_alive() and not busy.is_open


def test_one_that_takes_nothing_fails_by_itself_in_the_end(monkeypatch):
    monkeypatch.setattr(channel, "STALLED_S", 0.3)
    busy, told = opened("exec sleep 600"), []

    def send():
        try:
            busy.send(bytes(1 << 20))
        except TargetError as error:
            told.append(str(error))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(60)
    ended = not sending.is_alive()
    busy.close()
    assert ended and "pi" in told[0]


def test_how_it_ended_is_told():
    ended = opened("echo first; echo why >&2; exit 3")
    assert ended.line(30) == "first"
    with pytest.raises(TargetError, match="exit code 3") as error:
        ended.line(30)
    assert "why" in error.value.why
    ended.close()
