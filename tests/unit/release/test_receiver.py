"""The receiver's parts, in this process."""

import hashlib

from edgelab.release import receiver


def test_checksums_are_of_all_files_but_their_list(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"1")
    (tmp_path / receiver.SUMS).write_text("ab  a/b.txt\n", encoding="utf-8")
    assert receiver.hashes_in(tmp_path) == {"a/b.txt": hashlib.sha256(b"1").hexdigest()}
    assert receiver.promised_in(tmp_path) == {"a/b.txt": "ab"}


def test_without_a_list_nothing_is_promised(tmp_path):
    assert receiver.promised_in(tmp_path) == {}
