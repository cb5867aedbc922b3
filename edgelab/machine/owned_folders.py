"""Folders that a command fills again and again without touching what others keep there.

The mark, a file in the folder, lists what the command has written, each with its hash. Only such files are
ever replaced or deleted, and only while they are as they were written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

MARK = ".edgelab-made.json"
FILES_MARK = ".edgelab-files.json"  # of single files, in a folder that is its owner's
MOST_NAMED = 5  # files named in an error


def check(folder: Path, made_by: str) -> None:
    """Refuse a folder that is neither new, nor empty, nor marked as this command's own.

    Args:
        folder: where the command would write.
        made_by: what the command makes, such as "students' edition"; the same at every call.

    Raises:
        InputError: it holds something else; nothing has been changed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if _written(folder, made_by) is None:
        raise InputError(
            tr("{folder} holds something else.", folder=folder),
            why=tr("{file} is not there, which marks a folder written by this command", file=MARK),
            fix=tr("name a new folder after --out, or move what is there elsewhere"),
        )


@contextlib.contextmanager
def renewed(folder: Path, made_by: str) -> Iterator[Path]:
    """An empty folder to fill; `publish` brings `folder` to it when the block ends without an error.

    Args:
        folder: as for `check`.
        made_by: as for `check`.

    Raises:
        InputError, StorageError: as `publish`.
    """
    check(folder, made_by)
    artifacts.make_folder(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "new"
        fresh.mkdir()
        yield fresh
        publish(fresh, folder, made_by)


def claim(folder: Path, made_by: str) -> None:
    """Mark a new or empty folder as the command's own, which then keeps more there than it publishes.

    Raises:
        InputError: as for `check`.
        StorageError: the folder cannot be written.
    """
    check(folder, made_by)
    if _written(folder, made_by) is None:
        artifacts.make_folder(folder)
        _write_mark(folder, made_by, {})


def publish(fresh: Path, folder: Path, made_by: str) -> None:
    """Bring `folder` to what `fresh` holds; whatever the command did not write stays.

    Args:
        fresh: a folder on the same disk, just filled; its files are moved.
        folder: as for `check`.
        made_by: as for `check`.

    Raises:
        InputError: the folder is not the command's own; or files in it were changed since they were written,
            or would be overwritten though others wrote them. Nothing has been changed then.
        StorageError: the disk is full or the folder cannot be written.
    """
    check(folder, made_by)
    before = _written(folder, made_by) or {}
    now = {path.relative_to(fresh).as_posix(): _hash(path) for path in _files(fresh)}
    _refuse_lost_work(folder, before, now)
    artifacts.make_folder(folder)
    # Until the new mark is there, the old one claims both: an interrupted call can be repeated.
    _write_mark(folder, made_by, now | before)
    for name in before.keys() - now.keys():
        (folder / name).unlink(missing_ok=True)
        _remove_empty(folder, (folder / name).parent)
    for name in now:
        artifacts.make_folder((folder / name).parent)
        try:
            (fresh / name).replace(folder / name)
        except OSError as error:
            raise artifacts.storage_error(error, folder / name) from error
    _write_mark(folder, made_by, now)


def check_file(file: Path) -> None:
    """Refuse to replace a file that is not as this package wrote it; what lies in artifacts is its own.

    Raises:
        InputError: somebody else wrote or changed it.
    """
    if not file.exists() or file.resolve().is_relative_to(artifacts.artifacts_dir().resolve()):
        return
    if _single_files(file.parent).get(file.name) != _hash(file):
        raise InputError(
            tr("{path} is there already.", path=file),
            why=tr("it is not as the course wrote it, and no file of yours is overwritten"),
            fix=tr("choose another name, or move that file elsewhere"),
        )


def remember_file(file: Path) -> None:
    """Note that a file has just been written, so that it may be replaced.

    Raises:
        StorageError: the note cannot be written.
    """
    if file.resolve().is_relative_to(artifacts.artifacts_dir().resolve()):
        return
    known = {
        name: digest for name, digest in _single_files(file.parent).items() if (file.parent / name).exists()
    }
    with artifacts.atomic_path(file.parent / FILES_MARK) as temporary:
        temporary.write_text(json.dumps(known | {file.name: _hash(file)}, indent=1), encoding="utf-8")


def _single_files(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / FILES_MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _refuse_lost_work(folder: Path, before: dict[str, str], now: dict[str, str]) -> None:
    changed = [
        name
        for name in sorted(before.keys() | now.keys())
        if (folder / name).exists() and _hash(folder / name) not in (before.get(name), now.get(name))
    ]
    if changed:
        files, more = ", ".join(changed[:MOST_NAMED]), len(changed) - MOST_NAMED
        raise InputError(
            tr("Files in {folder} would be lost.", folder=folder),
            why=tr("somebody else wrote or changed {files} and {more} more", files=files, more=more)
            if more > 0
            else tr("somebody else wrote or changed {files}", files=files),
            fix=tr("move them elsewhere, or name a new folder after --out"),
        )


def _written(folder: Path, made_by: str) -> dict[str, str] | None:
    """What the command has written there, with hashes; None where the folder is not its own."""
    try:
        record = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return dict(record["files"]) if record["made_by"] == made_by else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_mark(folder: Path, made_by: str, files: dict[str, str]) -> None:
    with artifacts.atomic_path(folder / MARK) as temporary:
        temporary.write_text(json.dumps({"made_by": made_by, "files": files}, indent=1), encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash(path: Path) -> str:
    """Of a file's content; a folder in its place has none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"


def _remove_empty(root: Path, folder: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
