import numpy as np
import pytest

from edgelab.detection import Line, Track, Watcher, Zone, settled
from edgelab.errors import InputError

SIZE = (200, 100)
ZONE = Zone("door", [(0.4, 0.2), (0.6, 0.2), (0.6, 0.8), (0.4, 0.8)])
LINE = Line("gate", (0.5, 0.0), (0.5, 1.0))


def track(x, y=50, number=0):
    return Track(number, np.array([x - 5, y - 5, x + 5, y + 5], float), 3, 0.9, 5)


def walk(watcher, xs, rate=10):
    return [event for n, x in enumerate(xs) for event in watcher.update([track(x)], n / rate)]


def test_a_walk_through_a_zone_enters_and_leaves_it():
    events = walk(Watcher([ZONE], SIZE, dwell_s=60), range(40, 160, 2))
    assert [event.kind for event in events] == ["enter", "leave"]
    assert events[0].place == "door" and events[0].label == 3 and events[0].point == (84.0, 50.0)


def test_who_stays_is_told_once_for_each_stay():
    watcher = Watcher([ZONE], SIZE, dwell_s=2)
    kinds = [event.kind for event in walk(watcher, [40] + [100] * 50 + [40] + [100] * 25)]
    assert kinds == ["enter", "dwell", "leave", "enter", "dwell"]


def test_who_is_inside_from_the_start_has_not_entered_but_dwells():
    assert [e.kind for e in walk(Watcher([ZONE], SIZE, dwell_s=1), [100] * 20)] == ["dwell"]


def test_a_crossing_has_a_direction():
    there, back = walk(Watcher([LINE], SIZE), [*range(80, 120), *range(120, 80, -1)])
    assert (there.kind, there.direction, back.direction) == ("cross", -1, 1)
    assert LINE.side(np.array([80, 50]), SIZE) == pytest.approx(20)


def test_beyond_the_end_of_a_line_nothing_is_crossed():
    short = Line("gate", (0.5, 0.0), (0.5, 0.3))
    assert not walk(Watcher([short], SIZE), range(80, 120))


def test_trembling_at_the_border_is_one_event_with_hysteresis():
    trembling = [80, *(100 + np.tile([1.5, -1.5], 20)), 120]
    assert len(walk(Watcher([LINE], SIZE, hysteresis=0.0), trembling)) > 10
    assert len(walk(Watcher([LINE], SIZE, hysteresis=0.02), trembling)) == 1


@pytest.mark.parametrize(
    ("was", "depth", "now"),
    [
        (None, 1, None),
        (True, -1, True),
        (False, 1, False),
        (False, 3, True),
        (True, -3, False),
        (None, 3, True),
    ],
)
def test_between_the_margins_all_stays_as_it_was(was, depth, now):
    assert settled(was, depth, 2) is now


def test_a_track_that_is_gone_for_long_is_forgotten():
    watcher = Watcher([ZONE], SIZE)
    watcher.update([track(100)], 0.0)
    watcher.update([], 61.0)
    assert not watcher._stays


def test_places_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="2 corners"):
        Zone("door", [(0, 0), (1, 1)])
    with pytest.raises(InputError, match="no length"):
        Line("gate", (0.5, 0.5), (0.5, 0.5))
    with pytest.raises(InputError, match="same name"):
        Watcher([ZONE, Line("door", (0, 0), (1, 1))], SIZE)
