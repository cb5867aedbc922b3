"""Where everything made is kept: atomic writes, and a cache addressed by what went in.

Layout: `artifacts/<kind>/<name>-<key><suffix>`. The key is a hash of inputs, parameters and versions, so a
changed input makes a new file and an unchanged one is reused. A file either exists whole or not at all.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from edgelab.errors import StorageError
from edgelab.texts import tr

PROJECT_ROOT = Path(__file__).resolve().parents[2]
WRITE_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
}


def artifacts_dir() -> Path:
    """The folder of everything made: `$EDGELAB_ARTIFACTS`, or `artifacts/` beside the notebooks."""
    return Path(os.environ.get("EDGELAB_ARTIFACTS") or PROJECT_ROOT / "artifacts")


def content_key(**parts: Any) -> str:
    """Hash of named parts (JSON values, bytes, or paths, whose contents count), as 12 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        if isinstance(value, Path):
            value = value.read_bytes()
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
        digest.update(f"{name}:{len(data)}:".encode() + data)
    return digest.hexdigest()[:12]


def storage_error(error: OSError, path: Path) -> StorageError:
    """The reason a write failed, in words a student can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free_mb = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0
        return StorageError(
            tr("No space left to write {path}.", path=path.name),
            why=tr("{free_mb:.0f} MB are free where {folder} is.", free_mb=free_mb, folder=path.parent),
            fix=tr(
                "Free some space, or point EDGELAB_ARTIFACTS at a larger disk. Nothing made before is lost."
            ),
        )
    return StorageError(
        tr("Cannot write {path}.", path=path.name),
        why=str(error),
        fix=tr(
            "Check the permissions of {folder}, or set EDGELAB_ARTIFACTS to a folder you own.",
            folder=path.parent,
        ),
    )


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Write to the path this yields; it becomes `path` at once when the block ends well, and vanishes if not.

    A folder can be made there as well as a file, where no folder is yet.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            raise
        raise storage_error(error, path) from error
    finally:
        remove(temporary)


def cached(kind: str, name: str, suffix: str, parts: dict[str, Any], build: Callable[[Path], None]) -> Path:
    """The file made by `build(path)` from `parts`: built once, then reused, by any number of kernels.

    Args:
        kind: subfolder, such as "models".
        name: the readable part of the file name.
        suffix: the file's ending, such as ".tflite".
        parts: everything that decides the content (see `content_key`).
        build: writes the file at the path it is given.

    Returns:
        The path of the whole, finished file.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    path = artifacts_dir() / kind / f"{name}-{content_key(**parts)}{suffix}"
    if path.exists():
        return path
    make_folder(path.parent)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            for left_by_a_killed_kernel in path.parent.glob(f"*.????????-{glob.escape(path.name)}"):
                remove(left_by_a_killed_kernel)  # nobody else writes it while we hold the lock
            with atomic_path(path) as temporary:
                build(temporary)
    return path
