"""ByteTrack where its package is installed, and a clear word where it is not."""

import importlib.util

import numpy as np
import pytest

from edgelab.detection import Detections
from edgelab.detection.published import ByteTrack
from edgelab.errors import TargetError

is_installed = importlib.util.find_spec("trackers") is not None


@pytest.mark.skipif(is_installed, reason="the package trackers is installed")
def test_without_the_package_it_says_how_to_get_it():
    with pytest.raises(TargetError, match="not installed") as error:
        ByteTrack(30)
    assert "pip install trackers" in error.value.fix


@pytest.mark.skipif(not is_installed, reason="the package trackers is not installed")
def test_two_objects_keep_their_numbers_while_they_move():
    tracker, seen = ByteTrack(30), []
    for step in range(20):
        boxes = np.array([[step, 10, step + 20, 30], [80 - step, 60, 100 - step, 80]], np.float32)
        seen.append(tracker.update(Detections(boxes, [0.9, 0.8], [1, 2]), step / 30))
    assert [len(tracks) for tracks in seen[5:]] == [2] * 15
    for row, label in enumerate((1, 2)):
        assert len({tracks[row].id for tracks in seen[5:]}) == 1
        assert {tracks[row].label for tracks in seen[5:]} == {label}
    assert seen[-1][0].age > seen[6][0].age > 0
    assert tracker.update(Detections(np.empty((0, 4)), [], []), 1.0) == []
