"""SQLite files that survive being killed: opened the same way, and their errors in words.

Write-ahead logging keeps what was committed through a kill: a transaction is whole in the log or not there
(https://sqlite.org/wal.html). "FULL" also survives a power cut; "NORMAL" may lose the last commits to one,
and never tears a file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgelab.errors import StorageError
from edgelab.machine import artifacts
from edgelab.texts import tr

WAIT_FOR_OTHERS_S = 5.0
DAMAGED = ("malformed", "not a database", "file is encrypted")


class Database:
    """One connection that several threads share, one at a time.

    Args:
        path: the file; its folder is made. One that is no database any more is moved aside, never deleted.
        schema: statements that make the tables where they are missing.
        synchronous: "FULL" to survive a power cut with every commit, "NORMAL" for speed.
        most_bytes: the file never grows beyond; None for as far as the disk goes.

    Attributes:
        moved_aside: where a damaged file was moved to; None where all was well.

    Raises:
        StorageError: it cannot be opened or made.
    """

    def __init__(
        self, path: Path, schema: str, *, synchronous: str = "NORMAL", most_bytes: int | None = None
    ) -> None:
        self.path, self.moved_aside = Path(path), None
        self._schema, self._synchronous, self._most_bytes = schema, synchronous, most_bytes
        self._lock = threading.RLock()
        artifacts.make_folder(self.path.parent)
        try:
            self._connection = self._opened()
        except StorageError as error:
            if not any(word in str(error.__cause__) for word in DAMAGED):
                raise
            self._move_aside()
            self._connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        with self._in_words():
            connection = sqlite3.connect(
                self.path, timeout=WAIT_FOR_OTHERS_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={self._synchronous}")
                if self._most_bytes:
                    [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
                    connection.execute(f"PRAGMA max_page_count={max(self._most_bytes // page_bytes, 16)}")
                connection.executescript(self._schema)
            except sqlite3.Error:
                connection.close()
                raise
            return connection

    def _move_aside(self) -> None:
        self.moved_aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns() // 1_000_000}")
        try:
            self.path.replace(self.moved_aside)
            for ending in ("-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise artifacts.storage_error(error, self.path) from error

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                tr("{file} cannot be read or written.", file=self.path.name),
                why=str(error),
                fix=tr(
                    "free some space where {folder} is, and check its permissions; nothing written before is "
                    "lost",
                    folder=self.path.parent,
                ),
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block does, or nothing of it.

        Raises:
            StorageError: the disk is full, or the file cannot be written.
        """
        with self._lock, self._in_words():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: tuple = ()) -> list[tuple]:
        """What a query finds.

        Raises:
            StorageError: the file cannot be read.
        """
        with self._lock, self._in_words():
            return self._connection.execute(query, values).fetchall()

    def is_whole(self) -> bool:
        """Whether SQLite's own check finds nothing wrong."""
        return self.rows("PRAGMA quick_check") == [("ok",)]

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        with self._lock:
            self._connection.close()
