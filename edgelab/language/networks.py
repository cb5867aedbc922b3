"""Three small networks for text, and their training with several seeds, made once and kept.

All take word numbers `[batch, length]`, int32, and give the probability of praise `[batch, 1]`, 0 to 1.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import InputError
from edgelab.language.reviews import Reviews
from edgelab.language.tokenizer import Vocabulary
from edgelab.machine import artifacts
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

NETWORKS = ("words", "cnn", "lstm")
WIDTH, UNITS, FILTERS = 24, 24, 48
BATCH, RATE, DROPOUT = 128, 8e-3, 0.2
STEPS_AT_ONCE = 9  # of so small a network: else Python takes most of the time


def network(
    kind: str, vocabulary_size: int, length: int, *, unroll: bool = False, embedding: bool = True
) -> keras.Model:
    """A network without training.

    Args:
        kind: "words" (the mean of the words' vectors: their order does not count), "cnn" (three words at a
            time, the strongest answer of each filter), "lstm" (word after word, the last state).
        vocabulary_size: rows of the embedding table.
        length: words that it takes.
        unroll: of the LSTM: a copy of the cell for each word in place of a loop.
        embedding: False leaves the table out: the network takes float32 `[batch, length, WIDTH]`.

    Raises:
        InputError: an unknown kind.
    """
    import keras
    from keras import layers

    # All layers have names: those that Keras gives count on, and a converted file would be made anew.
    if kind not in NETWORKS:
        raise InputError(
            tr("There is no network {kind!r}.", kind=kind),
            fix=tr("use one of {kinds}", kinds=", ".join(NETWORKS)),
        )
    if embedding:
        inputs = keras.Input((length,), dtype="int32", name="ids")
        x = layers.Embedding(vocabulary_size, WIDTH, name="embedding")(inputs)
    else:
        x = inputs = keras.Input((length, WIDTH), name="vectors")
    x = layers.SpatialDropout1D(DROPOUT, name="word_dropout")(x)
    if kind == "words":
        x = layers.GlobalAveragePooling1D(name="mean")(x)
    elif kind == "cnn":
        x = layers.GlobalMaxPooling1D(name="strongest")(
            layers.Conv1D(FILTERS, 3, activation="relu", name="conv")(x)
        )
    else:
        x = layers.LSTM(UNITS, unroll=unroll, name="lstm")(x)
    x = layers.Dropout(DROPOUT, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="praise")(x), name=kind)


@dataclass(frozen=True)
class Fitted:
    """One network, trained once for each seed.

    Attributes:
        kind: one of `NETWORKS`.
        weights: of each seed, in Keras's order.
        probabilities: float32 `[seeds, test texts]`, of praise.
        right: Booleans of that shape: on the side of 0.5 that the label says.
        seconds: that the training took, when it was made.
    """

    kind: str
    weights: tuple[tuple[np.ndarray, ...], ...]
    probabilities: np.ndarray
    right: np.ndarray
    seconds: float

    @property
    def accuracies(self) -> np.ndarray:
        """Of each seed, 0 to 1."""
        return self.right.mean(axis=1)


def interval(
    right: np.ndarray, other: np.ndarray | None = None, draws: int = 600
) -> tuple[float, float, float]:
    """Accuracy over seeds and texts with a 95 % interval, or how much more the first has than the other.

    Seeds and texts are drawn again, with replacement (bootstrap). With few seeds it is rather too narrow.
    Where nearly all texts are right, the draws are all alike; so the interval of one network is never
    narrower than Wilson's (1927) for as many texts.

    Args:
        right: Booleans `[seeds, texts]`.
        other: of a second network on the same texts.
        draws: how often.

    Returns:
        Value, lower and upper bound, in percentage points.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        texts = rng.integers(0, right.shape[1], right.shape[1])
        parts = [
            one[rng.integers(0, len(one), len(one))][:, texts].mean()
            for one in (right, other)
            if one is not None
        ]
        found.append(parts[0] - (parts[1] if other is not None else 0.0))
    value = right.mean() - (0.0 if other is None else other.mean())
    low, high = np.percentile(found, [2.5, 97.5])
    if other is None:
        wilson_low, wilson_high = _score_interval(float(value), right.shape[1])
        low, high = min(low, wilson_low), max(high, wilson_high)
    return 100 * float(value), 100 * float(low), 100 * float(high)


def _score_interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - reach, centre + reach


def fitted(
    kind: str, data: Reviews, vocabulary: Vocabulary, length: int, *, epochs: int, seeds: int = 3
) -> Fitted:
    """Train a network with several seeds, or take what was trained before.

    Args:
        kind: one of `NETWORKS`.
        data: the texts.
        vocabulary: of its training texts.
        length: words that the network takes.
        epochs: of each seed; a fixed number, so that nothing is chosen by looking at the test.
        seeds: how many: 0, 1, and so on.

    Raises:
        InputError: an unknown kind.
        StorageError: the disk is full.
    """
    parts = {
        "kind": kind,
        "texts": data.fingerprint,
        "vocabulary": vocabulary.fingerprint,
        "numbers": [length, epochs, seeds, WIDTH, UNITS, FILTERS, BATCH, RATE, DROPOUT, STEPS_AT_ONCE],
        "keras": importlib.metadata.version("keras"),
    }

    def build(path: Path) -> None:
        arrays = _trained(kind, data, vocabulary, length, epochs, seeds)
        with path.open("wb") as file:
            np.savez(file, **arrays)

    path = artifacts.cached("language", f"{data.name}-{kind}", ".npz", parts, build)
    with np.load(path) as stored:
        count = sum(name.startswith("seed0_") for name in stored.files)
        weights = tuple(tuple(stored[f"seed{seed}_{n}"] for n in range(count)) for seed in range(seeds))
        probabilities, seconds = stored["probabilities"], float(stored["seconds"])
    right = (probabilities > 0.5) == (data.test_labels == 1)
    return Fitted(kind, weights, probabilities, right, seconds)


def _trained(
    kind: str, data: Reviews, vocabulary: Vocabulary, length: int, epochs: int, seeds: int
) -> dict[str, np.ndarray]:
    import time

    import keras

    texts = vocabulary.encode(data.train_texts, length), vocabulary.encode(data.test_texts, length)
    started, arrays, probabilities = time.perf_counter(), {}, []
    model = network(kind, len(vocabulary), length)
    model.compile(
        keras.optimizers.Adam(RATE),
        "binary_crossentropy",
        jit_compile=False,
        steps_per_execution=STEPS_AT_ONCE,
    )
    model.optimizer.build(model.trainable_variables)
    fresh = [np.array(variable) for variable in model.optimizer.variables]
    for seed in tqdm(range(seeds), desc=f"training {kind}", leave=False):
        keras.utils.set_random_seed(seed)
        model.set_weights(network(kind, len(vocabulary), length).get_weights())
        for variable, value in zip(model.optimizer.variables, fresh, strict=True):
            variable.assign(value)
        model.fit(texts[0], data.train_labels, batch_size=BATCH, epochs=epochs, verbose=0)
        probabilities.append(model.predict(texts[1], batch_size=500, verbose=0)[:, 0])
        arrays |= {f"seed{seed}_{n}": values for n, values in enumerate(model.get_weights())}
    return arrays | {
        "probabilities": np.stack(probabilities),
        "seconds": np.array(time.perf_counter() - started),
    }
