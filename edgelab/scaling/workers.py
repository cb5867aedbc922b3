"""What workers of a `Crew` do when one network is trained by several of them.

Each function runs in a process of its own, since TensorFlow takes its devices and its cluster once, before
its first operation.
"""

from __future__ import annotations

import gc
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from edgelab.scaling import network

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MOMENTUM = 0.9
CHECKPOINT = "state"


@dataclass(frozen=True)
class Plan:
    """How a network is trained; all workers get the same.

    Attributes:
        epochs: passes over the pictures.
        batch_size: pictures of one step, all workers together.
        rate: of learning.
        threads: that an operator may use in each worker; 0 for all cores.
        folder: where the state is saved after every epoch, and found again; "" for nowhere.
    """

    epochs: int = 6
    batch_size: int = 64
    rate: float = 0.05
    threads: int = 1
    folder: str = ""


def _tensorflow(threads: int) -> Any:
    """TensorFlow on the processor alone: two workers would fight for one GPU."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(2)
    return tf


def train(
    tell: Callable[..., None], settings: str, pictures: np.ndarray, labels: np.ndarray, plan: Plan
) -> None:
    """One of several workers that train one network together, `tf.distribute`'s way.

    Tells `joined` (how many take part), `restored` (epochs that a saved state holds), for each epoch `epoch`,
    `loss` and `step_s` (seconds of each step), and at the end `weights`.

    Args:
        tell: sends facts to the parent.
        settings: the text of TF_CONFIG; "" to train alone.
        pictures: uint8 `[N, H, W, 3]`, all of them; each worker takes its share of every batch.
        labels: int32 `[N]`.
        plan: the same for all.
    """
    if settings:
        os.environ["TF_CONFIG"] = settings
    tf = _tensorflow(plan.threads)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    tell(joined=strategy.num_replicas_in_sync)
    with strategy.scope():  # what lies in here is kept equal on all workers
        model, optimizer, epoch = _training_state(pictures.shape[1:], int(labels.max()) + 1, plan)
    state, is_first = tf.train.Checkpoint(model=model, optimizer=optimizer, epoch=epoch), _is_first(strategy)
    path = Path(plan.folder) / CHECKPOINT
    if plan.folder and path.with_suffix(".index").exists():
        state.read(str(path)).assert_consumed()
        tell(restored=int(epoch.numpy()))
    step = distributed_step(strategy, model, optimizer, plan.batch_size)
    batches = strategy.distribute_datasets_from_function(_share_of_batches(pictures, labels, plan))
    for number in range(int(epoch.numpy()), plan.epochs):
        losses, step_s = [], []
        for batch in batches:
            began = time.perf_counter()
            losses.append(float(step(batch)))
            step_s.append(time.perf_counter() - began)
        epoch.assign(number + 1)
        if plan.folder and is_first:
            state.write(str(path))
        tell(epoch=number, loss=float(np.mean(losses)), step_s=step_s)
    tell(weights=model.get_weights())


def distributed_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    batch_size: int,
) -> Callable[..., tf.Tensor]:
    """One step of all workers: each on its share of the batch, then the sum of their gradients."""
    import tensorflow as tf

    def on_one_worker(pictures, labels):
        with tf.GradientTape() as tape:
            losses = network.loss_per_picture(labels, model(pictures, training=True))
            loss = tf.reduce_sum(losses) / batch_size  # of the whole batch, not of this share
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)  # adds up all workers' gradients first
        return loss

    def step(batch):
        return strategy.reduce("SUM", strategy.run(on_one_worker, args=batch), axis=None)

    return tf.function(step)


def _training_state(shape, classes, plan):
    import keras
    import tensorflow as tf

    model = network.tiny(shape, classes)
    optimizer = keras.optimizers.SGD(plan.rate, momentum=MOMENTUM)
    optimizer.build(model.trainable_variables)
    return model, optimizer, tf.Variable(0, dtype=tf.int64)


def _is_first(strategy: tf.distribute.Strategy) -> bool:
    return not strategy.cluster_resolver.task_id


def _share_of_batches(pictures: np.ndarray, labels: np.ndarray, plan: Plan) -> Callable[..., tf.data.Dataset]:
    def batches(context):
        import tensorflow as tf

        workers = context.num_input_pipelines
        whole = tf.data.Dataset.from_tensor_slices((pictures.astype(np.float32), labels))
        shares = whole.batch(plan.batch_size // workers, drop_remainder=True)
        return shares.shard(workers, context.input_pipeline_id)

    return batches


def mirrored(
    tell: Callable[..., None],
    devices: int,
    pictures: np.ndarray,
    labels: np.ndarray,
    plan: Plan,
    outside: bool = False,
) -> None:
    """Train with `fit` on virtual devices, into which TensorFlow divides this one processor.

    Tells `loss` of each epoch, `seconds`, `replicas` and `weights`.

    Args:
        tell: sends facts to the parent.
        devices: how many; 1 trains without a strategy.
        pictures: uint8 `[N, H, W, 3]`.
        labels: int32 `[N]`.
        plan: of the training.
        outside: build the network before the scope is entered, as it must not be.
    """
    import keras

    tf = _tensorflow(plan.threads)
    whole = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(whole, [tf.config.LogicalDeviceConfiguration()] * devices)
    names = [f"CPU:{number}" for number in range(devices)]
    strategy = tf.distribute.MirroredStrategy(names) if devices > 1 else tf.distribute.get_strategy()
    shape, classes = pictures.shape[1:], int(labels.max()) + 1
    model = network.tiny(shape, classes) if outside else None
    with strategy.scope():
        model = model or network.tiny(shape, classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(plan.rate, momentum=MOMENTUM), loss)
    data = tf.data.Dataset.from_tensor_slices((pictures.astype(np.float32), labels)).batch(plan.batch_size)
    began = time.perf_counter()
    history = model.fit(data, epochs=plan.epochs, verbose=0, shuffle=False).history["loss"]
    tell(loss=history, seconds=time.perf_counter() - began, replicas=strategy.num_replicas_in_sync)
    tell(weights=model.get_weights())


def fit_with_many(tell: Callable[..., None], settings: str, pictures: np.ndarray, labels: np.ndarray) -> None:
    """Keras' own `fit` under `MultiWorkerMirroredStrategy`; tells `fitted`, or the error."""
    import keras

    if settings:
        os.environ["TF_CONFIG"] = settings
    tf = _tensorflow(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = network.tiny(pictures.shape[1:], int(labels.max()) + 1)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(tf.data.Dataset.from_tensor_slices((pictures.astype(np.float32), labels)).batch(32), verbose=0)
    tell(fitted=True)


def growth(
    tell: Callable[..., None], way: str, models: int, pictures: np.ndarray, labels: np.ndarray
) -> None:
    """Build networks one after the other and train each for a step; tells `rss_mb` and `alive` after each.

    `alive` counts the networks that Python has not let go, `rss_mb` is the process's resident memory.

    Args:
        tell: sends facts to the parent.
        way: "kept" in a list, or "cleared" by `del`, `clear_session` and a collection of garbage.
        models: how many.
        pictures: one batch, uint8 `[B, H, W, 3]`.
        labels: int32 `[B]`.
    """
    import keras

    _tensorflow(0)
    kept, seen = [], []
    for _ in range(models):
        model = network.tiny(pictures.shape[1:], int(labels.max()) + 1, width=96)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)  # a compiler would only make it take longer
        model.train_on_batch(pictures.astype(np.float32), labels)
        seen.append(weakref.ref(model))
        if way == "kept":
            kept.append(model)
        del model
        if way == "cleared":
            keras.utils.clear_session()
            gc.collect()
        alive = sum(reference() is not None for reference in seen)
        tell(rss_mb=psutil.Process().memory_info().rss / 1e6, alive=alive)
