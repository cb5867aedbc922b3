"""A thread that empties an outbox, and waits longer each time that its receiver does not answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

from edgelab.alarms.backoff import Backoff
from edgelab.alarms.outbox import Outbox
from edgelab.alarms.senders import DeliveryError, Sender
from edgelab.errors import EdgelabError, StorageError

LOOK_AGAIN_S = 1.0  # for alarms that another process has put
END_WITHIN_S = 15.0
THREAD_PREFIX = "edgelab-alarms-"


@dataclass(frozen=True)
class CourierState:
    """How delivery goes.

    Attributes:
        waiting: alarms that the receiver does not have.
        delivered: alarms it has, since the outbox was made.
        dropped: alarms dropped because too many waited.
        refused: alarms it will never take.
        error: why the last try failed; empty when it did not.
        next_try_s: seconds until the next try; 0.0 when none is waited for.
    """

    waiting: int
    delivered: int
    dropped: int
    refused: int
    error: str
    next_try_s: float


class Courier:
    """Delivers in the background from `__enter__` or `start` until `close`.

    Args:
        outbox: where alarms wait.
        sender: brings them to the receiver; closed with the courier.
        backoff: the waits between tries.
    """

    def __init__(self, outbox: Outbox, sender: Sender, backoff: Backoff | None = None) -> None:
        self.outbox, self.sender = outbox, sender
        self._backoff = backoff or Backoff()
        self._stop = threading.Event()
        self._error, self._next_try = "", 0.0
        self._thread = threading.Thread(target=self._work, name=f"{THREAD_PREFIX}{sender.name}", daemon=True)

    def start(self) -> Courier:
        """Begin to deliver."""
        self._thread.start()
        return self

    def _work(self) -> None:
        seen = 0
        while not self._stop.is_set():
            try:
                self.outbox.deliver(self.sender, until=self._stop.is_set)
            except (DeliveryError, StorageError) as error:
                asked_s = getattr(error, "retry_after_s", 0.0)
                self._pause(error.what + (f" {error.why}" if error.why else ""), asked_s)
            except Exception as error:  # a sender of somebody's own; alarms must go on
                self._pause(f"{type(error).__name__}: {error}", 0.0)
            else:
                self._error, self._next_try = "", 0.0
                self._backoff.reset()
                seen = self.outbox.wait(seen, LOOK_AGAIN_S)

    def _pause(self, error: str, at_least_s: float) -> None:
        wait_s = max(self._backoff.next_s(), at_least_s)
        self._error, self._next_try = error, time.monotonic() + wait_s
        self._stop.wait(wait_s)

    def state(self) -> CourierState:
        """How delivery goes; an outbox that cannot be read says so in `error`."""
        try:
            counts = (
                len(self.outbox.waiting()),
                self.outbox.delivered,
                self.outbox.dropped,
                len(self.outbox.refused()),
            )
        except EdgelabError as error:
            return CourierState(0, 0, 0, 0, error.what, 0.0)
        left_s = max(self._next_try - time.monotonic(), 0.0) if self._next_try else 0.0
        return CourierState(*counts, self._error, left_s)

    def close(self) -> None:
        """End within the time of one try; what waits stays in the outbox, which stays open."""
        self._stop.set()
        self.outbox.wake()
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)
        self.sender.close()

    def __enter__(self) -> Courier:
        return self.start()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
