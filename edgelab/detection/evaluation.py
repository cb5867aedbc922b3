"""How good a detector is: hits and misses, precision and recall, average precision; and the same for events.

Average precision is that of COCO (Lin et al. 2014, `pycocotools`): the precision, made falling, read at 101
recalls. A detection hits the object of its class that it overlaps most and that no better one has hit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgelab.detection.boxes import Detections, iou
from edgelab.detection.events import Event

RECALLS = np.linspace(0, 1, 101)
MOST_DETECTIONS = 100  # of a picture, as COCO does


def matched(found: np.ndarray, truth: np.ndarray, iou_least: float = 0.5) -> np.ndarray:
    """Which boxes hit, if each object can be hit once and the better boxes choose first.

    Args:
        found: `[n, 4]`, highest score first, of one class in one picture.
        truth: `[m, 4]`, exact boxes of that class in it.
        iou_least: overlap that counts as a hit.

    Returns:
        Booleans `[n]`.
    """
    overlap = iou(found, truth)
    hits = np.zeros(len(overlap), bool)
    for number in range(len(overlap)):
        if overlap.shape[1] and (best := overlap[number].argmax()) >= 0:
            hits[number] = overlap[number, best] >= iou_least
            if hits[number]:
                overlap[:, best] = -1.0
    return hits


def average_precision(hits: np.ndarray, scores: np.ndarray, count: int) -> float:
    """Precision, averaged over 101 recalls from 0 to 1.

    Args:
        hits: Booleans `[n]`: does the detection hit?
        scores: `[n]`.
        count: objects that are there.

    Returns:
        0 to 1; NaN where there is no object.
    """
    if not count:
        return float("nan")
    precision, recall = precision_recall(hits, scores, count)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(falling, 0.0)[place].mean())


def precision_recall(hits: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall if only the best 1, 2, 3 … detections counted, each float64 `[n]`."""
    order = np.argsort(-np.asarray(scores), kind="mergesort")
    right = np.cumsum(np.asarray(hits, float)[order])
    return right / np.arange(1, len(order) + 1), right / count


@dataclass(frozen=True)
class MeanAveragePrecision:
    """Average precision of each class, and their mean.

    Attributes:
        per_class: float64 `[classes]`, NaN for a class without objects.
        iou_least: overlap that counts as a hit.
        object_count: exact boxes.
    """

    per_class: np.ndarray
    iou_least: float
    object_count: int

    @property
    def mean(self) -> float:
        """Over the classes that have objects: mAP, 0 to 1."""
        return float(np.nanmean(self.per_class)) if np.isfinite(self.per_class).any() else float("nan")

    def __str__(self) -> str:
        return f"mAP@{self.iou_least:g} {self.mean:.3f} over {self.object_count} objects"


def mean_average_precision(
    found: Sequence[Detections],
    truth: Sequence[np.ndarray],
    class_count: int,
    iou_least: float = 0.5,
    match: Callable[[np.ndarray, np.ndarray, float], np.ndarray] = matched,
    average: Callable[[np.ndarray, np.ndarray, int], float] = average_precision,
) -> MeanAveragePrecision:
    """The judge of a detector.

    Args:
        found: for each picture, what was found in it.
        truth: for each, `[n, 5]`: class, x0, y0, x1, y1.
        class_count: of the detector.
        iou_least: overlap that counts as a hit.
        match: as `matched`; a lesson passes its own.
        average: as `average_precision`.
    """
    per_class = np.full(class_count, np.nan)
    for label in range(class_count):
        hits, scores, count = [], [], 0
        for detections, objects in zip(found, truth, strict=True):
            wanted = objects[objects[:, 0] == label, 1:]
            mine = np.flatnonzero(detections.labels == label)
            order = np.argsort(-detections.scores[mine], kind="mergesort")[:MOST_DETECTIONS]
            part = detections.take(mine[order])
            hits.append(np.asarray(match(part.boxes, wanted, iou_least), bool))
            scores.append(part.scores)
            count += len(wanted)
        if count:
            per_class[label] = average(np.concatenate(hits), np.concatenate(scores), count)
    return MeanAveragePrecision(per_class, iou_least, sum(map(len, truth)))


@dataclass(frozen=True)
class EventScore:
    """Events told against events that happened; scores of several streams are added with `+`.

    Attributes:
        hits: told, and it happened.
        told: all that were told.
        happened: all that happened.
        seconds: length of the stream.
    """

    hits: int
    told: int
    happened: int
    seconds: float

    @property
    def precision(self) -> float:
        """Hits / told; NaN where nothing was told."""
        return self.hits / self.told if self.told else float("nan")

    @property
    def recall(self) -> float:
        """Hits / happened; NaN where nothing happened."""
        return self.hits / self.happened if self.happened else float("nan")

    @property
    def false_per_hour(self) -> float:
        """False alarms per hour of the stream."""
        return (self.told - self.hits) * 3600 / self.seconds

    def __add__(self, other: EventScore) -> EventScore:
        parts = zip(
            (self.hits, self.told, self.happened, self.seconds),
            (other.hits, other.told, other.happened, other.seconds),
            strict=True,
        )
        return EventScore(*(a + b for a, b in parts))


def event_score(
    told: Sequence[Event],
    happened: Sequence[Event],
    seconds: float,
    slack_s: float = 0.5,
    near_px: float = 30.0,
) -> EventScore:
    """How many told events hit one that happened: the same kind, place and direction, near in time and place.

    Each that happened is hit once, by the earliest that fits; the identities need not agree.

    Args:
        told: of the system.
        happened: of the exact boxes.
        seconds: length of the stream.
        slack_s: most seconds between both.
        near_px: most pixels between both middles.
    """

    def fits(one: Event, other: Event) -> bool:
        same = (one.kind, one.place, one.direction) == (other.kind, other.place, other.direction)
        apart = np.hypot(*np.subtract(one.point, other.point))
        return same and abs(one.time_s - other.time_s) <= slack_s and bool(apart <= near_px)

    left, hits = list(happened), 0
    for event in told:
        mine = [other for other in left if fits(event, other)]
        if mine:
            left.remove(min(mine, key=lambda other: abs(other.time_s - event.time_s)))
            hits += 1
    return EventScore(hits, len(told), len(happened), seconds)
