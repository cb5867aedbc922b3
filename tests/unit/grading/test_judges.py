"""Judges in processes of this machine: none outlives their end."""

import threading

import pytest

from edgelab.errors import TargetError
from edgelab.grading import judges
from edgelab.machine import child

REQUEST = {"cells": [], "chapter": "10_video", "limits": {}, "locked": False}


def test_closed_judges_start_no_other():
    closed = judges.LocalJudges(1)
    closed.close()
    with pytest.raises(TargetError, match="have been closed"):
        closed.ask(REQUEST, 0.01)


def test_a_judge_that_is_being_started_while_all_are_closed_ends_with_them(monkeypatch):
    begun, go_on, started = threading.Event(), threading.Event(), []

    class Slow(child.Worker):
        def __init__(self, *arguments, **options):
            begun.set()
            assert go_on.wait(60)
            super().__init__(*arguments, **options)
            started.append(self)

        def ask(self, request, time_limit_s):
            return {}

    monkeypatch.setattr(child, "Worker", Slow)
    local = judges.LocalJudges(1)
    asking = threading.Thread(target=local.ask, args=(REQUEST, 60), daemon=True)
    closing = threading.Thread(target=local.close, daemon=True)
    asking.start()
    assert begun.wait(60)
    closing.start()
    closing.join(0.5)  # it waits for the one that is being started, or believes that it is done
    go_on.set()
    for thread in (asking, closing):
        thread.join(60)
    try:
        assert [judge.is_alive for judge in started] == [False]
    finally:
        for judge in started:
            judge.close()
