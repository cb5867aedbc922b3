"""Ports for servers of tests."""

from __future__ import annotations

import contextlib
import random
import socket

# Whoever asks for any port gets one from above: Linux begins at 32768, the others at 49152.
NEVER_GIVEN = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine that nobody has, and that nobody gets who asks for any one."""
    for port in random.SystemRandom().sample(NEVER_GIVEN, 100):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports, and none is free")
