"""Two points for a cause with its evidence, one for the cause, none for the rest."""

import pytest

from edgelab.diagnosis import judge


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (("bgr", "fed.npy"), 2),
        (["bgr", "fed.npy"], 2),
        (("bgr", "device.log"), 1),
        ("bgr", 1),
        (("planes", "fed.npy"), 0),
        (None, 0),
    ],
)
def test_points(answer, points):
    score = judge({"one": answer}, ["one"], ["bgr"])
    assert score.points == points and score.most == 2


def test_what_was_not_answered_gives_none():
    score = judge({}, ["one", "two"], ["bgr", "leak"])
    assert str(score) == "0 of 4 points"
