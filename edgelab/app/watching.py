"""From what was found in each frame to alarms: who is who, what they did where, and what of it to tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgelab.alarms import Alarm
from edgelab.app.places import Places
from edgelab.app.settings import AlarmSettings
from edgelab.detection import Detections, Event, Track, Tracker, Watcher
from edgelab.texts import tr

LONG_AGO_S = 2.0  # without a frame: what comes after is another scene


class Watch:
    """Follows what a detector finds, and tells alarms.

    Args:
        names: of the classes.
        places: zones and lines; changes count from the next frame on.
        settings: which events are alarms.
        clock: Unix time.
    """

    def __init__(
        self,
        names: Sequence[str],
        places: Places,
        settings: AlarmSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._names, self._places, self._settings, self._clock = tuple(names), places, settings, clock
        self._tracker, self._watcher = Tracker(), None
        self._made_for: tuple = ()
        self._last_s: float | None = None
        self._told_s: dict[tuple[str, str, str], float] = {}

    def update(
        self, found: Detections, size: tuple[int, int], captured_s: float
    ) -> tuple[list[Track], list[Alarm]]:
        """The next frame.

        Args:
            found: in pixels of the frame.
            size: width and height of the frame.
            captured_s: when it was taken, on the clock of `time.perf_counter`.

        Returns:
            The objects in view, and what to tell.
        """
        if self._last_s is not None and not 0 <= captured_s - self._last_s <= LONG_AGO_S:
            self._tracker, self._made_for = Tracker(), ()
        self._last_s = captured_s
        made_for = (self._places.version, size)
        if made_for != self._made_for:
            self._watcher = Watcher(self._places.all(), size, self._settings.dwell_s)
            self._made_for = made_for
        tracks = self._tracker.update(found, captured_s)
        events = self._watcher.update(tracks, captured_s)
        now_s = self._clock() - (time.perf_counter() - captured_s)
        alarms = [self._alarm(event, now_s) for event in events]
        return tracks, [alarm for alarm in alarms if self._is_told(alarm)]

    def name(self, label: int) -> str:
        """A class's name; its number where it has none."""
        return self._names[label] if 0 <= label < len(self._names) else str(label)

    def _alarm(self, event: Event, now_s: float) -> Alarm:
        label = self.name(event.label)
        return Alarm(now_s, event.kind, event.place, label, event.track_id, _sentence(event, label))

    def _is_told(self, alarm: Alarm) -> bool:
        wanted = self._settings
        if alarm.kind not in wanted.kinds or (wanted.classes and alarm.label not in wanted.classes):
            return False
        key = (alarm.kind, alarm.place, alarm.label)
        if wanted.quiet_s and alarm.time_s - self._told_s.get(key, -1e18) < wanted.quiet_s:
            return False
        self._told_s[key] = alarm.time_s
        return True


def _sentence(event: Event, label: str) -> str:
    if event.kind == "enter":
        return tr("{label} entered {place}", label=label, place=event.place)
    if event.kind == "leave":
        return tr("{label} left {place}", label=label, place=event.place)
    if event.kind == "dwell":
        return tr("{label} stays in {place}", label=label, place=event.place)
    if event.direction < 0:
        return tr("{label} crossed {place} to its left", label=label, place=event.place)
    return tr("{label} crossed {place} to its right", label=label, place=event.place)
