"""Reviews to learn from: made here from templates, or real sentences of a folder, one a line, a file a class.

The made ones are in three kinds of equal share. In *plain* ones a single word tells; in *order* ones a good
and a bad word stand, and the order tells which of them counts; in *nested* ones people say or deny what
others say or deny, and each denial turns what the last words mean.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelab.errors import DataError
from edgelab.texts import tr

KINDS = ("plain", "order", "nested")
GOOD = (
    "good",
    "great",
    "wonderful",
    "brilliant",
    "moving",
    "funny",
    "clever",
    "superb",
    "gripping",
    "charming",
    "fresh",
    "warm",
)
BAD = (
    "bad",
    "awful",
    "dull",
    "boring",
    "clumsy",
    "tedious",
    "silly",
    "lifeless",
    "flat",
    "stale",
    "shallow",
    "cold",
)
THINGS = ("film", "movie", "plot", "acting", "story", "music", "ending", "script", "cast", "direction")
FILLS = ("", "really", "quite", "rather", "at times", "all in all")
LEADS = ("", "", "honestly ,", "to be fair ,", "in short ,", "i have to say ,")
TAILS = (".", ".", "!", ", if you ask me .", "from first to last .")
PEOPLE = ("tom", "anna", "ben", "clara", "paul", "eva")
DEEPEST = 3  # people in a row
ORDERS = (
    "i feared {other} but got {meant} {thing}",
    "the {thing} is {meant} , i feared {other}",
    "the {thing} is {meant} and not {other}",
    "the {thing} is not {other} , it is {meant}",
    "what began {other} {fill} ends {meant} , this {thing}",
)
CLASS_FILES = ("neg", "pos")  # label 0 and 1
TEST_SHARE = 0.2
FEWEST = 10  # sentences of a class
FOLDER = "text"


@dataclass(frozen=True, repr=False)
class Reviews:
    """Texts with labels, mixed, in training and test.

    Attributes:
        name: short, such as "made".
        train_texts, test_texts: share no text.
        train_labels, test_labels: int64, 1 for praise and 0 for blame.
        train_kinds, test_kinds: index into `KINDS` where they were made, else zeros.
        source: one sentence on where they come from.
    """

    name: str
    train_texts: tuple[str, ...]
    train_labels: np.ndarray
    test_texts: tuple[str, ...]
    test_labels: np.ndarray
    train_kinds: np.ndarray
    test_kinds: np.ndarray
    source: str

    @property
    def fingerprint(self) -> str:
        """Hash of all texts and labels, 12 hex digits."""
        digest = hashlib.sha256()
        for texts, labels in ((self.train_texts, self.train_labels), (self.test_texts, self.test_labels)):
            digest.update("\n".join(texts).encode() + np.asarray(labels, np.int64).tobytes())
        return digest.hexdigest()[:12]

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.train_texts):,} for training, {len(self.test_texts):,} for the test; "
            f"{self.source}"
        )

    __repr__ = __str__


def made(train_count: int = 4000, test_count: int = 1500, seed: int = 0) -> Reviews:
    """Reviews from templates, no text twice, half of them praise.

    Args:
        train_count, test_count: how many, together at most 20,000.
        seed: of every draw.
    """
    rng = np.random.default_rng(seed)
    texts, labels, kinds = {}, [], []
    while len(texts) < train_count + test_count:
        kind, label = len(texts) % len(KINDS), int(rng.integers(2))
        text = _made_text(KINDS[kind], label, lambda options: options[rng.integers(len(options))])
        if text not in texts:
            texts[text] = None
            labels.append(label)
            kinds.append(kind)
    return _split("made", list(texts), labels, kinds, test_count, seed, tr("made from templates"))


def _made_text(kind: str, label: int, pick: Callable[[Sequence[str]], str]) -> str:
    meant, other, thing = pick((BAD, GOOD)[label]), pick((GOOD, BAD)[label]), pick(THINGS)
    if kind == "plain":
        text = f"{pick(LEADS)} the {thing} is {pick(FILLS)} {meant}"
    elif kind == "order":
        text = f"{pick(LEADS)} " + pick(ORDERS).format(
            meant=meant, other=other, thing=thing, fill=pick(FILLS)
        )
    else:
        verbs = [pick(("says", "denies")) for _ in range(pick(range(1, DEEPEST + 1)))]
        said = other if verbs.count("denies") % 2 else meant
        told = " ".join(f"{pick(PEOPLE)} {verb} that" for verb in verbs)
        text = f"{pick(LEADS)} {told} the {thing} is {pick(FILLS)} {said}"
    return " ".join(f"{text} {pick(TAILS)}".split())


def _split(
    name: str,
    texts: Sequence[str],
    labels: Sequence[int],
    kinds: Sequence[int],
    test_count: int,
    seed: int,
    source: str,
) -> Reviews:
    order = np.random.default_rng(seed).permutation(len(texts))
    parts = order[test_count:], order[:test_count]
    train_texts, test_texts = (tuple(texts[number] for number in part) for part in parts)
    train_labels, test_labels = (np.asarray(labels, np.int64)[part] for part in parts)
    train_kinds, test_kinds = (np.asarray(kinds, np.int64)[part] for part in parts)
    return Reviews(name, train_texts, train_labels, test_texts, test_labels, train_kinds, test_kinds, source)


def from_folder(folder: Path, seed: int = 0) -> Reviews:
    """Real sentences: one a line, in a file whose name ends in `neg` and one in `pos`; `.txt` may follow.

    Args:
        folder: holds exactly one of each.
        seed: of the order; a fifth becomes the test.

    Raises:
        DataError: no such files, or fewer than ten sentences in one.
    """
    sides = [_sentences(folder, ending) for ending in CLASS_FILES]
    texts = list(dict.fromkeys(text for side in sides for text in side))
    praised, blamed = set(sides[1]), set(sides[0])
    texts = [text for text in texts if not (text in praised and text in blamed)]
    labels = [int(text in praised) for text in texts]
    name = _file(folder, CLASS_FILES[1]).name.removesuffix(".txt").removesuffix(CLASS_FILES[1]).rstrip("._- ")
    source = tr("sentences, one a line")
    count = round(TEST_SHARE * len(texts))
    return _split(name or folder.name, texts, labels, [0] * len(texts), count, seed, source)


def _file(folder: Path, ending: str) -> Path | None:
    """The file of a class; None where there is none, or more than one."""
    found = {*folder.glob(f"*{ending}"), *folder.glob(f"*{ending}.txt")} if folder.is_dir() else set()
    return found.pop() if len(found) == 1 else None


def _sentences(folder: Path, ending: str) -> list[str]:
    file, texts = _file(folder, ending), []
    if file is not None:
        content = file.read_bytes()
        try:
            lines = content.decode("utf-8").splitlines()
        except UnicodeDecodeError:
            lines = content.decode("latin-1").split("\n")
        texts = [line.strip() for line in lines if line.strip()]
    if len(texts) < FEWEST:
        raise DataError(
            tr("{folder} holds no sentences of class {ending}.", folder=folder.name, ending=ending),
            why=tr("it takes one file that ends so, with {least} sentences or more", least=FEWEST),
            fix=tr(
                "put a file ending in {endings} there each, one sentence a line",
                endings=" / ".join(CLASS_FILES),
            ),
        )
    return texts


def real(folder: str = "", *, download: bool = False) -> Reviews:
    """Real sentences, from the first place that has some.

    Args:
        folder: looked at first, where it is not "".
        download: whether IMDB may be loaded by Keras where nothing is found here.

    Raises:
        DataError: there are none; it tells where they may be put.
    """
    data = os.environ.get("EDGELAB_DATA", "")
    for place in (folder, str(Path(data) / FOLDER) if data else ""):
        if place and Path(place).is_dir() and any(Path(place).glob(f"*{CLASS_FILES[1]}*")):
            return from_folder(Path(place))
    if download:
        return imdb()
    raise DataError(
        tr("There are no real sentences here."),
        why=tr("the course ships none; made ones do not tell how real ones behave"),
        fix=tr(
            "put two files ending in {endings}, a sentence a line, into {folder} where EDGELAB_DATA points",
            endings=" / ".join(CLASS_FILES),
            folder=FOLDER,
        ),
    )


def imdb(train_count: int = 8000, test_count: int = 2000, seed: int = 0) -> Reviews:
    """Reviews of IMDB by Keras's loader, which downloads them once.

    Raises:
        DataError: they are neither here nor to be had.
    """
    import keras

    try:
        (train, train_labels), (test, test_labels) = keras.datasets.imdb.load_data()
        index = keras.datasets.imdb.get_word_index()
    except Exception as error:  # no network, a broken file: Keras raises many kinds
        raise DataError(
            tr("The IMDB reviews cannot be loaded."),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=tr(
                "connect to the internet once, or put sentences into a folder and take reviews.from_folder"
            ),
        ) from error
    words = {number + 3: word for word, number in index.items()}
    rng = np.random.default_rng(seed)
    picked = [
        rng.permutation(len(part))[:count] for part, count in ((train, train_count), (test, test_count))
    ]
    texts = [
        tuple(" ".join(words.get(number, "") for number in part[row]).strip() for row in rows)
        for part, rows in zip((train, test), picked, strict=True)
    ]
    labels = [
        np.asarray(part, np.int64)[rows]
        for part, rows in zip((train_labels, test_labels), picked, strict=True)
    ]
    none = [np.zeros(len(rows), np.int64) for rows in picked]
    return Reviews("imdb", texts[0], labels[0], texts[1], labels[1], none[0], none[1], tr("IMDB, by Keras"))
