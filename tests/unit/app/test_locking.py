import os
import subprocess
import sys

import pytest

from edgelab.app.locking import FolderLock
from edgelab.errors import StorageError

HOLD = """
import sys, time
from pathlib import Path
from edgelab.app.locking import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take("http://127.0.0.1:1234/")
print("held", flush=True)
time.sleep(600)
"""


def test_the_second_instance_is_told_of_the_first(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StorageError) as caught:
        FolderLock(tmp_path).take("")
    assert str(holder.pid) in str(caught.value) and "http://127.0.0.1:1234/" in str(caught.value)
    holder.kill()
    holder.wait(20)
    lock = FolderLock(tmp_path)  # nothing to clean up after a kill
    lock.take("http://127.0.0.1:1/")
    assert lock.holder()["process"] == os.getpid()
    lock.close()
    lock.close()
    FolderLock(tmp_path).take("")


def test_a_new_folder_is_for_its_owner_alone(tmp_path):
    folder = tmp_path / "new"
    FolderLock(folder).take("")
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        FolderLock(tmp_path / "file" / "data").take("")
