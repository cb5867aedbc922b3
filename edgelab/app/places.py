"""Zones and lines that people have drawn: checked, kept, and read again at the next start."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelab.detection import Line, Zone
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

MOST_PLACES = 50
MOST_CORNERS = 50
MOST_LETTERS = 60

Place = Zone | Line


def as_json(place: Place) -> dict[str, Any]:
    """A place as values that JSON knows; points in parts of the frame's width and height."""
    if isinstance(place, Line):
        return {"name": place.name, "kind": "line", "points": [list(place.start), list(place.end)]}
    return {"name": place.name, "kind": "zone", "points": [list(corner) for corner in place.corners]}


def from_json(fields: Any) -> Place:
    """The place that `as_json` gave, or that a viewer sends.

    Raises:
        InputError: it is none; says what is wrong.
    """
    if not isinstance(fields, dict):
        raise _refusal(tr("it is no object with name, kind and points"))
    name, kind, points = (fields.get(key) for key in ("name", "kind", "points"))
    if not isinstance(name, str) or not name.strip() or len(name) > MOST_LETTERS or not name.isprintable():
        raise _refusal(tr("its name must have 1 to {most} letters", most=MOST_LETTERS))
    if kind not in ("zone", "line"):
        raise _refusal(tr('its kind must be "zone" or "line"'))
    if not isinstance(points, list) or not all(map(_is_point, points)):
        raise _refusal(tr("its points must be pairs of numbers from 0 to 1"))
    least, most = (2, 2) if kind == "line" else (3, MOST_CORNERS)
    if not least <= len(points) <= most:
        raise _refusal(
            tr("a line has 2 points") if kind == "line" else tr("a zone has 3 to {most} corners", most=most)
        )
    corners = [(float(x), float(y)) for x, y in points]
    if kind == "line":
        return Line(name.strip(), *corners)
    if abs(_area(corners)) < 1e-5:
        raise _refusal(tr("its corners lie on one line"))
    return Zone(name.strip(), tuple(corners))


def _refusal(why: str) -> InputError:
    return InputError(tr("This is no zone and no line."), why=why, fix=tr("draw it again"))


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value)
        and all(math.isfinite(part) and 0 <= part <= 1 for part in value)
    )


def _area(corners: Sequence[tuple[float, float]]) -> float:
    """Signed area of a polygon (the shoelace formula)."""
    following = [*corners[1:], corners[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, following, strict=True)) / 2


class Places:
    """The zones and lines of one data folder; every method may be called from any thread.

    Args:
        path: a JSON file, read if it is there. One that cannot be read is kept as `NAME.damaged`.

    Attributes:
        version: grows with every change.
        note: what was wrong with the file; empty when nothing was.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = Path(path), threading.Lock()
        self._places: dict[str, Place] = {}
        self.version, self.note = 0, ""
        try:
            found = [from_json(one) for one in json.loads(self._path.read_text(encoding="utf-8"))]
            self._places = {place.name: place for place in found}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, InputError) as error:
            self.note = tr("{file} cannot be read: {error}", file=self._path.name, error=str(error))
            aside = self._path.with_name(f"{self._path.name}.damaged")
            if self._path.is_file():
                self._path.replace(aside)

    def all(self) -> tuple[Place, ...]:
        """Every place, in the order in which they were drawn."""
        with self._lock:
            return tuple(self._places.values())

    def put(self, place: Place) -> None:
        """Add a place, or replace the one of that name; it is on disk when this returns.

        Raises:
            InputError: there are too many.
            StorageError: the disk is full; nothing is changed.
        """
        with self._lock:
            if place.name not in self._places and len(self._places) >= MOST_PLACES:
                raise InputError(
                    tr("There are {count} places already.", count=len(self._places)),
                    fix=tr("delete one first"),
                )
            self._keep({**self._places, place.name: place})

    def remove(self, name: str) -> bool:
        """Delete a place; whether it was there.

        Raises:
            StorageError: the disk is full; nothing is changed.
        """
        with self._lock:
            if name not in self._places:
                return False
            self._keep({key: place for key, place in self._places.items() if key != name})
            return True

    def _keep(self, places: dict[str, Place]) -> None:
        with artifacts.atomic_path(self._path) as temporary:
            content = [as_json(place) for place in places.values()]
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        self._places = places
        self.version += 1
