"""A search for good settings that several processes share: trials in one storage, which outlives them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.scaling import network

if TYPE_CHECKING:
    import optuna

STUDY = "training"
DEFAULTS = {"rate": 0.01, "momentum": 0.9, "decay": 1e-5, "batch_size": 64}
HEARTBEAT_S, GRACE_S = 1, 4  # a trial whose process gave no sign for this long has failed
LOCK_S = 60  # how long one process waits while another writes to the file


@dataclass(frozen=True)
class Task:
    """What every trial trains on; the test set is not in it.

    Attributes:
        pictures, labels: for training, uint8 `[N, H, W, 3]` and int32 `[N]`.
        held_pictures, held_labels: for judging, taken from the training set.
        epochs: passes of a trial that is not stopped.
        classes: how many there are.
    """

    pictures: np.ndarray
    labels: np.ndarray
    held_pictures: np.ndarray
    held_labels: np.ndarray
    epochs: int
    classes: int


def suggested(trial: optuna.Trial) -> dict[str, Any]:
    """The settings of one trial: where each may lie, and how it is spread there."""
    return {
        "rate": trial.suggest_float("rate", 1e-3, 1.0, log=True),
        "momentum": trial.suggest_float("momentum", 0.0, 0.98),
        "decay": trial.suggest_float("decay", 1e-6, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
    }


class Trainer:
    """One network, trained from the same first weights with other settings again and again.

    The graph is traced once for all: settings are its inputs, not part of it.
    """

    def __init__(self, task: Task, seed: int = 0) -> None:
        import tensorflow as tf

        self.task = task
        self.model = network.tiny(task.pictures.shape[1:], task.classes, seed, width=8, normalised=True)
        self._first = self.model.get_weights()
        self._speeds = [tf.Variable(tf.zeros_like(weight)) for weight in self.model.trainable_variables]
        self._seed = seed
        shape = (None, *task.pictures.shape[1:])
        batch = (tf.TensorSpec(shape, tf.uint8), tf.TensorSpec((None,), tf.int32))
        values = [tf.TensorSpec((), tf.float32)] * 3
        self._step = tf.function(self._one_step, input_signature=[*batch, *values])
        self._answer = tf.function(
            lambda pictures: tf.argmax(self.model(tf.cast(pictures, tf.float32)), axis=1),
            input_signature=[tf.TensorSpec(shape, tf.uint8)],
        )

    def _one_step(self, pictures, labels, rate, momentum, decay):
        import tensorflow as tf

        weights = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.model(tf.cast(pictures, tf.float32), training=True)
            loss = tf.reduce_mean(network.loss_per_picture(labels, logits))
        for weight, speed, gradient in zip(weights, self._speeds, tape.gradient(loss, weights), strict=True):
            speed.assign(momentum * speed - rate * (gradient + decay * weight))
            weight.assign(weight + speed)

    def right(self, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether each picture is classified right, Booleans `[N]`."""
        parts = np.array_split(pictures, -(-len(pictures) // 256))
        return np.concatenate([self._answer(part).numpy() for part in parts]) == np.ravel(labels)

    def accuracies(self, settings: dict[str, Any]) -> Iterator[float]:
        """Train from the first weights; after each epoch, the share of held-out pictures that are right."""
        self.model.set_weights(self._first)
        for speed in self._speeds:
            speed.assign(0 * speed)
        rng, task, size = np.random.default_rng(self._seed), self.task, settings["batch_size"]
        values = [np.float32(settings[name]) for name in ("rate", "momentum", "decay")]
        for _ in range(task.epochs):
            order = rng.permutation(len(task.pictures))
            for first in range(0, len(order) - size + 1, size):
                chosen = order[first : first + size]
                self._step(task.pictures[chosen], task.labels[chosen], *values)
            yield float(self.right(task.held_pictures, task.held_labels).mean())


def objective(trial: optuna.Trial, trainer: Trainer) -> float:
    """Train with the settings of this trial; report after each epoch, and stop where the pruner says so."""
    import optuna

    for epoch, accuracy in enumerate(trainer.accuracies(suggested(trial))):
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def open_study(storage: Path | str, seed: int = 0) -> optuna.Study:
    """The study in this storage, made if there is none: any process may open it, at any time.

    Args:
        storage: a file of SQLite, for processes of one machine, whose folder must exist; or the address of
            a database for those of many, as SQLAlchemy writes it: `postgresql+psycopg://user@host/name`.
        seed: of the sampler; two processes with the same seed would try the same.
    """
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat
        is_address = "://" in str(storage)
        kept = optuna.storages.RDBStorage(
            str(storage) if is_address else f"sqlite:///{storage}",
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            engine_kwargs={} if is_address else {"connect_args": {"timeout": LOCK_S}},
        )
    study = optuna.create_study(
        study_name=STUDY,
        storage=kept,
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=6),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    if not study.trials:
        study.enqueue_trial(DEFAULTS)
    return study


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that came to an end of their own: complete, or stopped by the pruner."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def take_part(tell: Callable[..., None], storage: str, total: int, task: Task, seed: int) -> None:
    """In a process of its own: try settings until the storage holds `total` finished trials.

    Tells `began` (the number of a trial) and `finished` (how many there are in it, of all processes).

    Args:
        tell: sends facts to the parent.
        storage: of the study, as `open_study` takes it.
        total: how many trials all processes make together.
        task: what they train on.
        seed: of this process's draws.
    """
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    study, trainer = open_study(storage, seed), Trainer(task)

    def one_trial(trial):
        trial.set_user_attr("process", os.getpid())
        tell(began=trial.number)
        return objective(trial, trainer)

    while (count := len(finished(study))) < total:
        tell(finished=count)
        study.optimize(one_trial, n_trials=1)
    tell(finished=count)
