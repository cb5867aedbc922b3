"""Alarms on disk until their receiver has them.

An alarm is in the file before `put` returns, and leaves it after its receiver has said that it has it. A kill
between the two sends it again, under the same id: delivered at least once, and once for a receiver that drops
ids it knows. One outbox serves one receiver; for three receivers, keep three.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgelab.alarms.alarm import Alarm
from edgelab.alarms.senders import RefusedError, Sender
from edgelab.errors import InputError
from edgelab.machine.database import Database
from edgelab.texts import tr

MOST_WAITING = 10_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, alarm TEXT);
CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, id TEXT, alarm TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS counted (name TEXT PRIMARY KEY, value INTEGER);
"""
ADD_ONE = "INSERT INTO counted VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"


@dataclass(frozen=True)
class Waiting:
    """An alarm that its receiver does not have yet.

    Attributes:
        identifier: 32 hex digits, the same at every try.
        alarm: what happened.
    """

    identifier: str
    alarm: Alarm


class Outbox:
    """A queue on disk to one receiver.

    At most `most` alarms wait. When one more comes, the oldest is dropped and counted in `dropped`: after a
    long outage, what happened last matters most. Refused alarms are kept apart under the same limit.

    Args:
        path: an SQLite file; made where it is missing.
        most: alarms that may wait.

    Raises:
        InputError: `most` below 1.
        StorageError: the file cannot be opened.
    """

    def __init__(self, path: Path | str, *, most: int = MOST_WAITING) -> None:
        if most < 1:
            raise InputError(tr("most is {most}.", most=most), fix=tr("let at least one alarm wait"))
        self._most = most
        self._database = Database(Path(path), SCHEMA, synchronous="FULL")
        self._changed = threading.Condition()
        self._puts = 0
        self.moved_aside = self._database.moved_aside

    def put(self, alarm: Alarm) -> str:
        """Keep an alarm until it is delivered; it is on disk when this returns.

        Returns:
            Its id.

        Raises:
            StorageError: the disk is full; the alarm is not kept.
        """
        identifier = uuid.uuid4().hex
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO waiting (id, alarm) VALUES (?, ?)", (identifier, json.dumps(alarm.as_json()))
            )
            [count] = connection.execute("SELECT count(*) FROM waiting").fetchone()
            for _ in range(count - self._most):
                connection.execute("DELETE FROM waiting WHERE number = (SELECT min(number) FROM waiting)")
                connection.execute(ADD_ONE, ("dropped",))
        with self._changed:
            self._puts += 1
            self._changed.notify_all()
        return identifier

    def wait(self, after: int, timeout_s: float) -> int:
        """Wait for an alarm to be put; gives how many were, to wait for more than these the next time."""
        with self._changed:
            self._changed.wait_for(lambda: self._puts > after, timeout_s)
            return self._puts

    def wake(self) -> None:
        """End every `wait` now."""
        with self._changed:
            self._puts += 1
            self._changed.notify_all()

    def waiting(self, most: int | None = None) -> tuple[Waiting, ...]:
        """What waits, the oldest first; at most `most` of it."""
        rows = self._database.rows(
            "SELECT id, alarm FROM waiting ORDER BY number LIMIT ?", (-1 if most is None else most,)
        )
        return tuple(Waiting(identifier, Alarm.from_json(json.loads(text))) for identifier, text in rows)

    def refused(self) -> tuple[tuple[Waiting, str], ...]:
        """What the receiver will never take, with its reasons."""
        rows = self._database.rows("SELECT id, alarm, reason FROM refused ORDER BY number")
        return tuple((Waiting(name, Alarm.from_json(json.loads(text))), why) for name, text, why in rows)

    @property
    def dropped(self) -> int:
        """Alarms dropped because too many waited, since the file was made."""
        return self._count("dropped")

    @property
    def delivered(self) -> int:
        """Alarms that the receiver has, since the file was made."""
        return self._count("delivered")

    def _count(self, name: str) -> int:
        rows = self._database.rows("SELECT value FROM counted WHERE name = ?", (name,))
        return rows[0][0] if rows else 0

    def deliver(self, sender: Sender, *, until: Callable[[], bool] = lambda: False) -> int:
        """Send what waits, the oldest first, until nothing waits.

        Args:
            sender: brings one alarm to the receiver.
            until: asked before each alarm; true ends it early.

        Returns:
            How many the receiver has taken.

        Raises:
            DeliveryError: the receiver could not be reached. What it has not taken waits on, in order.
            StorageError: the file cannot be written.
        """
        taken = 0
        while not until() and (first := self.waiting(1)):
            try:
                sender.send(first[0].identifier, first[0].alarm)
            except RefusedError as error:
                self._set_aside(first[0], error.what)
            else:
                with self._database.transaction() as connection:
                    connection.execute("DELETE FROM waiting WHERE id = ?", (first[0].identifier,))
                    connection.execute(ADD_ONE, ("delivered",))
                taken += 1
        return taken

    def _set_aside(self, one: Waiting, reason: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM waiting WHERE id = ?", (one.identifier,))
            connection.execute(
                "INSERT INTO refused (id, alarm, reason) VALUES (?, ?, ?)",
                (one.identifier, json.dumps(one.alarm.as_json()), reason),
            )
            connection.execute(
                "DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?", (self._most,)
            )

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        self._database.close()
