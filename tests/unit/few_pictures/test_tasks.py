"""Two classes and a few pictures."""

import numpy as np
import pytest
from PIL import Image

from edgelab.errors import InputError
from edgelab.few_pictures import tasks


def small_task(zeros=6, ones=4):
    labels = np.array([0] * zeros + [1] * ones)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] + np.zeros((1, 8, 8, 3), np.uint8)
    return tasks.Task(("cat", "dog"), images, labels, images, labels, "made")


def test_a_few_are_half_of_each_class_and_differ_by_seed():
    task = small_task(40, 40)
    draws = [task.few(20, seed) for seed in range(4)]
    for numbers in draws:
        assert len(set(numbers)) == 20 and task.pool_labels[numbers].sum() == 10
    assert len({tuple(numbers) for numbers in draws}) == 4
    np.testing.assert_array_equal(draws[0], task.few(20, 0))


def test_no_more_than_the_smaller_class_allows():
    task = small_task(6, 4)
    assert task.most == 8 and task.counts((4, 8, 50)) == (4,) and task.counts((50,)) == (4,)
    assert task.chance == 0.6
    with pytest.raises(InputError, match="at most 8"):
        task.few(10, 0)


def test_faces_are_drawn_by_default():
    task = tasks.load(seed=3)
    assert task.names == ("cat", "dog") and task.pool.shape == (600, 32, 32, 3)
    assert set(task.test_labels.tolist()) == {0, 1}
    shared = {one.tobytes() for one in task.pool} & {one.tobytes() for one in task.test}
    assert not shared


def test_of_a_folder_the_two_largest_classes_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    rng = np.random.default_rng(0)
    for name, count in (("apple", 12), ("pear", 4), ("plum", 15)):
        folder = tmp_path / "fruit" / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    task = tasks.load(str(tmp_path / "fruit"), image_size=16)
    assert task.names == ("apple", "plum") and task.pool.shape[1:] == (16, 16, 3)
    assert set(task.pool_labels.tolist()) == {0, 1} and len(task.pool) + len(task.test) == 27


def test_a_digest_tells_values_shapes_and_types_apart():
    values = np.arange(6.0)
    others = [values.reshape(2, 3), values.astype(np.float32), values + 1]
    assert len({tasks.digest(one) for one in (values, *others)}) == 4
    assert tasks.digest(values) == tasks.digest(values.copy())
