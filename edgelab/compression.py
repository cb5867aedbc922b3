"""Make a trained network smaller: zeros, fewer distinct weights, fewer channels, and a short fine-tuning.

Or train a small one anew, on the answers of a large one. TensorFlow's own toolkit, TF-MOT, refuses Keras 3;
each method is a few lines. Masks and clusters are chosen by functions of one kernel, and what a student
learns by a function of answers, so that a lesson can pass its own in their place.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgelab import training
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

    from edgelab.datasets import Dataset

SCORES = ("norm", "gamma", "random")
EVALUATED = 250  # pictures at a time
# The weights of a block whose channels are cut: for each layer, the arrays of `get_weights`.
BLOCK_LAYERS = ("expand", "expand_bn", "depthwise", "depthwise_bn", "project")


def pointwise_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The 1x1 convolutions, in which nearly all weights of a MobileNetV2 are."""
    return [layer for layer in model.layers if getattr(layer, "kernel_size", None) == (1, 1)]


def changed_kernels(model: keras.Model, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """For each 1x1 convolution, by name, what `change` makes of its kernel."""
    return {layer.name: change(layer.kernel.numpy()) for layer in pointwise_layers(model)}


def block_weights(model: keras.Model, name: str) -> dict[str, list[np.ndarray]]:
    """The arrays of one inverted residual, such as "stage3_1", for each of `BLOCK_LAYERS`."""
    return {layer: model.get_layer(f"{name}_{layer}").get_weights() for layer in BLOCK_LAYERS}


def block_names(model: keras.Model) -> list[str]:
    """The blocks that have an expansion, first to last."""
    ending = "_expand"
    return [layer.name.removesuffix(ending) for layer in model.layers if layer.name.endswith(ending)]


def chosen_channels(
    model: keras.Model, share: float, by: str = "norm", seed: int = 0
) -> dict[str, np.ndarray]:
    """For each block, the numbers of the expanded channels that stay, in rising order.

    Args:
        model: a MobileNetV2 of `edgelab.models`.
        share: the part of the channels that goes, 0 to less than 1. A multiple of 8 stays, and at least 8.
        by: "norm" keeps the channels with the largest sum of absolute weights into the projection, times the
            gain before it; "gamma" those with the largest gain of the depthwise normalisation (Liu et al.
            2017, "Network slimming"); "random" any.
        seed: of the random choice.

    Raises:
        InputError: an unknown way to choose.
    """
    if by not in SCORES:
        raise InputError(
            tr("Channels cannot be chosen by {by!r}.", by=by),
            fix=tr("use one of {scores}", scores=", ".join(SCORES)),
        )
    rng = np.random.default_rng(seed)
    kept = {}
    for name in block_names(model):
        block = block_weights(model, name)
        gain = np.abs(block["depthwise_bn"][0])
        norm = gain * np.abs(block["project"][0]).sum(axis=(0, 1, 3))
        score = {"norm": norm, "gamma": gain, "random": rng.random(len(gain))}[by]
        stay = max(8, round(len(gain) * (1 - share) / 8) * 8)
        kept[name] = np.sort(np.argsort(-score, kind="stable")[:stay])
    return kept


def without_channels(
    model: keras.Model, kept: Mapping[str, np.ndarray], cut: Callable[..., dict]
) -> keras.Model:
    """A smaller network of the same structure: `model` with only the `kept` expanded channels of each block.

    Args:
        model: a MobileNetV2 of `edgelab.models`, trained.
        kept: from `chosen_channels`.
        cut: takes the arrays of one block, as `block_weights` gives them, and the numbers of the channels
            that stay; gives the arrays of the smaller block.
    """
    import keras

    config = model.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # it holds the old shapes
        block = layer["config"]["name"].removesuffix("_expand")
        if layer["config"]["name"] == f"{block}_expand":
            layer["config"]["filters"] = len(kept[block])
    small = keras.Model.from_config(config)
    small.set_weights(weights_without(model, kept, cut))
    return small


def weights_without(
    model: keras.Model, kept: Mapping[str, np.ndarray], cut: Callable[..., dict]
) -> list[np.ndarray]:
    """The arrays of `without_channels` alone, for a network of that shape that is there already."""
    arrays = {layer.name: layer.get_weights() for layer in model.layers}
    for name, channels in kept.items():
        smaller = cut(block_weights(model, name), channels)
        arrays |= {f"{name}_{layer}": values for layer, values in smaller.items()}
    return [values for layer in model.layers for values in arrays[layer.name]]


@dataclass(frozen=True)
class Tuned:
    """A network before and after a short training.

    Attributes:
        weights: after it, as `get_weights` gives them.
        right_before, right_after: for each test picture, whether the answer was right.
        duration_s: of the training, when it was done.
    """

    weights: list[np.ndarray]
    right_before: np.ndarray
    right_after: np.ndarray
    duration_s: float

    @property
    def accuracy_before(self) -> float:
        """Share of the test pictures that were right before, 0 to 1."""
        return float(self.right_before.mean())

    @property
    def accuracy_after(self) -> float:
        """Share of the test pictures that are right after, 0 to 1."""
        return float(self.right_after.mean())


def fine_tuned(
    model: keras.Model,
    weights: list[np.ndarray],
    dataset: Dataset,
    *,
    keep: str = "all",
    picture_count: int = 480,
    epochs: int = 2,
    learning_rate: float = 0.01,
    test_count: int = 1000,
    seed: int = 0,
) -> Tuned:
    """A short training on a few pictures, from the cache when nothing changed.

    One `model` serves all weights of its shape: TensorFlow then traces its step once, which takes longer
    than the training itself.

    Args:
        model: the network; afterwards it holds the result.
        weights: where to begin, as `get_weights` gives them.
        dataset: its training pictures are used, and for the two accuracies its test pictures.
        keep: "zeros": the 1x1 kernels' zeros stay zero; "clusters": what has the same value in a kernel goes
            on having the same; "all": nothing is held.
        picture_count: pictures of an epoch.
        epochs: passes over them.
        learning_rate: of momentum SGD, the same in every step.
        test_count: test pictures, the first ones.
        seed: of which pictures, and their order.

    Raises:
        InputError: an unknown `keep`.
    """
    if keep not in HOLDERS:
        raise InputError(
            tr("Nothing is known to keep as {keep!r}.", keep=keep),
            fix=tr("use one of {known}", known=", ".join(HOLDERS)),
        )
    settings = {
        "keep": keep,
        "picture_count": picture_count,
        "epochs": epochs,
        "rate": learning_rate,
        "seed": seed,
    }
    parts = {
        "weights": hashlib.sha256(b"".join(values.tobytes() for values in weights)).hexdigest(),
        "network": json.dumps(model.get_config(), default=str),  # to_json tells whether it was compiled, too
        "data": dataset.fingerprint,
        "settings": settings,
        "test_count": test_count,
    }

    def build(path: Path) -> None:
        model.set_weights(weights)
        before = _right(model, dataset, test_count)
        started = time.perf_counter()
        _fit(model, dataset, **settings)
        duration_s = time.perf_counter() - started
        after = _right(model, dataset, test_count)
        with path.open("wb") as file:
            np.savez(file, *model.get_weights(), before=before, after=after, duration_s=duration_s)

    path = artifacts.cached("compressed", f"fine_tuned_{keep}", ".npz", parts, build)
    with np.load(path) as found:
        arrays = [found[f"arr_{number}"] for number in range(len(weights))]
        tuned = Tuned(arrays, found["before"], found["after"], float(found["duration_s"]))
    model.set_weights(tuned.weights)
    return tuned


def _right(model: keras.Model, dataset: Dataset, count: int) -> np.ndarray:
    # Not `predict`: for a thousand pictures it takes longer to trace a network than to run it.
    parts = np.split(dataset.test_images[:count], range(EVALUATED, count, EVALUATED))
    answers = [model(part.astype(np.float32), training=False).numpy() for part in parts if len(part)]
    return np.concatenate(answers).argmax(axis=1) == dataset.test_labels[:count]


def _fit(
    model: keras.Model,
    dataset: Dataset,
    *,
    keep: str,
    picture_count: int,
    epochs: int,
    rate: float,
    seed: int,
) -> None:
    import keras

    chosen = np.random.default_rng(seed).permutation(len(dataset.train_images))[:picture_count]
    images, labels = dataset.train_images[chosen], dataset.train_labels[chosen]
    batches = training.input_pipeline(images, labels, batch_size=32, augment=True, seed=seed)
    if not getattr(model, "compiled", False):
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy")
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))  # no momentum is left of the training before
    model.optimizer.learning_rate = rate
    holders = [(layer, HOLDERS[keep](layer.kernel.numpy())) for layer in pointwise_layers(model)]

    def hold(batch: int, logs: dict) -> None:
        for layer, held in holders:
            layer.kernel.assign(held(layer.kernel.numpy()))

    callbacks = [] if keep == "all" else [keras.callbacks.LambdaCallback(on_train_batch_end=hold)]
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


def _zeros_stay(kernel: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    mask = kernel != 0
    return lambda values: values * mask


def _clusters_stay(kernel: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Each weight takes the mean of its cluster, so that the centre moves by the mean of their gradients.

    Weights that were pruned before are a cluster, too, and stay zero.
    """
    centres, members = np.unique(kernel, return_inverse=True)
    members = members.ravel()
    counts = np.bincount(members)

    def held(values: np.ndarray) -> np.ndarray:
        means = np.where(centres == 0, 0, np.bincount(members, values.ravel()) / counts)
        return means[members].reshape(values.shape).astype(values.dtype)

    return held


# What is done to a kernel after each step, made from the kernel before the first.
HOLDERS = {"all": lambda kernel: lambda values: values, "zeros": _zeros_stay, "clusters": _clusters_stay}


def taught_loss(labels, logits, answers, share, temperature: float = 4.0):
    """What a student gets wrong: its labels, and the answers of its teacher (Hinton et al. 2015).

    Args:
        labels: int32 `[N]`.
        logits: the student's, float32 `[N, classes]`.
        answers: the teacher's logits, of the same shape.
        share: of the teacher in the loss, 0 to 1; 0 is plain training.
        temperature: softens both, so that small answers count as well; its square keeps the gradients' size.
    """
    import tensorflow as tf

    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    goal = tf.nn.softmax(answers / temperature)
    soft = tf.nn.softmax_cross_entropy_with_logits(goal, logits / temperature)
    return tf.reduce_mean((1 - share) * hard + share * temperature**2 * soft)


def teacher_answers(network: keras.Model, dataset: Dataset) -> np.ndarray:
    """A teacher's logits to all training pictures and their mirror images, float32 `[2, N, classes]`, kept.

    Args:
        network: takes pixels, gives logits.
        dataset: whose training pictures it answers.
    """
    weights = hashlib.sha256(b"".join(values.tobytes() for values in network.get_weights())).hexdigest()

    def build(path: Path) -> None:
        sides = (dataset.train_images, dataset.train_images[:, :, ::-1])
        answers = [network.predict(side.astype(np.float32), batch_size=250, verbose=0) for side in sides]
        with path.open("wb") as file:
            np.save(file, np.stack(answers))

    parts = {
        "weights": weights,
        "network": training.architecture(network),
        "data": dataset.fingerprint,
    }
    return np.load(artifacts.cached("compressed", "answers", ".npy", parts, build))


class Student:
    """A small network that is trained again and again from fresh weights, with a teacher or without.

    The step is traced once, as that takes longer than a short training; what differs are its inputs.

    Args:
        network: takes pixels, gives logits; afterwards it holds what was trained last.
        dataset: its training pictures are learned, its test pictures judge.
        loss: as `taught_loss`; a change of its source makes a new training.
        test_count: test pictures, the first ones.
    """

    BATCH = 64

    def __init__(
        self,
        network: keras.Model,
        dataset: Dataset,
        loss: Callable = taught_loss,
        test_count: int = 2000,
    ) -> None:
        self.network, self.dataset = network, dataset
        self._loss, self._test_count = loss, test_count
        self._speeds = None

    def right(
        self,
        steps: int,
        seed: int,
        *,
        pictures: int,
        answers: np.ndarray | None = None,
        share: float = 0.0,
    ) -> np.ndarray:
        """Train from fresh weights, or take what was trained so; for each test picture, whether it is right.

        Two trainings with the same seed begin with the same weights and see the same batches.

        Args:
            steps: batches of 64.
            seed: of weights, batches and mirror images.
            pictures: how many of the training pictures, the first ones.
            answers: of a teacher, from `teacher_answers`: it answers once, so that both ways cost the same.
            share: of the teacher, for the loss.
        """
        parts = {
            "network": training.architecture(self.network),
            "data": self.dataset.fingerprint,
            "loss": inspect.getsource(self._loss),
            "answers": b"" if answers is None else hashlib.sha256(answers.tobytes()).digest(),
            "settings": [steps, seed, pictures, share, self._test_count],
        }

        def build(path: Path) -> None:
            self._train(steps, seed, pictures, answers, share)
            right = _right(self.network, self.dataset, self._test_count)
            with path.open("wb") as file:
                np.savez(file, *self.network.get_weights(), right=right)

        with np.load(artifacts.cached("compressed", "student", ".npz", parts, build)) as found:
            self.network.set_weights([found[name] for name in found.files if name != "right"])
            return found["right"]

    def _train(self, steps: int, seed: int, count: int, answers: np.ndarray | None, share: float) -> None:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(seed)
        self.network.set_weights(keras.models.clone_model(self.network).get_weights())
        weights = self.network.trainable_variables
        if self._speeds is None:
            self._speeds = [tf.Variable(tf.zeros_like(weight)) for weight in weights]
            self._step = tf.function(self._one_step)
        for speed in self._speeds:
            speed.assign(tf.zeros_like(speed))
        images, labels = self.dataset.train_images[:count], self.dataset.train_labels[:count]
        if answers is None:
            answers = np.zeros((2, count, self.dataset.class_count), np.float32)
        rates = training.warm_up_then_cosine(0.1, steps)
        rate_at = tf.function(lambda step: rates(step))  # traced, as each of its operations costs a call
        rng = np.random.default_rng(seed)
        for step in range(steps):
            chosen, mirrored = rng.integers(count, size=self.BATCH), rng.integers(2, size=self.BATCH)
            batch = np.where(mirrored[:, None, None, None], images[chosen][:, :, ::-1], images[chosen])
            told = answers[mirrored, chosen].astype(np.float32)
            self._step(
                batch, labels[chosen].astype(np.int32), told, np.float32(share), rate_at(tf.constant(step))
            )

    def _one_step(self, batch, labels, answers, share, rate):
        import tensorflow as tf

        weights = self.network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.network(tf.cast(batch, tf.float32), training=True)
            loss = self._loss(labels, logits, answers, share)
        for weight, speed, gradient in zip(weights, self._speeds, tape.gradient(loss, weights), strict=True):
            speed.assign(0.9 * speed - rate * gradient)
            weight.assign_add(speed)
