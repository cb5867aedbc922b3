import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelab.errors import DataError, InputError
from edgelab.exercises import chapter_18
from edgelab.language import tokenizer

TEXTS = ("The film is not bad.", "the plot is bad, the end is good", "Good!")


@pytest.fixture
def book():
    return tokenizer.vocabulary_of(TEXTS, 7)


def test_words_are_small_letters_and_marks_apart():
    assert tokenizer.words_of("Don't  SHOUT, 7 times!") == ["don't", "shout", ",", "times", "!"]
    assert tokenizer.words_of("") == []


def test_frequent_words_come_first_and_equal_ones_by_the_alphabet(book):
    assert book.words == ("[pad]", "[unknown]", "is", "the", "bad", "good", "!")


def test_texts_are_padded_in_front_and_cut_where_asked(book):
    numbers = book.encode(["good", "the film is bad", ""], 3)
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [[0, 0, 5], [1, 2, 4], [0, 0, 0]]
    assert book.encode(["the film is bad"], 3, keep="start").tolist() == [[3, 1, 2]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4), st.integers(1, 9))
def test_it_agrees_with_the_lesson_and_every_number_is_a_line(texts, length):
    book = tokenizer.vocabulary_of(TEXTS, 7)
    numbers = book.encode(texts, length)
    assert numbers.shape == (len(texts), length)
    assert numbers.size == 0 or 0 <= numbers.min() <= numbers.max() < len(book)
    for row, text in zip(numbers, texts, strict=True):
        expected = chapter_18.encode(tokenizer.words_of(text), book.words, length)
        np.testing.assert_array_equal(row, expected)


def test_the_lessons_vocabulary_is_the_same(book):
    words = [tokenizer.words_of(text) for text in TEXTS]
    assert tuple(chapter_18.vocabulary(words, 7)) == book.words


def test_a_file_comes_back_as_it_was(book, tmp_path):
    path = tmp_path / "deep" / "words.txt"
    book.save(path)
    assert path.read_bytes() == b"[pad]\n[unknown]\nis\nthe\nbad\ngood\n!\n"
    again = tokenizer.load_vocabulary(path)
    assert again == book and again.fingerprint == book.fingerprint
    assert tokenizer.Vocabulary((*book.words, "new")).fingerprint != book.fingerprint


def test_a_share_of_unknown_words(book):
    assert book.unknown_share(["the film is new"]) == 0.5
    assert book.unknown_share([]) == 0


@pytest.mark.parametrize("words", [(), ("the", "film"), ("[pad]", "[unknown]", "a", "a")])
def test_what_is_no_vocabulary_is_refused(words):
    with pytest.raises(DataError, match="no vocabulary"):
        tokenizer.Vocabulary(words)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        tokenizer.load_vocabulary(tmp_path / "none.txt")


@pytest.mark.parametrize("options", [{"length": 0}, {"length": 3, "keep": "middle"}])
def test_odd_wishes_are_refused(book, options):
    with pytest.raises(InputError, match="cannot be done"):
        book.encode(["good"], **options)
