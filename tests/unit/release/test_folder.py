"""The folder of a release."""

import os

import numpy as np
import pytest

from edgelab import release
from edgelab.errors import InputError, StorageError


def test_what_is_written_is_read_and_replaces_what_was_there(tmp_path):
    release.write(tmp_path / "r", {"old.txt": b"1", "a/b.txt": b"2"})
    folder = release.write(tmp_path / "r", {"a/c.txt": b"3", "d.txt": b""})
    assert release.read(folder) == {"a/c.txt": b"3", "d.txt": b""}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_listing_sums_up_folders(tmp_path):
    folder = release.write(tmp_path / "r", {"a/c.txt": b"3", "a/d.txt": b"45", "e.txt": b"6"})
    assert release.listing(folder) == [
        {"file": "a/ (2 files)", "bytes": 3}, {"file": "e.txt", "bytes": 1}
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt"])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out"):
        release.write(tmp_path / "r", {name: b"1"})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not hasattr(os, "geteuid"), reason="a file cannot stand for a folder there in the same way"
)
def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        release.write(tmp_path / "file" / "r", {"a.txt": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pictures_lie_in_a_folder_per_class(tmp_path):
    pictures = np.zeros((3, 4, 4, 3), np.uint8)
    folder = release.picture_folders(tmp_path / "p", pictures, np.array([0, 1, 1]), ["a", "b"])
    assert len(list((folder / "pictures" / "b").iterdir())) == 2
    assert (folder / "labels.txt").read_text() == "a\nb\n"
