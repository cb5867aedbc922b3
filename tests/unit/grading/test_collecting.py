"""What was handed in, as learning platforms and computers pack it."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from edgelab.errors import InputError
from edgelab.grading import collecting

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(100)


def put(path: Path, data: bytes | str = NOTEBOOK) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def zipped(path: Path, **members: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)


def found(folder: Path) -> dict[str, list[str]]:
    """Student to what became of each of their files: "" or why it is refused."""
    rows: dict[str, list[str]] = {}
    for one in collecting.find_submissions(folder, folder.parent / "unpacked"):
        rows.setdefault(one.student, []).append(one.refused)
        assert bool(one.path) != bool(one.refused) and (one.path is None or one.path.exists())
    return rows


def test_notebooks_are_found_however_they_are_packed(tmp_path):
    folder = tmp_path / "in"
    put(folder / "ada.ipynb")
    put(folder / "bao.IPYNB")
    put(folder / "chidi.ipynb.txt")
    put(folder / "dana.json")
    zipped(folder / "emil.zip", a__08_verify_dot_ipynb=NOTEBOOK, a__b__04_dot_ipynb=NOTEBOOK)
    zipped(folder / "fay" / "work.zip", x_dot_ipynb=NOTEBOOK)
    put(folder / "gus" / "course" / "notebooks" / "08_verify.ipynb")
    put(folder / "hana.ipynb" / "08_verify.ipynb")  # a folder of that name
    put(folder / "Ivan I_123_assignsubmission_file_" / "08_verify.ipynb")
    put(folder / "Jo J_1_assignsubmission_file_" / "a.ipynb")
    put(folder / "Jo J_2_assignsubmission_file_" / "a.ipynb")
    assert found(folder) == {
        **{name: [""] for name in ("ada", "bao", "chidi", "dana", "fay", "gus", "hana.ipynb", "Ivan I")},
        "emil": ["", ""],
        "Jo J_1_assignsubmission_file_": [""],
        "Jo J_2_assignsubmission_file_": [""],
    }


def test_what_systems_leave_behind_is_nobodys(tmp_path):
    folder = tmp_path / "in"
    put(folder / "ada" / "08_verify.ipynb")
    for name in ("._08_verify.ipynb", ".ipynb_checkpoints/x.ipynb", ".Trash-0/files/x.ipynb",
                 ".venv/lib/site-packages/nbformat/x.ipynb", "venv/site-packages/x.ipynb"):  # fmt: skip
        put(folder / "ada" / name, APPLE)
    for name in (
        "__MACOSX/ada/._x.ipynb",
        "._ada.ipynb",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "marks.xlsx",
    ):
        put(folder / name, APPLE)
    (folder / "ada" / "folder.ipynb").mkdir()
    assert found(folder) == {"ada": [""]}


def test_nothing_vanishes_without_a_row(tmp_path):
    folder = tmp_path / "in"
    put(folder / "ada.pdf", b"%PDF-1.4")
    put(folder / "bao" / "08_verify.py", "def paired_interval(): ...")
    put(folder / "chidi.zip", b"PK no zip")
    zipped(folder / "dana.zip", readme_dot_txt="hello")
    (folder / "emil").mkdir()
    (folder / "fay.ipynb").symlink_to("/nowhere.ipynb")
    (folder / "gus").symlink_to(folder / "bao")
    zipped(folder / "hana.zip", **{"..__..__evil_dot_ipynb": NOTEBOOK})
    zipped(folder / "ivan.zip", a_dot_ipynb=NOTEBOOK * 40)
    damaged = bytearray((folder / "ivan.zip").read_bytes())
    start = 30 + len("a.ipynb")  # behind the header
    damaged[start : start + 8] = b"\xff" * 8
    put(folder / "ivan.zip", bytes(damaged))
    rows = found(folder)
    assert "cannot be read" in rows["ivan"][0]
    assert ".pdf file" in rows["ada"][0] and ".py file" in rows["bao"][0]
    assert "cannot be read" in rows["chidi"][0] and "without a notebook" in rows["dana"][0]
    assert rows["emil"] == ["no notebook was handed in"]
    assert "a link" in rows["fay"][0] and "a link" in rows["gus"][0]
    assert "outside" in rows["hana"][0]
    assert not (tmp_path / "evil.ipynb").exists()


def test_one_archive_of_all_is_taken_as_a_folder(tmp_path):
    zipped(tmp_path / "all.zip", ada__08_dot_ipynb=NOTEBOOK, bao_dot_ipynb=NOTEBOOK)
    rows = collecting.find_submissions(tmp_path / "all.zip", tmp_path / "unpacked")
    assert sorted(one.student for one in rows) == ["ada", "bao"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_of_any_bytes_become_text(tmp_path):
    folder = tmp_path / "in"
    put(folder / os.fsdecode(b"K\xe4fer.ipynb"))
    put(folder / "two\nlines.ipynb")
    rows = found(folder)
    assert "Käfer" in rows and json.dumps(sorted(rows)).isascii()


def test_nothing_at_all_is_said(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        collecting.find_submissions(tmp_path / "absent", tmp_path)
    with pytest.raises(InputError, match="no notebook"):
        collecting.find_submissions(tmp_path, tmp_path)
