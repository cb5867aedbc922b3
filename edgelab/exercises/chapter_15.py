"""The checks of chapter 15: checksums, the next version, test vectors, what a receiver finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

FIRST_VERSION = "1.0.0"
KINDS = ("missing", "damaged", "unlisted", "label", "output")


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


def chosen_pictures(probabilities: np.ndarray, labels: np.ndarray, margin: float) -> list[int]:
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
    found |= {("unlisted", name) for name in actual.keys() - promised.keys()}
    found |= {("damaged", name) for name in actual.keys() & promised.keys() if actual[name] != promised[name]}
    for model, rows in facts["outputs"].items():
        for row, vector in zip(rows, facts["vectors"], strict=True):
            if facts["labels"][int(np.argmax(row))] != vector["label"]:
                found.add(("label", model))
            if np.abs(np.subtract(row, vector["probabilities"])).max() > facts["tolerance"][model]:
                found.add(("output", model))
    return sorted(found)


def _files(seed: int) -> dict[str, bytes]:
    """Files of a made-up release, not in the order of their names."""
    rng = np.random.default_rng(seed)
    names = ("model.tflite", "labels.txt", "vectors/01.png", "MODEL_CARD.md")[: 2 + seed]
    return {name: rng.bytes(int(rng.integers(0, 200))) for name in names}


@exercise(
    "15.1",
    tr("A list of checksums"),
    hints=(
        tr("hashlib.sha256(content).hexdigest() is the checksum of one file."),
        tr("Go through sorted(files): that gives the names in order."),
        tr('Join f"{checksum}  {name}\\n" of all of them: two spaces between, a line end after each.'),
    ),
    read=tr("the section “Is it whole?” of this chapter"),
)
def check_checksums(answer: Callable[[dict[str, bytes]], str]) -> None:
    """One text with a line for each file, as `sha256sum -c` reads it."""
    for seed in range(3):
        files = _files(seed)
        got, expected = answer(dict(files)), checksums(files)
        if got == expected:
            continue
        if not isinstance(got, str):
            raise Mistake(
                tr("got a {kind}", kind=type(got).__name__), tr("Return one text, the lines joined together.")
            )
        lines, wanted = got.splitlines(), expected.splitlines()
        if sorted(lines) == sorted(wanted):
            hint = (
                tr("Sort the lines by name, so that the same files always give the same list.")
                if lines != wanted
                else tr("Every line ends with a line end, the last one, too.")
            )
        elif len(lines) != len(wanted):
            hint = tr("There is one line for each file, and nothing else.")
        elif [line.split() for line in lines] == [line.split() for line in wanted]:
            hint = tr("Between checksum and name stand two spaces, so that sha256sum can read it.")
        elif [line.split()[1:] for line in lines] == [line.split()[:1] for line in wanted]:
            hint = tr("The checksum stands first, the name after it.")
        else:
            hint = tr("It is the SHA-256 of the file's content, in hexadecimal digits.")
        raise Mistake(
            tr(
                "expected a list that begins with {expected!r}, got {got!r}", expected=wanted[0], got=got[:80]
            ),
            hint,
        )


def _metadata(version: str, **changes: Any) -> dict[str, Any]:
    """Metadata of a made-up release."""
    base = {
        "version": version,
        "input": {"height": 32, "width": 32, "scale": 1.0},
        "labels": ["circle", "ring", "square"],
        "files": {"int8.tflite": "aa11", "float32.tflite": "bb22"},
    }
    return {**base, **changes}


def _changes() -> list[tuple[str, dict[str, Any] | None, dict[str, Any]]]:
    """What changed in words, metadata before and after."""
    old = _metadata("2.3.4")
    other = {"int8.tflite": "cc33", "float32.tflite": "bb22"}
    more = {**old["files"], "float16.tflite": "dd44"}
    size = {**old["input"], "height": 48}
    scale = {**old["input"], "scale": 1 / 255}
    cases = [
        (tr("there was no release before"), None, _metadata("")),
        (tr("nothing changed"), old, old),
        (tr("one model was trained again"), old, {**old, "files": other}),
        (tr("a model was added"), old, {**old, "files": more}),
        (tr("a model was taken out"), old, {**old, "files": {"int8.tflite": "aa11"}}),
        (tr("a model has another name"), old, {**old, "files": {"int8.tflite": "aa11", "f.tflite": "bb22"}}),
        (tr("the picture's size changed"), old, {**old, "input": size}),
        (
            tr("the scaling of pixels changed, and so did a model"),
            old,
            {**old, "input": scale, "files": other},
        ),
        (tr("two labels changed places"), old, {**old, "labels": ["ring", "circle", "square"]}),
        (tr("a label was taken out"), old, {**old, "labels": ["circle", "ring"]}),
        (
            tr("a label was added at the end"),
            old,
            {**old, "labels": [*old["labels"], "star"], "files": other},
        ),
        (tr("a label was added in front"), old, {**old, "labels": ["star", *old["labels"]]}),
        (tr("one model was trained again"), _metadata("0.9.19"), _metadata("", files=other)),
        (tr("a model was added"), _metadata("10.19.7"), _metadata("", files=more)),
        (tr("the picture's size changed"), _metadata("19.1.2"), _metadata("", input=size)),
    ]
    return [
        (text, before, {key: value for key, value in after.items() if key != "version"})
        for text, before, after in cases
    ]


@exercise(
    "15.2",
    tr("The next version"),
    hints=(
        tr("Ask the strictest question first: would an app that was written for the old release break?"),
        tr('Taken out: before["files"].keys() - after["files"].keys(). Added: the other way round.'),
        tr('Labels are kept when after["labels"][:count] == before["labels"], count that of the old ones.'),
    ),
    read=tr("the section “What does the number promise?” of this chapter"),
)
def check_version(answer: Callable[[Any, Any], str]) -> None:
    """The number of the next release, from the metadata of the last one and of this one."""
    for what, before, after in _changes():
        got = answer(before and {**before}, {**after})
        expected = next_version(before, after)
        if got == expected:
            continue
        raise Mistake(
            # Note: {before} is a version such as 2.3.4, {what} says what changed since.
            tr(
                "{before}, {what}: expected {expected!r}, got {got!r}",
                before=before["version"] if before else tr("first release"),
                what=what,
                expected=expected,
                got=got,
            ),
            _version_hint(before, expected, got),
        )


def _version_hint(before: dict[str, Any] | None, expected: str, got: object) -> str:
    if before is None:
        return tr("Where before is None, it is the first release.")
    if not isinstance(got, str) or got.count(".") != 2:
        return tr("A version is a text of three numbers with two points.")
    place = {"0.0": 0}.get(expected.partition(".")[2], 1 if expected.endswith(".0") else 2)
    if expected == before["version"]:
        return tr("The same files and the same contract are the same release: keep its version.")
    try:
        was, is_now = ([int(part) for part in text.split(".")] for text in (before["version"], got))
    except ValueError:
        return tr("A version is a text of three numbers with two points.")
    raised = next((at for at in range(3) if was[at] != is_now[at]), None)
    if raised == place and is_now[place] == was[place] + 1:
        return tr("When a number rises, those behind it begin at 0 again.")
    if raised == place:
        return tr("Each part is a number and rises by one: 19 is followed by 20.")
    return (
        tr("An app that was written for the old release breaks: raise the first number."),
        tr("Old apps go on working, and there is something new to use: raise the second number."),
        tr("The contract is the same, the bytes are not: raise the third number."),
    )[place]


def _told(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and true classes of made-up pictures; some classes are told rightly only just."""
    rng = np.random.default_rng(40 + seed)
    count, classes = 60 + 30 * seed, 4 + seed
    labels = rng.integers(0, classes, count)
    scores = rng.normal(size=(count, classes))
    scores[np.arange(count), labels] += rng.uniform(0, 4, count)
    if seed == 2:  # a class that is never told surely enough
        scores[labels == 1, 1] = scores[labels == 1].max(axis=1) - 0.01
    powers = np.exp(scores)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    probabilities[0] = 0  # a lead of exactly a quarter, and no other as small for its class
    probabilities[0, [labels[0], (labels[0] + 1) % classes]] = 0.625, 0.375
    return probabilities, labels


@exercise(
    "15.3",
    tr("Test vectors"),
    hints=(
        tr(
            "np.sort(probabilities, axis=1)[:, -2:] holds the second largest and the largest of each picture."
        ),
        tr("Usable is a picture whose argmax is its label and whose lead is at least the margin."),
        tr("For each class: numbers = np.flatnonzero(usable & (labels == label)), then the smallest lead."),
    ),
    read=tr("the section “Does it answer as it did?” of this chapter"),
)
def check_vectors(answer: Callable[[np.ndarray, np.ndarray, float], list[int]]) -> None:
    """For each class the least sure picture that is right by at least the margin."""
    for seed, margin in enumerate((0.25, 0.4, 0.3)):
        probabilities, labels = _told(seed)
        got = [int(number) for number in answer(probabilities.copy(), labels.copy(), margin)]
        expected = chosen_pictures(probabilities, labels, margin)
        if got == expected:
            continue
        raise Mistake(
            tr(
                "margin {margin}: expected the pictures {expected}, got {got}",
                margin=margin,
                expected=expected,
                got=got,
            ),
            _vector_hint(probabilities, labels, margin, got, expected),
        )


def _vector_hint(
    probabilities: np.ndarray, labels: np.ndarray, margin: float, got: list[int], expected: list[int]
) -> str:
    two = np.sort(probabilities, axis=1)[:, -2:]
    lead, right = two[:, 1] - two[:, 0], probabilities.argmax(axis=1) == labels
    if any(not 0 <= number < len(labels) for number in got):
        return tr("Return numbers of pictures, from 0 on.")
    if any(not right[number] for number in got):
        return tr("A picture that the trained model gets wrong tests nothing.")
    if any(lead[number] < margin for number in got):
        return tr("Rounding may turn a picture whose lead is smaller than the margin.")
    if sorted(got) == sorted(expected):
        return tr("Give them in the order of the classes.")
    if len(got) != len(expected):
        return tr("One picture for each class that has a usable one.")
    if sorted(labels[got]) == sorted(labels[expected]):
        return tr("Of the usable pictures take the one with the smallest lead: it notices most.")
    return tr("Every class needs a picture of its own: else two labels can change places unseen.")


def _facts(seed: int) -> dict[str, Any]:
    """What a receiver finds in a made-up release; the seed decides what is wrong with it."""
    rng = np.random.default_rng(70 + seed)
    labels = ["circle", "ring", "square"]
    rows = np.array([[12, 3, 1], [2, 13, 1], [1, 4, 11]]) / 16  # exact, and so is the tolerance
    vectors = [
        {"picture": f"vectors/{number:02d}.png", "label": labels[number], "probabilities": row.tolist()}
        for number, row in enumerate(rows)
    ]
    promised = {name: rng.bytes(4).hex() for name in ("int8.tflite", "float.tflite", "labels.txt", "card.md")}
    outputs = {"int8.tflite": rows + 0.125, "float.tflite": rows + 0.0005}
    actual = dict(promised)
    if seed == 1:
        actual["card.md"] = "00"
        del outputs["int8.tflite"], actual["int8.tflite"]
    if seed == 2:
        actual["extra.txt"] = "11"
        outputs["float.tflite"] = rows + np.array([0, 0, 0.002])
    if seed == 3:
        labels = ["circle", "square", "ring"]
    if seed == 4:
        outputs["int8.tflite"] = rows - np.array([0.126, 0, 0])
    if seed == 5:
        outputs["float.tflite"] = rows[:, ::-1]
        del actual["labels.txt"]
    return {
        "version": "1.0.0",
        "actual": actual,
        "promised": promised,
        "labels": labels,
        "vectors": vectors,
        "outputs": {name: found.round(6).tolist() for name, found in outputs.items()},
        "tolerance": {name: {"int8.tflite": 0.125, "float.tflite": 0.001}[name] for name in outputs},
    }


@exercise(
    "15.4",
    tr("What the receiver finds"),
    hints=(
        tr('Names: promised.keys() - actual.keys() are missing, the other way round they are "unlisted".'),
        tr('zip(rows, facts["vectors"]) goes through a model\'s answers and what was to come out.'),
        tr("Collect pairs in a set, so that each is there once, and return sorted(found)."),
    ),
    read=tr("the section “The receiver” of this chapter"),
)
def check_problems(answer: Callable[[dict[str, Any]], list[tuple[str, str]]]) -> None:
    """Pairs of what is wrong and the file, sorted, from the facts that a receiver prints."""
    for seed in range(6):
        facts = _facts(seed)
        got, expected = answer(_facts(seed)), problems(facts)
        try:
            pairs = [(str(kind), str(name)) for kind, name in got]
        except (TypeError, ValueError):
            raise Mistake(
                tr("got {got!r}", got=got), tr("Return a list of pairs: what is wrong, and the file.")
            ) from None
        if pairs == expected:
            continue
        raise Mistake(
            tr("expected {expected}, got {got}", expected=expected, got=pairs), _problem_hint(pairs, expected)
        )


def _problem_hint(got: list[tuple[str, str]], expected: list[tuple[str, str]]) -> str:
    if set(got) == set(expected):
        return tr("Each pair is there once, and they are sorted.")
    if {kind for kind, _ in got} - set(KINDS):
        return tr("Use the five words: missing, damaged, unlisted, label, output.")
    wrong = sorted(set(got) ^ set(expected))[0]
    return {
        "missing": tr("Missing is a file that is promised and not there; a file that is there may differ."),
        "damaged": tr("Damaged is a file that is there and promised, with another checksum."),
        "unlisted": tr("Not listed is a file that is there and was never promised."),
        "label": tr(
            "The label is the name at the place of the largest probability: compare it with the vector's."
        ),
        "output": tr("Compare every probability, up or down, with the tolerance of that model."),
    }[wrong[0]]
