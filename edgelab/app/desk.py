"""Where alarms land first: a thread writes them to the outboxes and the history, and the video never waits.

What cannot be written, because the disk is full, waits in memory, is tried again, and says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from edgelab.alarms import Alarm, Backoff, Outbox
from edgelab.app.history import History, Minute
from edgelab.errors import EdgelabError

MOST_IN_MEMORY = 10_000
TIDY_EVERY_S = 3600.0


@dataclass(frozen=True)
class DeskState:
    """How keeping goes.

    Attributes:
        is_writing: False while the disk takes nothing.
        error: why not; empty while all is well.
        in_memory: alarms and minutes that wait to be written.
        lost: of those, how many had to go because too many waited.
    """

    is_writing: bool
    error: str
    in_memory: int
    lost: int


class Desk:
    """Takes alarms and minutes from any thread, keeps them in order.

    Args:
        history: where all of it goes.
        outboxes: where alarms go too, each to its receiver.
        backoff: waits between tries while the disk is full.
    """

    def __init__(
        self, history: History, outboxes: tuple[Outbox, ...] = (), backoff: Backoff | None = None
    ) -> None:
        self._history, self._outboxes = history, tuple(outboxes)
        self._backoff = backoff or Backoff(1.0, 15.0)
        self._changed = threading.Condition()
        # What waits, and for an alarm the outboxes that have it already.
        self._waiting: deque[tuple[Alarm | Minute, set[int]]] = deque()
        self._error, self._lost, self._is_closed = "", 0, False
        self._thread = threading.Thread(target=self._work, name="edgelab-app-desk", daemon=True)

    def start(self) -> Desk:
        """Begin to write."""
        self._thread.start()
        return self

    def tell(self, what: Alarm | Minute) -> None:
        """Hand over an alarm or a minute; returns at once."""
        with self._changed:
            if len(self._waiting) >= MOST_IN_MEMORY:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append((what, set()))
            self._changed.notify_all()

    def state(self) -> DeskState:
        """How keeping goes."""
        with self._changed:
            return DeskState(not self._error, self._error, len(self._waiting), self._lost)

    def _work(self) -> None:
        tidy_at = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed, 1.0)
                batch = list(self._waiting)
                if self._is_closed and (not batch or self._error):
                    return
            try:
                self._write(batch)
                if time.monotonic() >= tidy_at:
                    self._history.tidy()
                    tidy_at = time.monotonic() + TIDY_EVERY_S
            except EdgelabError as error:
                self._failed(error)
            else:
                self._backoff.reset()
                self._error = ""

    def _write(self, batch: list[tuple[Alarm | Minute, set[int]]]) -> None:
        for what, has in batch:
            if isinstance(what, Alarm):
                for number, outbox in enumerate(self._outboxes):
                    if number not in has:
                        outbox.put(what)
                        has.add(number)
        if batch:
            alarms = [what for what, _ in batch if isinstance(what, Alarm)]
            self._history.add(alarms, [what for what, _ in batch if isinstance(what, Minute)])
            written = {id(entry) for entry in batch}
            with self._changed:
                self._waiting = deque(entry for entry in self._waiting if id(entry) not in written)

    def _failed(self, error: EdgelabError) -> None:
        self._error = f"{error.what} {error.why}".strip()
        wait_s = self._backoff.next_s()
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, wait_s)

    def close(self, within_s: float = 5.0) -> None:
        """Write what waits, if the disk takes it, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(within_s)
