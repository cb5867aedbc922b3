"""No thread is left behind, and interrupts arrive."""

from __future__ import annotations

import signal
import threading

import pytest

from edgelab.video import pipeline


def pipeline_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(pipeline.THREAD_PREFIX)]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert pipeline_threads() == []


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A shell that starts tests in the background has them ignore interrupts, and then Python does so too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
