"""The pictures of a folder or an archive as bytes, read in memory and never unpacked to disk.

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
from pathlib import Path, PurePosixPath

from edgelab.data_sources.decoding import IMAGE_SUFFIXES
from edgelab.errors import DataError
from edgelab.texts import tr

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")

MAX_MEMBERS = 500_000  # files and folders in an archive or folder
MAX_FILE_BYTES = 64 * 2**20  # one picture, as stored
MAX_TOTAL_BYTES = 8 * 2**30  # all members together, unpacked
MAX_EXPANSION = 200  # unpacked bytes per archive byte; pictures hardly shrink, a bomb expands a thousandfold
FREE_EXPANSION_BYTES = 16 * 2**20  # below this no archive counts as a bomb

# What systems leave behind, and nobody means to hand on.
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
# Formats that no library here reads, but people have.
UNREAD_SUFFIXES = (".heic", ".heif", ".svg", ".raw", ".dng", ".cr2", ".nef", ".arw", ".jxl", ".eps", ".pdf")

_MAGIC = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}
# What reading a damaged archive raises.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
)


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


def _tar_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes | str]]:
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
            if not member.isfile() or is_hidden(name):
                continue
            if not is_picture(name):
                yield name, not_a_picture(name)
            else:
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


def zip_name(member: zipfile.ZipInfo) -> str:
    """A member's name; a Mac writes UTF-8 without the flag that says so."""
    try:
        return member.filename if member.flag_bits & 0x800 else member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _zip_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes | str]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise refuse(path, tr("it has more than {most} members", most=MAX_MEMBERS))
        if sum(member.file_size for member in members) > _expansion_limit(path):
            raise refuse(
                path, tr("its contents are out of all proportion to its size, as in an archive bomb")
            )
        for member in members:
            name = safe_name(path, zip_name(member))
            if stat.S_ISLNK(member.external_attr >> 16):
                raise refuse(path, tr("its member {member!r} is a link or a device", member=member.filename))
            if member.flag_bits & 1:
                raise refuse(path, tr("it is encrypted"))
            if member.is_dir() or is_hidden(name):
                continue
            if not is_picture(name):
                yield name, not_a_picture(name)
            else:
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


def _folder_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes | str]]:
    for file, left_out in folder_listing(path):
        name = PurePosixPath(file.relative_to(path).as_posix())
        if left_out:
            yield name, left_out
            continue
        try:
            yield name, file.read_bytes()
        except OSError as error:
            yield name, error.strerror or str(error)


def folder_listing(path: Path) -> list[tuple[Path, str]]:
    """All files below a folder in a fixed order, each with the reason why it is left out, or "".

    Links are followed, but no folder is listed twice: a link to a folder above it ends there.

    Raises:
        DataError: far too many files, as when a whole disk was given.
    """
    found: list[tuple[Path, str]] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        folders.sort()
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            found.append((Path(folder), tr("a link to a folder that was read already")))
            continue
        seen.add(real)
        found += [(file, _left_out(file)) for file in (Path(folder, one) for one in names)]
        if len(found) > MAX_MEMBERS:
            raise refuse(path, tr("it has more than {most} files", most=MAX_MEMBERS))
    return sorted(one for one in found if not is_hidden(PurePosixPath(one[0].relative_to(path).as_posix())))


def _left_out(file: Path) -> str:
    """Why a file of a folder is not read, or ""."""
    name = PurePosixPath(file.name)
    if not is_picture(name):
        return not_a_picture(name)
    try:
        status = file.stat()
    except OSError as error:
        return tr("a link that leads nowhere") if file.is_symlink() else error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return tr("no regular file")
    if status.st_size > MAX_FILE_BYTES:
        return tr("larger than {most:.0f} MiB", most=MAX_FILE_BYTES / 2**20)
    return ""


def is_hidden(name: PurePosixPath) -> bool:
    """Whether a file or a folder around it is hidden, or a system's own."""
    return any(part.startswith(".") or part in SYSTEM_FOLDERS for part in name.parts)


def is_picture(name: PurePosixPath) -> bool:
    """Whether a file is meant to be a picture that can be read."""
    return name.suffix.lower() in IMAGE_SUFFIXES


def not_a_picture(name: PurePosixPath) -> str:
    """Why a file that `is_picture` denies is left out."""
    suffix = name.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        return tr("{suffix} cannot be read here (save as JPEG or PNG)", suffix=suffix)
    return tr("no picture ({suffix})", suffix=suffix) if suffix else tr("no picture")


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive this module reads."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def files(path: Path) -> Iterator[tuple[PurePosixPath, bytes | str]]:
    """Every file of a folder or archive that is not hidden, one at a time.

    Returns:
        Its name, and its contents, or as text the reason why it is left out.

    Raises:
        DataError: the archive is refused, truncated or none.
    """
    if path.is_dir():
        yield from _folder_files(path)
        return
    try:
        yield from (_zip_files if path.suffix.lower() == ".zip" else _tar_files)(path)
    except BROKEN as error:
        raise broken(path, error) from error
