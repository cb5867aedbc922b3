"""What was handed in: a folder or archive as learning platforms and computers pack it, file by file.

Nothing vanishes: what may be somebody's work and is no notebook becomes a row that says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edgelab.data_sources import archives
from edgelab.data_sources.class_folders import shown_name
from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts, owned_folders
from edgelab.texts import tr

NOTEBOOK_ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".json")
# What students hand in by mistake. Other files, such as a list of marks, are the instructor's.
WRONG_ENDINGS = (".py", ".pdf", ".html", ".htm", ".docx", ".odt", ".rar", ".7z", ".gz", ".tar", ".xz", ".zip")
NOT_THEIRS = ("site-packages", "node_modules", "__pycache__", "Thumbs.db", "desktop.ini")
LARGEST_JSON_BYTES = 100_000_000
MOST_IN_ZIP, LARGEST_ZIP_BYTES = 10_000, 2**30  # members, and bytes unpacked
MOODLE_NAME = re.compile(r"(.+?)_\d+_assignsubmission_.*")


@dataclass(frozen=True)
class Submission:
    """One submitted notebook, or what stands in the place of one.

    Attributes:
        student: the name of the folder, or of the file when it lies in no folder.
        path: the notebook; None when there is none.
        name: its path below the folder of all submissions.
        refused: why it cannot be graded; "" where it can.
    """

    student: str
    path: Path | None
    name: str
    refused: str = ""


def find_submissions(folder: Path, unpacked: Path) -> list[Submission]:
    """What lies in a folder or archive: notebooks, zips, and folders, each named after its student.

    Args:
        folder: a folder, or a `.zip` of one.
        unpacked: where notebooks out of archives are written, each once.

    Raises:
        InputError: there is no such folder, or nothing in it.
    """
    if folder.is_file() and folder.suffix.lower() == ".zip":
        found = list(_grouped(_in_zip(folder, PurePosixPath(), unpacked)))
    elif folder.is_dir():
        found = [one for entry in sorted(folder.iterdir()) for one in _entry(entry, folder, unpacked)]
    else:
        raise InputError(
            tr("There is no folder {folder}.", folder=folder),
            fix=tr("name the folder, or the .zip file, of the submitted notebooks"),
        )
    if not found:
        raise InputError(
            tr("{folder} holds no notebook.", folder=folder), fix=tr("put the submitted .ipynb files there")
        )
    return _with_plain_names(found)


def _is_not_theirs(name: PurePosixPath) -> bool:
    return archives.is_hidden(name) or any(part in NOT_THEIRS for part in name.parts)


def _entry(entry: Path, folder: Path, unpacked: Path) -> Iterator[Submission]:
    """What one entry of the folder holds."""
    name = PurePosixPath(entry.name)
    if _is_not_theirs(name):
        return
    shown = shown_name(entry.name)
    student = shown[: len(shown) - len(ending(shown))] or shown
    if entry.is_symlink():
        yield Submission(student, None, shown, tr("a link: hand in the notebook itself"))
    elif entry.is_dir():
        if not (entry / owned_folders.MARK).exists():  # a table of grades, written here before
            yield from _of_student(shown, entry, folder, unpacked)
    else:
        yield from (replace(one, student=student) for one in _file(entry, name, unpacked))


def _of_student(student: str, entry: Path, folder: Path, unpacked: Path) -> Iterator[Submission]:
    """All notebooks in a student's folder, those in zips too; one row that says so where there is none."""
    found = []
    for path in sorted(entry.rglob("*")):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if path.is_file() and not path.is_symlink() and not _is_not_theirs(PurePosixPath(*name.parts[1:])):
            found += _file(path, name, unpacked)
    graded = [replace(one, student=student) for one in found if one.path]
    if graded:
        yield from graded
        return
    wrong = "; ".join(f"{PurePosixPath(one.name).name}: {one.refused}" for one in found if one.refused)
    yield Submission(student, None, student, wrong or tr("no notebook was handed in"))


def ending(name: str) -> str:
    """A file's ending, such as ".ipynb.txt", in the file's own spelling."""
    lower = name.lower()
    known = next((one for one in (*NOTEBOOK_ENDINGS[:3], *WRONG_ENDINGS) if lower.endswith(one)), "")
    return name[len(name) - len(known) :] if known else PurePosixPath(name).suffix


def _file(path: Path, name: PurePosixPath, unpacked: Path) -> Iterator[Submission]:
    """The notebook in a file; nothing for a file that is nobody's submission."""
    shown, kind = shown_name(str(name)), ending(path.name).lower()
    if kind == ".zip":
        yield from _in_zip(path, name, unpacked)
    elif kind in NOTEBOOK_ENDINGS[:3] or (kind == ".json" and _looks_like_notebook(path)):
        yield Submission("", path, shown)
    elif kind in WRONG_ENDINGS:
        yield Submission("", None, shown, tr("a {kind} file: hand in the .ipynb file", kind=kind))


def _looks_like_notebook(path: Path) -> bool:
    try:
        is_small = path.stat().st_size <= LARGEST_JSON_BYTES
        return is_small and "cells" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _in_zip(path: Path, name: PurePosixPath, unpacked: Path) -> Iterator[Submission]:
    """The notebooks in an archive, written out one by one."""
    shown = shown_name(str(name))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_IN_ZIP or sum(one.file_size for one in members) > LARGEST_ZIP_BYTES:
                yield Submission("", None, shown, tr("an archive far too large to be a submission"))
                return
            contents = {}
            for member in members:
                inside = archives.safe_name(path, archives.zip_name(member))
                is_notebook = ending(inside.name).lower() in NOTEBOOK_ENDINGS[:3]
                if is_notebook and not member.is_dir() and not _is_not_theirs(inside):
                    contents[f"{shown}/{inside}".lstrip("./")] = archive.read(member)
    except DataError as error:
        yield Submission("", None, shown, error.why)
        return
    except (*archives.BROKEN, RuntimeError) as error:  # RuntimeError: a password is asked for
        yield Submission("", None, shown, tr("an archive that cannot be read ({error})", error=error))
        return
    if not contents:
        yield Submission("", None, shown, tr("an archive without a notebook"))
    for inside, data in contents.items():
        yield Submission("", _written(data, unpacked), inside)


def _written(data: bytes, unpacked: Path) -> Path:
    path = unpacked / f"{hashlib.sha256(data).hexdigest()[:16]}.ipynb"
    if not path.exists():
        with artifacts.atomic_path(path) as temporary:
            temporary.write_bytes(data)
    return path


def _grouped(found: Iterator[Submission]) -> Iterator[Submission]:
    """Members of one archive of all: the first folder is the student."""
    for one in found:
        parts = PurePosixPath(one.name).parts
        student = parts[0] if len(parts) > 1 else one.name[: len(one.name) - len(ending(one.name))]
        yield replace(one, student=student)


def _with_plain_names(found: list[Submission]) -> list[Submission]:
    """Students as a learning platform names them, "Ada L_123_assignsubmission_file_", by their names alone.

    Two of one name keep what tells them apart.
    """
    folders = {one.student for one in found}
    plain = {name: match[1] for name in folders if (match := MOODLE_NAME.fullmatch(name))}
    counts = Counter([*plain.values(), *(folders - plain.keys())])
    names = {name: short for name, short in plain.items() if counts[short] == 1}
    return [replace(one, student=names.get(one.student, one.student)) for one in found]
