"""What is written and drawn on a frame: legible from 320x240 up, on any background."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (255, 221, 51)
PANEL_OPACITY = 0.7  # dark enough below white text on a white picture: contrast 8:1


def _text_scale(image: np.ndarray) -> float:
    """0.6, about 12 pixels for a capital, up to 320x240, and in proportion above."""
    return max(0.6, 0.6 * min(image.shape[1] / 320, image.shape[0] / 240))


def _fitting(text: str, width: int, scale: float, thickness: int) -> str:
    """`text`, or as much of it as fits, ending in dots."""
    if cv2.getTextSize(text, FONT, scale, thickness)[0][0] <= width:
        return text
    while text and cv2.getTextSize(text + "...", FONT, scale, thickness)[0][0] > width:
        text = text[:-1]
    return text + "..."


def overlay(
    image: np.ndarray,
    *,
    label: str,
    confidence: float | None,
    fps: float,
    inference_ms: float,
    boxes: Iterable[tuple[float, float, float, float]] = (),
) -> np.ndarray:
    """Write class, confidence, frame rate and inference time on a copy of a frame.

    Args:
        image: uint8 `[H, W, 3]`, RGB; not changed.
        label: the class; shortened when it does not fit. Letters outside ASCII need OpenCV 5.
        confidence: 0 to 1; None to leave it out.
        fps: frames per second.
        inference_ms: milliseconds per inference.
        boxes: left, top, right, bottom in pixels of each box to draw.

    Returns:
        uint8 `[H, W, 3]`, RGB.
    """
    image = np.array(image, order="C")
    height, width = image.shape[:2]
    scale = _text_scale(image)
    thickness = max(1, round(scale * 1.5))
    for box in boxes:
        left, top, right, bottom = (round(edge) for edge in box)
        cv2.rectangle(image, (left, top), (right, bottom), BLACK, thickness + 3)
        cv2.rectangle(image, (left, top), (right, bottom), YELLOW, thickness + 1)

    line_height = round(32 * scale)
    panel = image[: 2 * line_height + line_height // 3]
    panel[:] = (panel * (1 - PANEL_OPACITY)).astype(np.uint8)
    margin = round(12 * scale)
    heading = label if confidence is None else f"{label} {confidence:.0%}"
    numbers = f"{fps:.0f} FPS  {inference_ms:.1f} ms"
    for row, (text, color) in enumerate([(heading, YELLOW), (numbers, WHITE)], start=1):
        text = _fitting(text, width - 2 * margin, scale, thickness)
        origin = (margin, min(row * line_height, height - 2))
        cv2.putText(image, text, origin, FONT, scale, color, thickness, cv2.LINE_AA)
    return image
