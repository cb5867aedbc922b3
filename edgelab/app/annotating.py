"""The live picture: boxes with names, zones and lines, told apart without colour alone, and as JPEG."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edgelab.app.places import Place
from edgelab.detection import Line, Track
from edgelab.errors import EdgelabError
from edgelab.texts import tr
from edgelab.video import resize

FONT = cv2.FONT_HERSHEY_SIMPLEX
BLACK, WHITE, YELLOW, CYAN = (0, 0, 0), (255, 255, 255), (255, 221, 51), (80, 230, 255)


def shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """The picture, at most `width` pixels wide; a copy that may be drawn on."""
    if image.shape[1] <= width:
        return image.copy()
    return resize(image, (width, max(round(image.shape[0] * width / image.shape[1]), 1)))


def annotated(
    image: np.ndarray,
    tracks: Sequence[Track],
    places: Sequence[Place],
    name: Callable[[int], str],
    width: int,
) -> np.ndarray:
    """A copy of a frame with what was found, and the places.

    Args:
        image: uint8 `[H, W, 3]`, RGB; not changed.
        tracks: boxes in pixels of `image`.
        places: in parts of width and height; lines are solid with an arrow to their right, zones dashed.
        name: of a class.
        width: the copy's, at most.

    Returns:
        uint8 `[h, w, 3]`, RGB.
    """
    shown = shrunk(image, width)
    height, width = shown.shape[:2]
    scale = width / image.shape[1]
    size = np.array([width, height])
    for place in places:
        if isinstance(place, Line):
            start, end = (np.array(point) * size for point in (place.start, place.end))
            _line(shown, start, end)
            along = (end - start) / max(np.hypot(*(end - start)), 1e-9)
            middle = (start + end) / 2
            _line(shown, middle, middle + 14 * np.array([-along[1], along[0]]))
            _text(shown, place.name, middle + np.array([4, -6]), CYAN)
        else:
            corners = [np.array(corner) * size for corner in place.corners]
            for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
                _dashed(shown, start, end)
            _text(shown, place.name, np.min(corners, axis=0) + np.array([4, 16]), CYAN)
    for track in tracks:
        left, top, right, bottom = (round(float(edge) * scale) for edge in track.box)
        for color, thickness in ((BLACK, 4), (YELLOW, 2)):
            cv2.rectangle(shown, (left, top), (right, bottom), color, thickness)
        _text(shown, f"{name(track.label)} {track.id} {track.score:.0%}", (left + 2, top - 5), YELLOW)
    return shown


def _line(image: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    ends = [tuple(round(float(part)) for part in point) for point in (start, end)]
    for color, thickness in ((BLACK, 4), (CYAN, 2)):
        cv2.line(image, *ends, color, thickness, cv2.LINE_AA)


def _dashed(image: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    count = max(int(np.hypot(*(end - start)) // 24), 1)
    for number in range(count):
        _line(image, start + (end - start) * number / count, start + (end - start) * (number + 0.5) / count)


def _text(image: np.ndarray, text: str, at: Sequence[float], color: tuple[int, int, int]) -> None:
    (width, height), _ = cv2.getTextSize(text, FONT, 0.45, 1)
    x = int(np.clip(at[0], 2, max(image.shape[1] - width - 2, 2)))
    y = int(np.clip(at[1], height + 2, image.shape[0] - 3))
    # A ground of its own, since an outline's letters are wider in some versions of OpenCV.
    cv2.rectangle(image, (x - 2, y - height - 3), (x + width + 2, y + 4), BLACK, cv2.FILLED)
    cv2.putText(image, text, (x, y), FONT, 0.45, color, 1, cv2.LINE_AA)


def as_jpeg(image: np.ndarray, quality: int) -> bytes:
    """The picture as a JPEG file.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
        quality: 1 to 100.

    Raises:
        EdgelabError: OpenCV cannot encode it.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EdgelabError(tr("A picture of {shape} cannot be made a JPEG.", shape=list(image.shape)))
    return data.tobytes()
