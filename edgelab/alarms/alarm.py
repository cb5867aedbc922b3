"""What an alarm says."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgelab.errors import InputError
from edgelab.texts import tr


@dataclass(frozen=True)
class Alarm:
    """Something happened at a place.

    Attributes:
        time_s: when, in seconds since 1970 (Unix time).
        kind: what: "enter", "leave", "dwell", "cross", or a word of your own.
        place: the zone or line.
        label: the class of what was seen.
        track_id: which of the things that were followed; -1 where none is.
        text: one sentence for people.
    """

    time_s: float
    kind: str
    place: str
    label: str
    track_id: int
    text: str

    def as_json(self) -> dict[str, Any]:
        """Its fields by name, as values that JSON knows."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Alarm:
        """The alarm that `as_json` gave; further fields, such as the id of a delivery, are left out.

        Raises:
            InputError: a field is missing or of another type.
        """
        try:
            alarm = cls(
                float(fields["time_s"]),
                str(fields["kind"]),
                str(fields["place"]),
                str(fields["label"]),
                int(fields["track_id"]),
                str(fields["text"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(
                tr("This is no alarm."),
                why=f"{type(error).__name__}: {error}",
                fix=tr("give what Alarm.as_json() wrote"),
            ) from error
        if not math.isfinite(alarm.time_s):
            raise InputError(
                tr("An alarm's time is {time_s}.", time_s=alarm.time_s), fix=tr("use time.time()")
            )
        return alarm

    def __str__(self) -> str:
        return self.text or f"{self.label} {self.kind} {self.place}"
