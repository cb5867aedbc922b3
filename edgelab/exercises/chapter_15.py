"""The checks of chapter 15: checksums, the next version, test vectors, what a receiver finds, a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

FIRST_VERSION = "1.0.0"
KINDS = ("missing", "damaged", "not listed", "label", "output")


def checksums(files: Mapping[str, bytes]) -> str:
    """The list that `sha256sum -c` reads: a line per file with its SHA-256 and its name, sorted by name.

    Args:
        files: content by name.
    """
    pairs = ((hashlib.sha256(files[name]).hexdigest(), name) for name in sorted(files))
    return "".join(f"{digest}  {name}\n" for digest, name in pairs)


def next_version(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """The version of a release, decided from what changed (Semantic Versioning 2.0.0, semver.org).

    Args:
        before: metadata of the last release, with "version", "input", "labels" and "files" (checksum by name
            of each model); None where there is none.
        after: the same of this one, without "version".
    """
    if before is None:
        return FIRST_VERSION
    major, minor, patch = (int(part) for part in before["version"].split("."))
    known = len(before["labels"])
    gone = before["files"].keys() - after["files"].keys()
    more = after["files"].keys() - before["files"].keys()
    if gone or after["input"] != before["input"] or after["labels"][:known] != before["labels"]:
        return f"{major + 1}.0.0"
    if more or len(after["labels"]) > known:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + (after['files'] != before['files'])}"


def test_vectors(probabilities: np.ndarray, labels: np.ndarray, margin: float) -> list[int]:
    """For each class the picture that is told least surely, but rightly and by at least `margin`.

    Args:
        probabilities: float `[N, classes]`, of the trained model.
        labels: int `[N]`, the true classes.
        margin: between the largest and the second largest probability.

    Returns:
        Numbers of pictures, in the order of the classes; a class without such a picture has none.
    """
    two = np.sort(probabilities, axis=1)[:, -2:]
    lead = two[:, 1] - two[:, 0]
    usable = (probabilities.argmax(axis=1) == labels) & (lead >= margin)
    candidates = (np.flatnonzero(usable & (labels == label)) for label in range(probabilities.shape[1]))
    return [int(numbers[lead[numbers].argmin()]) for numbers in candidates if numbers.size]


def problems(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a release, from what a receiver found in it.

    Args:
        facts: as `edgelab.release.received` gives them.

    Returns:
        (kind, file) pairs, kind one of `KINDS`, sorted, each once.
    """
    actual, promised = facts["actual"], facts["promised"]
    found = {("missing", name) for name in promised.keys() - actual.keys()}
    found |= {("not listed", name) for name in actual.keys() - promised.keys()}
    found |= {("damaged", name) for name in actual.keys() & promised.keys() if actual[name] != promised[name]}
    for model, rows in facts["outputs"].items():
        for row, vector in zip(rows, facts["vectors"], strict=True):
            if facts["labels"][int(np.argmax(row))] != vector["label"]:
                found.add(("label", model))
            if np.abs(np.subtract(row, vector["probabilities"])).max() > facts["tolerance"][model]:
                found.add(("output", model))
    return sorted(found)


def in_bucket(picture: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The picture in the middle of the smallest square that holds it, the rest filled from its edge.

    Args:
        picture: `[height, width, 3]`.
        sizes: of the squares there are, in any order; the largest holds every picture.
    """
    side = min(size for size in sizes if size >= max(picture.shape[:2]))
    gaps = [side - length for length in picture.shape[:2]]
    before_and_after = [(gap // 2, gap - gap // 2) for gap in gaps]
    return np.pad(picture, [*before_and_after, (0, 0)], mode="edge")
