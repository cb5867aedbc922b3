import numpy as np
import pytest

from edgelab.errors import DataError
from edgelab.language import reviews
from edgelab.language.tokenizer import words_of


@pytest.fixture(scope="module")
def made():
    return reviews.made(900, 600)


def all_texts(data):
    return data.train_texts + data.test_texts


def meaning(text):
    """What a made review says, from its words alone: the rule that a network has to find."""
    words = words_of(text)
    cues = [
        (place, word in reviews.GOOD)
        for place, word in enumerate(words)
        if word in reviews.GOOD + reviews.BAD
    ]
    if len(cues) == 1:
        return cues[0][1] ^ (words.count("denies") % 2 == 1)
    (first, is_good), (_, other) = cues
    assert is_good != other
    meant_last = any(word in words for word in ("got", "ends")) or "not" in words[:first]
    return other if meant_last else is_good


def test_no_text_is_there_twice_and_kinds_are_equal(made):
    texts = all_texts(made)
    assert len(set(texts)) == len(texts) == 1500
    kinds = np.bincount(np.concatenate([made.train_kinds, made.test_kinds]))
    assert kinds.tolist() == [500, 500, 500]
    assert 0.4 < made.train_labels.mean() < 0.6


def test_every_label_follows_from_the_text(made):
    labels = np.concatenate([made.train_labels, made.test_labels])
    assert [meaning(text) for text in all_texts(made)] == (labels == 1).tolist()


def test_single_words_tell_nothing_but_in_plain_reviews(made):
    labels = np.concatenate([made.train_labels, made.test_labels])
    kinds = np.concatenate([made.train_kinds, made.test_kinds])
    good = np.array([sum(word in reviews.GOOD for word in words_of(text)) for text in all_texts(made)])
    for kind, (low, high) in enumerate(((1.0, 1.0), (0.4, 0.6), (0.3, 0.7))):
        agrees = ((good > 0) == labels)[kinds == kind].mean()
        assert low <= agrees <= high, reviews.KINDS[kind]


def test_the_same_seed_gives_the_same_texts(made):
    assert reviews.made(900, 600).fingerprint == made.fingerprint
    assert reviews.made(900, 600, seed=1).fingerprint != made.fingerprint
    assert "900 for training" in str(made)


def write(folder, ending, lines, encoding="utf-8"):
    folder.mkdir(exist_ok=True)
    (folder / f"some.{ending}").write_bytes("\n".join(lines).encode(encoding))


def test_a_folder_of_sentences(tmp_path):
    write(tmp_path / "mine", "neg", [f"bad number {n}" for n in range(20)] + ["both", ""])
    write(tmp_path / "mine", "pos", [f"\u00e9t\u00e9 number {n}" for n in range(30)] + ["both"], "latin-1")
    found = reviews.from_folder(tmp_path / "mine")
    assert (len(found.train_texts), len(found.test_texts)) == (40, 10)
    texts = dict(zip(all_texts(found), np.concatenate([found.train_labels, found.test_labels]), strict=True))
    assert "both" not in texts
    assert all(label == text.startswith("\u00e9t\u00e9") for text, label in texts.items())


@pytest.mark.parametrize("endings", [(), ("pos",), ("neg", "pos", "old.pos")])
def test_a_folder_without_both_classes_says_what_is_missing(tmp_path, endings):
    tmp_path.joinpath("mine").mkdir()
    for ending in endings:
        write(tmp_path / "mine", ending, [f"text {n} {ending}" for n in range(12)])
    with pytest.raises(DataError, match="no sentences"):
        reviews.from_folder(tmp_path / "mine")


def test_real_sentences_are_looked_for_in_order(tmp_path, monkeypatch):
    monkeypatch.delenv("EDGELAB_DATA", raising=False)
    with pytest.raises(DataError, match="no real sentences"):
        reviews.real()
    for name in ("given", "data"):
        folder = tmp_path / name if name == "given" else tmp_path / name / "text"
        folder.parent.mkdir(exist_ok=True)
        write(folder, "neg", [f"bad {name} {n}" for n in range(12)])
        write(folder, "pos", [f"good {name} {n}" for n in range(12)])
    monkeypatch.setenv("EDGELAB_DATA", str(tmp_path / "data"))
    assert "data" in reviews.real().test_texts[0]
    assert "given" in reviews.real(str(tmp_path / "given")).test_texts[0]
    assert "data" in reviews.real("cifar10").test_texts[0]


@pytest.mark.real_data
def test_the_sentences_of_the_data_folder(real_data):
    found = reviews.from_folder(real_data / "text")
    assert len(found.train_texts) > 8000 and 0.45 < found.test_labels.mean() < 0.55
