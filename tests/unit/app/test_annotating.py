import cv2
import numpy as np

from edgelab.app import annotating
from edgelab.detection import Line, Track, Zone

GREY = np.full((240, 320, 3), 128, np.uint8)


def test_boxes_and_places_are_drawn_on_a_copy():
    before = GREY.copy()
    track = Track(3, np.array([50.0, 60.0, 120.0, 140.0]), 0, 0.9, 5)
    shown = annotating.annotated(GREY, [track], [], lambda label: "person", 640)
    assert np.array_equal(GREY, before) and shown.shape == GREY.shape
    assert tuple(shown[100, 50]) == annotating.YELLOW
    line = annotating.annotated(GREY, [], [Line("fence", (0.5, 0.0), (0.5, 1.0))], str, 640)
    assert (line[200, 155:166] != 128).any() and (line[:, :100] == 128).all()


def test_a_zone_is_dashed_and_a_line_is_not():
    def gaps(place):
        column = annotating.annotated(GREY, [], [place], str, 640)[:, 160]
        return int(((column == 128).all(axis=1)[30:150]).sum())

    assert gaps(Line("", (0.5, 0.0), (0.5, 1.0))) == 0
    assert gaps(Zone("", ((0.5, 0.0), (0.5, 1.0), (0.9, 0.5)))) > 20


def test_a_large_frame_is_shrunk_and_its_boxes_with_it():
    large = np.zeros((720, 1280, 3), np.uint8)
    track = Track(0, np.array([640.0, 360.0, 800.0, 500.0]), 0, 1.0, 5)
    shown = annotating.annotated(large, [track], [], str, 320)
    assert shown.shape == (180, 320, 3) and shown[110, 160].any() and not shown[110, 100].any()


def test_nothing_outside_the_picture_breaks_it():
    track = Track(0, np.array([-50.0, -50.0, 900.0, 900.0]), 0, 1.0, 5)
    place = Zone("a name that is longer than the picture is wide " * 3, ((0, 0), (1, 0), (1, 1)))
    annotating.annotated(GREY[:20, :20], [track], [place], str, 640)


def test_the_jpeg_is_one():
    decoded = cv2.imdecode(np.frombuffer(annotating.as_jpeg(GREY, 80), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == GREY.shape and abs(int(decoded.mean()) - 128) < 3
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(annotating.as_jpeg(red, 95), np.uint8), cv2.IMREAD_COLOR)
    assert decoded[8, 8, 2] > 200 > 50 > decoded[8, 8, 0], "red stays red"
