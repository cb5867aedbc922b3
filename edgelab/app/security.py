"""Who may look: a token, sessions in cookies, how often, and from which page."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

from edgelab.errors import StorageError
from edgelab.machine import artifacts
from edgelab.texts import tr

TOKEN_BYTES = 24
SESSION_S = 12 * 3600.0
MOST_SESSIONS = 200
MOST_KNOWN = 2000  # addresses and sessions of which a limit remembers the rate


def token_in(folder: Path) -> str:
    """The token of a data folder: drawn at the first start, in a file that its owner alone may read.

    Raises:
        StorageError: it cannot be read or written.
    """
    path = Path(folder) / "token"
    try:
        with contextlib.suppress(FileNotFoundError):
            found = path.read_text(encoding="utf-8").strip()
            if found:
                return found
        artifacts.make_folder(path.parent)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with artifacts.atomic_path(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(token + "\n")
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            tr("The token {path} cannot be read or written.", path=path),
            why=str(error),
            fix=tr("check the permissions of {folder}", folder=path.parent),
        ) from error


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far they are."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (given, expected)]
    return secrets.compare_digest(*digests)


class Sessions:
    """Those who have logged in, by what stands in their cookie; in memory, so that a restart ends them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._ends_s: OrderedDict[str, float] = OrderedDict()

    def begin(self) -> str:
        """A new session; beyond `MOST_SESSIONS` the oldest ends."""
        name = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._ends_s[name] = self._clock() + SESSION_S
            while len(self._ends_s) > MOST_SESSIONS:
                self._ends_s.popitem(last=False)
        return name

    def knows(self, name: str) -> bool:
        """Whether a session runs."""
        with self._lock:
            end_s = self._ends_s.get(name)
            if end_s is not None and end_s < self._clock():
                del self._ends_s[name]
                end_s = None
            return end_s is not None

    def end(self, name: str) -> None:
        """Log out."""
        with self._lock:
            self._ends_s.pop(name, None)


class RateLimit:
    """A bucket of tokens for each name: `burst` at once, then `per_second`.

    The token bucket. Of more than `MOST_KNOWN` names, those not seen for longest are forgotten.

    Args:
        per_second: how fast a bucket fills.
        burst: how much it holds, at least 1.
        clock: seconds that only grow.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, max(burst, 1.0), clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, *, take: bool = True) -> float:
        """0.0 if there is a token, which is taken; else seconds until there is one.

        Args:
            name: whose bucket.
            take: False only asks.
        """
        now_s = self._clock()
        with self._lock:
            level, then_s = self._buckets.pop(name, (self._burst, now_s))
            level = min(level + (now_s - then_s) * self._rate, self._burst)
            wait_s = 0.0 if level >= 1 else (1 - level) / self._rate
            if take and not wait_s:
                level -= 1
            self._buckets[name] = (level, now_s)
            while len(self._buckets) > MOST_KNOWN:
                self._buckets.popitem(last=False)
        return wait_s


def host_of(header: str) -> str:
    """The name in a `Host` header, without the port, in small letters."""
    try:
        return (urllib.parse.urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_known_host(header: str, names: Collection[str]) -> bool:
    """Whether the `Host` header names this server.

    A foreign page can point a name of its own at 127.0.0.1 ("DNS rebinding"); its requests carry that name.
    """
    return host_of(header) in names


def is_own_origin(origin: str | None, host: str, scheme: str) -> bool:
    """Whether a request comes from a page of this server.

    Args:
        origin: the `Origin` header; None where there is none, as from a program.
        host: the `Host` header.
        scheme: "http" or "https".
    """
    return origin is None or origin == f"{scheme}://{host}"
