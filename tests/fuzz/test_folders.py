"""Any folder or archive of pictures is loaded, or refused with words; nothing in it is changed."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from picture_folders import write_archive, write_folder
from PIL import Image

from edgelab import datasets
from edgelab.data_sources import class_folders
from edgelab.errors import EdgelabError

WORDS = (
    "cat", "dog", "Käfer", "a b", "x$y", "<b>", "train", "test", "valid", "val", "images", "Testing", "0",
    "-1", "%s", "a.b", "Train", "TRAIN", ".hidden", "__MACOSX", "日本", "e\u0301", "\u00e9", "'",
    "data", "batch1",
)  # fmt: skip
KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
MODES = ("RGB", "L", "RGBA", "P", "1", "LA", "I;16", "CMYK", "F")


@st.composite
def encoded(draw) -> bytes:
    """A picture in some format, or something that only looks like one."""
    kind, mode = draw(st.sampled_from(KINDS)), draw(st.sampled_from(MODES))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    file = io.BytesIO()
    try:
        if mode in ("I;16", "F"):
            picture = Image.fromarray(
                np.asarray(picture.convert("L")).astype(np.uint16 if mode != "F" else "f")
            )
        else:
            picture = picture.convert(mode)
        picture.save(file, kind)
    except (OSError, ValueError, KeyError):  # this format has no such mode
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, "PNG")
    data = file.getvalue()
    damage = draw(st.sampled_from(("", "", "", "", "cut", "flip", "empty", "text")))
    if damage == "cut":
        return data[: len(data) // 2]
    if damage == "flip":
        place = draw(st.integers(0, len(data) - 1))
        return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
    return {"empty": b"", "text": b"version https://git-lfs"}.get(damage, data)


@st.composite
def trees(draw) -> dict[str, bytes]:
    """File name to content: class folders of one to three levels, and files that belong to nobody."""
    folders = draw(st.lists(st.lists(st.sampled_from(WORDS), max_size=3), min_size=1, max_size=6))
    tree = {}
    for number, parts in enumerate(folders):
        for index in range(draw(st.integers(0, 6))):
            suffix = draw(st.sampled_from((".png", ".JPG", ".webp", ".tif", ".txt", "", ".jpeg", ".bmp")))
            tree["/".join([*parts, f"{number}-{index}{suffix}"])] = draw(encoded())
    return tree


def state(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def check(path: Path) -> None:
    try:
        found = datasets.load(path)
    except EdgelabError as error:
        assert error.what and error.fix
        return
    for images, labels in (
        (found.train_images, found.train_labels),
        (found.test_images, found.test_labels),
    ):
        assert images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3)
        assert len(images) == len(labels) and labels.min() >= 0 and labels.max() < len(found.class_names)
    assert len(set(found.class_names)) == len(found.class_names) >= 2
    assert all(name.strip() for name in found.class_names)


@given(trees())
def test_folders(tree):
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_folder(Path(temporary) / "pictures", tree)
        before = state(folder)
        check(folder)
        assert state(folder) == before


@given(trees(), st.sampled_from((".zip", ".tar.gz", ".tar.xz")), st.integers(0, 3))
def test_archives(tree, suffix, damage):
    with tempfile.TemporaryDirectory() as temporary:
        path = write_archive(Path(temporary) / f"pictures{suffix}", tree)
        data = path.read_bytes()
        if damage == 1:
            path.write_bytes(data[: 2 * len(data) // 3])
        elif damage == 2 and len(data) > 60:
            path.write_bytes(data[:40] + bytes(8) + data[48:])
        check(path)


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), min_size=1, max_size=20))
def test_every_picture_gets_one_place(names):
    paths = [PurePosixPath(*parts, f"{number}.png") for number, parts in enumerate(names)]
    placed = class_folders.place(paths)
    assert len(placed) == len(paths)
    again = class_folders.place(reversed(paths))
    assert {str(one) for one in placed} == {str(one) for one in again}
