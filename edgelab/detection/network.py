"""A small detector without anchors, fitted to the drawn scenes: network, targets, losses, training.

After Zhou et al. 2019, "Objects as points": a map of cells says where the centre of an object of each class
is, and in the same cell four numbers give the distances from there to the edges of its box. Every operator
is one that an Edge TPU and an RKNN chip take; what they do not take (sigmoid, peaks, suppression) is left
to the few numbers after the network, in `edgelab.detection.detector`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgelab.data_sources import scenes, shapes
from edgelab.errors import DataError, InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

SIZE = (160, 120)  # width and height of what the network takes, in pixels
STRIDE = 8  # pixels of a cell
CELLS = (SIZE[1] // STRIDE, SIZE[0] // STRIDE)  # rows, columns
NAMES = shapes.SHAPE_CLASSES
FOLDER = Path(__file__).resolve().parents[2] / "data" / "detector"
WEIGHTS = "centres.npz"
CARD = "centres.json"
SMALLEST = 1e-5  # keeps logarithms finite


@dataclass(frozen=True)
class Recipe:
    """How the kept detector was trained.

    Attributes:
        scene_count: drawn scenes, one picture of each.
        first_seed: of the scenes; those of chapter 19's tests are others.
        steps: batches.
        batch_size: pictures in a batch.
        rate: highest learning rate; it rises over a tenth of the steps, then falls along a cosine.
        seed: of the first weights and of the order.
    """

    scene_count: int = 10_000
    first_seed: int = 10_000
    steps: int = 4_000
    batch_size: int = 16
    rate: float = 3e-3
    seed: int = 0


def build(names: Sequence[str] = NAMES) -> keras.Model:
    """The untrained network: float32 pixels `[N, 120, 160, 3]`, 0 to 255, to two maps of 15 x 20 cells.

    Returns:
        A model whose outputs are "heat", `[N, 15, 20, classes]`, the logit that the centre of an object of
        the class lies in the cell, and "box", `[N, 15, 20, 4]`, distances from the middle of the cell to the
        left, upper, right and lower edge, in cells, 0 or more.
    """
    from keras import Input, Model, initializers, layers

    def convolution(x, channels, stride=1, activate=True):
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU(6.0)(x) if activate else x

    def residual(x):
        y = convolution(x, x.shape[-1])
        y = convolution(y, x.shape[-1], activate=False)
        return layers.ReLU(6.0)(layers.Add()([x, y]))

    pixels = Input((SIZE[1], SIZE[0], 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, -1.0)(pixels)
    x = convolution(convolution(x, 16, 2), 32, 2)
    x = convolution(residual(x), 64, 2)
    x = residual(residual(x))
    # Nearly all cells are empty: a start at sigmoid(-3) = 0.05 spares the first hundred steps.
    rare = initializers.Constant(-3.0)
    heat = layers.Conv2D(len(names), 1, bias_initializer=rare, name="heat")(x)
    box = layers.ReLU(name="box")(layers.Conv2D(4, 1, bias_initializer="ones")(x))
    return Model(pixels, [heat, box], name="centres")


def pictures(count: int, first_seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One picture of each of `count` drawn scenes.

    Yields:
        The picture, uint8 `[120, 160, 3]`, and its objects, float32 `[4, 5]`: class, x0, y0, x1, y1.
    """
    for seed in range(first_seed, first_seed + count):
        image, boxes = next(scenes.scenes(1, seed=seed, size=SIZE))
        yield image, as_rows(boxes)


def as_rows(boxes: Iterable[scenes.Box]) -> np.ndarray:
    """Exact boxes of a scene as float32 `[n, 5]`: class, x0, y0, x1, y1."""
    rows = [(box.class_index, box.left, box.top, box.right, box.bottom) for box in boxes]
    return np.array(rows, np.float32).reshape(-1, 5)


@dataclass(frozen=True)
class Targets:
    """What the network should answer, for `n` pictures.

    Attributes:
        heat: float32 `[n, rows, columns, classes]`: 1 in the cell of a centre, less around it.
        box: float32 `[n, rows, columns, 4]`: distances in cells, where `mask` is 1.
        mask: float32 `[n, rows, columns]`: 1 in the cells that learn a box: around the centre.
    """

    heat: np.ndarray
    box: np.ndarray
    mask: np.ndarray

    def take(self, rows: np.ndarray) -> Targets:
        """Those of some pictures."""
        return Targets(self.heat[rows], self.box[rows], self.mask[rows])


def targets(objects: Sequence[np.ndarray], class_count: int = len(NAMES)) -> Targets:
    """Maps from exact boxes.

    Args:
        objects: for each picture `[n, 5]`: class, x0, y0, x1, y1 in pixels, as `pictures` gives them.
        class_count: channels of the heat map.
    """
    rows, columns = CELLS
    heat = np.zeros((len(objects), rows, columns, class_count), np.float32)
    box = np.zeros((len(objects), rows, columns, 4), np.float32)
    mask = np.zeros((len(objects), rows, columns), np.float32)
    middle_x, middle_y = np.arange(columns) + 0.5, np.arange(rows)[:, np.newaxis] + 0.5
    for number, found in enumerate(objects):
        for label, *edges in found:
            x0, y0, x1, y1 = np.asarray(edges) / STRIDE
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            spread_x, spread_y = 0.18 * (x1 - x0) + 0.35, 0.18 * (y1 - y0) + 0.35
            hill = np.exp(-(((middle_x - x) / spread_x) ** 2 + ((middle_y - y) / spread_y) ** 2) / 2)
            row, column = min(int(y), rows - 1), min(int(x), columns - 1)
            hill[row, column] = 1.0
            heat[number, ..., int(label)] = np.maximum(heat[number, ..., int(label)], hill)
            near = (abs(middle_x - x) < 1.0) & (abs(middle_y - y) < 1.0)
            at_y, at_x = np.nonzero(near)
            ends = (at_x + 0.5 - x0, at_y + 0.5 - y0, x1 - at_x - 0.5, y1 - at_y - 0.5)
            box[number, at_y, at_x] = np.maximum(np.stack(ends, axis=1), 0.0)
            mask[number, at_y, at_x] = 1.0
    return Targets(heat, box, mask)


def heat_loss(logits, heat):
    """Focal loss of the heat map (Lin et al. 2017; the form for hills: Law and Deng 2018, equation 1).

    Easy cells, nearly all, weigh little; beside a centre a wrong answer weighs less.

    Args:
        logits: tensor `[N, rows, columns, classes]`.
        heat: of `Targets`.

    Returns:
        A scalar tensor: the sum over all cells, per centre.
    """
    import tensorflow as tf

    found = tf.clip_by_value(tf.sigmoid(logits), SMALLEST, 1 - SMALLEST)
    centre = tf.cast(heat > 0.999, tf.float32)
    missed = centre * (1 - found) ** 2 * tf.math.log(found)
    invented = (1 - centre) * (1 - heat) ** 4 * found**2 * tf.math.log(1 - found)
    return -tf.reduce_sum(missed + invented) / (tf.reduce_sum(centre) + 1)


def box_loss(distances, box, mask):
    """1 - IoU of two boxes around the same point, over the cells that learn one (Yu et al. 2016, "UnitBox").

    Args:
        distances: tensor `[N, rows, columns, 4]`: left, up, right, down, in cells.
        box: of `Targets`.
        mask: of `Targets`.
    """
    import tensorflow as tf

    shared = tf.minimum(distances, box)
    shared = (shared[..., 0] + shared[..., 2]) * (shared[..., 1] + shared[..., 3])
    both = sum((b[..., 0] + b[..., 2]) * (b[..., 1] + b[..., 3]) for b in (distances, box))
    iou = (shared + SMALLEST) / (both - shared + SMALLEST)
    return tf.reduce_sum(mask * (1 - iou)) / (tf.reduce_sum(mask) + 1)


def train(
    model: keras.Model,
    images: np.ndarray,
    objects: Sequence[np.ndarray],
    recipe: Recipe,
    *,
    losses: tuple[Callable, Callable] = (heat_loss, box_loss),
    most_seconds: float = float("inf"),
) -> Iterator[float]:
    """Fit the network, batch by batch: yields the loss after each, so that the caller shows how it goes.

    Colours are shuffled, since they say nothing about a shape.

    Args:
        model: from `build`.
        images: uint8 `[n, 120, 160, 3]`.
        objects: for each, as in `targets`.
        recipe: steps, rate, seed.
        losses: of the heat map, called with logits and heat; of the boxes, called with distances, box, mask.
        most_seconds: ends after the step that passes this time, counted from the first step's end.

    Raises:
        InputError: fewer pictures than a batch.
    """
    import keras
    import tensorflow as tf

    if len(images) < recipe.batch_size:
        raise InputError(
            tr("{count} pictures are fewer than a batch.", count=len(images)),
            fix=tr("draw at least {count}", count=recipe.batch_size),
        )
    wanted, rise = targets(objects, model.outputs[0].shape[-1]), max(1, recipe.steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.rate / 10, max(1, recipe.steps - rise), warmup_target=recipe.rate, warmup_steps=rise
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(pixels, heat, box, mask):
        with tf.GradientTape() as tape:
            logits, distances = model(pixels, training=True)
            loss = losses[0](logits, heat) + losses[1](distances, box, mask)
        values = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
        return loss

    rng, order, end_s = np.random.default_rng(recipe.seed), np.array([], int), float("inf")
    for number in range(recipe.steps):
        if len(order) < recipe.batch_size:
            order = rng.permutation(len(images))
        chosen, order = order[: recipe.batch_size], order[recipe.batch_size :]
        pixels = images[chosen][..., rng.permutation(3)].astype(np.float32)
        part = wanted.take(chosen)
        yield float(step(pixels, part.heat, part.box, part.mask))
        if not number:  # the first step is traced and compiled, and takes seconds of its own
            end_s = time.perf_counter() + most_seconds
        if time.perf_counter() > end_s:
            return


def save_weights(model: keras.Model, path: Path) -> None:
    """All arrays as float16, half the size of float32: far finer than the int8 they become."""
    arrays = {str(number): array.astype(np.float16) for number, array in enumerate(model.get_weights())}
    np.savez_compressed(path, **arrays)


def load(folder: Path = FOLDER) -> keras.Model:
    """The kept detector, as a Keras model.

    Raises:
        DataError: its files are not there, or of another network.
    """
    try:
        with np.load(folder / WEIGHTS) as kept:
            arrays = [kept[str(number)].astype(np.float32) for number in range(len(kept.files))]
        model = build(card(folder)["names"])
        model.set_weights(arrays)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            tr("The kept detector cannot be read."),
            why=f"{type(error).__name__}: {error}",
            fix=tr("make it again: python tools/make_detector.py (ten minutes)"),
        ) from error
    return model


def card(folder: Path = FOLDER) -> dict:
    """How the kept detector was made, and what it reached: the JSON beside it."""
    return json.loads((folder / CARD).read_text(encoding="utf-8"))
