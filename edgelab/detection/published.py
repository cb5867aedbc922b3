"""A published tracker behind the interface of `Tracker`, to compare one's own with: ByteTrack.

It lives in the package `trackers`, which is no part of the set-up: `pip install trackers`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from edgelab.detection.boxes import Detections
from edgelab.detection.tracking import Track
from edgelab.errors import TargetError
from edgelab.texts import tr


class ByteTrack:
    """Zhang et al., "ByteTrack: multi-object tracking by associating every detection box" (2022).

    Args:
        fps: frames per second, by which it decides how long an object may be lost.

    Raises:
        TargetError: the package is not installed.
    """

    def __init__(self, fps: float) -> None:
        try:
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise TargetError(
                tr("The package trackers is not installed."),
                why=str(error),
                fix=tr("to compare with it: pip install trackers"),
            ) from error
        self._tracker, self._ages = ByteTrackTracker(frame_rate=fps), Counter()

    def update(self, found: Detections, time_s: float) -> list[Track]:
        """The next frame, as `Tracker.update`; `time_s` is not asked for, it counts frames."""
        from supervision import Detections as Given

        given = Given(xyxy=found.boxes, confidence=found.scores, class_id=found.labels)
        told = self._tracker.update(given)
        known = np.flatnonzero(told.tracker_id >= 0)
        self._ages.update(told.tracker_id[known].tolist())
        return [
            Track(
                int(told.tracker_id[row]),
                told.xyxy[row].astype(float),
                int(told.class_id[row]),
                float(told.confidence[row]),
                self._ages[int(told.tracker_id[row])],
            )
            for row in known
        ]
