"""Class folders of pictures, decoded, with an account of what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm.auto import tqdm

from edgelab.data_sources import archives, class_folders
from edgelab.data_sources.decoding import decode
from edgelab.errors import DataError
from edgelab.texts import tr, tr_plural

LISTED = 3  # files named for each reason


@dataclass(frozen=True)
class PictureFolder:
    """Pictures of class folders, decoded.

    Attributes:
        images: uint8 `[N, S, S, 3]` RGB, ordered by split, class and file name.
        splits: "train", "validation", "test" or "" per picture, `[N]`.
        classes: the class's name per picture, `[N]`.
        names: path below the folder per picture, `[N]`.
        hashes: of each file's bytes, `[N]`: copies have the same.
        left_out: names of what was not taken, by reason.
    """

    images: np.ndarray
    splits: np.ndarray
    classes: np.ndarray
    names: np.ndarray
    hashes: np.ndarray
    left_out: dict[str, list[str]]

    def account(self) -> str:
        """What was left out and why, as a sentence; empty when nothing was."""
        if not self.left_out:
            return ""
        reasons = "; ".join(_reason(why, names) for why, names in sorted(self.left_out.items()))
        return tr(
            "Left out: {count} ({reasons}).", count=sum(map(len, self.left_out.values())), reasons=reasons
        )


def _reason(why: str, names: list[str]) -> str:
    return tr("{count} {why}: {names}", count=len(names), why=why, names=listed(names))


def listed(names: Iterable[str]) -> str:
    """The first few names."""
    names = sorted(map(class_folders.shown_name, names))
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")


def read(path: Path, image_size: int) -> PictureFolder:
    """Decode every picture of a folder or archive of class folders.

    Args:
        path: folder or archive; see `class_folders.place` for the arrangements it may have.
        image_size: pixels on a side of the result.

    Raises:
        DataError: no pictures, none in a class folder, most of them unreadable, or a refused archive.
    """
    left_out: dict[str, list[str]] = {}
    decoded: list[tuple[PurePosixPath, str, np.ndarray]] = []
    damaged: list[str] = []
    for name, data in tqdm(archives.files(path), f"reading {path.name}", unit=" files", delay=1, leave=False):
        if isinstance(data, str):
            left_out.setdefault(data, []).append(str(name))
            continue
        try:
            decoded.append((name, hashlib.sha256(data).hexdigest()[:16], decode(data, image_size)))
        except ValueError as error:
            damaged.append(f"{name} ({error})")
    _check_readable(path, len(decoded), damaged, left_out)
    rows = []
    for (name, digest, image), placed in zip(
        decoded, class_folders.place(name for name, *_ in decoded), strict=True
    ):
        if placed.left_out:
            left_out.setdefault(placed.left_out, []).append(str(name))
        else:
            rows.append((placed.split, placed.class_name, class_folders.shown_name(str(name)), digest, image))
    if not rows:
        raise _no_classes(path, decoded[0][0])
    if damaged:
        left_out[tr("damaged")] = damaged
    rows.sort(key=lambda row: row[:3])
    splits, classes, names, hashes, images = zip(*rows, strict=True)
    arrays = (np.array(one) for one in (splits, classes, names, hashes))
    return PictureFolder(np.stack(images), *arrays, left_out)


def _no_classes(path: Path, name: PurePosixPath) -> DataError:
    return DataError(
        tr("{picture} in {path} is in no class folder.", picture=name, path=path.name),
        why=tr("a picture's class is the name of the folder it is in"),
        fix=tr(
            "arrange the pictures as <class>/*.jpg, or as train/<class>/*.jpg and test/<class>/*.jpg; "
            "exports for detection, with boxes in files of their own, are not for classification"
        ),
    )


def _check_readable(path: Path, readable: int, damaged: list[str], left_out: dict[str, list[str]]) -> None:
    if len(damaged) > readable:
        raise DataError(
            tr(
                "{count} of {total} pictures in {path} cannot be read.",
                count=len(damaged),
                total=readable + len(damaged),
                path=path.name,
            ),
            why=listed(damaged),
            fix=tr("look at one of them; copy or download the pictures again"),
        )
    if not readable:
        reasons = "; ".join(_reason(why, names) for why, names in sorted(left_out.items()))
        raise DataError(
            tr("{path} holds no pictures.", path=path.name),
            why=reasons or tr_plural("there is {count} file in it", "there are {count} files in it", 0),
            fix=tr("put pictures in class folders: <class>/*.jpg"),
        )
