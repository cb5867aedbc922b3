"""The wrong ways, each on arrays that can be checked by hand."""

import numpy as np
import pytest

from edgelab.diagnosis import breaking

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)


def fed(cause, seed=0):
    return breaking.fed(cause, FRAMES, 8, np.random.default_rng(seed))


def test_shrinking_is_the_mean_of_blocks():
    expected = np.rint(FRAMES[1, 2:4, 4:6, 0].mean())
    assert breaking.shrunk(FRAMES, 8)[1, 1, 2, 0] == expected
    assert np.array_equal(breaking.shrunk(FRAMES.repeat(2, 1).repeat(2, 2), 16), FRAMES)


@pytest.mark.parametrize("cause", ["scaling", "bgr", "planes", "resize"])
def test_what_is_fed_keeps_its_shape_and_is_wrong(cause):
    for seed in range(4):
        wrong = fed(cause, seed)
        assert wrong.shape == (4, 8, 8, 3) and wrong.dtype == np.uint8
        assert not np.array_equal(wrong, fed("labels"))


def test_values_are_those_that_the_cause_names():
    right = fed("")
    assert fed("scaling").max() <= 1
    assert np.array_equal(fed("bgr")[..., 0], right[..., 2])
    assert np.array_equal(fed("planes")[0].ravel()[:64], right[0, ..., 0].ravel())


def test_outputs_are_cut_or_repeated():
    outputs = np.random.default_rng(1).random((20, 5)).astype(np.float32)
    assert not breaking.read_outputs("truncated", outputs).any()
    assert np.array_equal(breaking.read_outputs("no_batch", outputs)[9], outputs[8])
    assert breaking.read_outputs("bgr", outputs) is outputs


def test_labels_are_shifted():
    classes = ["a", "b", "c"]
    made = {tuple(breaking.labels("labels", classes, np.random.default_rng(seed))) for seed in range(8)}
    assert made == {("background", "a", "b", "c"), ("b", "c", "a")}
    assert breaking.labels("bgr", classes, np.random.default_rng(0)) == classes
