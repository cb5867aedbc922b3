"""Text to numbers, the same in training and on the device: a rule for words, and a file of words that ships.

The file holds a word a line, and the number of its line, from 0, is the word's number. Line 0 is padding,
line 1 stands for every word that is not in the file.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

WORD = re.compile(r"[a-z']+|[.,!?;:]", re.ASCII)
PAD, UNKNOWN = "[pad]", "[unknown]"
KEPT = ("end", "start")


def words_of(text: str) -> list[str]:
    """The words and marks of a text, in small letters; digits and other signs are left out."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """The words that a network knows, by number.

    Attributes:
        words: the lines of the file: `PAD`, `UNKNOWN`, then words.

    Raises:
        DataError: it does not begin with these two, or holds a word twice.
    """

    words: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {word: number for number, word in enumerate(self.words)}
        if self.words[:2] != (PAD, UNKNOWN) or len(numbers) != len(self.words):
            raise DataError(
                tr("This is no vocabulary."),
                why=tr(
                    "it must begin with {pad} and {unknown}, and no word may be there twice",
                    pad=PAD,
                    unknown=UNKNOWN,
                ),
                fix=tr("take the file that was written when the network was trained"),
            )
        object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """Hash of all words in their order, 12 hex digits: it belongs beside the model's."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:12]

    def encode(self, texts: Sequence[str], length: int, *, keep: str = "end") -> np.ndarray:
        """Each text as `length` numbers: padded in front, and where it is longer, cut.

        Args:
            texts: any.
            length: at least 1.
            keep: "end" keeps the last words of what is too long, "start" the first.

        Returns:
            int32 `[texts, length]`.

        Raises:
            InputError: an unknown `keep`, or a length below 1.
        """
        if keep not in KEPT or length < 1:
            raise InputError(
                tr("keep={keep!r}, length={length}: this cannot be done.", keep=keep, length=length),
                fix=tr('keep "end" or "start", and at least one word'),
            )
        found = np.zeros((len(texts), length), np.int32)
        for row, text in zip(found, texts, strict=True):
            numbers = [self._numbers.get(word, 1) for word in words_of(text)]
            numbers = numbers[-length:] if keep == "end" else numbers[:length]
            if numbers:
                row[-len(numbers) :] = numbers
        return found

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Part of all words in these texts that the vocabulary does not hold, 0 to 1."""
        words = [word for text in texts for word in words_of(text)]
        return sum(word not in self._numbers for word in words) / max(1, len(words))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        with artifacts.atomic_path(path) as temporary:
            temporary.write_text("\n".join(self.words) + "\n", encoding="utf-8", newline="\n")


def vocabulary_of(texts: Iterable[str], size: int) -> Vocabulary:
    """The most frequent words of the texts; among equally frequent ones the first of the alphabet.

    Args:
        texts: those of the training set alone.
        size: lines of the file, at least 2, `PAD` and `UNKNOWN` included.
    """
    counts = Counter(word for text in texts for word in words_of(text))
    ordered = sorted(counts, key=lambda entry: (-counts[entry], entry))
    return Vocabulary((PAD, UNKNOWN, *ordered[: size - 2]))


def load_vocabulary(path: Path) -> Vocabulary:
    """A vocabulary from its file.

    Raises:
        DataError: it cannot be read, or is none.
    """
    try:
        return Vocabulary(tuple(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            tr("{path} cannot be read.", path=path.name),
            why=str(error),
            fix=tr("take the file that was written when the network was trained"),
        ) from error
