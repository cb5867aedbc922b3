"""Drawn faces."""

import hashlib

import numpy as np
import pytest

from edgelab.data_sources import faces, shapes
from edgelab.errors import InputError


def test_a_small_draw_is_the_same_on_every_platform():
    images, labels = faces.draw_faces(12, seed=7)
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "152c9b3fc8376d10"
    assert labels.tolist() == [1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0]


def test_pictures_are_balanced_uint8_and_grow_without_changing():
    images, labels = faces.draw_faces(300, seed=1)
    fewer, fewer_labels = faces.draw_faces(30, seed=1)
    assert images.shape == (300, 32, 32, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels[:250]).tolist() == [125, 125]
    np.testing.assert_array_equal(images[:30], fewer)
    np.testing.assert_array_equal(labels[:30], fewer_labels)


def test_seeds_streams_and_kinds_share_no_picture():
    draws = [
        faces.draw_faces(60, seed=seed, stream=stream)[0] for seed in (0, 1) for stream in ("train", "test")
    ]
    draws += [faces.draw_faces(60, kinds=("rabbit",))[0], shapes.draw_shapes(60)[0]]
    assert len({image.tobytes() for images in draws for image in images}) == 360


def test_another_size_can_be_drawn():
    assert faces.draw_faces(3, kinds=faces.FACE_CLASSES, image_size=40)[0].shape == (3, 40, 40, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 5, "seed": -1},
        {"count": 5, "image_size": 4},
        {"count": 5, "kinds": ("cow",)},
        {"count": 5, "kinds": ()},
        {"count": 5, "stream": "validation"},
    ],
)
def test_impossible_draws_are_refused(wrong):
    with pytest.raises(InputError):
        faces.draw_faces(**wrong)


@pytest.mark.parametrize("kind", faces.FACE_CLASSES)
def test_a_face_is_inside_the_picture_and_has_holes(kind):
    x, y = shapes.pixel_grid(100, 100)
    x, y = np.broadcast_arrays(1.6 * x, 1.6 * y)
    gap = faces.distance(kind, x[np.newaxis], y[np.newaxis], shapes.generator(0, "train", 1))[0]
    inside = gap < 0
    assert 0.1 < inside.mean() < 0.5 and not inside[[0, -1]].any() and not inside[:, [0, -1]].any()
    centre = inside[30:75, 30:70]
    assert not centre.all()  # eyes and nose
