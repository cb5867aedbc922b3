"""Frozen features, and training all of a network on few pictures: each made once and kept by its content."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from edgelab.few_pictures.tasks import digest
from edgelab.machine import artifacts

if TYPE_CHECKING:
    import keras

BATCH = 250  # pictures that pass the network together when nothing is learnt
MOST_SHIFT = 3  # pixels, of the pictures that are trained on

Head = tuple[np.ndarray, float]  # weights float32 [width], bias


def backbone(model: keras.Model | Path | str, layer: str = "pool") -> keras.Model:
    """A trained classifier without its last layer: pictures in, features out.

    Args:
        model: a Keras model, or the path of a `.keras` file.
        layer: the layer whose output is the features `[N, width]`.
    """
    import keras

    if not isinstance(model, keras.Model):
        model = keras.models.load_model(model, compile=False)
    return keras.Model(model.inputs[0], model.get_layer(layer).output, name="backbone")


def features(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a frozen network makes of pictures, float32 `[N, width]`; computed once, then kept.

    Args:
        network: from `backbone`.
        images: uint8 `[N, H, W, 3]`, of the size that the network takes.
    """
    parts = {"network": _network_digest(network), "images": digest(images)}

    def build(path: Path) -> None:
        starts = tqdm(range(0, len(images), BATCH), desc="features", delay=1, leave=False)
        found = [network.predict_on_batch(images[n : n + BATCH].astype(np.float32)) for n in starts]
        with path.open("wb") as file:
            np.save(file, np.concatenate(found))

    return np.load(artifacts.cached("few_pictures", "features", ".npy", parts, build))


def with_head(network: keras.Model, head: Head) -> keras.Model:
    """The network with one sigmoid unit behind it: the probability of class 1, `[N, 1]`."""
    import keras

    unit = keras.layers.Dense(1, activation="sigmoid", name="probability")
    model = keras.Model(network.inputs[0], unit(network.output), name="with_head")
    unit.set_weights([np.reshape(head[0], (-1, 1)), np.reshape(head[1], (1,))])
    return model


def random_head(width: int, seed: int) -> Head:
    """A head that knows nothing yet: small normal weights, no bias."""
    return np.random.default_rng(seed).normal(0, 0.02, width).astype(np.float32), 0.0


@dataclass(frozen=True)
class Tuned:
    """A network after training on few pictures.

    Attributes:
        right: for each test picture, whether the answer was right.
        right_own: share of the pictures it was trained on that are right, 0 to 1.
        weights: of the network, as `get_weights` gives them.
        head: weights and bias of the unit behind it.
        duration_s: of the training, when it was done.
    """

    right: np.ndarray
    right_own: float
    weights: list[np.ndarray]
    head: Head
    duration_s: float

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that are right, 0 to 1."""
        return float(self.right.mean())


class Tuner:
    """Trains a network and the unit behind it, from any weights, on any few pictures of one task.

    TensorFlow traces a step once; between runs only weights are set. What ran before comes from the cache.

    Args:
        network: from `backbone`; its weights are changed.
        test: uint8 `[N, H, W, 3]`, and int64 `[N]` labels, 0 or 1: on what each run is judged.
        test_labels: see `test`.
    """

    def __init__(self, network: keras.Model, test: np.ndarray, test_labels: np.ndarray) -> None:
        self.network, self.test, self.test_labels = network, test, test_labels
        self._parts = {
            "code": Path(__file__),
            "network": json.dumps(network.get_config(), default=str),
            "test": digest(test, test_labels),
        }

    def run(
        self,
        start: Sequence[np.ndarray],
        head: Head,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        steps: int,
        rate: float,
        batch_size: int = 16,
        batch_statistics: bool = False,
        seed: int = 0,
    ) -> Tuned:
        """One training by momentum SGD, its rate falling along half a cosine; or the same from the cache.

        Args:
            start: the network's weights at the beginning.
            head: those of the unit.
            images: uint8 `[N, H, W, 3]`, the few; each time mirrored or not and shifted a little.
            labels: 0 or 1.
            steps: batches.
            rate: learning rate of the first step.
            batch_size: pictures of a step.
            batch_statistics: BatchNorm normalises by the batch and moves its stored statistics (training
                mode); else by the stored ones, which stay.
            seed: of order, mirroring and shifts.
        """
        settings = {"steps": steps, "rate": rate, "batch": batch_size, "seed": seed, "mode": batch_statistics}
        begin = digest(*start, np.asarray(head[0]), np.asarray(head[1]))
        parts = {**self._parts, "start": begin, "few": digest(images, labels), "settings": settings}

        def build(path: Path) -> None:
            began = time.perf_counter()
            self._fit(start, head, images, labels, **settings)
            duration_s = time.perf_counter() - began
            own = self._answers(images) == labels
            right, head_after = self._answers(self.test) == self.test_labels, self._head.get_weights()
            arrays = self.network.get_weights()
            facts = {"right": right, "own": own.mean(), "kernel": head_after[0], "bias": head_after[1]}
            with path.open("wb") as file:
                np.savez(file, *arrays, **facts, duration_s=duration_s)

        path = artifacts.cached("few_pictures", "tuned", ".npz", parts, build)
        with np.load(path) as found:
            weights = [found[f"arr_{number}"] for number in range(len(start))]
            head_after = (found["kernel"][:, 0], float(found["bias"][0]))
            return Tuned(found["right"], float(found["own"]), weights, head_after, float(found["duration_s"]))

    def served_in_training_mode(
        self, tuned: Tuned, sizes: Sequence[int], count: int = 256
    ) -> dict[int, np.ndarray]:
        """What a network is worth when BatchNorm normalises by the batch that comes.

        Args:
            tuned: from `run`.
            sizes: pictures in a batch.
            count: test pictures, in an order that mixes the classes.

        Returns:
            For each size, whether each of the same pictures was right; `count` at most.
        """
        begin = digest(*tuned.weights, np.asarray(tuned.head[0]), np.asarray(tuned.head[1]))
        parts = {**self._parts, "start": begin, "sizes": list(sizes), "count": count}

        def build(path: Path) -> None:
            import tensorflow as tf

            self.network.set_weights(tuned.weights)
            kernel, bias = tuned.head
            shape = (None, *self.network.inputs[0].shape[1:])
            serve = tf.function(
                lambda pixels: self.network(pixels, training=True), [tf.TensorSpec(shape)], autograph=False
            )
            images, labels = self.test[:count].astype(np.float32), self.test_labels[:count]
            found = {}
            for size in tqdm(sizes, desc="batch sizes", delay=2, leave=False):
                starts = range(0, len(images), size)
                vectors = [serve(tf.constant(images[first : first + size])) for first in starts]
                found[str(size)] = (np.concatenate(vectors) @ kernel + bias > 0) == labels
            with path.open("wb") as file:
                np.savez(file, **found)

        path = artifacts.cached("few_pictures", "served", ".npz", parts, build)
        with np.load(path) as found:
            return {size: found[str(size)] for size in sizes}

    def _answers(self, images: np.ndarray) -> np.ndarray:
        """1 where the unit says class 1, else 0."""
        starts = range(0, len(images), BATCH)
        batches = [images[first : first + BATCH].astype(np.float32) for first in starts]
        logits = [self._head(self.network.predict_on_batch(batch)) for batch in batches]
        return (np.concatenate(logits)[:, 0] > 0).astype(np.int64)

    @cached_property
    def _head(self) -> keras.Model:
        import keras

        return keras.Sequential([keras.Input(self.network.output.shape[1:]), keras.layers.Dense(1)])

    @cached_property
    def _optimizer(self) -> keras.Optimizer:
        import keras

        optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
        optimizer.build(self._variables)
        return optimizer

    @property
    def _variables(self) -> list:
        return self._head.trainable_variables + self.network.trainable_variables

    @cached_property
    def _steps(self) -> dict:
        """A traced step for each mode of BatchNorm."""
        import keras
        import tensorflow as tf

        loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
        shape = (None, *self.network.inputs[0].shape[1:])

        def make(training: bool):
            @tf.function(input_signature=[tf.TensorSpec(shape), tf.TensorSpec((None, 1))], autograph=False)
            def step(pixels, wanted):
                with tf.GradientTape() as tape:
                    loss = loss_of(wanted, self._head(self.network(pixels, training=training)))
                slopes = tape.gradient(loss, [variable.value for variable in self._variables])
                self._optimizer.apply(slopes, self._variables)
                return loss

            return step

        return {mode: make(mode) for mode in (False, True)}

    def _fit(self, start, head, images, labels, *, steps, rate, batch, seed, mode) -> None:
        import tensorflow as tf

        self.network.set_weights(start)
        self._head.set_weights([np.reshape(head[0], (-1, 1)), np.reshape(head[1], (1,))])
        for variable in self._optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))  # no momentum is left of another run
        step = self._steps[mode]
        drawn = _batches(images, labels, steps, batch, seed)
        for number, (pixels, wanted) in enumerate(
            tqdm(drawn, total=steps, desc="tuning", delay=2, leave=False)
        ):
            self._optimizer.learning_rate = rate * 0.5 * (1 + np.cos(np.pi * number / steps))
            step(tf.constant(pixels), tf.constant(wanted))


def _batches(
    images: np.ndarray, labels: np.ndarray, steps: int, batch: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of float32 pixels and `[N, 1]` labels: all pictures in new order, again and again."""
    rng = np.random.default_rng(seed)
    rounds = -(-steps * batch // len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(rounds)])
    margin = MOST_SHIFT
    for number in range(steps):
        chosen = order[number * batch : (number + 1) * batch]
        pixels = images[chosen].astype(np.float32)
        mirrored = rng.random(len(pixels)) < 0.5
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        down, right = rng.integers(0, 2 * margin + 1, 2)
        wide = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
        height, width = pixels.shape[1:3]
        shifted = wide[:, down : down + height, right : right + width]
        yield np.ascontiguousarray(shifted), labels[chosen].astype(np.float32)[:, np.newaxis]


def _network_digest(network: keras.Model) -> str:
    config = np.frombuffer(json.dumps(network.get_config(), default=str).encode(), np.uint8)
    return digest(config, *network.get_weights())
