"""A network cut into stages, each in a process of its own, that pass small parts of a batch to each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection

import numpy as np

from edgelab.scaling import crew

WIDTH, DEPTH, BATCH = 384, 4, 256
STEPS = 5


@dataclass(frozen=True)
class Passage:
    """What a step of the pipeline cost with one number of micro-batches.

    Attributes:
        micro: into how many parts the batch was cut.
        step_s: seconds of each step, from the first part in to the last gradient out.
        idle: for each step, the share of the stages' time in which they waited, 0 to 1.
    """

    micro: int
    step_s: np.ndarray
    idle: np.ndarray


def measured(counts: Sequence[int], time_limit_s: float = 60.0) -> list[Passage]:
    """Two stages in two processes, fed with batches cut into each of `counts` parts.

    Raises:
        TargetError: they did not finish in time.
    """
    first_end, second_end = Pipe()
    told: dict[tuple[int, int], dict] = {}
    with crew.Crew() as both:
        both.start(stage, 0, first_end, list(counts))
        both.start(stage, 1, second_end, list(counts))
        first_end.close()
        second_end.close()
        for message in both.messages(time_limit_s):
            if "micro" in message.facts:
                told[message.worker, message.facts["micro"]] = message.facts
    passages = []
    for micro in counts:
        parts = [told[worker, micro] for worker in (0, 1)]
        step_s = np.max([part["step_s"] for part in parts], axis=0)
        busy_s = np.sum([part["busy_s"] for part in parts], axis=0)
        passages.append(Passage(micro, step_s, 1 - busy_s / (2 * step_s)))
    return passages


def stage(tell: Callable[..., None], rank: int, pipe: connection.Connection, counts: list[int]) -> None:
    """One of two stages: all parts forward, then all backward in reverse (Huang et al. 2019, "GPipe").

    Tells, for each of `counts`, `step_s` and `busy_s` of each step.

    Args:
        tell: sends facts to the parent.
        rank: 0 has the pictures, 1 the loss.
        pipe: to the other stage.
        counts: into how many parts a batch is cut, one number after the other.
    """
    forward, backward, update = _functions(rank)
    batch = np.random.default_rng(0).random((BATCH, WIDTH), np.float32)
    for micro in counts:
        step_s, busy_s = [], []
        for number in range(STEPS + 1):  # the first one warms up
            pipe.send_bytes(b"ready")
            pipe.recv_bytes()
            clock = _Clock()
            _one_step(clock, rank, pipe, np.split(batch, micro), (forward, backward, update))
            if number:
                step_s.append(time.perf_counter() - clock.began)
                busy_s.append(clock.busy_s)
        tell(micro=micro, step_s=step_s, busy_s=busy_s)


class _Clock:
    def __init__(self) -> None:
        self.began, self.busy_s = time.perf_counter(), 0.0

    def timed(self, work, *args):
        began = time.perf_counter()
        result = work(*args)
        self.busy_s += time.perf_counter() - began
        return result


def _one_step(clock, rank, pipe, parts, functions):
    forward, backward, update = functions
    shape, seen, total = parts[0].shape, [], None
    for part in parts:
        if rank:
            part = np.frombuffer(pipe.recv_bytes(), np.float32).reshape(shape)
        result = clock.timed(forward, part)
        if not rank:
            pipe.send_bytes(result.tobytes())
        seen.append(part)
    for part in reversed(seen):
        wanted = np.ones(shape, np.float32)
        if not rank:
            wanted = np.frombuffer(pipe.recv_bytes(), np.float32).reshape(shape)
        by_input, by_weights = clock.timed(backward, part, wanted)
        if rank:
            pipe.send_bytes(by_input.tobytes())
        total = by_weights if total is None else [a + b for a, b in zip(total, by_weights, strict=True)]
    clock.timed(update, total)


def _functions(rank):
    """Forward, backward (which goes forward again, as GPipe does), and update of one stage."""
    import keras
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(rank)
    layers = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(DEPTH)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    optimizer = keras.optimizers.SGD(1e-4)
    optimizer.build(model.trainable_variables)
    signature = tf.TensorSpec((None, WIDTH), tf.float32)

    @tf.function(input_signature=[signature])
    def forward(part):
        return model(part, training=True)

    @tf.function(input_signature=[signature, signature])
    def backward(part, wanted):
        with tf.GradientTape() as tape:
            tape.watch(part)
            loss = tf.reduce_sum(model(part, training=True) * wanted) / BATCH
        by_input, *by_weights = tape.gradient(loss, [part, *model.trainable_variables])
        return by_input, by_weights

    def backward_as_arrays(part, wanted):
        by_input, by_weights = backward(part, wanted)
        return by_input.numpy(), [gradient.numpy() for gradient in by_weights]

    def update(gradients):
        optimizer.apply([tf.constant(gradient) for gradient in gradients], model.trainable_variables)

    return lambda part: forward(part).numpy(), backward_as_arrays, update
