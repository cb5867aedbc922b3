"""The folder of a release: written whole or not at all, and read back as bytes by name."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files to a folder that appears when all of them are there; an older one is replaced.

    Args:
        folder: of this release.
        files: content by name, "/" between folders.

    Raises:
        InputError: a name that leads out of the folder.
        StorageError: the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                tr("{name!r} leads out of the release.", name=name), fix=tr("use a plain relative name")
            )
    part = folder.with_name(f".{uuid.uuid4().hex[:8]}-{folder.name}")
    try:
        for name, content in files.items():
            artifacts.make_folder((part / name).parent)
            (part / name).write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise artifacts.storage_error(error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """All files of a release, by name with "/" between folders, in the order of their names."""
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def listing(folder: Path) -> list[dict[str, str | int]]:
    """A row for each file and each folder below a release: "file" and "bytes"."""
    rows: dict[str, list[int]] = {}
    for name, content in read(folder).items():
        place, _, rest = name.partition("/")
        rows.setdefault(f"{place}/" if rest else place, []).append(len(content))
    return [
        {"file": f"{name} ({len(sizes)} files)" if name.endswith("/") else name, "bytes": sum(sizes)}
        for name, sizes in rows.items()
    ]


def picture_folders(folder: Path, pictures: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Path:
    """Pictures as PNG in a folder per class, and `labels.txt` beside, as a report reads them.

    Args:
        folder: where "pictures" and "labels.txt" go; an older one is replaced.
        pictures: uint8 `[N, H, W, 3]`, RGB.
        labels: int `[N]`, indices of `names`.
        names: of the classes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / "pictures" / names[label]
        artifacts.make_folder(place)
        Image.fromarray(picture).save(place / f"{number:04d}.png")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return folder
