"""The latest picture, for any number of viewers: each takes the newest when it is ready, and skips the rest.

No viewer has a queue, so a slow one delays nobody and costs no memory.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ASKED_FOR_S = 2.0


@dataclass(frozen=True)
class Picture:
    """One picture as it goes out.

    Attributes:
        number: 1, 2, 3 …; a viewer that was slow sees gaps.
        jpeg: the file.
        captured_s: when its frame came into being, on the clock of `time.perf_counter`.
    """

    number: int
    jpeg: bytes
    captured_s: float


class Hub:
    """Holds the latest picture; every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: Picture | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._viewers, self._asked_until = 0, 0.0
        self._is_closed = False

    @property
    def latest(self) -> Picture | None:
        """The newest picture; None before the first."""
        return self._latest

    @property
    def viewers(self) -> int:
        """How many watch now."""
        return self._viewers

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for a picture; where not, none needs to be drawn and encoded."""
        return self._viewers > 0 or self._latest is None or time.monotonic() < self._asked_until

    def publish(self, jpeg: bytes, captured_s: float) -> Picture:
        """Replace the latest picture, and wake whoever waits."""
        with self._changed:
            self._latest = Picture((self._latest.number if self._latest else 0) + 1, jpeg, captured_s)
            self._changed.notify_all()
            listeners, latest = tuple(self._listeners), self._latest
        for tell in listeners:
            tell()
        return latest

    def next(self, after: int, timeout_s: float) -> Picture | None:
        """Wait for a picture newer than number `after`; None when none comes in time, or none will come."""
        self.ask()
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_newer(after), timeout_s)
            return self._latest if self._is_newer(after) else None

    def _is_newer(self, after: int) -> bool:
        return self._latest is not None and self._latest.number > after

    def ask(self) -> None:
        """Want pictures for the next two seconds, without being a viewer."""
        self._asked_until = time.monotonic() + ASKED_FOR_S

    @contextlib.contextmanager
    def watching(self, tell: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Be a viewer while the block runs.

        Args:
            tell: called from the publisher's thread at every new picture; must return at once.
        """
        with self._changed:
            self._viewers += 1
            self._listeners.add(tell)
        try:
            yield
        finally:
            with self._changed:
                self._viewers -= 1
                self._listeners.discard(tell)

    def close(self) -> None:
        """No more pictures will come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for tell in listeners:
            tell()

    @property
    def is_closed(self) -> bool:
        """Whether no more pictures will come."""
        return self._is_closed
