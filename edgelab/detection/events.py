"""From tracks to events: a line is crossed, a zone entered, left, or stayed in for too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgelab.detection.tracking import Track, centre
from edgelab.errors import InputError
from edgelab.texts import tr

KINDS = ("enter", "leave", "dwell", "cross")
MEMORY_S = 60.0  # after which a track that nobody sees is forgotten

Point = tuple[float, float]


@dataclass(frozen=True)
class Zone:
    """A region of the frame.

    Attributes:
        name: shown with its events.
        corners: three or more (x, y), in parts of the frame's width and height, 0 to 1.

    Raises:
        InputError: fewer than three corners.
    """

    name: str
    corners: Sequence[Point]

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise InputError(
                tr("The zone {name} has {count} corners.", name=self.name, count=len(self.corners)),
                fix=tr("give three or more"),
            )

    def depth(self, point: np.ndarray, size: tuple[int, int]) -> float:
        """Pixels from the zone's edge to a point, positive inside."""
        import cv2

        corners = np.array(self.corners, np.float32) * np.array(size, np.float32)
        return float(cv2.pointPolygonTest(corners.reshape(-1, 1, 2), tuple(map(float, point)), True))


@dataclass(frozen=True)
class Line:
    """A line across which objects are counted.

    Attributes:
        name: shown with its events.
        start: (x, y), in parts of the frame's width and height, 0 to 1.
        end: likewise.

    Raises:
        InputError: both ends are the same point.
    """

    name: str
    start: Point
    end: Point

    def __post_init__(self) -> None:
        if tuple(self.start) == tuple(self.end):
            raise InputError(
                tr("The line {name} has no length.", name=self.name), fix=tr("give two different ends")
            )

    def side(self, point: np.ndarray, size: tuple[int, int]) -> float:
        """Pixels from the endless line to a point; positive on the right of who walks from start to end."""
        start, end = (np.array(place) * size for place in (self.start, self.end))
        along = (end - start) / np.hypot(*(end - start))
        to = np.asarray(point) - start
        return float(along[0] * to[1] - along[1] * to[0])

    def beside(self, point: np.ndarray, size: tuple[int, int]) -> bool:
        """Does the point lie beside the line, and not beyond one of its ends?"""
        start, end = (np.array(place) * size for place in (self.start, self.end))
        along = end - start
        return bool(0 <= np.dot(np.asarray(point) - start, along) <= np.dot(along, along))


@dataclass(frozen=True)
class Event:
    """Something happened.

    Attributes:
        kind: "enter", "leave", "dwell" or "cross".
        place: name of the zone or line.
        track_id: who.
        label: index of its class.
        time_s: when, on the clock of the frames.
        direction: of a crossing: 1 towards the right of the line (from start to end), -1 towards its left;
            else 0.
        point: x and y of the object's middle then, in pixels.
    """

    kind: str
    place: str
    track_id: int
    label: int
    time_s: float
    direction: int = 0
    point: Point = (0.0, 0.0)


def settled(was: bool | None, depth: float, margin: float) -> bool | None:
    """Hysteresis: inside only once deeper than `margin`, outside only once farther than that, else as before.

    Args:
        was: True inside, False outside, None not known yet.
        depth: distance from the border, positive inside.
        margin: 0 or more, in the same unit.
    """
    return depth > 0 if abs(depth) > margin else was


@dataclass
class _Stay:
    """One track at one place."""

    inside: bool | None = None
    since_s: float = 0.0
    is_told: bool = False
    seen_s: float = field(default=0.0)


class Watcher:
    """Tells events from the tracks of each frame.

    Args:
        places: zones and lines with different names.
        size: width and height in pixels of the frames in which the tracks are.
        dwell_s: seconds in a zone after which "dwell" is told, once for each stay.
        hysteresis: how far beyond the border a middle must be, as a part of the frame's height.
        settle: as `settled`; a lesson passes its own.

    Raises:
        InputError: two places have the same name.
    """

    def __init__(
        self,
        places: Sequence[Zone | Line],
        size: tuple[int, int],
        dwell_s: float = 2.0,
        hysteresis: float = 0.02,
        settle: Callable[[bool, float, float], bool] = settled,
    ) -> None:
        if len({place.name for place in places}) < len(places):
            raise InputError(
                tr("Two places have the same name."), fix=tr("give every zone and line a name of its own")
            )
        self.places, self.size, self.dwell_s = tuple(places), tuple(size), dwell_s
        self.margin, self._settle = hysteresis * size[1], settle
        self._stays: dict[tuple[str, int], _Stay] = {}

    def update(self, tracks: Sequence[Track], time_s: float) -> list[Event]:
        """The events of the next frame, in the order of the places."""
        events = []
        for place in self.places:
            for track in tracks:
                stay = self._stays.setdefault((place.name, track.id), _Stay())
                tell = self._at_line if isinstance(place, Line) else self._in_zone
                point = centre(track.box)
                for kind, direction in tell(place, stay, point, time_s):
                    events.append(
                        Event(
                            kind,
                            place.name,
                            track.id,
                            track.label,
                            time_s,
                            direction,
                            tuple(map(float, point)),
                        )
                    )
                stay.seen_s = time_s
        self._stays = {key: stay for key, stay in self._stays.items() if time_s - stay.seen_s <= MEMORY_S}
        return events

    def _at_line(self, line: Line, stay: _Stay, point: np.ndarray, time_s: float) -> list[tuple[str, int]]:
        was, stay.inside = stay.inside, self._settle(stay.inside, line.side(point, self.size), self.margin)
        if was is None or stay.inside == was or not line.beside(point, self.size):
            return []
        return [("cross", 1 if stay.inside else -1)]

    def _in_zone(self, zone: Zone, stay: _Stay, point: np.ndarray, time_s: float) -> list[tuple[str, int]]:
        was, stay.inside = stay.inside, self._settle(stay.inside, zone.depth(point, self.size), self.margin)
        told = []
        if stay.inside and not was:
            stay.since_s, stay.is_told = time_s, False
            told += [("enter", 0)] if was is False else []
        elif was and not stay.inside:
            told.append(("leave", 0))
        if stay.inside and not stay.is_told and time_s - stay.since_s >= self.dwell_s:
            stay.is_told = True
            told.append(("dwell", 0))
        return told
