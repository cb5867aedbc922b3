import os
import signal
import subprocess
import sys
import threading

import pytest

from edgelab.errors import StorageError
from edgelab.machine.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS lines (number INTEGER PRIMARY KEY, text TEXT);"
WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from edgelab.machine.database import Database
database = Database(Path(sys.argv[1]), sys.argv[2])
number = 0
while True:
    with database.transaction() as connection:
        connection.execute("INSERT INTO lines (text) VALUES ('a')")
        connection.execute("INSERT INTO lines (text) VALUES ('b')")
    number += 2
    print(number, flush=True)
"""


def add(database, text="x"):
    with database.transaction() as connection:
        connection.execute("INSERT INTO lines (text) VALUES (?)", (text,))


def count(database):
    return database.rows("SELECT count(*) FROM lines")[0][0]


def test_a_kill_in_the_middle_leaves_whole_transactions(tmp_path):
    path = tmp_path / "kept.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path), SCHEMA], stdout=subprocess.PIPE, text=True
    )
    said = [int(child.stdout.readline()) for _ in range(50)]
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait(20)
    rest = child.stdout.read().split()
    last = int(rest[-1]) if rest else said[-1]
    database = Database(path, SCHEMA)
    assert database.is_whole()
    assert count(database) in (last, last + 2), "what was committed is there, and nothing by half"
    database.close()


def test_a_failed_block_leaves_nothing(tmp_path):
    database = Database(tmp_path / "kept.sqlite", SCHEMA)
    with pytest.raises(ValueError), database.transaction() as connection:
        connection.execute("INSERT INTO lines (text) VALUES ('x')")
        raise ValueError
    assert count(database) == 0
    add(database)
    assert count(database) == 1
    database.close()
    database.close()


def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path):
    path = tmp_path / "kept.sqlite"
    path.write_bytes(b"no database at all" * 100)
    database = Database(path, SCHEMA)
    add(database)
    assert count(database) == 1
    assert database.moved_aside.read_bytes().startswith(b"no database")
    database.close()


def test_a_full_file_says_so_and_keeps_what_it_has(tmp_path):
    database = Database(tmp_path / "kept.sqlite", SCHEMA, most_bytes=100_000)
    with pytest.raises(StorageError, match="full"):
        for _ in range(1000):
            add(database, "x" * 1000)
    kept = count(database)
    assert 20 < kept < 100 and database.is_whole()
    with database.transaction() as connection:
        connection.execute("DELETE FROM lines WHERE number <= 10")
    add(database, "y" * 1000)
    assert count(database) == kept - 9
    database.close()


def test_many_threads_take_turns(tmp_path):
    database = Database(tmp_path / "kept.sqlite", SCHEMA)
    threads = [threading.Thread(target=lambda: [add(database) for _ in range(20)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 100
    database.close()


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        Database(tmp_path / "file" / "kept.sqlite", SCHEMA)
