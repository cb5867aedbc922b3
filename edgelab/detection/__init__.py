"""Objects in frames: found, judged, followed, and turned into events.

from edgelab import detection

detector = detection.Detector(session, names)
found = detector.detect(frame)            # Detections
tracks = tracker.update(found, time_s)    # who is who
events = watcher.update(tracks, time_s)   # entered, left, stayed, crossed
"""

from edgelab.detection.boxes import Detections, iou, non_maximum_suppression
from edgelab.detection.detector import Detector, Prepared, decode
from edgelab.detection.evaluation import (
    EventScore,
    MeanAveragePrecision,
    average_precision,
    event_score,
    matched,
    mean_average_precision,
    precision_recall,
)
from edgelab.detection.events import Event, Line, Watcher, Zone, settled
from edgelab.detection.tracking import Track, Tracker, greedy_pairs

__all__ = [
    "Detections",
    "Detector",
    "Event",
    "EventScore",
    "Line",
    "MeanAveragePrecision",
    "Prepared",
    "Track",
    "Tracker",
    "Watcher",
    "Zone",
    "average_precision",
    "decode",
    "event_score",
    "greedy_pairs",
    "iou",
    "matched",
    "mean_average_precision",
    "non_maximum_suppression",
    "precision_recall",
    "settled",
]
