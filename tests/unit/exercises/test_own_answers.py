"""A function that was right in one chapter is there in a later one, with all that it needs."""

import collections
import math

import numpy as np
import pytest

from edgelab import exercises
from edgelab.exercises import own_answers

FACTOR = 2
HELD = np.ones(1)


def doubled(x):
    return FACTOR * x


def by_helpers(x):
    counted = collections.Counter([doubled(x)])
    return math.floor(np.float64(next(iter(counted))))


def by_an_array(x):
    return 2 * x * int(HELD[0])


def given(x):
    return x + x


def test_a_right_answer_is_there_for_a_later_chapter(own_progress):
    assert exercises.own("77.1", given) is given
    exercises.check("77.1", by_helpers)
    own = exercises.own("77.1", given)
    assert own is not given and own(21) == 42
    text = (own_progress / "answers" / "77.1.py").read_text()
    assert "FACTOR = 2" in text and "import numpy as np" in text and "def doubled" in text


def test_a_later_right_answer_takes_the_place_of_the_first():
    exercises.check("77.1", by_helpers)
    exercises.check("77.1", doubled)
    assert exercises.own("77.1", given).__name__ == "doubled"


def test_only_an_answer_of_the_students_own_is_kept(own_progress):
    exercises.check("77.1", lambda x: x)  # wrong
    exercises.untouched(...)
    exercises.check("77.1", doubled)  # the solution given
    assert not (own_progress / "answers").exists()


@pytest.mark.parametrize("answer", [by_an_array, lambda x: 2 * x, (lambda n: lambda x: n * x)(2), max])
def test_what_no_text_tells_is_not_kept(own_progress, answer):
    own_answers.keep("77.1", answer)
    assert not (own_progress / "answers").exists()


@pytest.mark.parametrize("text", ["def answer(x): return 3 * x", "answer = 5", "answer = 1 / 0", "def", ""])
def test_a_changed_file_is_not_trusted(own_progress, text):
    exercises.check("77.1", doubled)
    (own_progress / "answers" / "77.1.py").write_text(text)
    assert exercises.own("77.1", given) is given
