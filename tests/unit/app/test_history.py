import os
import signal
import subprocess
import sys

import pytest

from edgelab.alarms import Alarm
from edgelab.app.history import History, Minute
from edgelab.errors import StorageError

WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from edgelab.alarms import Alarm
from edgelab.app.history import History
history = History(Path(sys.argv[1]))
number = 0
while True:
    history.add([Alarm(float(number + k), "enter", "door", "person", number + k, "") for k in range(3)])
    number += 3
    print(number, flush=True)
"""


def alarm(number, text=""):
    return Alarm(float(number), "enter", "door", "person", number, text)


def minute(number):
    return Minute(number, 1800, 3, 12.5, 20.0, 4.0, 2)


def test_alarms_and_minutes_come_back_newest_first(tmp_path):
    history = History(tmp_path / "history.sqlite")
    history.add([alarm(number) for number in range(10)], [minute(1), minute(2)])
    found = history.alarms(most=3)
    assert [one["track_id"] for one in found] == [9, 8, 7]
    assert [one["track_id"] for one in history.alarms(before=found[-1]["number"], most=2)] == [6, 5]
    assert len(history.alarms(since_s=8.0)) == 2
    assert history.minutes() == [minute(2), minute(1)]
    history.close()


def test_a_kill_in_the_middle_leaves_it_whole(tmp_path):
    path = tmp_path / "history.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    said = [int(child.stdout.readline()) for _ in range(30)]
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait(20)
    said += [int(word) for word in child.stdout.read().split()]
    history = History(path)
    assert history.is_whole() and history.moved_aside is None
    ids = [one["track_id"] for one in reversed(history.alarms(most=10**6))]
    assert ids == list(range(len(ids))) and len(ids) - said[-1] in (0, 3)
    history.close()


def test_what_is_old_goes(tmp_path):
    history = History(tmp_path / "history.sqlite", keep_days=1)
    history.add([alarm(0), alarm(90_000)], [minute(0), minute(1500)])
    history.tidy(now_s=100_000.0)
    assert [one["track_id"] for one in history.alarms()] == [90_000]
    assert history.minutes() == [minute(1500)]
    history.close()


def test_the_file_stays_below_its_limit_and_the_newest_stay(tmp_path):
    path = tmp_path / "history.sqlite"
    history = History(path, most_mb=0.3)
    for start in range(0, 2000, 20):
        history.add([alarm(start + k, "x" * 500) for k in range(20)])
    assert path.stat().st_size <= 300_000
    ids = [one["track_id"] for one in history.alarms(most=10**6)]
    assert ids == list(range(1999, 1999 - len(ids), -1)) and len(ids) > 100
    history.close()


def test_one_batch_that_never_fits_is_refused_whole(tmp_path):
    history = History(tmp_path / "history.sqlite", most_mb=0.2)
    history.add([alarm(1)])
    with pytest.raises(StorageError):
        history.add([alarm(2), alarm(3, "x" * 400_000)])
    assert [one["track_id"] for one in history.alarms()] == [1]
    history.close()
