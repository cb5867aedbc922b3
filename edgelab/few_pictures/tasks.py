"""Two classes of pictures that a network has not been trained on, and a few of them to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgelab import datasets
from edgelab.data_sources import faces
from edgelab.errors import InputError
from edgelab.texts import tr

POOL_COUNT, TEST_COUNT = 600, 600
DRAWN = ("", "shapes")  # names of datasets for which faces are drawn


@dataclass(frozen=True)
class Task:
    """Pictures of two classes; the second is the one whose probability a network gives.

    Attributes:
        names: of class 0 and class 1.
        pool: uint8 `[N, H, W, 3]` RGB; `few` draws from these.
        pool_labels: int64 `[N]`, 0 or 1.
        test: like `pool`; shares no picture with it.
        test_labels: like `pool_labels`.
        source: one sentence on where they come from.
    """

    names: tuple[str, str]
    pool: np.ndarray
    pool_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    source: str

    def few(self, count: int, seed: int) -> np.ndarray:
        """Numbers of `count` pictures of the pool, half of each class, others for another seed.

        Raises:
            InputError: a class has fewer than half of `count`.
        """
        if not 2 <= count <= self.most:
            raise InputError(
                tr("{count} pictures were asked for, 2 to {most} can be had.", count=count, most=self.most),
                why=tr("half of them are of each class, and none is used twice"),
                fix=tr("ask for at most {count}", count=self.most),
            )
        rng = np.random.default_rng(seed)
        of_class = [rng.permutation(np.flatnonzero(self.pool_labels == label)) for label in (0, 1)]
        return np.concatenate([numbers[: count // 2] for numbers in of_class])

    @property
    def most(self) -> int:
        """How many pictures can be drawn, half of each class."""
        return 2 * int(min(np.bincount(self.pool_labels, minlength=2)))

    def counts(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """Those of the `wanted` counts that half of the pool allows; half of the pool, where it allows none.

        Draws from a pool that is hardly larger than themselves would be nearly the same pictures each time.
        """
        half = max(2, self.most // 4 * 2)
        return tuple(count for count in wanted if count <= half) or (half,)

    @property
    def chance(self) -> float:
        """Share of the test pictures that the more frequent class has."""
        return float(np.bincount(self.test_labels, minlength=2).max() / len(self.test_labels))


def load(name: str = "", *, image_size: int = datasets.IMAGE_SIZE, seed: int = 0) -> Task:
    """Cats and dogs: drawn ones, those of CIFAR-10, or two classes of the user's own pictures.

    Args:
        name: "" or "shapes": faces are drawn; "cifar10": its cats and dogs; or the path of a folder or
            archive with a folder for each class, of which the two with the most pictures are taken.
        image_size: pixels on a side.
        seed: of the drawing, and of which pictures are used where there are more than needed.

    Raises:
        DataError: the pictures are not found, not readable, or too few.
    """
    if str(name) in DRAWN:
        pool = faces.draw_faces(POOL_COUNT, seed=seed, image_size=image_size)
        test = faces.draw_faces(TEST_COUNT, seed=seed, image_size=image_size, stream="test")
        return Task(("cat", "dog"), *pool, *test, f"Drawn by edgelab.data_sources.faces from seed {seed}.")
    found = datasets.load(name, image_size=image_size, seed=seed)
    if str(name) == "cifar10":
        pair = [found.class_names.index(one) for one in ("cat", "dog")]
    else:
        sizes = np.bincount(found.train_labels, minlength=found.class_count)
        pair = sorted(np.argsort(-sizes, kind="stable")[:2].tolist())
    parts = []
    for images, labels, most in (
        (found.train_images, found.train_labels, POOL_COUNT),
        (found.test_images, found.test_labels, TEST_COUNT),
    ):
        numbers = np.flatnonzero(np.isin(labels, pair))
        if len(numbers) > most:
            numbers = numbers[datasets.stratified(labels[numbers], most, seed)]
        parts += [images[numbers], (labels[numbers] == pair[1]).astype(np.int64)]
    names = tuple(found.class_names[label] for label in pair)
    return Task(names, *parts, found.source)


def digest(*arrays: np.ndarray) -> str:
    """Hash of arrays, their shapes and types, for the keys of what is kept."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(str((array.shape, str(array.dtype))).encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
