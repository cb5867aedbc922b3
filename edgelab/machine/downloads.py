"""Downloads by libraries that set no time limit of their own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT_S = 20.0  # without a single byte


@contextmanager
def connection_timeout(seconds: float) -> Iterator[None]:
    """New sockets give up after this time: a network that swallows packets must not hang the lesson.

    Args:
        seconds: to connect, and between two pieces of what comes.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
