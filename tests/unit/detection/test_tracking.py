import numpy as np
import pytest

from edgelab.detection import Detections, Tracker, greedy_pairs

RATE = 30


def frames(path, count, hidden=()):
    """One object, 20 pixels wide, whose middle is at `path(time)`; not seen in the frames `hidden`."""
    for number in range(count):
        time_s = number / RATE
        x, y = path(time_s)
        box = [[x - 10, y - 10, x + 10, y + 10]]
        yield time_s, Detections.none() if number in hidden else Detections(box, [0.9], [2])


def followed(tracker, stream):
    return [(time_s, track) for time_s, found in stream for track in tracker.update(found, time_s)]


def test_an_object_keeps_its_identity_and_is_told_once_confirmed():
    seen = followed(Tracker(confirm=3), frames(lambda t: (20 + 60 * t, 50), 30))
    assert len(seen) == 28 and {track.id for _, track in seen} == {0}
    assert seen[-1][1].age == 30 and seen[-1][1].label == 2


def test_a_box_seen_once_is_never_told():
    tracker = Tracker()
    assert not tracker.update(Detections([[0, 0, 10, 10]], [0.9], [0]), 0.0)
    assert not tracker.update(Detections.none(), 0.1)


@pytest.mark.parametrize("speed", [0, 45, 150])
def test_an_object_that_was_hidden_is_the_same_afterwards(speed):
    stream = list(frames(lambda t: (20 + speed * t, 50), 70, hidden=range(20, 50)))
    assert {track.id for _, track in followed(Tracker(), stream)} == {0}


def test_without_a_second_look_one_that_turns_out_of_sight_gets_a_new_number():
    def path(t):
        return (20 + 90 * t, 50) if t < 0.9 else (20 + 90 * (1.8 - t), 50)

    stream = list(frames(path, 60, hidden=range(22, 36)))
    plain, second = (followed(Tracker(reach=reach), stream) for reach in (0.0, 0.75))
    assert len({track.id for _, track in plain}) == 2
    assert len({track.id for _, track in second}) == 1


def test_one_of_another_class_or_far_away_is_another():
    tracker = Tracker(patience_s=1)
    for number in range(5):
        tracker.update(Detections([[0, 0, 20, 20]], [0.9], [1]), number / RATE)
    for number in range(15, 20):
        other = tracker.update(Detections([[12, 12, 32, 32]], [0.9], [3]), number / RATE)
    assert [track.id for track in other] == [1]
    for number in range(20, 25):
        tracks = tracker.update(Detections([[200, 0, 220, 20]], [0.9], [1]), number / RATE)
    assert [track.id for track in tracks] == [2]


def test_the_class_is_that_with_the_most_score():
    tracker = Tracker(confirm=1)
    for number, (score, label) in enumerate([(0.4, 1), (0.9, 2), (0.4, 1)]):
        tracks = tracker.update(Detections([[0, 0, 10, 10]], [score], [label]), number / RATE)
    assert tracks[0].label == 2


def test_two_that_pass_each_other_do_not_swap():
    tracker, ids = Tracker(confirm=1), set()
    for number in range(40):
        x, t = 3 * number, number / RATE
        boxes = [[x, 0, x + 20, 20], [120 - x, 24, 140 - x, 44]]
        tracks = tracker.update(Detections(boxes, [0.9, 0.8], [0, 0]), t)
        ids |= {(track.id, bool(track.box[1] > 10)) for track in tracks}
    assert ids == {(0, False), (1, True)}


def test_pairs_are_the_best_first_and_each_once():
    worth = np.array([[0.9, 0.8], [0.85, 0.1]])
    assert greedy_pairs(worth, 0.3) == [(0, 0)]
    assert greedy_pairs(worth, 0.05) == [(0, 0), (1, 1)]
    assert greedy_pairs(np.empty((0, 3)), 0.1) == []
