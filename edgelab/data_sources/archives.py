"""Pictures from a folder or an archive of class folders, read in memory and never unpacked to disk.

An archive is not trusted: names that would leave its folder, links, and contents out of all proportion to
its size are refused before they are read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from edgelab.errors import DataError
from edgelab.texts import tr

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
IMAGE_FORMATS = ("JPEG", "PNG", "BMP")
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
SPLITS = ("train", "test")

MAX_MEMBERS = 500_000  # files and folders in an archive or folder
MAX_FILE_BYTES = 64 * 2**20  # one picture, as stored
MAX_TOTAL_BYTES = 8 * 2**30  # all members together, unpacked
MAX_EXPANSION = 200  # unpacked bytes per archive byte; pictures hardly shrink, a bomb expands a thousandfold
FREE_EXPANSION_BYTES = 16 * 2**20  # below this no archive counts as a bomb
MAX_PIXELS = 50_000_000  # one picture, decoded
LISTED = 5  # bad files named in an error

_MAGIC = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
)


@dataclass(frozen=True)
class PictureFolder:
    """Pictures of class folders, decoded.

    Attributes:
        images: uint8 `[N, S, S, 3]` RGB, ordered by split, class and file name.
        splits: "train", "test" or "" per picture, `[N]`.
        classes: the class folder's name per picture, `[N]`.
    """

    images: np.ndarray
    splits: np.ndarray
    classes: np.ndarray


def refuse(path: Path, why: str) -> DataError:
    """The error for an archive that must not be read."""
    return DataError(
        tr("{path} is refused.", path=path.name),
        why=why,
        fix=tr("use an archive of plain files only: train/<class>/*.jpg and test/<class>/*.jpg"),
    )


def broken(path: Path, error: Exception | str) -> DataError:
    """The error for an archive that ends early or is none."""
    return DataError(
        tr("{path} cannot be read as an archive.", path=path.name),
        why=tr("it is truncated, damaged or of another kind ({error})", error=error),
        fix=tr(
            "copy or download it again; readable kinds are {suffixes}",
            suffixes=", ".join(ARCHIVE_SUFFIXES),
        ),
    )


def safe_name(path: Path, name: str) -> PurePosixPath:
    """A member's name, checked.

    Raises:
        DataError: the name is absolute or climbs out of its folder.
    """
    member = PurePosixPath(name.replace("\\", "/"))
    if member.is_absolute() or ".." in member.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise refuse(path, tr("its member {name!r} points outside the archive", name=name))
    return member


class _Meter(io.RawIOBase):
    """A stream that refuses to deliver more than `limit` bytes, whatever headers promise."""

    def __init__(self, path: Path, stream: io.BufferedIOBase, limit: int) -> None:
        self.path, self.stream, self.limit = path, stream, limit

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(min(size, self.limit + 1) if size >= 0 else self.limit + 1)
        self.limit -= len(data)
        if self.limit < 0:
            raise refuse(
                self.path, tr("its contents are out of all proportion to its size, as in an archive bomb")
            )
        return data


def _expansion_limit(path: Path) -> int:
    return min(MAX_TOTAL_BYTES, max(FREE_EXPANSION_BYTES, MAX_EXPANSION * path.stat().st_size))


def _tar_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    with path.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _MAGIC.items() if start.startswith(magic)), open)
    with (
        opener(path, "rb") as stream,
        _Meter(path, stream, _expansion_limit(path)) as meter,
        # Mode "r|" reads strictly forwards, so every byte passes the meter once.
        tarfile.open(fileobj=meter, mode="r|") as archive,
    ):
        for index, member in enumerate(archive):
            name = safe_name(path, member.name)
            if index >= MAX_MEMBERS:
                raise refuse(path, tr("it has more than {most} members", most=MAX_MEMBERS))
            if not (member.isfile() or member.isdir()):
                raise refuse(path, tr("its member {member!r} is a link or a device", member=member.name))
            if member.isfile() and is_picture(name):
                if member.size > MAX_FILE_BYTES:
                    raise refuse(
                        path,
                        tr(
                            "its member {member!r} holds {size:.0f} MiB",
                            member=member.name,
                            size=member.size / 2**20,
                        ),
                    )
                yield name, archive.extractfile(member).read()


def _zip_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise refuse(path, tr("it has more than {most} members", most=MAX_MEMBERS))
        if sum(member.file_size for member in members) > _expansion_limit(path):
            raise refuse(
                path, tr("its contents are out of all proportion to its size, as in an archive bomb")
            )
        for member in members:
            name = safe_name(path, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise refuse(path, tr("its member {member!r} is a link or a device", member=member.filename))
            if member.flag_bits & 1:
                raise refuse(path, tr("it is encrypted"))
            if not member.is_dir() and is_picture(name):
                with archive.open(member) as file:
                    data = file.read(MAX_FILE_BYTES + 1)
                if len(data) > MAX_FILE_BYTES:
                    raise refuse(
                        path,
                        tr(
                            "its member {member!r} is larger than {most} bytes",
                            member=member.filename,
                            most=MAX_FILE_BYTES,
                        ),
                    )
                yield name, data


def _folder_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    for file in folder_listing(path):
        yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()


def folder_listing(path: Path) -> list[Path]:
    """All pictures below a folder, in a fixed order.

    Raises:
        DataError: far too many files, as when a whole disk was given.
    """
    found: list[Path] = []
    for folder, _, names in os.walk(path, followlinks=True):
        found += [Path(folder, name) for name in names if is_picture(PurePosixPath(name))]
        if len(found) > MAX_MEMBERS:
            raise refuse(path, tr("it has more than {most} pictures", most=MAX_MEMBERS))
    return sorted(found)


def is_picture(name: PurePosixPath) -> bool:
    """Whether a file is meant to be a picture; hidden files and a Mac's `__MACOSX` are not."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return name.suffix.lower() in IMAGE_SUFFIXES and not hidden


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive this module reads."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and contents of every picture in a folder or archive, one at a time.

    Raises:
        DataError: the archive is refused, truncated or none.
    """
    if path.is_dir():
        yield from _folder_files(path)
        return
    try:
        yield from (_zip_files if path.suffix.lower() == ".zip" else _tar_files)(path)
    except _BROKEN as error:
        raise broken(path, error) from error


def decode(data: bytes, image_size: int) -> np.ndarray:
    """One JPEG, PNG or BMP as uint8 `[image_size, image_size, 3]` RGB.

    A picture of another size is cut to its central square and resized: by area when it shrinks, so that no
    pixel is skipped. Orientation tags of cameras are obeyed; transparency is dropped.

    Raises:
        ValueError: not a picture of these formats, damaged, truncated or huge.
    """
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(tr("{width}x{height} pixels", width=picture.width, height=picture.height))
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        raise ValueError(str(error)) from error
    if upright.size != (image_size, image_size):
        shrinks = min(upright.size) >= image_size
        kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        upright = ImageOps.fit(upright, (image_size, image_size), kernel)
    return np.asarray(upright)


def _split_and_class(name: PurePosixPath) -> tuple[str, str]:
    """("train", "cat") of "any/train/cat/1.jpg", ("", "cat") of "cat/1.jpg", ("", "") of "train/1.jpg"."""
    folders = name.parts[:-1]
    if not folders or folders[-1].lower() in SPLITS:
        return "", ""
    above = folders[-2].lower() if len(folders) > 1 else ""
    return (above if above in SPLITS else ""), folders[-1]


def read_pictures(path: Path, image_size: int) -> PictureFolder:
    """Decode every picture of a folder or archive of class folders.

    Args:
        path: `{train,test}/<class>/*.jpg` or `<class>/*.jpg` (PNG and BMP too), at any depth.
        image_size: pixels on a side of the result.

    Raises:
        DataError: nothing there, no pictures, pictures outside class folders, or unreadable pictures.
    """
    if not path.exists():
        raise DataError(
            tr("There is no {path}.", path=path),
            fix=tr('check the spelling; dataset "shapes" needs no file and no network'),
        )
    rows: list[tuple[str, str, str, np.ndarray]] = []
    unreadable: list[str] = []
    for name, data in tqdm(files(path), f"reading {path.name}", unit=" pictures", delay=1, leave=False):
        split, class_name = _split_and_class(name)
        try:
            rows.append((split, class_name, str(name), decode(data, image_size)))
        except ValueError as error:
            unreadable.append(f"{name} ({error})")
    _check_readable(path, len(rows), unreadable)
    loose = [name for _, class_name, name, _ in rows if not class_name]
    if loose:
        raise DataError(
            tr("{picture} in {path} lies in no class folder.", picture=loose[0], path=path.name),
            why=tr("a picture's class is the name of the folder it lies in"),
            fix=tr("arrange the pictures as <class>/*.jpg, or as train/<class>/*.jpg and test/<class>/*.jpg"),
        )
    rows.sort(key=lambda row: row[:3])
    return PictureFolder(
        images=np.stack([row[3] for row in rows]),
        splits=np.array([row[0] for row in rows]),
        classes=np.array([row[1] for row in rows]),
    )


def _check_readable(path: Path, readable: int, unreadable: list[str]) -> None:
    if unreadable:
        listed = "; ".join(unreadable[:LISTED]) + (" …" if len(unreadable) > LISTED else "")
        raise DataError(
            tr(
                "{count} of {total} pictures in {path} cannot be read.",
                count=len(unreadable),
                total=readable + len(unreadable),
                path=path.name,
            ),
            why=listed,
            fix=tr(
                "repair or delete these files; a picture dropped in silence would change the result unseen"
            ),
        )
    if not readable:
        raise DataError(
            tr("{path} holds no pictures.", path=path.name),
            why=tr("no file in it ends in {suffixes}", suffixes=", ".join(IMAGE_SUFFIXES)),
            fix=tr("put pictures in class folders: <class>/*.jpg"),
        )
