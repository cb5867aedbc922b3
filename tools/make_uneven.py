"""Make the kept network again whose channels training has made uneven: `data/models/uneven_shapes.*`.

Run as `python tools/make_uneven.py`: a minute on two idle cores. It is trained like the course's network, but
without weight decay, with a learning rate that is too large for it, and with the epsilon of PyTorch's
BatchNorm. Some channels die on the way, BatchNorm divides by nearly nothing there, and their weights become
huge. Chapter 8 measures what one scale per tensor makes of it. Training is chaotic at such a rate: another
machine gets another network.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgelab import datasets, training
from edgelab.machine import quiet

FOLDER = Path(__file__).resolve().parents[1] / "data" / "models"
# Channels and stride of each pair: a depthwise convolution, then a pointwise one.
PAIRS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1))


@dataclass(frozen=True)
class Recipe:
    """What decides the network."""

    train_count: int = 6000
    test_count: int = 2000
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1.0
    warm_up_steps: int = 60
    epsilon: float = 1e-5
    momentum: float = 0.9
    seed: int = 0


def build(input_shape: tuple[int, int, int], class_count: int, epsilon: float):
    """Thirteen convolutions, each with BatchNorm and ReLU; raw pixels go in, probabilities come out."""
    from keras import Input, Model, layers

    def block(x, convolution, name):
        x = layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=f"{name}_bn")(convolution(x))
        return layers.ReLU(name=f"{name}_relu")(x)

    pixels = x = Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(x)
    x = block(x, layers.Conv2D(16, 3, 2, padding="same", use_bias=False, name="first"), "first")
    for number, (channels, stride) in enumerate(PAIRS, start=1):
        options = {"padding": "same", "use_bias": False}
        depthwise = layers.DepthwiseConv2D(3, stride, name=f"depthwise_{number}", **options)
        x = block(x, depthwise, f"depthwise_{number}")
        pointwise = layers.Conv2D(channels, 1, name=f"pointwise_{number}", **options)
        x = block(x, pointwise, f"pointwise_{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(
        pixels, layers.Dense(class_count, activation="softmax", name="probabilities")(x), name="uneven"
    )


def main() -> None:
    """Train, judge, write."""
    quiet.import_tensorflow()
    import keras

    recipe = Recipe()
    data = datasets.load(
        "shapes", train_count=recipe.train_count, test_count=recipe.test_count, seed=recipe.seed
    )
    keras.utils.set_random_seed(recipe.seed)
    model = build(data.image_shape, data.class_count, recipe.epsilon)
    steps = recipe.epochs * (len(data.train_images) // recipe.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=recipe.learning_rate, warmup_steps=recipe.warm_up_steps
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=recipe.momentum)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    images = data.train_images.astype(np.float32)
    model.fit(images, data.train_labels, batch_size=recipe.batch_size, epochs=recipe.epochs)
    answers = model.predict(data.test_images.astype(np.float32), verbose=0).argmax(axis=1)
    accuracy = float(np.mean(answers == data.test_labels))
    training.save(model, FOLDER / "uneven_shapes.keras")
    card = {
        "model": "thirteen convolutions, depthwise and pointwise in turns, with BatchNorm and ReLU",
        "input": "float32 [N, 32, 32, 3], RGB pixels 0 to 255; normalisation is inside",
        "output": "float32 [N, 10] probabilities",
        "parameters": model.count_params(),
        "dataset": "drawn shapes (edgelab.datasets.load('shapes'))",
        "settings": asdict(recipe),
        "test_accuracy": accuracy,
    }
    (FOLDER / "uneven_shapes.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{accuracy:.1%} of {len(answers)} test pictures")


if __name__ == "__main__":
    main()
