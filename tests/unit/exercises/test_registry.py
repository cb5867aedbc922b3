"""Exercises found by their key."""

import pytest

from edgelab import exercises
from edgelab.errors import InputError


def test_an_unknown_exercise_is_a_clear_error():
    with pytest.raises(InputError, match=r"chapter 77 has 77\.1"):
        exercises.check("77.9", 1)
    with pytest.raises(InputError, match="none"):
        exercises.check("66.1", 1)
