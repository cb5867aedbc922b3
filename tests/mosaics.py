"""Pictures that a tiny network learns in seconds, and that network: `python mosaics.py MODEL` trains it.

It is trained in a process of its own, with deterministic kernels, so that tests always see the same weights,
however busy the machine is.
"""

from __future__ import annotations

import sys

import numpy as np

from edgelab import datasets
from edgelab.machine import quiet


def mosaics() -> datasets.Dataset:
    """Five hundred training and two hundred test pictures.

    Each class is a mosaic of coloured squares, under noise and a random tint.
    """
    rng = np.random.default_rng(5)
    squares = rng.integers(0, 256, (10, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)

    def draw(count):
        labels = rng.integers(0, 10, count)
        noise, tint = rng.integers(0, 256, (count, 32, 32, 3)), rng.integers(0, 256, (count, 1, 1, 3))
        return (0.4 * squares[labels] + 0.3 * noise + 0.3 * tint).astype(np.uint8), labels

    names = tuple(f"mosaic {number}" for number in range(10))
    return datasets.Dataset("patterns", *draw(500), *draw(200), names, "patterns", "Drawn for the tests.")


def train(path: str) -> None:
    """Train a convolutional network of a few thousand weights to about 80 %, and save it."""
    tf = quiet.import_tensorflow()
    import keras
    from keras import layers

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3), name="pixels"),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.Conv2D(32, 3, strides=2, padding="same"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ],
        name="small",
    )
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    data = mosaics()
    model.fit(data.train_images.astype("float32"), data.train_labels, epochs=8, batch_size=32, verbose=0)
    model.save(path)


if __name__ == "__main__":
    train(sys.argv[1])
