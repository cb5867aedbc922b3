"""How long to wait before the next try."""

from __future__ import annotations

import random

from edgelab.errors import InputError
from edgelab.texts import tr


class Backoff:
    """Waits that double up to a limit, each shortened by chance.

    Without chance, all that lost a server at one moment would come back at one moment. Half of the wait is
    fixed and half is drawn ("equal jitter": Brooker 2015, "Exponential Backoff And Jitter").

    Args:
        first_s: the longest first wait.
        most_s: the longest wait of all.
        seed: makes the waits repeatable; None for chance.

    Attributes:
        tries: waits since the last `reset`.

    Raises:
        InputError: not 0 < first_s <= most_s.
    """

    def __init__(self, first_s: float = 0.5, most_s: float = 60.0, seed: int | None = None) -> None:
        if not 0 < first_s <= most_s:
            raise InputError(
                tr("Waits from {first_s:g} to {most_s:g} s.", first_s=first_s, most_s=most_s),
                fix=tr("use 0 < first_s <= most_s"),
            )
        self._first_s, self._most_s, self._random = first_s, most_s, random.Random(seed)
        self.tries = 0

    def next_s(self) -> float:
        """Seconds to wait now: between half of `first_s * 2**tries` and all of it, at most `most_s`."""
        longest = min(self._first_s * 2 ** min(self.tries, 60), self._most_s)
        self.tries += 1
        return longest * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """It went well: the next failure waits `first_s` again."""
        self.tries = 0
