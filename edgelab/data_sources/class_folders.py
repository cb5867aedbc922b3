"""What the folders of a picture say: its class, and the half of the data it belongs to.

People and platforms arrange class folders in many ways. The outermost level that tells pictures apart counts:
folders that all pictures share are ignored, and so are folders inside a class.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgelab.texts import tr

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), TEST),
}
# Folders between a half and its classes that say nothing.
WRAPPERS = {"images", "imgs", "image", "pictures", "photos", "jpegimages", "data"}


@dataclass(frozen=True)
class Placed:
    """Where one picture belongs.

    Attributes:
        split: "train", "validation", "test", or "" where the folders do not say.
        class_name: "" when the picture is left out.
        left_out: why, or "".
    """

    split: str = ""
    class_name: str = ""
    left_out: str = ""


def split_kind(folder: str) -> str:
    """ "train", "validation", "test", or "" of a folder's name such as `seg_train`, `val2017`, `Test Set`."""
    word = re.sub(r"[^a-z]", "", folder.casefold())
    word = re.sub(r"^seg|(set|images|imgs|data|split)$", "", word)
    return SPLIT_NAMES.get(word, "")


def shown_name(name: str) -> str:
    """A folder's name as text: composed accents, and bytes of no known encoding read as Western European."""
    try:
        name.encode()
    except UnicodeEncodeError:  # how Python keeps bytes that are no UTF-8
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    return unicodedata.normalize("NFC", name).strip()


def place(names: Iterable[PurePosixPath]) -> list[Placed]:
    """Split and class of every picture, from the folders of all of them.

    `train/cat/1.jpg`, `any/Training/images/cat/persian/1.jpg` and `cat/train/1.jpg` all are "train" and
    "cat". Halves count only where there is one to train on and one to test or validate on: among `bus`,
    `car` and `train`, a train is a class.

    Args:
        names: paths below the folder that was given.

    Returns:
        One entry per name, in the same order.
    """
    folders = [tuple(map(shown_name, name.parts[:-1])) for name in names]
    depth = _shared_depth(folders)
    below = [one[depth:] for one in folders]
    kinds = {one[0]: split_kind(one[0]) for one in below if one}
    if _are_halves(kinds.values()) and any(len(one) > 1 for one in below if one and kinds[one[0]]):
        return _same_spelling([_in_half(one, kinds) for one in below])
    inner = {one[1]: split_kind(one[1]) for one in below if len(one) > 1}
    if _are_halves(inner.values()) and all(inner.values()) and all(len(one) > 1 for one in below if one):
        return [Placed(inner[one[1]], one[0]) if one else _loose() for one in below]
    if kinds and all(kinds.values()):
        return [_loose() for _ in below]
    return [Placed("", one[0]) if one else _loose() for one in below]


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """How many outer folders all pictures share, so that what follows still tells classes apart."""
    depth = 0
    while len({one[depth] for one in folders if len(one) > depth}) == 1 and any(
        len(one) > depth + 1 for one in folders
    ):
        depth += 1
    return depth


def _are_halves(kinds: Iterable[str]) -> bool:
    kinds = set(kinds)
    return TRAIN in kinds and bool(kinds & {VALIDATION, TEST})


def _in_half(folders: tuple[str, ...], kinds: dict[str, str]) -> Placed:
    if not folders:
        return _loose()
    split, *rest = folders
    if not kinds[split]:
        return Placed(left_out=tr("beside the halves"))
    while len(rest) > 1 and (split_kind(rest[0]) == kinds[split] or rest[0].casefold() in WRAPPERS):
        rest.pop(0)
    if not rest or rest[0].casefold() in WRAPPERS:
        return _loose()
    return Placed(kinds[split], rest[0])


def _same_spelling(placed: list[Placed]) -> list[Placed]:
    """`Cat` in one half and `cat` in the other are one class, spelt as in training."""
    spelling = {one.class_name.casefold(): one.class_name for one in placed if one.split == TRAIN}
    return [
        Placed(one.split, spelling.get(one.class_name.casefold(), one.class_name), one.left_out)
        for one in placed
    ]


def _loose() -> Placed:
    return Placed(left_out=tr("in no class folder"))
