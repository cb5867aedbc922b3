import time

import numpy as np
import pytest

from edgelab.app import places
from edgelab.app.settings import AlarmSettings
from edgelab.app.watching import Watch
from edgelab.detection import Detections

SIZE = (200, 100)
ZONE = {"name": "right half", "kind": "zone", "points": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}
LINE = {"name": "middle", "kind": "line", "points": [[0.5, 0], [0.5, 1]]}


@pytest.fixture
def kept(tmp_path):
    return places.Places(tmp_path / "places.json")


def walk(watch, xs, start_s, label=0, step_s=0.1):
    """Something 20 pixels wide, its middle at each x."""
    told = []
    for number, x in enumerate(xs):
        found = Detections(np.array([[x - 10, 40, x + 10, 60]]), [0.9], [label])
        told += watch.update(found, SIZE, start_s + number * step_s)[1]
    return told


def test_who_walks_through_is_told(kept):
    kept.put(places.from_json(ZONE))
    kept.put(places.from_json(LINE))
    settings = AlarmSettings(kinds=("enter", "leave", "dwell", "cross"), dwell_s=0.5)
    watch = Watch(("person",), kept, settings)
    there, back = list(range(40, 160, 6)), list(range(160, 40, -6))
    now_s = time.time()
    told = walk(watch, there + back, time.perf_counter())
    assert [(one.kind, one.place) for one in told].count(("cross", "middle")) == 2
    assert [one.kind for one in told if one.place == "right half"] == ["enter", "dwell", "leave"]
    assert {one.label for one in told} == {"person"} and len({one.track_id for one in told}) == 1
    assert all(abs(one.time_s - now_s) < 60 for one in told)
    assert "person entered right half" in {one.text for one in told}


def test_a_zone_drawn_while_it_runs_counts_from_then_on(kept):
    watch = Watch(("person",), kept, AlarmSettings())
    start_s = time.perf_counter()
    assert walk(watch, range(40, 160, 6), start_s) == []
    kept.put(places.from_json(LINE))
    assert [one.kind for one in walk(watch, range(154, 40, -6), start_s + 2.0)] == ["cross"]


def test_only_what_is_wanted_is_told(kept):
    kept.put(places.from_json(LINE))
    xs = range(40, 160, 6)
    for settings in (AlarmSettings(kinds=("enter",)), AlarmSettings(classes=("car",))):
        assert walk(Watch(("person", "car"), kept, settings), xs, time.perf_counter()) == []
    watch = Watch(("person", "car"), kept, AlarmSettings(classes=("car",)))
    assert len(walk(watch, xs, time.perf_counter(), label=1)) == 1


def test_quiet_after_an_alarm(kept):
    kept.put(places.from_json(LINE))
    watch = Watch(("person",), kept, AlarmSettings(quiet_s=60.0))
    path = [*range(40, 160, 6), *range(160, 40, -6)]
    assert len(walk(watch, path, time.perf_counter())) == 1


def test_a_source_that_was_away_begins_anew(kept):
    kept.put(places.from_json(LINE))
    watch = Watch(("person",), kept, AlarmSettings())
    start_s = time.perf_counter()
    walk(watch, range(40, 80, 6), start_s)
    assert walk(watch, range(140, 180, 6), start_s + 60.0) == [], "nobody saw it cross"


def test_a_label_without_a_name_is_a_number(kept):
    assert Watch((), kept, AlarmSettings()).name(7) == "7"
