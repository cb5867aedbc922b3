"""What is drawn over a frame."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import video


@pytest.mark.parametrize("level", [0, 127, 255])
def test_overlay_is_legible_on_any_ground_and_leaves_the_frame_alone(level):
    image = np.full((240, 320, 3), level, np.uint8)
    before = image.copy()
    drawn = video.overlay(image, label="triangle", confidence=0.97, fps=31.4, inference_ms=2.25)
    assert np.array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    text = drawn[:40]
    assert (text > 200).all(-1).sum() > 100  # white strokes
    assert text.min() < 60  # on dark ground
    assert np.array_equal(drawn[80:], image[80:])


def test_overlay_draws_boxes_and_survives_odd_input():
    image = np.full((240, 320, 3), 90, np.uint8)[:, ::-1]  # not contiguous
    drawn = video.overlay(
        image, label="x" * 300, confidence=None, fps=0.0, inference_ms=0.1, boxes=[(100.4, 120, 150, 180)]
    )
    assert tuple(drawn[150, 100]) == (255, 221, 51)
    assert tuple(drawn[150, 125]) == (90, 90, 90)
    assert (drawn[:30, -12:] < 120).all()  # the long name was cut before the edge
    tiny = video.overlay(np.zeros((8, 8, 3), np.uint8), label="a", confidence=1.0, fps=1, inference_ms=1)
    assert tiny.shape == (8, 8, 3)


def test_overlay_text_changes_with_each_value():
    image = np.zeros((240, 320, 3), np.uint8)
    base = {"label": "ring", "confidence": 0.5, "fps": 30.0, "inference_ms": 2.0}
    drawn = video.overlay(image, **base)
    for change in ({"label": "star"}, {"confidence": 0.9}, {"fps": 12.0}, {"inference_ms": 7.5}):
        assert not np.array_equal(drawn, video.overlay(image, **{**base, **change}))
