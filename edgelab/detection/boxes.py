"""What a detector finds: boxes, how far they overlap, and how doubles are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgelab.errors import InputError
from edgelab.texts import tr


@dataclass(frozen=True)
class Detections:
    """What was found in one frame.

    Attributes:
        boxes: float32 `[n, 4]`: x0, y0, x1, y1 in pixels of the frame, x1 and y1 not included.
        scores: float32 `[n]`, 0 to 1.
        labels: int32 `[n]`, index of the class.

    Raises:
        InputError: the three do not have the same length.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(self.scores, np.float32).ravel()
        labels = np.asarray(self.labels).astype(np.int32).ravel()
        if not len(boxes) == len(scores) == len(labels):
            raise InputError(
                tr(
                    "{boxes} boxes, {scores} scores and {labels} labels do not fit together.",
                    boxes=len(boxes),
                    scores=len(scores),
                    labels=len(labels),
                ),
                fix=tr("give one score and one label for each box"),
            )
        for name, values in (("boxes", boxes), ("scores", scores), ("labels", labels)):
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray | Sequence[int]) -> Detections:
        """Some of them, by number or by a mask, in that order."""
        rows = np.asarray(rows)
        rows = rows if rows.dtype == bool else rows.astype(int)
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows])

    @classmethod
    def none(cls) -> Detections:
        """Nothing found."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty(0))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` with every box of `b` (Jaccard 1901).

    Args:
        a: `[n, 4]`: x0, y0, x1, y1.
        b: `[m, 4]`, likewise.

    Returns:
        Float64 `[n, m]`, 0 to 1; 0 where both boxes are empty.
    """
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    low = np.maximum(a[:, np.newaxis, :2], b[:, :2])
    high = np.minimum(a[:, np.newaxis, 2:], b[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b))
    union = area_a[:, np.newaxis] + area_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def non_maximum_suppression(detections: Detections, iou_above: float = 0.6) -> Detections:
    """Of boxes that overlap more than `iou_above`, whatever their labels, the one with the highest score.

    Returns:
        What is left, highest score first.
    """
    order = np.argsort(-detections.scores, kind="stable")
    close = iou(detections.boxes, detections.boxes) > iou_above
    kept: list[int] = []
    is_double = np.zeros(len(detections), bool)
    for number in order:
        if not is_double[number]:
            kept.append(int(number))
            is_double |= close[number]
    return detections.take(kept)
