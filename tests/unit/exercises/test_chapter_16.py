"""The memory plan of exercise 16.4: no tensor over another that is needed then, and TFLM's own size."""

import random

import keras
import micro_models
import pytest

from edgelab import graph
from edgelab.exercises import chapter_16 as planning
from edgelab.targets.micro import arena


def random_blocks(seed, count=12):
    rng = random.Random(seed)
    spans = [sorted(rng.choices(range(count), k=2)) for _ in range(count)]
    return [(rng.randint(1, 99), *span) for span in spans]


def needed(blocks):
    return max(offset + size for offset, (size, _, _) in zip(planning.plan(blocks), blocks, strict=True))


@pytest.fixture(scope="module")
def branched(tmp_path_factory):
    """A network with a shortcut, and small and large maps in turn."""

    def outputs(x):
        wide = keras.layers.Conv2D(12, 3, padding="same", activation="relu")(x)
        narrow = keras.layers.Conv2D(4, 1)(wide)
        x = keras.layers.Add()([x, narrow])
        return keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))

    return micro_models.converted(outputs, tmp_path_factory.mktemp("planning") / "branched.tflite")


@pytest.mark.parametrize("seed", range(20))
def test_blocks_that_are_needed_together_are_apart(seed):
    blocks = random_blocks(seed)
    placed = list(zip(blocks, planning.plan(blocks), strict=True))
    for number, ((size, first, last), offset) in enumerate(placed):
        for (other_size, other_first, other_last), other in placed[:number]:
            if first <= other_last and other_first <= last:
                assert offset >= other + other_size or other >= offset + size
    assert planning.peak_bytes(blocks) <= needed(blocks) <= sum(size for size, _, _ in blocks)


def test_the_lowest_place_is_found_below_between_and_above():
    taken = [(8, 4), (0, 4), (9, 1)]
    assert [planning.lowest_offset(size, taken) for size in (1, 4, 5)] == [4, 4, 12]
    assert planning.lowest_offset(7, []) == 0 and planning.lowest_offset(3, [(3, 9)]) == 0


def test_lifetimes_agree_with_the_graphs_own_liveness(branched):
    model = graph.read(branched)
    lives = planning.lifetimes(model)
    alive = [
        sum(model.tensors[i].size_bytes for i, (first, last) in lives.items() if first <= now <= last)
        for now in range(len(model.operators))
    ]
    assert tuple(alive) == model.activation_bytes


@micro_models.installed
def test_the_plan_is_as_large_as_the_head_of_the_real_arena(branched):
    """TFLM places the later of two equal blocks first."""
    model = graph.read(branched)
    lives = sorted(planning.lifetimes(model).items())
    blocks = [(-(-model.tensors[index].size_bytes // 16) * 16, *span) for index, span in lives]
    assert needed(blocks[::-1]) == arena.smallest_arena(branched).head_bytes
