import shutil
import subprocess
import sys
import threading

import pytest
from waiting import wait_for

from edgelab.alarms import Alarm, Backoff, Outbox
from edgelab.app import desk as desk_module
from edgelab.app.desk import Desk
from edgelab.app.history import History, Minute

FILLS_A_DISK = """
import sys, time
from pathlib import Path
from edgelab.alarms import Alarm, Backoff, Outbox
from edgelab.app.desk import Desk
from edgelab.app.history import History

disk = Path(sys.argv[1])
history, outbox = History(disk / "history.sqlite"), Outbox(disk / "outbox.sqlite")
desk = Desk(history, (outbox,), Backoff(0.02, 0.1)).start()
until = lambda condition: next(1 for _ in range(3000) if condition() or time.sleep(0.01))
alarm = lambda number: Alarm(4e9 + number, "enter", "door", "person", number, "x" * 200)
for number in range(10):
    desk.tell(alarm(number))
until(lambda: desk.state().in_memory == 0)
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"0" * 4096)
    except OSError as error:
        print("full:", error.errno)
for number in range(10, 200):
    desk.tell(alarm(number))
until(lambda: not desk.state().is_writing)
print("stopped:", desk.state().error)
print("readable:", len(history.alarms(most=1000)) >= 10)
filler.unlink()
until(lambda: desk.state().is_writing and desk.state().in_memory == 0)
ids = [one["track_id"] for one in history.alarms(most=1000)]
print("resumed:", ids == list(range(199, -1, -1)), history.is_whole(), desk.state().lost)
waiting = [one.alarm.track_id for one in outbox.waiting()]
print("outbox:", waiting == list(range(200)))
desk.close()
"""


def alarm(number):
    return Alarm(4e9 + number, "enter", "door", "person", number, "")


@pytest.fixture
def history(tmp_path):
    history = History(tmp_path / "history.sqlite")
    yield history
    history.close()


def test_alarms_go_to_every_outbox_and_the_history(tmp_path, history):
    outboxes = tuple(Outbox(tmp_path / f"{name}.sqlite") for name in "ab")
    desk = Desk(history, outboxes).start()
    for number in range(5):
        desk.tell(alarm(number))
    desk.tell(Minute(10**8, 1, 0, 1.0, 1.0, 1.0, 5))
    desk.close()
    assert [one["track_id"] for one in history.alarms()] == [4, 3, 2, 1, 0]
    assert len(history.minutes()) == 1
    for outbox in outboxes:
        assert [one.alarm.track_id for one in outbox.waiting()] == list(range(5))
        outbox.close()


def test_telling_never_waits(history, monkeypatch):
    is_writing, released, add = threading.Event(), threading.Event(), history.add

    def held(*arguments):
        is_writing.set()
        released.wait(120)
        add(*arguments)

    monkeypatch.setattr(history, "add", held)
    desk = Desk(history, (), Backoff(0.05, 0.1)).start()
    desk.tell(alarm(0))
    assert is_writing.wait(60)
    teller = threading.Thread(
        target=lambda: [desk.tell(alarm(number)) for number in range(1, 500)], daemon=True
    )
    teller.start()
    teller.join(60)
    told = not teller.is_alive()
    released.set()
    assert told, "it waits for the disk"
    wait_for(lambda: desk.state().in_memory == 0, 60)
    desk.close()
    assert [one["track_id"] for one in history.alarms(most=1000)] == list(range(499, -1, -1))


def test_too_much_in_memory_goes_and_is_counted(history, monkeypatch):
    monkeypatch.setattr(desk_module, "MOST_IN_MEMORY", 10)
    desk = Desk(history)  # not started: nothing is written
    for number in range(15):
        desk.tell(alarm(number))
    assert (desk.state().in_memory, desk.state().lost) == (10, 5)


def test_a_full_disk_stops_the_history_with_a_word_and_it_goes_on_later(tmp_path):
    """On a real file system of 16 MB, which a user namespace lets anybody mount."""
    if not (shutil.which("unshare") and sys.platform == "linux"):
        pytest.skip("unshare(1) is not here, which mounts a small file system")
    script = f'mount -t tmpfs -o size=16m none {tmp_path} && exec {sys.executable} -c "$1" {tmp_path}'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", FILLS_A_DISK],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode and "full:" not in done.stdout:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()[:80]}")
    assert done.returncode == 0, done.stdout + done.stderr
    full, stopped, readable, resumed, outbox = done.stdout.splitlines()
    assert full == "full: 28"
    assert "cannot be read or written" in stopped and "full" in stopped
    assert (readable, resumed, outbox) == ("readable: True", "resumed: True True 0", "outbox: True")
