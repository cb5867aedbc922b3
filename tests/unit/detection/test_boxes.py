import numpy as np
import pytest

from edgelab.detection import Detections, iou, non_maximum_suppression
from edgelab.errors import InputError


def test_overlap_of_known_boxes():
    a = np.array([[0, 0, 10, 10], [0, 0, 4, 4]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 6, 6]])
    expected = [[1, 1 / 3, 0, 16 / 100], [16 / 100, 0, 0, 4 / 28]]
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-12)


def test_boxes_that_touch_or_are_empty_do_not_overlap():
    assert iou([[0, 0, 5, 5]], [[5, 0, 9, 5]]) == 0
    assert iou([[3, 3, 3, 3]], [[3, 3, 3, 3]]) == 0
    assert iou(np.empty((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_of_doubles_the_best_stays():
    found = Detections([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]], [0.5, 0.9, 0.7], [1, 1, 2])
    left = non_maximum_suppression(found, 0.6)
    np.testing.assert_allclose(left.scores, [0.9, 0.7])
    np.testing.assert_array_equal(left.labels, [1, 2])
    assert len(non_maximum_suppression(found, 0.95)) == 3


def test_nothing_found_stays_nothing():
    assert len(non_maximum_suppression(Detections.none())) == 0


def test_types_are_those_promised():
    found = Detections([[0, 0, 1, 1]], [0.5], [3])
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int32)
    assert len(found.take([])) == 0 and len(found.take(np.array([True]))) == 1


def test_lengths_that_differ_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        Detections([[0, 0, 1, 1]], [0.5, 0.6], [3])
