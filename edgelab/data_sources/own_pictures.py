"""A user's own pictures as a training and a test half."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.data_sources import archives, class_folders, decoding, picture_folders
from edgelab.data_sources.class_folders import TEST, TRAIN, VALIDATION
from edgelab.errors import DataError
from edgelab.texts import tr

TEST_FRACTION = 0.2  # held out of a folder that has no test folder
MIN_PER_CLASS = 2  # fewest pictures of a class that such a split can use


def identity(path: Path) -> dict[str, Any]:
    """Everything of a folder or archive, and of the code that reads it, that decides what is read."""
    code = (archives, class_folders, decoding, picture_folders)
    files = [Path(one.__file__) for one in code] + [Path(__file__)]
    return {"pictures": _fingerprint(path), "code": b"".join(file.read_bytes() for file in files)}


def _fingerprint(path: Path) -> str:
    """Hash of an archive's bytes, or of a folder's names, sizes and times of change."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file, left_out in archives.folder_listing(path):
            name = file.relative_to(path).as_posix().encode("utf-8", "surrogateescape")
            digest.update(b"%r|%r" % (name, left_out.encode()))
            if not left_out:
                status = file.stat()
                # Copying tools set the time of modification, but none can set that of change.
                times = (status.st_mtime_ns, status.st_ctime_ns)
                digest.update(f"|{status.st_size}|{times}\n".encode())
    else:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def split_pictures(path: Path, seed: int, image_size: int) -> dict[str, Any]:
    """Arrays of a folder or archive, checked, split and mixed.

    Args:
        path: folder or archive.
        seed: of the split and the mixing.
        image_size: pixels on a side.

    Returns:
        "train_images", "train_labels", "test_images", "test_labels", "class_names" as in `datasets.Dataset`,
        and "account": in words, what was taken, what was left out and why.

    Raises:
        DataError: not readable, refused, or too small to train on.
    """
    pictures = picture_folders.read(path, image_size)
    class_names, labels = np.unique(pictures.classes, return_inverse=True)
    if len(class_names) < 2:
        raise DataError(
            tr(
                "{path} has one class only, {class_name!r} ({count} pictures).",
                path=path.name,
                class_name=str(class_names[0]),
                count=len(labels),
            ),
            why=tr("telling classes apart needs at least two"),
            fix=tr("add a folder of pictures for each further class"),
        )
    is_train, is_test, halves = _halves(path, pictures, labels, class_names, seed)
    rng = np.random.default_rng(seed)
    train, test = (rng.permutation(np.flatnonzero(mask)) for mask in (is_train, is_test))
    images, labels = pictures.images, labels.astype(np.int64)
    account = (halves, pictures.account(), _in_both(pictures, is_train, is_test))
    return {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
        "class_names": class_names,
        "account": " ".join(filter(None, account)),
    }


def _halves(
    path: Path,
    pictures: picture_folders.PictureFolder,
    labels: np.ndarray,
    class_names: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Which pictures to train on, which to test on, and a sentence that says where the halves come from."""
    is_train = pictures.splits == TRAIN
    for split in (TEST, VALIDATION):
        is_test = pictures.splits == split
        if is_train.any() and is_test.any():
            _check_same_classes(path, set(pictures.classes[is_train]), set(pictures.classes[is_test]))
            aside = int(np.sum(~is_train & ~is_test))
            halves = tr("The halves are its own: train and {split}.", split=split)
            kept_aside = tr("{count} pictures for validation stay aside.", count=aside)
            return is_train, is_test, f"{halves} {kept_aside}" if aside else halves
    is_test = _test_mask(path, labels, class_names, pictures.hashes, seed)
    return ~is_test, is_test, tr("A part of each class was held out for the test.")


def _in_both(pictures: picture_folders.PictureFolder, is_train: np.ndarray, is_test: np.ndarray) -> str:
    """A warning where test pictures stand in training too, or ""."""
    leaked = is_test & np.isin(pictures.hashes, pictures.hashes[is_train])
    if not leaked.any():
        return ""
    return tr(
        "Caution: {count} of {total} test pictures stand in training, too: {names}.",
        count=int(leaked.sum()),
        total=int(is_test.sum()),
        names=picture_folders.listed(pictures.names[leaked]),
    )


def _check_same_classes(path: Path, train: set[str], test: set[str]) -> None:
    if train != test:
        only_train, only_test = (", ".join(sorted(one)) or "none" for one in (train - test, test - train))
        raise DataError(
            tr("The classes in train and test of {path} do not match.", path=path.name),
            why=tr(
                "only in train: {only_train}; only in test: {only_test}",
                only_train=only_train,
                only_test=only_test,
            ),
            fix=tr("give both the same class folders; or remove the test folder, and a part is held out"),
        )


def _test_mask(
    path: Path, labels: np.ndarray, class_names: np.ndarray, hashes: np.ndarray, seed: int
) -> np.ndarray:
    """Which pictures to hold out: the same fraction of every class, copies of a picture together."""
    sizes = np.bincount(labels)
    if sizes.min() < MIN_PER_CLASS:
        raise DataError(
            tr(
                "{path} has too few pictures: {size} of class {class_name!r}.",
                path=path.name,
                size=sizes.min(),
                class_name=str(class_names[sizes.argmin()]),
            ),
            why=tr(
                "every class needs {min_per_class} or more to hold {test_fraction:.0%} out for the test",
                min_per_class=MIN_PER_CLASS,
                test_fraction=TEST_FRACTION,
            ),
            fix=tr("add pictures (a hundred per class is a start), or remove the class"),
        )
    mask = np.zeros(len(labels), bool)
    rng = np.random.default_rng(seed)
    for label, size in enumerate(sizes):
        mask[rng.permutation(np.flatnonzero(labels == label))[: max(1, round(size * TEST_FRACTION))]] = True
    together = np.isin(hashes, hashes[mask])
    # A class of copies only would lose all it is learned from.
    leaves_enough = np.bincount(labels[~together], minlength=len(sizes)).min() > 0
    return together if leaves_enough else mask
