"""A chain like the course's, of a small network with an addition and random weights."""

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgelab import quantization


@dataclass
class SmallChain:
    """What writing a deployment asks of a pipeline."""

    dataset: Any
    network: Any
    seed: int = 0
    settings = SimpleNamespace(calibration_count=120)

    @cached_property
    def _int8(self):
        images = self.dataset.calibration_images(self.settings.calibration_count, self.seed)
        return quantization.convert(self.network, "int8", images, io_dtype="uint8", name="residual")

    def converted(self, mode):
        assert mode == "int8"
        return self._int8

    def float_model(self):
        return self.network, None


@pytest.fixture(scope="session")
def chain(shapes):
    """The chain; its network answers at random, but differently to different pictures."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(
        layers.Rescaling(1 / 127.5, -1)(inputs)
    )
    for _ in range(2):
        x = layers.Add()([x, layers.Conv2D(32, 3, padding="same", activation="relu")(x)])
    x = layers.Dense(len(shapes.class_names))(layers.Flatten()(layers.MaxPooling2D(4)(x)))
    model = keras.Model(inputs, layers.Softmax()(x))
    logits = keras.Model(inputs, x).predict(shapes.test_images[:100].astype(np.float32), verbose=0)
    kernel, bias = model.layers[-2].get_weights()
    spread = logits.std(axis=0)
    model.layers[-2].set_weights([3 * kernel / spread, bias - 3 * logits.mean(axis=0) / spread])
    return SmallChain(shapes, model)
