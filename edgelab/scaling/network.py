"""A network that trains in seconds, its gradients, and the few pictures it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras
    import tensorflow as tf

    from edgelab.datasets import Dataset

WIDTH = 16


def tiny(
    shape: Sequence[int],
    classes: int,
    seed: int = 0,
    width: int = WIDTH,
    policy: str = "float32",
    *,
    normalised: bool = False,
) -> keras.Model:
    """Three convolutions that halve the picture, and a layer that gives logits.

    Args:
        shape: height, width, channels of a picture with pixels from 0 to 255.
        classes: how many logits.
        seed: of the first weights: the same seed gives the same weights in every process.
        width: channels of the first convolution.
        policy: Keras' dtype policy, such as "mixed_bfloat16"; logits are float32 with any.
        normalised: with BatchNorm, which learns faster, but whose statistics are not those of a part of
            the batch.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    stack = [keras.Input(tuple(shape)), layers.Rescaling(1 / 127.5, -1.0, dtype=policy)]
    for channels in (width, 2 * width, 4 * width):
        stack.append(layers.Conv2D(channels, 3, 2, padding="same", use_bias=not normalised, dtype=policy))
        stack += [layers.BatchNormalization(momentum=0.9, dtype=policy)] if normalised else []
        stack.append(layers.ReLU(dtype=policy))
    stack += [layers.Flatten(dtype=policy), layers.Dense(classes, dtype="float32")]
    return keras.Sequential(stack)


def loss_per_picture(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each picture, float32 `[B]`."""
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def gradient_function(model: keras.Model) -> Callable[..., tuple[float, list[np.ndarray]]]:
    """A function of pictures and labels: their mean loss, and its gradient by every weight."""
    import tensorflow as tf

    shape = (None, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32), tf.TensorSpec((None,), tf.int32)])
    def compute(pictures, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(loss_per_picture(labels, model(pictures, training=True)))
        return loss, tape.gradient(loss, model.trainable_variables)

    def gradient(pictures, labels):
        loss, found = compute(tf.constant(pictures, tf.float32), tf.constant(labels, tf.int32))
        return float(loss), [part.numpy() for part in found]

    return gradient


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All numbers of several arrays in one vector."""
    return np.concatenate([np.ravel(array) for array in arrays])


def some_pictures(dataset: Dataset, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Training pictures drawn at random, uint8 `[count, H, W, 3]`, and their labels, int32 `[count]`."""
    drawn = np.random.default_rng(seed).permutation(len(dataset.train_images))[:count]
    return dataset.train_images[drawn], dataset.train_labels[drawn].astype(np.int32).ravel()
