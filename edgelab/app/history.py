"""What happened, on disk: every alarm, and statistics by the minute; whole after a kill, bounded in size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.alarms import Alarm
from edgelab.errors import StorageError
from edgelab.machine.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_s REAL, kind TEXT, place TEXT, label TEXT,
    track_id INTEGER, text TEXT
);
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms (time_s);
CREATE TABLE IF NOT EXISTS minutes (
    minute INTEGER PRIMARY KEY, frames INTEGER, dropped INTEGER, latency_ms REAL, latency_p95_ms REAL,
    inference_ms REAL, alarms INTEGER
);
"""
NEARLY_FULL = 0.9  # of the size limit: then the oldest tenth goes
DAY_S = 86_400.0


@dataclass(frozen=True)
class Minute:
    """Statistics of one minute.

    Attributes:
        minute: since 1970.
        frames: shown.
        dropped: skipped because newer ones were waiting.
        latency_ms: median from capture until shown; None without frames.
        latency_p95_ms: what 95 % stay below.
        inference_ms: mean of the model's time.
        alarms: told.
    """

    minute: int
    frames: int
    dropped: int
    latency_ms: float | None
    latency_p95_ms: float | None
    inference_ms: float | None
    alarms: int


class History:
    """An SQLite file with alarms and minutes.

    Args:
        path: the file.
        keep_days: what is older is deleted by `tidy`.
        most_mb: the file never grows beyond; the oldest goes.

    Raises:
        StorageError: it cannot be opened.
    """

    def __init__(self, path: Path, *, keep_days: float = 30.0, most_mb: float = 200.0) -> None:
        self.path, self._keep_s, self._most_bytes = Path(path), keep_days * DAY_S, int(most_mb * 1e6)
        self._database = Database(self.path, SCHEMA, most_bytes=self._most_bytes)
        self.moved_aside = self._database.moved_aside

    def add(self, alarms: list[Alarm] = (), minutes: list[Minute] = ()) -> None:
        """Write all of it, or nothing.

        Raises:
            StorageError: the disk is full.
        """
        try:
            self._write(alarms, minutes)
        except StorageError:
            if self._used_bytes() < NEARLY_FULL * self._most_bytes:
                raise
            self._drop_oldest()
            self._write(alarms, minutes)

    def _write(self, alarms: list[Alarm], minutes: list[Minute]) -> None:
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO alarms (time_s, kind, place, label, track_id, text) VALUES (?, ?, ?, ?, ?, ?)",
                [(one.time_s, one.kind, one.place, one.label, one.track_id, one.text) for one in alarms],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?)",
                [tuple(vars(one).values()) for one in minutes],
            )

    def _used_bytes(self) -> int:
        [[used]] = self._database.rows(
            "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, "
            "pragma_page_size"
        )
        return used

    def _drop_oldest(self) -> None:
        with self._database.transaction() as connection:
            for table, key in (("alarms", "number"), ("minutes", "minute")):
                [count] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                connection.execute(
                    f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} ORDER BY {key} LIMIT ?)",
                    (count // 10 + 1,),
                )

    def tidy(self, now_s: float | None = None) -> None:
        """Delete what is older than `keep_days`.

        Raises:
            StorageError: the disk is full.
        """
        oldest_s = (time.time() if now_s is None else now_s) - self._keep_s
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM alarms WHERE time_s < ?", (oldest_s,))
            connection.execute("DELETE FROM minutes WHERE minute < ?", (int(oldest_s // 60),))

    def alarms(
        self, *, most: int = 100, before: int | None = None, since_s: float = 0.0
    ) -> list[dict[str, Any]]:
        """The newest alarms, newest first, each with its number.

        Args:
            most: how many at most.
            before: only with smaller numbers, to read on.
            since_s: only from this Unix time on.

        Raises:
            StorageError: the file cannot be read.
        """
        rows = self._database.rows(
            "SELECT number, time_s, kind, place, label, track_id, text FROM alarms "
            "WHERE number < ? AND time_s >= ? ORDER BY number DESC LIMIT ?",
            (2**62 if before is None else before, since_s, most),
        )
        names = ("number", "time_s", "kind", "place", "label", "track_id", "text")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def minutes(self, *, most: int = 60) -> list[Minute]:
        """The newest minutes, newest first.

        Raises:
            StorageError: the file cannot be read.
        """
        rows = self._database.rows("SELECT * FROM minutes ORDER BY minute DESC LIMIT ?", (most,))
        return [Minute(*row) for row in rows]

    def is_whole(self) -> bool:
        """Whether SQLite's own check finds nothing wrong."""
        return self._database.is_whole()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
