"""Drawn scenes with exact boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgelab import datasets
from edgelab.errors import DataError, InputError, StorageError


def test_scenes_are_repeatable_smooth_and_inside_the_frame():
    first, second = (list(datasets.scenes(60, seed=2)) for _ in range(2))
    for (frame, boxes), (again, boxes_again) in zip(first, second, strict=True):
        np.testing.assert_array_equal(frame, again)
        assert boxes == boxes_again and len(boxes) > 2
        assert frame.shape == (240, 320, 3) and frame.dtype == np.uint8
        for box in boxes:
            assert 0 <= box.left < box.right <= 320 and 0 <= box.top < box.bottom <= 240
    corners = np.array([[(box.left, box.top) for box in boxes] for _, boxes in first])
    assert 0 < np.abs(np.diff(corners, axis=0)).max() < 8  # moves, and never jumps
    assert np.sign(np.diff(corners[::5], axis=0)).min() == -1  # several directions
    assert np.sign(np.diff(corners[::5], axis=0)).max() == 1


def test_boxes_are_exact():
    """Without noise or texture an object's pixels are those that differ from the background."""
    from edgelab.data_sources.scenes import _Body

    for class_index in range(10):
        body = _Body(
            class_index,
            position=np.array([60.3, 50.8]),
            velocity=np.zeros(2),
            radius=25.0,
            angle=0.4,
            spin=0.0,
            surface=np.full((80, 80, 3), 200.0),
        )
        canvas = np.zeros((120, 140, 3))
        box = body.paint(canvas)
        rows, columns = np.nonzero(canvas[..., 0] >= 100)
        assert (box.left, box.right) == (columns.min(), columns.max() + 1)
        assert (box.top, box.bottom) == (rows.min(), rows.max() + 1)


def test_a_scene_of_an_impossible_size_is_refused_at_the_call():
    with pytest.raises(InputError):
        datasets.scenes(10, size=(321, 240))


def test_a_scene_video_is_a_real_file_with_its_boxes(tmp_path):
    import cv2

    path = datasets.write_scene_video(tmp_path / "scene.mp4", 20, fps=25, seed=3)
    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    frames = []
    while (got := reader.read())[0]:
        frames.append(got[1][..., ::-1])
    record = json.loads(path.with_suffix(".json").read_text())
    assert len(frames) == len(record["frames"]) == 20
    original, boxes = list(datasets.scenes(20, seed=3))[7]
    assert np.abs(frames[7].astype(int) - original).mean() < 12  # lossy, but in place and with red as red
    assert record["frames"][7][0]["left"] == boxes[0].left
    assert sorted(one.name for one in tmp_path.iterdir()) == ["scene.json", path.name]


def test_a_missing_codec_falls_back_to_motion_jpeg(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelab.data_sources.scenes.CODECS", ((".mp4", "\0\0\0\0"), (".avi", "MJPG")))
    path = datasets.write_scene_video(tmp_path / "scene.mp4", 3)
    assert path.suffix == ".avi" and path.stat().st_size > 1000


def test_a_video_nobody_can_write_there_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StorageError, DataError)):
        datasets.write_scene_video(tmp_path / "file" / "scene.mp4", 3)
