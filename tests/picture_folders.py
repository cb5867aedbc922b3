"""Folders and archives of pictures, made for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def picture(colour: int, size: tuple[int, int] = (32, 32), kind: str = "PNG") -> bytes:
    """A plain picture, `size` = (width, height)."""
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), colour, np.uint8)).save(file, kind)
    return file.getvalue()


def class_tree(
    count: int = 10, splits: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog")
) -> dict:
    """File name to contents, for a folder of class folders."""
    return {
        "/".join(part for part in (split, one, f"{index}.png") if part): picture(20 * number + index)
        for split in splits
        for number, one in enumerate(classes)
        for index in range(count)
    }


def write_folder(folder: Path, tree: dict[str, bytes]) -> Path:
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    return folder


def write_archive(path: Path, tree: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in tree.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:
        for name, data in tree.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
