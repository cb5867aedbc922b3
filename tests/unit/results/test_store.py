"""Records survive kills, full disks and each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from latency_records import latency

from edgelab import results
from edgelab.errors import DataError, StorageError
from edgelab.results import Result

APPEND_MANY = """
import sys
from edgelab import results
for index in range(int(sys.argv[2])):
    samples = results.Samples(9, 1, 1, 1, 1, 1)
    results.append(results.Result("latency", index, model=sys.argv[1], samples=samples))
"""


def writer(name, count):
    return subprocess.Popen([sys.executable, "-c", APPEND_MANY, name, str(count)])


def test_two_processes_at_once_lose_nothing():
    writers = [writer(name, 200) for name in ("left", "right")]
    assert [process.wait(60) for process in writers] == [0, 0]
    frame = results.load()
    assert frame.attrs["unreadable_lines"] == 0
    for name in ("left", "right"):
        assert frame.loc[frame["model"] == name, "value"].tolist() == list(range(200))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_kill_in_the_middle_of_writing_keeps_every_earlier_record():
    process = writer("killed", 1_000_000)
    while not (results.store_path().exists() and results.store_path().stat().st_size > 2000):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    results.append(Result("latency", 7, model="after"))
    frame = results.load()
    before = frame.loc[frame["model"] == "killed", "value"].tolist()
    assert before == list(range(len(before)))
    assert len(before) > 2
    assert frame.iloc[-1]["model"] == "after"


def test_every_possible_torn_last_line_is_tolerated_and_not_followed_by_corruption():
    results.append(Result("accuracy", 0.5, model="é"), Result("accuracy", 0.75, model="é"))
    whole = results.store_path().read_bytes()
    first_length = whole.index(b"\n") + 1
    for length in range(first_length, len(whole)):
        results.store_path().write_bytes(whole[:length])
        results.append(Result("accuracy", 0.25, model="after"))
        frame = results.load()
        # Only the line's own end was lost in the last case: then the record itself is whole.
        expected = [0.5, 0.75, 0.25] if length == len(whole) - 1 else [0.5, 0.25]
        assert frame["value"].tolist() == expected
        assert frame.attrs["unreadable_lines"] == int(first_length < length < len(whole) - 1)


FULL_DISK = """
import resource
from edgelab import results
from edgelab.errors import StorageError
results.append(results.Result("latency", 1, model="before"))
size = results.store_path().stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))  # room for a part of the next line only
try:
    results.append(results.Result("latency", 2, model="refused"))
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_the_old_records():
    run = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)
    assert "results.jsonl" in run.stdout
    assert "What to do" in run.stdout
    assert results.store_path().read_bytes().endswith(b"}\n")
    assert results.load()["model"].tolist() == ["before"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="EDGELAB_ARTIFACTS"):
        results.append(Result("latency", 1))


def test_latest_keeps_the_newest_of_each_kind_and_provenances_apart():
    results.append(latency(1, target="cpu"), latency(2, target="cpu"), latency(3, target="gpu"))
    results.append(latency(4, target="cpu", provenance="estimated"))
    newest = results.latest(results.load())
    assert newest["value"].tolist() == [2, 3, 4]


def test_unknown_published_name_lists_the_known_ones():
    with pytest.raises(DataError, match="latency"):
        results.published("nothing")


def test_what_goes_in_comes_out():
    results.append(latency(1.5, 0.25, precision="int8", target="cpu", placement="31 of 31 operators"))
    row = results.load().iloc[0]
    assert (row["value"], row["unit"], row["low"], row["high"], row["n"]) == (1.5, "ms", 1.25, 1.75, 100)
    assert (row["precision"], row["placement"], row["provenance"]) == (
        "int8",
        "31 of 31 operators",
        "measured",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"value": 10**400},
        {"value": "3"},
        {"value": None},
        {"device": "\ud800"},
        {"model": 7},
        {"samples": {"n": 10**400, "median": 1, "p05": 1, "p95": 1, "low": 1, "high": 1}},
        {"samples": {"n": 1, "median": float("inf"), "p05": 1, "p95": 1, "low": 1, "high": 1}},
        {"samples": [1]},
        {"unknown": 1},
    ],
)
def test_one_odd_record_never_ends_the_others(tmp_path, change):
    good = {"metric": "latency", "value": 3.0, "unit": "ms", "target": "cpu", "samples": None}
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in (good, good | change, good)))
    frame = results.load(path)
    assert len(frame) == 2 and frame.attrs["unreadable_lines"] == 1
