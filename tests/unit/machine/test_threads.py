"""Threads that nobody can ask to end."""

import contextlib
import threading

from edgelab.machine import threads


def test_one_that_runs_for_ever_is_ended():
    begun = threading.Event()

    def run():
        with contextlib.suppress(SystemExit):  # Python itself passes over it, pytest tells of it
            begun.set()
            while True:
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(60)
    threads.end(thread)
    thread.join(60)
    assert not thread.is_alive()


def test_one_that_has_ended_or_never_begun_is_left_alone():
    thread = threading.Thread(target=int)
    threads.end(thread)
    thread.start()
    thread.join()
    threads.end(thread)
