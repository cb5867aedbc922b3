"""Which box of this frame is which of the last: a tracker, and how an identity survives being hidden.

After Bewley et al. 2016, "Simple online and realtime tracking", with a straight guess in place of its Kalman
filter, and a second look by position and speed for what nobody saw for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgelab.detection.boxes import Detections, iou

SPEED_WEIGHT = 0.3  # of the newest frame in the speed
USUAL_RATE = 30.0  # frames per second at which SPEED_WEIGHT is meant


@dataclass(frozen=True)
class Track:
    """An object that is in view now.

    Attributes:
        id: its number, 0, 1, 2 …; never used twice.
        box: float64 `[4]`: x0, y0, x1, y1 in pixels.
        label: the class with the most score so far.
        score: of the last detection, 0 to 1.
        age: frames in which it was seen.
    """

    id: int
    box: np.ndarray
    label: int
    score: float
    age: int


@dataclass
class _Path:
    """What the tracker knows of one object; `speed` in pixels per second."""

    id: int
    box: np.ndarray
    seen_s: float
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    votes: dict[int, float] = field(default_factory=dict)
    score: float = 0.0
    age: int = 0

    def guess(self, time_s: float) -> np.ndarray:
        """Where its box should be, if it went on straight."""
        return self.box + np.tile(self.speed, 2) * (time_s - self.seen_s)

    def take(self, box: np.ndarray, label: int, score: float, time_s: float) -> None:
        """It was seen again."""
        passed_s = time_s - self.seen_s
        if self.age and passed_s > 0:
            moved = (centre(box) - centre(self.box)) / passed_s
            weight = 0.5 if self.age == 1 else 1 - (1 - SPEED_WEIGHT) ** (passed_s * USUAL_RATE)
            self.speed = (1 - weight) * self.speed + weight * moved
        self.box, self.seen_s, self.score, self.age = box, time_s, score, self.age + 1
        self.votes[label] = self.votes.get(label, 0.0) + score

    @property
    def label(self) -> int:
        return max(self.votes, key=self.votes.__getitem__)


def centre(box: np.ndarray) -> np.ndarray:
    """The middle of a box `[4]`: x, y."""
    return (box[:2] + box[2:]) / 2


def greedy_pairs(worth: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column, the best first, each used once, none below `least`."""
    worth, pairs = np.array(worth, float), []
    while worth.size and worth.max() >= least:
        row, column = np.unravel_index(worth.argmax(), worth.shape)
        pairs.append((int(row), int(column)))
        worth[row], worth[:, column] = -np.inf, -np.inf
    return pairs


class Tracker:
    """Boxes with identities.

    Args:
        iou_least: overlap of a box with the guess that makes it the same object.
        confirm: frames in which an object is seen before it is told: a false detection is rarely there twice.
        patience_s: seconds for which an object that is out of sight is waited for.
        reach: for the second look: how far from the guess, as a part of the box's diagonal, an object may
            come back; 0 for no second look.
        pair: takes overlaps `[tracks, boxes]` and `iou_least`, gives pairs; a lesson passes its own.
    """

    def __init__(
        self,
        iou_least: float = 0.3,
        confirm: int = 3,
        patience_s: float = 1.5,
        reach: float = 0.75,
        pair: Callable[[np.ndarray, float], list[tuple[int, int]]] = greedy_pairs,
    ) -> None:
        self.iou_least, self.confirm, self.patience_s, self.reach = iou_least, confirm, patience_s, reach
        self._pair, self._paths, self._next = pair, [], 0

    def update(self, detections: Detections, time_s: float) -> list[Track]:
        """The next frame.

        Args:
            detections: what was found in it.
            time_s: when it was taken, in seconds from any start; never less than before.

        Returns:
            The confirmed objects that are in this frame.
        """
        self._paths = [path for path in self._paths if time_s - path.seen_s <= self._waits(path)]
        boxes = detections.boxes.astype(np.float64)
        free_boxes, free_paths = list(range(len(boxes))), list(self._paths)
        for worth, least in ((self._overlaps, self.iou_least), (self._nearness, 0.0)):
            if not (free_paths and free_boxes):
                break
            table = worth(free_paths, boxes[free_boxes], detections.labels[free_boxes], time_s)
            pairs = [(free_paths[row], free_boxes[column]) for row, column in self._pair(table, least)]
            for path, number in pairs:
                path.take(
                    boxes[number], int(detections.labels[number]), float(detections.scores[number]), time_s
                )
            taken = {number for _, number in pairs}
            free_boxes = [number for number in free_boxes if number not in taken]
            gone = {path.id for path, _ in pairs}
            free_paths = [path for path in free_paths if path.id not in gone]
        for number in free_boxes:
            path = _Path(self._next, boxes[number], time_s)
            path.take(boxes[number], int(detections.labels[number]), float(detections.scores[number]), time_s)
            self._paths.append(path)
            self._next += 1
        return [
            Track(path.id, path.box, path.label, path.score, path.age)
            for path in self._paths
            if path.seen_s == time_s and path.age >= self.confirm
        ]

    def _waits(self, path: _Path) -> float:
        """A path that was seen once or twice may be a mistake, and is given up sooner."""
        return self.patience_s if path.age >= self.confirm else min(self.patience_s, 0.2)

    def _overlaps(
        self, paths: list[_Path], boxes: np.ndarray, labels: np.ndarray, time_s: float
    ) -> np.ndarray:
        return iou(np.array([path.guess(time_s) for path in paths]), boxes)

    def _nearness(
        self, paths: list[_Path], boxes: np.ndarray, labels: np.ndarray, time_s: float
    ) -> np.ndarray:
        """1 at the guess, 0 at the reach, below that beyond it or where the class is another.

        The reach grows with the time out of sight, since the object may have turned.
        """
        table = np.full((len(paths), len(boxes)), -1.0)
        for row, path in enumerate(paths):
            if not self.reach or path.age < self.confirm:
                continue
            away_s = time_s - path.seen_s
            span = np.hypot(*(path.box[2:] - path.box[:2])) * self.reach
            span += away_s * np.hypot(*path.speed)
            target = centre(path.guess(time_s))
            distance = np.hypot(*((boxes[:, :2] + boxes[:, 2:]) / 2 - target).T)
            size = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / max(
                (path.box[2:] - path.box[:2]).prod(), 1e-9
            )
            fits = (labels == path.label) & (size > 0.4) & (size < 2.5)
            table[row] = np.where(fits, 1 - distance / max(span, 1e-9), -1.0)
        return table
