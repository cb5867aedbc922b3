"""Archives and pictures of any content."""

from __future__ import annotations

import contextlib
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from picture_folders import class_tree, picture, write_archive, write_folder
from PIL import Image

from edgelab import datasets
from edgelab.data_sources import archives, decoding
from edgelab.errors import DataError


def test_a_large_picture_is_shrunk_by_area_from_its_centre():
    """Black and white columns one pixel wide must average to grey; the left and right margins are cut."""
    columns = np.zeros((64, 128, 3), np.uint8)
    columns[:, ::2] = 255
    columns[:, :32] = columns[:, 96:] = (255, 0, 0)
    file = io.BytesIO()
    Image.fromarray(columns).save(file, "PNG")
    small = decoding.decode(file.getvalue(), 32)
    assert small.shape == (32, 32, 3)
    assert np.abs(small.astype(int) - 127.5).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_colour_mode_becomes_rgb(mode):
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, "JPEG" if mode == "CMYK" else "PNG")
    assert decoding.decode(file.getvalue(), 32).shape == (32, 32, 3)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    with pytest.raises(ValueError, match=r"pixels|limit"):
        decoding.decode(header, 32)


def test_every_truncation_of_an_archive_is_a_data_error(tmp_path):
    for kind in ("a.tar.xz", "a.tar.gz", "a.zip"):
        whole = write_archive(tmp_path / kind, class_tree(10)).read_bytes()
        for fraction in (0.0, 0.01, 0.3, 0.6, 0.9):
            cut = tmp_path / f"cut-{fraction}-{kind}"
            cut.write_bytes(whole[: int(fraction * len(whole))])
            with pytest.raises(DataError):
                datasets.load(cut)


def test_bytes_changed_at_random_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("a.tar.xz", "a.tar.gz", "a.tar", "a.zip"):
        whole = np.frombuffer(write_archive(tmp_path / kind, class_tree(6)).read_bytes(), np.uint8)
        for _ in range(25):
            mutated = whole.copy()
            mutated[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            path = tmp_path / kind
            path.write_bytes(mutated.tobytes())
            with contextlib.suppress(DataError):
                datasets.load(path)


def test_a_file_that_is_no_archive_is_explained(tmp_path):
    path = tmp_path / "holiday.tar.xz"
    path.write_bytes(b"\x00" * 5000)
    with pytest.raises(DataError, match=r"cannot be read|holds no pictures"):
        datasets.load(path)
    path.write_text("hello, this is text and not an archive at all\n" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load(path)


@pytest.mark.parametrize(
    "name", ["../cat/0.png", "/etc/cat/0.png", "a/../../cat/0.png", "C:\\cat\\0.png", "..\\0.png"]
)
@pytest.mark.parametrize("kind", ["a.tar", "a.tar.xz", "a.zip"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name, kind):
    tree = class_tree(6) | {name: picture(1)}
    path = write_archive(tmp_path / kind, tree)
    with pytest.raises(DataError, match=r"refused(.|\n)*outside"):
        datasets.load(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [kind]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("cat/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="link or a device"):
        datasets.load(path)


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("cat/0.png")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        datasets.load(path)


def bomb_tar(path: Path) -> None:
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo("cat/0.txt")
        member.size = 48 * 2**20
        archive.addfile(member, io.BytesIO(bytes(member.size)))


def bomb_header_tar(path: Path) -> None:
    """A name of 48 MiB, which tarfile would read into memory before anybody sees it."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 48 * 2**20
    path.write_bytes(lzma.compress(header.tobuf() + bytes(48 * 2**20), preset=0))


def bomb_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/0.png", bytes(48 * 2**20))


@pytest.mark.parametrize(
    ("name", "make"), [("a.tar.xz", bomb_tar), ("b.tar.xz", bomb_header_tar), ("a.zip", bomb_zip)]
)
def test_bombs_are_refused(tmp_path, name, make):
    path = tmp_path / name
    make(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="bomb"):
        datasets.load(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    for kind in ("a.tar", "a.zip"):
        with pytest.raises(DataError, match="more than 10"):
            datasets.load(write_archive(tmp_path / kind, class_tree(6)))
    with pytest.raises(DataError, match="more than 10"):
        datasets.load(write_folder(tmp_path / "pets", class_tree(6)))
