import numpy as np
import pytest

from edgelab.detection import Detector, decode
from edgelab.detection.detector import peaks, pixel_codes
from edgelab.errors import InputError
from edgelab.runtime import TensorSpec


class Answers:
    """A session that always gives the same outputs, and keeps what it was asked."""

    def __init__(self, *outputs, specs=None, size=(160, 120)):
        self._outputs = outputs
        self.inputs = (TensorSpec("pixels", (1, size[1], size[0], 3), np.dtype("uint8")),)
        self.outputs = specs or tuple(
            TensorSpec(f"out{number}", out.shape, out.dtype) for number, out in enumerate(outputs)
        )

    def run(self, tensor):
        self.asked = tensor
        return self._outputs


def maps(dtype=np.float32):
    heat, box = np.full((1, 15, 20, 3), -8.0, dtype), np.zeros((1, 15, 20, 4), dtype)
    heat[0, 4, 6, 1], heat[0, 4, 7, 1] = 3.0, 2.0  # the second is on the slope of the first
    heat[0, 10, 12, 2] = 1.0
    box[0, 4, 6], box[0, 10, 12] = (1, 2, 1, 2), (2, 1, 2, 1)
    return heat, box


def test_maps_become_boxes_in_pixels_of_the_frame():
    heat, box = maps()
    session = Answers(box, heat)  # in either order
    found = Detector(session, "abc").detect(np.zeros((240, 320, 3), np.uint8))
    assert session.asked.shape == (1, 120, 160, 3)
    np.testing.assert_array_equal(found.labels, [1, 2])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3.0, -1.0])), rtol=1e-6)
    expected = 16 * np.array([[5.5, 2.5, 7.5, 6.5], [10.5, 9.5, 14.5, 11.5]])
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-6)


def test_quantized_maps_are_dequantized_first():
    heat, box = maps()
    scale = (0.1, 0.05)
    codes = [np.rint(value / step).astype(np.int8) for value, step in zip((heat, box), scale, strict=True)]
    specs = tuple(
        TensorSpec(f"out{n}", code.shape, code.dtype, step)
        for n, (code, step) in enumerate(zip(codes, scale, strict=True))
    )
    found = Detector(Answers(*codes, specs=specs), "abc").detect(np.zeros((120, 160, 3), np.uint8))
    np.testing.assert_allclose(found.boxes[0], 8 * np.array([5.5, 2.5, 7.5, 6.5]), atol=0.5)


def test_boxes_do_not_leave_the_frame():
    heat, box = maps()
    box[0, 4, 6] = 30
    found = Detector(Answers(heat, box), "abc").detect(np.zeros((120, 160, 3), np.uint8))
    np.testing.assert_array_equal(found.boxes[0], [0, 0, 160, 120])


def test_an_ssd_is_read_up_to_its_count():
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6], [0.5, 0.5, 0.9, 0.9], [0, 0, 1, 1]]], np.float32)
    labels, scores = np.array([[2, 0, 1]], np.float32), np.array([[0.9, 0.4, 0.8]], np.float32)
    session = Answers(boxes, labels, scores, np.array([2], np.float32), size=(300, 300))
    found = Detector(session, "abc").detect(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_array_equal(found.labels, [2, 0])
    np.testing.assert_allclose(found.boxes[0], [40, 10, 120, 50], rtol=1e-5)


def test_other_outputs_names_and_thresholds_are_refused():
    heat, box = maps()
    with pytest.raises(InputError, match="known detector"):
        Detector(Answers(heat, box), "ab")
    with pytest.raises(InputError, match="threshold"):
        Detector(Answers(heat, box), "abc", threshold=0)


def test_peaks_are_found_in_each_class_alone():
    scores = np.zeros((5, 5, 2))
    scores[2, 2, 0], scores[2, 3, 1], scores[2, 3, 0] = 0.9, 0.8, 0.7
    rows, columns, labels, found = peaks(scores, 0.5)
    assert list(zip(rows, columns, labels, found, strict=True)) == [(2, 2, 0, 0.9), (2, 3, 1, 0.8)]


def test_nothing_above_the_threshold_is_nothing():
    heat, box = maps()
    assert len(decode(heat[0], box[0], threshold=0.99)) == 0


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "codes"),
    [
        ("uint8", 1 / 128, 128, (0, 200, 255)),
        ("uint8", 1.0, 0, (0, 200, 255)),
        ("int8", 1 / 128, 0, (-128, 72, 127)),
        ("int8", 1.0, -128, (-128, 72, 127)),
        ("float32", 0.0, 0, (0.0, 200.0, 255.0)),
    ],
)
def test_pixels_reach_the_model_as_its_type_takes_them(dtype, scale, zero_point, codes):
    spec = TensorSpec("pixels", (1, 8, 8, 3), np.dtype(dtype), scale, zero_point)
    found = pixel_codes(spec)
    assert found.dtype == dtype and tuple(found[[0, 200, 255]]) == codes
