"""Drawn pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgelab import datasets
from edgelab.data_sources import shapes
from edgelab.errors import InputError


def test_a_small_draw_is_the_same_on_every_platform():
    images, labels = datasets.draw_shapes(20, seed=7)
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "40192f83d8ffb9e4"
    assert labels[:10].tolist() == [6, 3, 4, 9, 0, 2, 8, 7, 5, 1]


def test_pictures_are_balanced_uint8_and_grow_without_changing():
    images, labels = datasets.draw_shapes(260, seed=1)
    fewer, fewer_labels = datasets.draw_shapes(30, seed=1)
    assert images.shape == (260, 32, 32, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [26] * 10
    np.testing.assert_array_equal(images[:30], fewer)
    np.testing.assert_array_equal(labels[:30], fewer_labels)


def test_seeds_and_streams_share_no_picture():
    draws = [
        datasets.draw_shapes(250, seed=seed, stream=stream)[0]
        for seed in (0, 1)
        for stream in ("train", "test")
    ]
    assert len({image.tobytes() for images in draws for image in images}) == 1000


def test_another_size_can_be_drawn():
    assert datasets.draw_shapes(3, image_size=40)[0].shape == (3, 40, 40, 3)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 5, "seed": -1}, {"count": 5, "image_size": 4}])
def test_impossible_draws_are_refused(wrong):
    with pytest.raises(InputError):
        datasets.draw_shapes(**wrong)


@pytest.mark.parametrize("name", shapes.SHAPE_CLASSES)
def test_a_distance_grows_no_faster_than_the_way_and_changes_sign_once(name):
    """A signed distance is 1-Lipschitz, negative somewhere inside and positive far outside."""
    x, y = shapes.pixel_grid(200, 200)
    x, y = np.broadcast_arrays(1.5 * x, 1.5 * y)
    gap = shapes.distance(name, x, y)
    step = 1.5 * 2 / 200
    for axis in (0, 1):
        assert np.abs(np.diff(gap, axis=axis)).max() <= step * (1 + 1e-9)
    assert gap.min() < -0.1 and gap[0].min() > 0


def test_polygon_distance_of_a_square_is_known():
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    x, y = np.array([0.0, 2.0, 2.0, 0.5]), np.array([0.0, 0.0, 2.0, 0.0])
    np.testing.assert_allclose(shapes.polygon(x, y, corners), [-1, 1, np.sqrt(2), -0.5])


def test_sensor_noise_has_mean_zero_and_deviation_one():
    noise = shapes.sensor_noise(shapes.generator(0, "train"), 100_000)
    assert abs(noise.mean()) < 4 / np.sqrt(100_000) and abs(noise.std() - 1) < 0.01
