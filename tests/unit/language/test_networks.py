import numpy as np
import pytest

from edgelab.errors import InputError
from edgelab.language import networks, reviews, tokenizer


@pytest.fixture(autouse=True)
def own_artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


@pytest.mark.parametrize("kind", networks.NETWORKS)
def test_each_takes_numbers_and_gives_a_probability(kind):
    model = networks.network(kind, 20, 6)
    found = model.predict(np.ones((3, 6), np.int32), verbose=0)
    assert found.shape == (3, 1) and (found > 0).all() and (found < 1).all()


def test_without_the_embedding_it_takes_vectors():
    whole, part = (
        networks.network("lstm", 20, 6),
        networks.network("lstm", 20, 6, unroll=True, embedding=False),
    )
    part.set_weights(whole.get_weights()[1:])
    numbers = np.arange(12, dtype=np.int32).reshape(2, 6)
    vectors = whole.get_weights()[0][numbers]
    np.testing.assert_allclose(part.predict(vectors, verbose=0), whole.predict(numbers, verbose=0), atol=1e-6)


def test_an_unknown_kind_names_the_others():
    with pytest.raises(InputError, match="no network 'transformer'"):
        networks.network("transformer", 20, 6)


@pytest.mark.slow
def test_words_learn_plain_reviews_and_a_second_call_trains_nothing():
    data = reviews.made(1500, 300)
    book = tokenizer.vocabulary_of(data.train_texts, 200)
    first = networks.fitted("words", data, book, 24, epochs=12, seeds=2)
    again = networks.fitted("words", data, book, 24, epochs=12, seeds=2)
    assert first.right.shape == (2, 300) and first.seconds == again.seconds
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(*first.probabilities), "two seeds gave the same network"
    assert first.right[:, data.test_kinds == 0].mean() > 0.9
    model = networks.network("words", len(book), 24)
    model.set_weights(first.weights[1])
    told = model.predict(book.encode(data.test_texts, 24), verbose=0)[:, 0]
    np.testing.assert_allclose(told, first.probabilities[1], atol=1e-5)


def test_an_interval_holds_the_value_and_a_difference_knows_its_sign():
    rng = np.random.default_rng(0)
    good, poor = rng.random((3, 400)) < 0.9, rng.random((3, 400)) < 0.6
    value, low, high = networks.interval(good)
    assert low < value < high and value == pytest.approx(100 * good.mean())
    value, low, high = networks.interval(good, poor)
    assert 20 < low < value < high < 40
    assert networks.interval(good, good)[0] == 0


def test_what_is_always_right_has_an_interval_all_the_same():
    value, low, high = networks.interval(np.ones((3, 40), bool))
    assert value == 100 and high == pytest.approx(100)
    assert low == pytest.approx(100 * 40 / (40 + 1.96**2))  # Wilson's, which has a closed form at 100 %
    assert networks.interval(np.zeros((3, 40), bool))[2] == pytest.approx(100 - low)
