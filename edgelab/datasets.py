"""Pictures to learn from: `load("shapes")` draws them, `load("cifar10")` and `load(path)` read real ones.

Whatever the source, a `Dataset` holds uint8 RGB pixels 0 to 255 `[N, H, W, 3]` and int64 labels, the classes
mixed.
"""

from __future__ import annotations

import hashlib
import html
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.data_sources import archives, own_pictures, shapes
from edgelab.data_sources.scenes import Box, scenes, write_scene_video
from edgelab.data_sources.shapes import SHAPE_CLASSES, draw_shapes
from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts, downloads, quiet
from edgelab.texts import tr

__all__ = ["SHAPE_CLASSES", "Box", "Dataset", "draw_shapes", "load", "scenes", "write_scene_video"]

SHAPES_TRAIN_COUNT, SHAPES_TEST_COUNT = 6000, 2000
IMAGE_SIZE = 32
BUILT_IN = ("shapes", "cifar10")
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@dataclass(frozen=True, repr=False)
class Dataset:
    """Training and test pictures with their classes.

    Attributes:
        name: short name, such as "shapes".
        train_images: uint8 `[N, H, W, 3]` RGB, 0 to 255.
        train_labels: int64 `[N]`, indices of `class_names`.
        test_images: like `train_images`; share no picture with them.
        test_labels: like `train_labels`.
        class_names: one name per label.
        fingerprint: hash of everything that decides the content.
        source: one sentence on where the pictures come from.

    Raises:
        DataError: images and labels do not match.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    fingerprint: str
    source: str

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            _check_part(
                part,
                getattr(self, f"{part}_images"),
                getattr(self, f"{part}_labels"),
                self.class_names,
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every picture."""
        return self.train_images.shape[1:]

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def subset(self, train_count: int, test_count: int, seed: int = 0) -> Dataset:
        """Fewer pictures with the same mix of classes, the same ones for the same seed.

        Raises:
            InputError: more pictures are asked for than there are, or fewer than one.
        """
        if (train_count, test_count) == (len(self.train_images), len(self.test_images)):
            return self
        train = stratified(self.train_labels, train_count, seed)
        test = stratified(self.test_labels, test_count, seed)
        return replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            test_images=self.test_images[test],
            test_labels=self.test_labels[test],
            fingerprint=artifacts.content_key(
                of=self.fingerprint, train=train_count, test=test_count, seed=seed
            ),
        )

    def calibration_images(self, count: int, seed: int = 0) -> np.ndarray:
        """Training pictures, uint8 `[N, H, W, 3]`, with the mix of classes of the training set.

        Never test pictures: they must stay unseen until the final measurement. N is `count`, or all there
        are where these are fewer.

        Raises:
            InputError: fewer than one picture is asked for.
        """
        count = min(count, len(self.train_labels))
        return self.train_images[stratified(self.train_labels, count, seed)]

    def __str__(self) -> str:
        height, width, _ = self.image_shape
        return (
            f"{self.name}: {len(self.train_images)} training and {len(self.test_images)} test pictures of "
            f"{width}x{height} pixels in {self.class_count} classes. {self.source}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        height, width, _ = self.image_shape
        rows = {
            "training pictures": len(self.train_images),
            "test pictures": len(self.test_images),
            "size": f"{width} x {height} pixels, RGB, uint8",
            "classes": ", ".join(self.class_names),
            "source": self.source,
        }
        cells = "".join(
            f"<tr><th scope='row'>{key}</th><td>{html.escape(str(value))}</td></tr>"
            for key, value in rows.items()
        )
        return f"<table><caption>Dataset {html.escape(self.name)}</caption>{cells}</table>"


def _check_part(part: str, images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(
            # Note: {part} is "train" or "test", the name of a field.
            tr(
                "The {part} images are {dtype} of shape {shape}.",
                part=part,
                dtype=images.dtype,
                shape=images.shape,
            ),
            why=tr("pictures are uint8 [N, height, width, 3], RGB from 0 to 255"),
            fix=tr("convert them before making a Dataset"),
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            # Note: {part} is "train" or "test", the name of a field.
            tr(
                "{count} {part} images have labels of shape {shape}.",
                count=len(images),
                part=part,
                shape=labels.shape,
            ),
            why=tr("every image needs exactly one label"),
            fix=tr("check that images and labels were read in the same order and none was dropped"),
        )
    if not np.issubdtype(labels.dtype, np.integer) or np.any((labels < 0) | (labels >= len(class_names))):
        raise DataError(
            # Note: {part} is "train" or "test", the name of a field.
            tr("The {part} labels do not match the {count} class names.", part=part, count=len(class_names)),
            why=tr(
                "labels are whole numbers from 0 to {last}; found {found}",
                last=len(class_names) - 1,
                found=_range(labels),
            ),
            fix=tr("give one name per class, and number the classes from 0"),
        )


def _range(labels: np.ndarray) -> str:
    if len(labels) == 0:
        return tr("none")
    low, high = labels.min(), labels.max()
    return tr("{dtype} from {low} to {high}", dtype=labels.dtype, low=low, high=high)


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` items whose mix of classes is that of all, in their first order.

    Shares are rounded down; what is missing then goes to the largest remainders.

    Raises:
        InputError: more items are asked for than there are, or fewer than one.
    """
    if not 1 <= count <= len(labels):
        raise InputError(
            tr(
                "{count} pictures were asked for, 1 to {available} can be had.",
                count=count,
                available=len(labels),
            ),
            why=tr("no picture is used twice"),
            fix=tr("ask for at most {count}", count=len(labels)),
        )
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    shares = count * sizes // len(labels)
    remainders = count * sizes % len(labels)
    # Among equal remainders chance decides, else the first classes would always gain.
    order = np.lexsort((rng.random(len(classes)), -remainders))
    shares[order[: count - shares.sum()]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == one))[:share]
        for one, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def load(
    name: str | Path = "shapes",
    *,
    train_count: int | None = None,
    test_count: int | None = None,
    seed: int = 0,
    image_size: int = IMAGE_SIZE,
) -> Dataset:
    """Load a dataset; what was drawn or decoded once is kept and comes back in well under a second.

    Args:
        name: "shapes" (drawn here), "cifar10" (searched in `$EDGELAB_DATA`, then among what was decoded
            before, then downloaded by Keras), or the path of a folder or archive (.tar.xz, .tar.gz, .zip)
            of class folders, as `data_sources.class_folders.place` reads them.
        train_count: training pictures (shapes: 6,000 when None); all there are when None or more than these.
        test_count: the same for test pictures (shapes: 2,000).
        seed: of drawing, of the choice of a part, and of splitting a folder without a test folder.
        image_size: pixels on a side; other pictures are cut to a square and resized.

    Returns:
        The dataset.

    Raises:
        DataError: not found, not readable, refused, or too small to train on.
        InputError: counts out of range.
        StorageError: the disk is full.
    """
    if str(name) == "shapes":
        counts = (train_count or SHAPES_TRAIN_COUNT, test_count or SHAPES_TEST_COUNT)
        return _load_shapes(*counts, seed, image_size)
    dataset = (
        _load_cifar10(seed, image_size)
        if str(name) == "cifar10"
        else _load_path(Path(name), seed, image_size)
    )
    available = (len(dataset.train_images), len(dataset.test_images))
    if any(n is not None and n > most for n, most in zip((train_count, test_count), available, strict=True)):
        used = tr(
            "Fewer than the {train_count} and {test_count} asked for, so all are used.",
            train_count=train_count,
            test_count=test_count,
        )
        dataset = replace(dataset, source=f"{dataset.source} {used}")
    counts = [
        min(asked or most, most) for asked, most in zip((train_count, test_count), available, strict=True)
    ]
    return dataset.subset(*counts, seed)


def _kept(name: str, source: str, parts: dict[str, Any], build: Callable[[], dict[str, Any]]) -> Dataset:
    """The dataset whose arrays `build()` makes, from the cache when made before from the same `parts`."""

    def build_file(path: Path) -> None:
        arrays = build()
        digest = hashlib.sha256()
        for key in sorted(arrays.keys() - {"account"}):
            digest.update(np.ascontiguousarray(arrays[key]).tobytes())
        account = arrays.pop("account", "")
        np.savez(path, fingerprint=digest.hexdigest()[:12], source=f"{source} {account}".strip(), **arrays)

    return _read_kept(name, artifacts.cached("datasets", name, ".npz", parts, build_file))


def _read_kept(name: str, path: Path) -> Dataset:
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            tr("The kept copy {path} of {name} is damaged.", path=path.name, name=name),
            why=str(error),
            fix=tr("delete {path} and load again", path=path),
        ) from error
    return Dataset(
        name=name,
        class_names=tuple(str(one) for one in arrays.pop("class_names")),
        fingerprint=str(arrays.pop("fingerprint")),
        source=str(arrays.pop("source")),
        **arrays,
    )


def _load_shapes(train_count: int, test_count: int, seed: int, image_size: int) -> Dataset:
    def build() -> dict[str, Any]:
        train = draw_shapes(train_count, seed=seed, image_size=image_size, stream="train")
        test = draw_shapes(test_count, seed=seed, image_size=image_size, stream="test")
        return _arrays(*train, *test, SHAPE_CLASSES)

    parts = {
        "code": Path(shapes.__file__),  # a change of the drawing makes a new dataset
        "counts": [train_count, test_count],
        "seed": seed,
        "image_size": image_size,
    }
    return _kept("shapes", f"Drawn by edgelab.data_sources.shapes from seed {seed}.", parts, build)


def _arrays(train_images, train_labels, test_images, test_labels, class_names) -> dict[str, Any]:
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
        "class_names": np.array(class_names),
    }


def _load_path(path: Path, seed: int, image_size: int, name: str = "") -> Dataset:
    path = path.expanduser()
    if not path.exists():
        raise DataError(
            tr("There is no dataset {path!r}.", path=str(path)),
            why=tr('a dataset is "shapes", "cifar10", or the path of a folder or archive'),
            fix=tr('check the spelling; "shapes" needs no file and no network'),
        )
    parts = own_pictures.identity(path) | {"seed": seed, "image_size": image_size}
    source = f"Read from {path.name}{'/' if path.is_dir() else ''}."
    return _kept(
        name or own_name(path), source, parts, lambda: own_pictures.split_pictures(path, seed, image_size)
    )


def own_name(path: str | Path) -> str:
    """A name for a user's own pictures that can be part of a file name; never that of a built-in set."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).resolve().name.split(".")[0])[:40].strip("_")
    return f"own_{name}" if name in ("", *BUILT_IN) else name


def _load_cifar10(seed: int, image_size: int) -> Dataset:
    """CIFAR-10 from the first place that has it."""
    folder = os.environ.get("EDGELAB_DATA", "")
    for candidate in sorted(Path(folder).glob("cifar10*")) if folder else ():
        if candidate.is_dir() or archives.is_archive(candidate):
            return _load_path(candidate, seed, image_size, name="cifar10")
    for kept in sorted((artifacts.artifacts_dir() / "datasets").glob("cifar10-*.npz")):
        dataset = _read_kept("cifar10", kept)
        if dataset.image_shape == (image_size, image_size, 3):
            return dataset
    if image_size != IMAGE_SIZE:
        raise InputError(
            tr("CIFAR-10 from Keras has {image_size} pixels on a side.", image_size=IMAGE_SIZE),
            fix=tr("use image_size={image_size}", image_size=IMAGE_SIZE),
        )
    return _kept(
        "cifar10", "CIFAR-10 (Krizhevsky 2009), original, by Keras' loader.", {"by": "keras"}, _keras_cifar10
    )


def _keras_cifar10() -> dict[str, Any]:
    try:
        with downloads.connection_timeout(downloads.TIMEOUT_S):
            quiet.import_tensorflow()
            from keras.datasets import cifar10

            (train_images, train_labels), (test_images, test_labels) = cifar10.load_data()
    except Exception as error:  # urllib, ssl, tarfile, pickle and plain Exception, depending on what fails
        raise DataError(
            tr("CIFAR-10 is not on this machine and cannot be downloaded."),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=tr(
                'use "shapes", which needs no network; or put a folder '
                "cifar10/{train,test}/<class>/*.jpg, or an archive of it, where EDGELAB_DATA points; "
                "or connect to the internet once"
            ),
        ) from error
    labels = (part.ravel().astype(np.int64) for part in (train_labels, test_labels))
    return _arrays(train_images, next(labels), test_images, next(labels), CIFAR10_CLASSES)
