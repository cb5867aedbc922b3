"""Fit a model: augmentation, learning-rate schedule, early stopping, and a record of what it cost.

Augmentation lives in the input pipeline, so it never reaches the exported graph. The validation images are
held out of the training set; the test set is not touched.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from tqdm.auto import tqdm

from edgelab.errors import DataError
from edgelab.machine import artifacts, quiet
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from edgelab.datasets import Dataset

STATE_FILE = "last.weights.h5"
BEST_FILE = "best.weights.h5"


@dataclass(frozen=True)
class TrainingResult:
    """What one training run did and cost.

    Attributes:
        history: one value per epoch for "loss", "accuracy", "val_loss", "val_accuracy" (0 to 1),
            "learning_rate".
        epochs: epochs run; fewer than asked for when early stopping ended it.
        best_epoch: 1-based epoch whose weights were kept.
        duration_s: wall-clock seconds of the training loop.
        images_per_s: training images seen per second.
        peak_memory_bytes: highest resident memory of the process, seen at epoch ends.
        device: "cpu", or the number of GPUs used.
    """

    history: dict[str, list[float]]
    epochs: int
    best_epoch: int
    duration_s: float
    images_per_s: float
    peak_memory_bytes: int
    device: str

    def __str__(self) -> str:
        accuracy = self.history["val_accuracy"][self.best_epoch - 1]
        return (
            f"{self.epochs} epochs in {self.duration_s:.0f} s ({self.images_per_s:.0f} images/s on "
            f"{self.device}), best validation accuracy {accuracy:.1%} in epoch {self.best_epoch}"
        )


def strategy() -> tf.distribute.Strategy:
    """Data parallelism over all GPUs when there are several; otherwise TensorFlow's default device."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def augmentation(seed: int) -> keras.Model:
    """Random mirror image and shift by up to an eighth of the picture, edges reflected."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.RandomFlip("horizontal", seed=seed),
            layers.RandomTranslation(0.125, 0.125, fill_mode="reflect", seed=seed + 1),
        ]
    )


def input_pipeline(
    images: np.ndarray, labels: np.ndarray, *, batch_size: int, augment: bool, seed: int
) -> tf.data.Dataset:
    """Shuffled, augmented batches of float32 pixels `[B, H, W, 3]` in 0 to 255, and int labels `[B]`."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images), seed=seed)
    batches = batches.batch(batch_size, drop_remainder=len(images) >= batch_size)
    transform = augmentation(seed) if augment else None

    def to_pixels(batch, batch_labels):
        pixels = tf.cast(batch, tf.float32)
        return (transform(pixels, training=True) if transform else pixels), batch_labels

    return batches.map(to_pixels, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def warm_up_then_cosine(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Learning rate: up from a tenth of `peak` in the first fifth of the steps, then down along a cosine.

    Loshchilov and Hutter 2016, "SGDR". The warm-up keeps the first, badly scaled gradients harmless.
    """
    from keras.optimizers.schedules import CosineDecay

    warm_up_steps = max(1, steps // 5)
    return CosineDecay(peak / 10, steps - warm_up_steps, warmup_target=peak, warmup_steps=warm_up_steps)


def split_validation(dataset: Dataset, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and of validation images, both drawn from the training set.

    Raises:
        DataError: too few images to hold any out.
    """
    count = len(dataset.train_images)
    held_out = round(count * fraction)
    if held_out < 1 or held_out >= count:
        raise DataError(
            tr("{count} training images cannot be split into training and validation.", count=count),
            why=tr(
                "{fraction:.0%} of them is {held_out}, and both parts need at least one",
                fraction=fraction,
                held_out=held_out,
            ),
            fix=tr("use more images per class; a hundred is a start"),
        )
    order = np.random.default_rng(seed).permutation(count)
    return order[held_out:], order[:held_out]


def _progress_callback(total_steps: int, description: str) -> keras.callbacks.Callback:
    """One bar over all batches of all epochs, with the newest accuracies beside it."""
    from keras.callbacks import Callback

    class Progress(Callback):
        def on_train_begin(self, logs=None):
            done = int(self.model.optimizer.iterations.numpy())
            self.bar = tqdm(total=total_steps, initial=done, desc=description, unit="batch", mininterval=0.5)

        def on_train_batch_end(self, batch, logs=None):
            self.bar.update()

        def on_epoch_end(self, epoch, logs=None):
            shown = {
                "epoch": epoch + 1,
                "train": f"{logs['accuracy']:.1%}",
                "val": f"{logs['val_accuracy']:.1%}",
            }
            self.bar.set_postfix(shown, refresh=False)

        def on_train_end(self, logs=None):
            self.bar.close()

    return Progress()


def _keeper(folder: Path) -> keras.callbacks.Callback:
    """Keeps the best weights, the last state and the history in `folder`, each written atomically.

    After a kill at any moment `resume` continues from the last epoch whose state is whole.
    """
    from keras.callbacks import Callback

    class Keeper(Callback):
        def __init__(self):
            super().__init__()
            self.epochs: list[dict[str, float]] = []
            self.duration_s, self.peak_memory_bytes = 0.0, 0

        def resume(self, model, steps_per_epoch):
            if not (folder / STATE_FILE).exists():
                return 0
            model.optimizer.build(model.trainable_variables)
            model.load_weights(folder / STATE_FILE)
            done = int(model.optimizer.iterations.numpy()) // steps_per_epoch
            record = json.loads((folder / "history.json").read_text())
            self.epochs, self.duration_s = record["epochs"][:done], record["duration_s"]
            return done

        def on_train_begin(self, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            values = {key: float(value) for key, value in logs.items()}
            values["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
            is_best = all(values["val_accuracy"] > earlier["val_accuracy"] for earlier in self.epochs)
            self.epochs.append(values)
            self.peak_memory_bytes = max(self.peak_memory_bytes, psutil.Process().memory_info().rss)
            now = time.perf_counter()
            self.duration_s, self.started = self.duration_s + now - self.started, now
            if is_best:
                self.save_weights(BEST_FILE)
            with artifacts.atomic_path(folder / "history.json") as temporary:
                temporary.write_text(json.dumps({"epochs": self.epochs, "duration_s": self.duration_s}))
            self.save_weights(STATE_FILE)

        def save_weights(self, name):
            with artifacts.atomic_path(folder / name) as temporary:
                self.model.save_weights(temporary)

    return Keeper()


def fit(
    model: keras.Model,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-4,
    validation_fraction: float = 0.1,
    patience: int | None = None,
    augment: bool = True,
    seed: int = 0,
    backup_dir: Path | None = None,
    description: str = "training",
) -> TrainingResult:
    """Train `model` in place with momentum SGD, warm-up and cosine decay, keeping the best epoch's weights.

    Args:
        model: takes float32 pixels `[N, H, W, 3]` in 0 to 255, gives probabilities `[N, classes]`.
        dataset: its training images are used; its test images are not.
        epochs: at most this many passes over the training images.
        batch_size: images per step.
        learning_rate: the peak of the schedule.
        weight_decay: decoupled (Loshchilov and Hutter 2017); not applied to biases and normalisation.
        validation_fraction: part of the training images held out to choose the best epoch, 0 to 1.
        patience: stop after this many epochs without a better validation accuracy; None runs them all.
        augment: mirror and shift the training images.
        seed: of shuffling, augmentation and the validation split.
        backup_dir: where an interrupted run is kept, to be continued by the same call.
        description: shown beside the progress bar.

    Returns:
        History, cost and best epoch. The model holds the best epoch's weights.

    Raises:
        DataError: too few images to train on.
    """
    import keras
    import tensorflow as tf

    train, held_out = split_validation(dataset, validation_fraction, seed)
    images, labels = dataset.train_images, dataset.train_labels
    batches = input_pipeline(images[train], labels[train], batch_size=batch_size, augment=augment, seed=seed)
    validation = tf.data.Dataset.from_tensor_slices(
        (images[held_out].astype(np.float32), labels[held_out])
    ).batch(500)
    steps = len(batches) * epochs
    optimizer = keras.optimizers.SGD(
        warm_up_then_cosine(learning_rate, steps), momentum=0.9, nesterov=True, weight_decay=weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])

    with tempfile.TemporaryDirectory() as temporary_dir:
        folder = Path(backup_dir or temporary_dir)
        keeper = _keeper(folder)
        done = keeper.resume(model, len(batches))
        early_stop = keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=patience or epochs)
        progress = _progress_callback(steps, description)
        model.fit(
            batches,
            validation_data=validation,
            initial_epoch=done,
            epochs=epochs,
            callbacks=[keeper, early_stop, progress],
            shuffle=False,  # the input pipeline has shuffled already
            verbose=0,
        )
        model.load_weights(folder / BEST_FILE)

    history = {key: [epoch[key] for epoch in keeper.epochs] for key in keeper.epochs[0]}
    gpus = tf.config.list_logical_devices("GPU")
    return TrainingResult(
        history=history,
        epochs=len(keeper.epochs),
        best_epoch=int(np.argmax(history["val_accuracy"])) + 1,
        duration_s=keeper.duration_s,
        images_per_s=len(batches) * batch_size * len(keeper.epochs) / keeper.duration_s,
        peak_memory_bytes=keeper.peak_memory_bytes,
        device=f"{len(gpus)} GPU" if gpus else "CPU",
    )


def architecture(model: keras.Model) -> str:
    """The model's structure as JSON, with the layers numbered in place of names.

    Keras counts unnamed layers over the life of a kernel, so the same network would be another one next time.
    """
    names = [model.name, *(layer["config"]["name"] for layer in model.get_config()["layers"])]
    text = model.to_json()
    for number, name in enumerate(dict.fromkeys(names)):
        text = text.replace(json.dumps(name), f'"layer {number}"')
    return text


def save(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file without the optimizer's state, compressed: less than half the usual size."""
    import keras

    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    plain = path.with_name(f"plain-{path.name}")
    try:
        bare.save(plain)
        with zipfile.ZipFile(plain) as loose, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as tight:
            for name in loose.namelist():
                tight.writestr(name, loose.read(name))
    finally:
        plain.unlink(missing_ok=True)


def train(
    build: Callable[[], keras.Model], dataset: Dataset, *, name: str, **settings: Any
) -> tuple[Path, TrainingResult]:
    """Train once, then reuse: the saved model and its record, from the cache when nothing changed.

    An interrupted run (a stopped kernel, a power cut) continues from its last finished epoch.

    Args:
        build: makes the untrained model; called inside the distribution strategy's scope, where its
            variables must be created.
        dataset: what to train on.
        name: the readable part of the file name.
        **settings: as for `fit`.

    Returns:
        The path of the `.keras` file, and what the run that made it did and cost.

    Raises:
        DataError: too few images to train on.
        StorageError: the disk is full.
    """
    quiet.import_tensorflow()
    import keras

    seed = settings.get("seed", 0)
    keras.utils.set_random_seed(seed)
    with strategy().scope():
        model = build()
    parts = {
        "architecture": architecture(model),
        "data": dataset.fingerprint,
        "settings": settings,
        "keras": keras.__version__,
    }
    key = artifacts.content_key(**parts)
    record_path = _record_path(artifacts.artifacts_dir() / "models" / f"{name}-{key}.keras")
    backup_dir = artifacts.artifacts_dir() / "unfinished" / f"{name}-{key}"

    def build_file(path: Path) -> None:
        result = fit(model, dataset, backup_dir=backup_dir, description=f"training {name}", **settings)
        with artifacts.atomic_path(record_path) as temporary:
            temporary.write_text(json.dumps(asdict(result)))
        save(model, path)
        shutil.rmtree(backup_dir, ignore_errors=True)

    path = artifacts.cached("models", name, ".keras", parts, build_file)
    return path, TrainingResult(**json.loads(record_path.read_text()))


def trained(path: Path) -> tuple[Path, TrainingResult] | None:
    """A model that `train` has saved, with its record; None where one of the two is gone."""
    if not (path.exists() and _record_path(path).exists()):
        return None
    return path, TrainingResult(**json.loads(_record_path(path).read_text()))


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.json")
